"""Lanes: the tasks of a run, side by side for every host, so that a slow host never keeps another waiting.

A lane has threads of its own, as many as its host's pace can use. What they have done waits in a short queue for the one that writes: when
that is full they wait, so memory is needed for a few answers, however many tasks there are. A host that is left alone (see `session.breaker`)
keeps its lane waiting as long as another lane is at work, and then gets one task as a probe; once there is nothing else to do, what is left of
it goes through unasked.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, Queue
from time import monotonic
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from harvester.task import Task

Done = TypeVar("Done")

WAITING_TO_BE_WRITTEN = 16
"""Tasks whose answers may wait for the one that writes, who takes no more than so many at once."""
MOMENT_S = 0.05
"""For so long what is done waits for more: what brings no news is written together for half of what it costs alone."""
LOOK_S = 0.1
"""How often a waiting lane looks whether it may go on."""
LAST_WORDS_S = 1.0
"""How long threads are waited for that were told to end at once. One that listens to a silent service hears nothing else: it is left behind."""

log = logging.getLogger(__name__)


class _Ended:
    """Put by a thread when it ends; `error` is why, where it did not run out of tasks."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class Stop:
    """Says when no new task is to be begun: when it is asked to, or after some seconds. What is under way is finished."""

    def __init__(self, seconds: float | None = None) -> None:
        self.asked = False
        self._deadline = None if seconds is None else monotonic() + seconds

    @property
    def late(self) -> bool:
        """Whether the time is over; counted while the machine is awake."""
        return self._deadline is not None and monotonic() >= self._deadline

    @property
    def called(self) -> bool:
        """Whether nothing new is to be begun."""
        return self.asked or self.late


@dataclass
class Lane:
    """The tasks for one host: a line per source, taken from in turn. `resting` gives the seconds for which the host is left alone, or None."""

    host: str
    threads: int
    resting: Callable[[], float | None] = lambda: None
    lines: deque[Iterator[Task]] = field(default_factory=deque)
    under_way: int = 0

    @property
    def at_work(self) -> bool:
        """Whether its host is being asked, or could be."""
        return self.under_way > 0 or (bool(self.lines) and self.resting() is None)

    def next(self) -> Task | None:
        """Take the next task, None when there is no more."""
        while self.lines:
            task = next(self.lines[0], None)
            if task is not None:
                self.lines.rotate(-1)
                return task
            self.lines.popleft()
        return None


class Crew(Generic[Done]):
    """The threads of all lanes. `do` works off one task; what it raises ends the run."""

    def __init__(self, lanes: Iterable[Lane], do: Callable[[Task], Done], stop: Stop) -> None:
        self._lanes, self._do, self._stop = list(lanes), do, stop
        self._done: Queue[Done | _Ended] = Queue(WAITING_TO_BE_WRITTEN)
        self._turn = threading.Condition()
        self._abandoned = False

    def results(self, abandon: Callable[[], None]) -> Generator[list[Done], None, None]:
        """Yield what was done, as it is done: all that waits at once. If this ends early, `abandon` is called, which has to end what is under way."""
        threads = [threading.Thread(target=self._serve, args=(lane,), daemon=True) for lane in self._lanes for _ in range(lane.threads)]
        for thread in threads:
            thread.start()
        working = len(threads)
        try:
            while working:
                taken = self._taken()
                yield [one for one in taken if not isinstance(one, _Ended)]
                ended = [one for one in taken if isinstance(one, _Ended)]
                working -= len(ended)
                for error in filter(None, (one.error for one in ended)):
                    raise error
        finally:
            if working:
                self._abandoned = True
                abandon()
                self._dismiss(threads)

    def _taken(self) -> list[Done | _Ended]:
        """Wait for something to be done; return it, and what is done a moment later."""
        taken = [self._done.get()]
        until = monotonic() + MOMENT_S
        with suppress(Empty):
            while len(taken) < WAITING_TO_BE_WRITTEN:
                taken.append(self._done.get(timeout=max(until - monotonic(), 0.0)))
        return taken

    @property
    def left_over(self) -> bool:
        """Whether tasks were left that nobody began."""
        return any(lane.next() is not None for lane in self._lanes)

    def _serve(self, lane: Lane) -> None:
        """Work off a lane's tasks until there are no more, or none is to be begun."""
        last = _Ended()
        try:
            while (task := self._take(lane)) is not None:
                self._put(self._worked_off(lane, task))
        except BaseException as error:  # noqa: BLE001 - raised again where the results are taken
            last = _Ended(error)
        self._put(last)

    def _worked_off(self, lane: Lane, task: Task) -> Done:
        try:
            return self._do(task)
        finally:
            with self._turn:
                lane.under_way -= 1
                self._turn.notify_all()

    def _take(self, lane: Lane) -> Task | None:
        with self._turn:
            while lane.lines and not self._ending and not self._may_begin(lane):
                self._turn.wait(LOOK_S)
            task = None if self._ending else lane.next()
            lane.under_way += task is not None
            return task

    @property
    def _ending(self) -> bool:
        return self._abandoned or self._stop.called

    def _may_begin(self, lane: Lane) -> bool:
        """Whether a lane may begin a task: its host is asked, or a probe is due, or all the others have come to rest as well."""
        left = lane.resting()
        if left is None or not any(other.at_work for other in self._lanes if other is not lane):
            return True
        return left == 0 and lane.under_way == 0

    def _put(self, done: Done | _Ended) -> None:
        """Hand something to the one that writes, who may have gone."""
        if not self._abandoned or not self._done.full():
            self._done.put(done)

    def _dismiss(self, threads: list[threading.Thread]) -> None:
        """Wait for threads that end at once, taking from them what they still put."""
        deadline = monotonic() + LAST_WORDS_S
        while any(thread.is_alive() for thread in threads) and monotonic() < deadline:
            try:
                self._done.get(timeout=LOOK_S)
            except Empty:
                continue
        log.debug("threads left behind: %s", sum(thread.is_alive() for thread in threads))
