"""The connections that stand, so that closing a client ends them for whoever listens: closing a pool wakes nobody."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import Mapping

STANDS = ("connect_tcp.complete", "start_tls.complete")
"""How the events of httpcore end that bring a connection, plain or encrypted."""


class Listening:
    """The connections of one process; safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._streams: WeakSet[Any] = WeakSet()
        self._over = False

    def note(self, event: str, about: Mapping[str, Any]) -> None:
        """Learn of a connection as soon as it stands; what httpcore calls a trace."""
        if event.endswith(STANDS):
            with self._lock:
                self._streams.add(about["return_value"])
                if self._over:
                    _end(about["return_value"])

    def end(self) -> None:
        """End every connection, and those that are just being made."""
        with self._lock:
            self._over = True
            for stream in self._streams:
                _end(stream)


def _end(stream: Any) -> None:
    """Shut a connection down; not by an encrypted one's own method, which takes away what its listener uses."""
    with suppress(OSError):
        socket.socket.shutdown(stream.get_extra_info("socket"), socket.SHUT_RDWR)
