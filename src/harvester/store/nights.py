"""Nights of alert packets in the store: what became of each, and the packets that could not be decoded, beside the dead letters of streams."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, delete, select

from harvester.store import targets
from harvester.store.night_tables import night
from harvester.store.rows import clean, insert_missing, now
from harvester.store.stream_tables import dead_letter
from harvester.store.streams import packed
from harvester.target import fold

if TYPE_CHECKING:
    from harvester.store import Store

ARCHIVE = "ztf_archive"
"""Stands as the broker of a night's dead letters; the topic is the night."""
DONE, DUE = "done", "due"


@dataclass(frozen=True, slots=True)
class NightRead:
    """What became of a night (see `night_tables.night`)."""

    name: str
    scope: str
    date: str
    state: str = DONE
    md5: str = ""
    trouble: str = ""
    size: int | None = None
    alerts: int = 0
    used: int = 0
    refused: int = 0
    points: int = 0
    run_id: int | None = None


@dataclass
class Newcomers:
    """The targets that a batch of a night makes, kept without being followed: `before` and `after` it is stored, in its transaction."""

    letters: Callable[[Connection], None]
    _newest: int = 0

    def before(self, connection: Connection) -> None:
        """Keep the dead letters, and note which targets there are."""
        self.letters(connection)
        self._newest = targets.newest(connection)

    def after(self, names: Sequence[str]) -> Callable[[Connection], None]:
        """Return what lets the targets of these names rest that were not there before."""

        def rest(connection: Connection) -> None:
            found = targets.ids_of(connection, [fold(clean(name)) for name in names]).values()
            targets.heed(connection, [number for number in found if number > self._newest], followed=False)

        return rest


class Nights:
    """The nights of one store. Raises StoreError."""

    def __init__(self, store: Store) -> None:
        self._database = store._database  # noqa: SLF001 - a part of the store that stands beside its module for want of room

    def listed(self) -> list[dict[str, Any]]:
        """Return every night that was asked for, by date."""
        with self._database.reading() as connection:
            return [dict(row) for row in connection.execute(select(night).order_by(night.c.date, night.c.name, night.c.scope)).mappings()]

    def is_done(self, name: str, scope: str) -> bool:
        """Whether a night was read to its end."""
        with self._database.reading() as connection:
            state = connection.execute(select(night.c.state).where(night.c.name == name, night.c.scope == scope)).scalar()
        return state == DONE

    def keep(self, read: NightRead) -> None:
        """Record what became of a night, in place of what was known; a night that is done does not become due again."""
        with self._database.writing() as connection:
            here = (night.c.name == read.name) & (night.c.scope == read.scope)
            if read.state == DUE and connection.execute(select(night.c.state).where(here)).scalar() == DONE:
                return
            connection.execute(delete(night).where(here))
            connection.execute(night.insert(), asdict(read) | {"trouble": clean(read.trouble), "time": now()})


def refusals(name: str, refused: Sequence[tuple[str, int, bytes, str]]) -> Callable[[Connection], None]:
    """Return what keeps packets that could not be decoded (name, offset in the night, bytes, reason), within the transaction of the others."""

    def write(connection: Connection) -> None:
        rows = [
            {
                "broker": ARCHIVE,
                "topic": name,
                "partition": 0,
                "offset": offset,
                "time": now(),
                "reason": clean(reason),
                "headers": "{}",
                "key": packed(member.encode()),
                "body": packed(body),
            }
            for member, offset, body, reason in refused
        ]
        if rows:
            connection.execute(insert_missing(connection, dead_letter), rows)

    return write
