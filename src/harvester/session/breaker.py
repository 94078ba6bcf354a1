"""The breaker: a host that fails every time is left alone for a while, by all threads together.

Closed, it counts requests that failed to the end, in a row. After `FAILURES` of them it opens: requests are refused here, at once and
unsent. When the rest is over, one request goes through as a probe; its success closes the breaker, its failure opens it again. A host that
names the time for which it does not want to be asked is left alone for that time.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from harvester.errors import Resting, SourceError, Throttled, Truncated, Unreachable
from harvester.session.verdict import span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harvester.session.pace import Clock

FAILURES = 5
REST_S = 60.0
NEXT = "What was postponed is first in line at the next: harvest update"


@dataclass(slots=True)
class Passage:
    """One request on its way through a breaker; `error` is what it came to, None for an answer."""

    is_probe: bool
    error: SourceError | None = None


class Breaker:
    """The breaker of one host; safe for threads. `failures` in a row open it, for `rest` seconds."""

    def __init__(self, host: str, clock: Clock, *, failures: int = FAILURES, rest: float = REST_S) -> None:
        self._host, self._clock = host, clock
        self._most, self._rest = failures, rest
        self._lock = threading.Lock()
        self._in_a_row = 0
        self._since = ""
        self._until: float | None = None
        self._cause: SourceError | None = None
        self._probing = False

    @property
    def resting(self) -> float | None:
        """Seconds until a probe may go through, 0 while one is under way or due; None if the host may be asked."""
        with self._lock:
            return None if self._until is None else max(self._until - self._clock.now(), 0.0)

    @contextmanager
    def guarded(self, patience: float) -> Iterator[Passage]:
        """Let one request through, with all its tries, and learn from how it ends: from the passage's `error`, or from what is raised.

        `patience` is the longest Retry-After (s) that requests wait for themselves: a longer one opens the breaker. Raises Resting or
        Throttled, unsent, while the host is left alone.
        """
        passage = self._enter()
        try:
            yield passage
        except SourceError as error:
            self._learn(error, patience, probe=passage.is_probe)
            raise
        else:
            self._learn(passage.error, patience, probe=passage.is_probe)
        finally:
            if passage.is_probe:
                self._probing = False

    def _enter(self) -> Passage:
        with self._lock:
            if self._until is None:
                return Passage(is_probe=False)
            left = self._until - self._clock.now()
            if left > 0 or self._probing:
                raise self._refusal(max(left, 0.0))
            self._probing = True
            return Passage(is_probe=True)

    def _refusal(self, left: float) -> SourceError:
        """Return the error of a request that is not sent; `left` seconds until the next may be."""
        assert self._cause is not None
        if isinstance(self._cause, Throttled):
            what = f"{self._host} asked us at {self._since} to wait; not asked again before {span(left)} are over."
            return Throttled(what, self._cause.why, NEXT, retry_after=left)
        return Resting(
            f"{self._host} is left alone: {self._in_a_row} requests in a row failed, the last at {self._since}.",
            f"The last one said: {self._cause.what}",
            NEXT,
            retry_after=left or self._rest,
        )

    def _learn(self, error: SourceError | None, patience: float, *, probe: bool) -> None:
        if isinstance(error, Truncated):  # half an answer proves neither that the host is well nor that it is not
            return
        with self._lock:
            if isinstance(error, Unreachable | Throttled):
                self._failed(error, patience, probe=probe)
            else:
                self._answered(probe=probe)

    def _failed(self, error: SourceError, patience: float, *, probe: bool) -> None:
        self._in_a_row += 1
        asked = error.retry_after if error.retry_after and error.retry_after > patience else None
        if asked or probe or self._in_a_row >= self._most:
            self._since, self._cause = f"{datetime.now(UTC):%H:%M:%S} UTC", error
            self._until = max(self._until or 0.0, self._clock.now() + (asked or self._rest))

    def _answered(self, *, probe: bool) -> None:
        """Close; but an answer to what was sent earlier does not shorten the time for which the host wants to be left alone."""
        self._in_a_row = 0
        if probe or not isinstance(self._cause, Throttled):
            self._until, self._cause = None, None
