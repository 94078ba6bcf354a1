"""What the user's own surveys are, by label: what was said of their times and filters when photometry of theirs was first brought in.

It stands in the table `meta`, for the label is stored with every point and must go on meaning the same. Beside it: what points are of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from harvester.errors import UsageError
from harvester.store.tables import meta, passband, schedule, series, source
from harvester.store.targets import named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from harvester.store.connection import Database

PREFIX = "survey:"


class Own:
    """The declared surveys of one store. Raises StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def surveys(self) -> Mapping[str, str]:
        """Return what was declared of each label."""
        with self._database.reading() as connection:
            rows = connection.execute(select(meta.c.key, meta.c.value).where(meta.c.key.like(f"{PREFIX}%")).order_by(meta.c.key))
            return {row.key.removeprefix(PREFIX): row.value for row in rows}

    def declare(self, label: str, merged: Callable[[str | None], str]) -> None:
        """Keep what is declared of a label: `merged` makes it from what was declared before, or raises UsageError."""
        with self._database.writing() as connection:
            key = f"{PREFIX}{label}"
            others = connection.execute(select(meta.c.key).where(meta.c.key.like(f"{PREFIX}%"))).scalars().all()
            if any(other != key and other.casefold() == key.casefold() for other in others):
                raise UsageError(f"a survey '{label}' is there already, in other letters.", hint="Use its label as it is.")
            before = connection.execute(select(meta.c.value).where(meta.c.key == key)).scalar_one_or_none()
            value = merged(before)
            if before is None:
                connection.execute(meta.insert(), {"key": key, "value": value})
            else:
                connection.execute(meta.update().where(meta.c.key == key), {"value": value})

    def releases(self, names: Iterable[str] | None = None) -> dict[str, list[str]]:
        """Return the releases that the last believed answers about targets were of, by source."""
        query = select(source.c.name, schedule.c.release).distinct().join_from(schedule, source).where(schedule.c.release.is_not(None))
        found: dict[str, list[str]] = {}
        with self._database.reading() as connection:
            if names is not None:
                query = query.where(schedule.c.target_id.in_(list(named(connection, names))))
            for name, release in connection.execute(query.order_by(source.c.name, schedule.c.release)):
                found.setdefault(name, []).extend([release] if release else [])
        return found

    def behind(self, names: Iterable[str] | None = None) -> list[tuple[str, str, int]]:
        """Return source, filter and number of points of what targets have (all of them for None), in alphabetical order."""
        points = func.sum(series.c.points)
        query = select(source.c.name, passband.c.label, points).join_from(series, source).join(passband)
        with self._database.reading() as connection:
            if names is not None:
                query = query.where(series.c.target_id.in_(list(named(connection, names))))
            grouped = query.group_by(source.c.name, passband.c.label).having(points > 0).order_by(source.c.name, passband.c.label)
            return [(row[0], row[1], int(row[2])) for row in connection.execute(grouped)]
