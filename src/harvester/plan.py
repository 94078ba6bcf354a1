"""The plan: which questions a run asks.

`plan` is what a user wants now; `due` is what the store's timetable says, for every target that it follows. A Plan holds two numbers per due
target and source, and makes its tasks when they are taken, so that it is quick and small for 10^5 targets.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from harvester.source import Source, load
from harvester.store.visit import Rhythm
from harvester.target import Target
from harvester.task import Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harvester.config import Settings
    from harvester.jobs import Job
    from harvester.store import Store

LOADED_AT_ONCE = 500
"""Targets that are read from the store at once, and so held in memory for each source."""


@dataclass(frozen=True)
class Due:
    """What is due at one source: pairs of target and moment from which on to ask (MJD; NaN: from the beginning), in the order of asking.

    `resumed` are the questions on which the service is at work already. They are asked first, and word for word as before.
    """

    source: str
    rhythm: Rhythm
    radius: float
    batch: int
    target_ids: NDArray[np.int64]
    since: NDArray[np.float64]
    store: Store = field(repr=False)
    resumed: tuple[Task, ...] = ()

    @property
    def targets(self) -> int:
        """How many targets."""
        return len(self.target_ids) + sum(len(task.targets) for task in self.resumed)

    @property
    def questions(self) -> int:
        """How many tasks."""
        everything = int(np.isnan(self.since).sum())
        return len(self.resumed) + sum(-(-count // self.batch) for count in (everything, len(self.since) - everything))

    @property
    def tasks(self) -> Iterator[Task]:
        """Make the tasks, one after the other; targets that were removed meanwhile are left out. Raises StoreError."""
        yield from self.resumed
        batches = self._batches()
        while part := list(islice(batches, max(LOADED_AT_ONCE // self.batch, 1))):
            known = self.store.timetable.targets([int(number) for batch in part for number in self.target_ids[batch]])
            for batch in part:
                targets = tuple(known[number] for number in self.target_ids[batch].tolist() if number in known)
                if targets:
                    yield Task(self.source, targets, self.radius, _earliest(self.since[batch]))

    def _batches(self) -> Iterator[list[int]]:
        """Yield the places of targets that are asked about together: never those of which all is wanted with those of which the end is."""
        waiting: dict[bool, list[int]] = {True: [], False: []}
        for place, everything in enumerate(np.isnan(self.since).tolist()):
            batch = waiting[everything]
            batch.append(place)
            if len(batch) == self.batch:
                yield batch
                waiting[everything] = []
        yield from filter(None, waiting.values())


@dataclass(frozen=True)
class Plan:
    """Everything that is due at some moment."""

    parts: tuple[Due, ...]

    @property
    def targets(self) -> int:
        """How many pairs of target and source."""
        return sum(part.targets for part in self.parts)

    @property
    def lines(self) -> dict[str, Iterator[Task]]:
        """The tasks of each source."""
        return {part.source: part.tasks for part in self.parts if part.targets}


def plan(
    targets: Sequence[Target],
    sources: Iterable[str],
    settings: Settings,
    *,
    radius: float | None = None,
    since: float | None = None,
    until: float | None = None,
) -> list[Task]:
    """Return the tasks that ask every source about every target, in batches as large as each source takes. Raises UnknownSource, BrokenSource."""
    tasks = []
    for name in sources:
        source = load(name)
        wide = radius or settings.service(name).radius or source.radius
        batches = (tuple(targets[first : first + source.batch]) for first in range(0, len(targets), source.batch))
        tasks += [Task(name, batch, wide, since, until) for batch in batches]
    return tasks


def due(
    store: Store, sources: Iterable[str], settings: Settings, *, now: datetime | None = None, targets: Iterable[str] | None = None
) -> Plan:
    """Return what is due at some moment: of all targets that the store follows, or of `targets` (their own names).

    A source is asked again after its cadence, for a fixed release once; where it takes an interval and all before is known, only for what is newer
    than the newest epoch less its look-back. What failed or was put off comes back as `store.schedule.next_due` says. Raises StoreError,
    UnknownSource, BrokenSource.
    """
    moment, table = now or datetime.now(UTC), store.timetable
    only = None if targets is None else list(table.ids(targets).values())
    under_way = table.jobs()
    parts = []
    for name in sources:
        source = load(name)
        found = table.waiting(name, rhythm(source), moment)
        found = found if only is None else found.of(only)
        since = found.since - source.lookback if source.incremental else np.full(len(found.since), np.nan)
        wide = settings.service(name).radius or source.radius
        part = Due(name, rhythm(source), wide, source.batch, found.target_ids, since, store)
        parts.append(_resumed(part, [job for job in under_way if job.source == name and not job.is_lost(moment)]))
    return Plan(tuple(parts))


def rhythm(source: Source, retry_after: float | None = None) -> Rhythm:
    """Return when a source wants to be asked again."""
    return Rhythm(source.cadence, source.release, retry_after)


def again(store: Store, unanswered: Iterable[Mapping[str, Any]], settings: Settings) -> list[Task]:
    """Return the tasks that ask once more for what a run did not get, each as it was asked (see `Timetable.unanswered`).

    Raises StoreError, UnknownSource, BrokenSource.
    """
    asked: dict[tuple[Any, ...], list[str]] = {}
    for row in unanswered:
        asked.setdefault((row["source"], row["radius"], row["since"], row["until"]), []).append(row["target"])
    names = {name for group in asked.values() for name in group}
    ids = store.timetable.ids(names)
    known = store.timetable.targets(list(ids.values()))
    tasks = []
    for (source, radius, since, until), group in asked.items():
        targets = [known[ids[name]] for name in group if name in ids]
        tasks += plan(targets, [source], settings, radius=radius, since=since, until=until)
    return tasks


def _resumed(part: Due, jobs: Sequence[Job]) -> Due:
    """Take out of a part the targets of questions that are under way; those that are due are asked as they were before."""
    asked = [json.loads(job.state) for job in jobs if job.state]
    if not asked:
        return part
    ids = part.store.timetable.ids(name for question in asked for name in question["targets"])
    waiting = set(part.target_ids.tolist())
    tasks: dict[str, Task] = {}  # one question may have several jobs
    taken: set[int] = set()
    for question in asked:
        numbers = [ids[name] for name in question["targets"] if name in ids]
        if len(numbers) == len(question["targets"]) and waiting & set(numbers):
            known = part.store.timetable.targets(numbers)
            task = Task(part.source, tuple(known[number] for number in numbers), question["radius"], question["since"], question["until"])
            tasks[json.dumps(question)] = task
            taken.update(numbers)
    rest = ~np.isin(part.target_ids, list(taken))
    return replace(part, target_ids=part.target_ids[rest], since=part.since[rest], resumed=tuple(tasks.values()))


def _earliest(since: NDArray[np.float64]) -> float | None:
    """Return the moment from which on a batch is asked for; whole days, so that a question that is put again tomorrow is the same."""
    first = float(np.min(since))
    return None if np.isnan(first) else float(np.floor(first))
