"""Client: the connections of one process, and what its threads share of each host."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any, Self

from harvester.errors import BadSettings
from harvester.session.breaker import Breaker
from harvester.session.pace import Clock, Pacer
from harvester.session.session import Event, Host, Session
from harvester.session.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from harvester.payload import Payload
    from harvester.session.errand import Errand
    from harvester.session.service import Service
    from harvester.source import Pace

CONTACT = re.compile(r"[\x21-\x7e]+")


class Client:
    """The connections of one process, shared by its threads; a context manager.

    `contact` (an e-mail address) and `version` go into the User-Agent. `loopback_only` keeps every request on this machine, so that no
    simulated run meets real data. With `dry_run` nothing is sent: the first request of each fetch is told to `on_request(method, url,
    params)`, then DryRun is raised. `on_event` is called from the thread that fetches.
    """

    def __init__(
        self,
        *,
        contact: str = "",
        version: str = "",
        loopback_only: bool = False,
        dry_run: bool = False,
        on_request: Callable[[str, str, Mapping[str, Any]], None] | None = None,
        on_event: Callable[[Event], None] | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Connect to nothing yet. Raises BadSettings for a contact that a header cannot carry."""
        self.dry_run, self.on_request, self.on_event = dry_run, on_request, on_event
        self.loopback_only = loopback_only
        self.clock = clock or Clock()
        self.wire = Wire(_user_agent(contact, version), self.clock, loopback_only=loopback_only)
        self._lock = threading.Lock()
        self._hosts: dict[str, Host] = {}
        self._asking: dict[str, threading.Lock] = {}
        self._answers: dict[str, Payload] = {}

    def session(self, service: Service, errand: Errand | None = None) -> Session:
        """Return what `fetch` is given as `http`; `errand` has the remote jobs of its query, if it may have some.

        Sessions of one host share its pace (the slowest that any of them declares) and its breaker.
        """
        return Session(self, service, self.host(service.paced_host, service.pace), errand)

    def host(self, name: str, pace: Pace) -> Host:
        """Return what all that ask a host (its name and port) share; from now on nobody asks it faster than `pace`."""
        with self._lock:
            host = self._hosts.setdefault(name, Host(Pacer(pace, self.clock), Breaker(name.partition(":")[0], self.clock)))
        host.pacer.slow_to(pace)
        return host

    def once(self, url: str, ask: Callable[[], Payload]) -> Payload:
        """Return what the first `ask` for a URL brought; whoever comes meanwhile waits for it. A failure is forgotten."""
        with self._lock:
            asking = self._asking.setdefault(url, threading.Lock())
        with asking:
            if url not in self._answers:
                self._answers[url] = ask()
            return self._answers[url]

    def close(self) -> None:
        """Wake every thread that waits (it raises Interrupted), and close the connections."""
        self.clock.stop()
        self.wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _user_agent(contact: str, version: str) -> str:
    if contact and not CONTACT.fullmatch(contact):
        raise BadSettings(
            "the contact cannot be sent.",
            "It must be an e-mail address or a URL, in ASCII without blanks.",
            "Correct contact in the settings.",
        )
    name = f"harvester/{version}" if version else "harvester"
    return f"{name} (+{contact})" if contact else name
