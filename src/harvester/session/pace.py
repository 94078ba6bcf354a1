"""Pace: how fast and how often one host is asked, by all threads together.

A host's pacer is a token bucket of depth one (requests start at least `1 / per_second` apart, never in bursts) beside a limit on requests
under way. Time comes from a `Clock`, so that a test need not wait.
"""

from __future__ import annotations

import random
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harvester.source import Pace

FIRST_BACKOFF_S = 1.0
LONGEST_BACKOFF_S = 30.0
RESOLUTION_S = 1e-6
WAKE_S = 0.1
LOOK_S = 0.5
"""How often a thread that waits for long looks whether the run is to end."""
SHORT_S = 5.0
"""What is waited for even then."""


class Interrupted(KeyboardInterrupt):
    """The client was closed while this thread waited or received: says nothing about the service.

    Like the interrupt that it passes on, it is no `Exception`, so that no library on the way takes it for a failed request.
    """


class Unsent(Exception):
    """A request was not sent: its host wants to be left alone for longer than the run is to last."""


class Clock:
    """Monotonic time, waiting that `stop` ends at once, and chance."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self.ending: Callable[[], bool] | None = None
        """Says when a run is to end: what is under way is finished, but nothing is tried again, and no long wait is kept."""

    @property
    def is_ending(self) -> bool:
        """Whether the run is to end."""
        return self.ending is not None and self.ending()

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped.is_set()

    def now(self) -> float:
        """Return seconds since an arbitrary moment; never goes back.

        Setting the machine's clock neither hurries nor stalls anybody, and while the machine sleeps no time passes (on Linux): who waited waits on.
        """
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait. Raises Interrupted as soon as `stop` is called, also in another thread."""
        if self._stopped.wait(max(seconds, 0.0)):
            raise Interrupted

    def doze(self, seconds: float) -> None:
        """Wait, but no longer than until the run is to end. Raises Interrupted."""
        step = seconds if self.ending is None else LOOK_S
        while seconds > 0 and not self.is_ending:
            self.sleep(min(step, seconds))
            seconds -= step

    def chance(self) -> float:
        """Return a random number in [0, 1)."""
        return random.random()  # noqa: S311  # spreads retries, guards nothing

    def stop(self) -> None:
        """Wake every sleeper."""
        self._stopped.set()


class Pacer:
    """The politeness limit of one host, shared by every thread that asks it."""

    def __init__(self, pace: Pace, clock: Clock) -> None:
        self.per_second, self.at_once = pace.per_second, pace.at_once
        self._clock = clock
        self._free = threading.Condition()
        self._under_way = 0
        self._next = clock.now()

    def slow_to(self, pace: Pace) -> None:
        """Two services of one host: the more careful limit holds for both."""
        with self._free:
            self.per_second, self.at_once = min(self.per_second, pace.per_second), min(self.at_once, pace.at_once)

    def hold(self, seconds: float) -> None:
        """Let nobody start within the next `seconds`: the host asked us to wait."""
        with self._free:
            self._next = max(self._next, self._clock.now() + seconds)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait until one more request is polite; the block is that request, body included. Raises Interrupted."""
        self._enter()
        try:
            self.step()
            yield
        finally:
            self._leave()

    def step(self) -> None:
        """Wait until another start is polite; within a turn, for each further request that it takes (a redirect).

        Raises Interrupted; and Unsent where that is long and the run is to end.
        """
        while (delay := self._claim()) > 0:
            if delay <= SHORT_S:
                self._clock.sleep(delay)
            elif self._clock.is_ending:
                raise Unsent
            else:
                self._clock.doze(delay)

    def _enter(self) -> None:
        with self._free:
            while self._under_way >= self.at_once:
                self._free.wait(timeout=WAKE_S)
                self._check()
            self._check()
            self._under_way += 1

    def _leave(self) -> None:
        with self._free:
            self._under_way -= 1
            self._free.notify()

    def _check(self) -> None:
        if self._clock.stopped:
            raise Interrupted

    def _claim(self) -> float:
        """Take the next start if it is due and return 0, or return the seconds until it may be."""
        with self._free:
            now = self._clock.now()
            if self._next - now > RESOLUTION_S:
                return self._next - now
            self._next = now + 1 / self.per_second
            return 0.0


def backoff(attempt: int, chance: float) -> float:
    """Return the seconds to wait after the failed `attempt` (1, 2, ...): exponential, with full jitter.

    `chance` in [0, 1) picks from the interval [0, min(30, 2^(attempt - 1))), so that clients who failed together do not come back together.
    """
    return chance * min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2.0 ** (attempt - 1))
