"""What every visit leaves in the tables around the photometry: itself, its place in the schedule, and the words that its ids stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Table, bindparam, select

from harvester.schema import parts
from harvester.store.prepared import Numbered, Prepared
from harvester.store.rows import clean, insert_missing, now
from harvester.store.tables import COUNTED, passband, schedule, source, visit

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from harvester.store.visit import Counts, Visit


class Scheduled(NamedTuple):
    """What the schedule says of a target and source."""

    visit_id: int
    last_success: str | None
    failures: int
    watermark: float | None
    digest: str | None
    """Of the last believed delivery, see `harvester.store.same`."""
    rows_digest: str | None
    """Of what the rows of the last delivery say: None where some are another source's."""
    next_due: str | None
    served: int | None
    release: str | None


SCHEDULED = Scheduled._fields
NEVER = Scheduled(0, None, 0, None, None, None, None, None, None)
_HERE = (schedule.c.target_id == bindparam("target")) & (schedule.c.source_id == bindparam("source"))
_VISITED = Numbered(visit, *(column.name for column in visit.columns if column.name != "id"))
_SCHEDULE = Prepared(schedule.insert(), "target_id", "source_id", *SCHEDULED)
RESCHEDULE = Prepared(schedule.update().where(_HERE), *SCHEDULED)
_SOURCE = Prepared(select(source.c.id).where(source.c.name == bindparam("word")))
_PASSBAND = Prepared(select(passband.c.id).where(passband.c.label == bindparam("word")))


def source_id(connection: Connection, name: str) -> int:
    """Return the id of a source; one that is new is added, also when another process is adding it."""
    return _id(connection, source, _SOURCE, name, name=name)


def passband_id(connection: Connection, label: str) -> int:
    """Return the id of a filter by its label; one that is new is added, also when another process is adding it."""
    name, survey = parts(label)
    return _id(connection, passband, _PASSBAND, label, label=label, survey=survey, passband=name)


def keep_visit(connection: Connection, delivered: Visit, counts: Counts, ids: tuple[int, int, int]) -> int:
    """Record a visit, of which `ids` are run, target and source; return its own id."""
    return _VISITED(connection, **visit_row(delivered, counts, ids))


def visit_row(delivered: Visit, counts: Counts, ids: tuple[int, int, int]) -> dict[str, Any]:
    """Return what the table of visits holds of one, but for its own id; `ids` are run, target and source."""
    return {
        **dict(zip(("run_id", "target_id", "source_id"), ids, strict=True)),
        "time": now(),
        "outcome": counts.outcome,
        "error_kind": delivered.error_kind,
        "message": counts.message,
        "seconds": delivered.seconds,
        "radius": delivered.radius,
        "since": delivered.since,
        "until": delivered.until,
        "source_version": clean(delivered.source_version),
        **{name: getattr(counts, name) for name in COUNTED},
    }


def reschedule(connection: Connection, target_id: int, source_id: int, scheduled: Scheduled, *, first: bool) -> None:
    """Say when and how the source was asked about the target; `first` for the first time."""
    values = scheduled._asdict()
    if first:
        _SCHEDULE(connection, target_id=target_id, source_id=source_id, **values)
    else:
        RESCHEDULE(connection, target=target_id, source=source_id, **values)


def _id(connection: Connection, table: Table, known: Prepared, word: str, **row: str) -> int:
    found = known.one(connection, word=word)
    if found is None:
        connection.execute(insert_missing(connection, table), row)
        (found,) = known.all(connection, word=word)
    return int(found[0])
