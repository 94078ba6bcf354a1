"""The timetable: what the planner reads of a store, each call in a transaction of its own, from any thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from harvester.store import jobs, runs, schedule, tables, targets
from harvester.store.tables import target

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from harvester.jobs import Job
    from harvester.store.connection import Database
    from harvester.store.schedule import Waiting
    from harvester.store.visit import Rhythm
    from harvester.target import Target

AT_ONCE = 500
"""Values in one question to the database, which takes them in limited numbers."""


class Timetable:
    """Whom to ask about what, and when. Every method raises StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def waiting(self, source_name: str, rhythm: Rhythm, now: datetime) -> Waiting:
        """Return the targets that are due at a source, in their order."""
        with self._database.reading() as connection:
            return schedule.waiting(connection, source_name, rhythm, now)

    def next_due(self, rhythms: Mapping[str, Rhythm], now: datetime) -> str | None:
        """Return the moment when the first target that is not due at any of these sources will be."""
        with self._database.reading() as connection:
            found = schedule.counted(connection, rhythms, now)
        return min((row["next_due"] for row in found.values() if row["next_due"]), default=None)

    def jobs(self) -> list[Job]:
        """Return the remote jobs that are under way, oldest first."""
        with self._database.reading() as connection:
            return jobs.jobs(connection)

    def targets(self, ids: Sequence[int]) -> dict[int, Target]:
        """Return targets by id; one that was removed meanwhile is missing."""
        found: dict[int, Target] = {}
        with self._database.reading() as connection:
            for first in range(0, len(ids), AT_ONCE):
                found |= targets.by_id(connection, ids[first : first + AT_ONCE])
        return found

    def ids(self, names: Iterable[str]) -> dict[str, int]:
        """Return the ids of targets by their own names; a name that is none is missing."""
        wanted = list(dict.fromkeys(names))
        found: dict[str, int] = {}
        with self._database.reading() as connection:
            for first in range(0, len(wanted), AT_ONCE):
                part = select(target.c.name, target.c.id).where(target.c.name.in_(wanted[first : first + AT_ONCE]))
                found.update(connection.execute(part).all())
        return found

    def watermarks(self, source_name: str) -> dict[str, float]:
        """Return the newest epoch (BJD_TDB, full Julian date) that a source delivered, by target name: where an update resumes."""
        found = select(target.c.name, tables.schedule.c.watermark).select_from(tables.schedule.join(target).join(tables.source))
        here = tables.source.c.name == source_name, tables.schedule.c.watermark.is_not(None)
        with self._database.reading() as connection:
            return dict(connection.execute(found.where(*here)).all())

    def priorities(self) -> dict[str, int]:
        """Return the priority of every target that has one, by name."""
        with self._database.reading() as connection:
            return dict(connection.execute(select(target.c.name, target.c.priority).where(target.c.priority != 0)).all())

    def prefer(self, names: Iterable[str], priority: int) -> None:
        """Give targets a priority: those with a higher one are asked about first. Raises StoreError for an unknown name, with nothing changed."""
        with self._database.writing() as connection:
            for name in names:
                connection.execute(target.update().where(target.c.id == targets.get(connection, name)), {"priority": priority})

    def heed(self, names: Iterable[str], *, followed: bool) -> None:
        """Follow targets, or keep them and ask nobody about them at updates. Raises StoreError for an unknown name, with nothing changed."""
        with self._database.writing() as connection:
            targets.heed(connection, [targets.get(connection, name) for name in names], followed=followed)

    def unfollowed(self) -> set[str]:
        """Return the names of the targets that are kept without being followed."""
        with self._database.reading() as connection:
            return targets.unfollowed(connection)

    def unanswered(self, run: str) -> tuple[int, list[dict[str, Any]]]:
        """Return the number of a run, named by it, last or last-1, and what it did not get (see `schedule.unanswered`). Raises UsageError."""
        with self._database.reading() as connection:
            number = runs.number(connection, run)
            return number, schedule.unanswered(connection, number)
