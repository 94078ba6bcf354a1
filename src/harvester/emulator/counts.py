"""Counts: how politely each host was asked, as the emulator saw it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from threading import Lock
from time import monotonic
from typing import Any

SECOND = 1.0


@dataclass
class Count:
    """Requests of one host: how many in all, under way now, under way at most, and begun at most within any one second."""

    requests: int = 0
    under_way: int = 0
    most_at_once: int = 0
    most_per_second: int = 0


@dataclass
class Counts:
    """The counts of every host. Safe for threads."""

    by_host: dict[str, Count] = field(default_factory=dict)
    _begun: dict[str, deque[float]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    @contextmanager
    def counted(self, host: str) -> Iterator[None]:
        """Count a request, which is under way during the block."""
        count = self._begin(host)
        try:
            yield
        finally:
            with self._lock:
                count.under_way -= 1

    def clear(self) -> None:
        """Begin anew; what is under way is forgotten."""
        with self._lock:
            self.by_host.clear()
            self._begun.clear()

    def as_objects(self) -> dict[str, dict[str, Any]]:
        """Return the counts as JSON has them."""
        with self._lock:
            return {host: asdict(count) for host, count in sorted(self.by_host.items())}

    def _begin(self, host: str) -> Count:
        with self._lock:
            now = monotonic()
            count, begun = self.by_host.setdefault(host, Count()), self._begun.setdefault(host, deque())
            begun.append(now)
            while now - begun[0] >= SECOND:
                begun.popleft()
            count.requests += 1
            count.under_way += 1
            count.most_at_once = max(count.most_at_once, count.under_way)
            count.most_per_second = max(count.most_per_second, len(begun))
            return count
