"""Earlier states of the store: what they are called, and which rows they had.

Nothing is ever overwritten: a revised row moves to `photometry_version`, and what it says stays there. A row belongs to the visit of its run, target
and source, and where a run came several times (a stream is heard for days) to the first of its visits that brought the row's payload. A visit was
stored in one transaction; so a state is the set of visits that were stored by then, and a point has the newest values that one of them brought.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, Select, Table, func, select

from harvester.errors import StoreError, UsageError
from harvester.store.exposures import detections_only
from harvester.store.rows import fetch
from harvester.store.tables import KEY, ROW, measurement, passband, photometry, photometry_version, request, run, series, superseded, visit
from harvester.store.targets import named

BROUGHT = pa.schema([ROW.field(name) for name in ("filter_id", "source_id", "run_id", "payload_id")])


@dataclass(frozen=True, slots=True)
class State:
    """The store as it was at a moment (ISO 8601, UTC), or when a run had ended: then `run` is its number, `last` and `after` its last visit."""

    moment: str
    run: int | None = None
    last: int = 0
    after: str = ""

    @property
    def name(self) -> str:
        """What the user reads."""
        return f"run {self.run}" if self.run else self.moment

    def is_before(self, other: State) -> bool:
        """Whether it is the earlier one: of runs the one whose last visit was stored earlier."""
        if self.last and other.last:
            return self.last < other.last
        return (self.moment, self.run or 0) < (other.moment, other.run or 0)


def state(connection: Connection, text: str) -> State:
    """Return the state that "last", "last-1", the number of a run, or a date with or without time (UTC) means.

    A date is its beginning. Raises UsageError for text that is none of these, StoreError for a run that the store does not have.
    """
    counted = re.fullmatch(r"last(?:-(\d{1,9}))?", text.strip())
    if counted or re.fullmatch(r"\d{1,9}", text.strip()):
        numbers = select(run.c.id).order_by(run.c.id.desc()).offset(int(counted.group(1) or 0)) if counted else select(run.c.id)
        wanted = numbers if counted else numbers.where(run.c.id == int(text))
        found = connection.execute(wanted.limit(1)).scalar_one_or_none()
        if found is None:
            raise StoreError(f"there is no run '{text}' in the store.", hint="All runs: harvest runs list.  A date is written 2026-05-01.")
        newest = select(visit.c.id, visit.c.time).where(visit.c.run_id == found).order_by(visit.c.id.desc()).limit(1)
        return State(_end(connection, found), found, *(connection.execute(newest).one_or_none() or ()))
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise UsageError(
            f"'{text}' is neither a run nor a date.", hint="Write 12, last, last-1, 2026-05-01 or 2026-05-01T12:00."
        ) from error
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return State(moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"))


def newest_change(connection: Connection, at: State | None) -> str:
    """Return when the last visit of a state was stored (of today's for None), empty when there was none."""
    newest = select(func.max(visit.c.time))
    return connection.execute(newest if at is None else newest.where(by_then(at))).scalar_one() or ""


def newest_run(connection: Connection, at: State | None) -> int | None:
    """Return the newest run that had stored something in a state (today's for None), None when none had."""
    newest = select(func.max(visit.c.run_id))
    found: int | None = connection.execute(newest if at is None else newest.where(by_then(at))).scalar_one()
    return found


def rows_at(connection: Connection, target_id: int, at: State) -> pa.Table:
    """Return the rows (tables.ROW) that a target had in a state, with the values of then.

    A limit that went when a detection of its exposure came (see `harvester.store.exposures`) is one of them as long as the state has not that.
    """
    now = fetch(connection, select(measurement).where(measurement.c.target_id == target_id), ROW)
    replaced = select(*(superseded.c[name] for name in ROW.names)).where(superseded.c.target_id == target_id)
    before = fetch(connection, replaced.order_by(superseded.c.id.desc()), ROW)
    seen = _Seen.of(connection, target_id, at)
    rows = pa.concat_tables([now, before])
    rows = rows.filter(seen.brought(rows))
    if not before.num_rows:
        return rows
    newest = rows.take(np.sort(np.unique(_text(rows, *KEY).to_numpy(zero_copy_only=False), return_index=True)[1]))
    there, left = (pc.is_in(_text(newest, *KEY), value_set=_text(some, *KEY)) for some in (now, detections_only(newest)))
    return newest.filter(pc.or_(there, left))


def filters_at(connection: Connection, names: Iterable[str] | None, at: State) -> list[str]:
    """Return the filters, in alphabetical order, in which targets (all for None) had points in a state. Raises StoreError for an unknown name."""
    labels = connection.execute(select(passband.c.id, passband.c.label).order_by(passband.c.label)).all()
    found: set[int] = set()
    for target_id in named(connection, names):
        if len(found) == len(labels):
            break
        rows = pa.concat_tables(fetch(connection, _brought(table, target_id), BROUGHT) for table in (photometry, photometry_version))
        found |= set(rows.filter(_Seen.of(connection, target_id, at).brought(rows))["filter_id"].to_pylist())
    return [row.label for row in labels if row.id in found]


def by_then(at: State) -> Any:
    """Return the condition on `visit` for what was stored in a state; of runs that overlapped, what the later one had stored by then.

    What was numbered before the last visit of a run was stored before it, and what was numbered later after it, though the clock was set back.
    """
    if at.run is None:
        return visit.c.time <= at.moment
    beside = (visit.c.run_id <= at.run) | (visit.c.time < at.moment)
    return (visit.c.id <= at.last) | visit.c.time.between(at.after, at.moment) & beside


@dataclass(frozen=True, slots=True)
class _Seen:
    """The visits to a target that a state saw: run and source of each; and, of runs that came again after it, what these visits brought first."""

    visits: pa.Array
    late: pa.Array

    @classmethod
    def of(cls, connection: Connection, target_id: int, at: State) -> _Seen:
        """Return what a state saw of a target."""
        columns = visit.c.run_id, visit.c.source_id, by_then(at).label("seen")
        rows = connection.execute(select(*columns).where(visit.c.target_id == target_id).distinct()).all()
        seen = {(row.run_id, row.source_id) for row in rows if row.seen}
        again = seen & {(row.run_id, row.source_id) for row in rows if not row.seen}
        late = _late(connection, target_id, at) if again else set()
        return cls(pa.array([f"{run_id}:{source_id}" for run_id, source_id in seen], pa.string()), pa.array(sorted(late), pa.string()))

    def brought(self, rows: pa.Table) -> Any:
        """Return which rows (with run_id, source_id and payload_id) these visits brought."""
        came, payload_id = _text(rows, "run_id", "source_id"), pc.cast(rows["payload_id"], pa.string())
        whole = pc.binary_join_element_wise(came, payload_id, ":")
        return pc.and_(pc.is_in(came, value_set=self.visits), pc.invert(pc.is_in(whole, value_set=self.late)))


def _late(connection: Connection, target_id: int, at: State) -> set[str]:
    """Return run, source and payload of what came to a target after a state, and in the same run not before it."""
    columns = visit.c.run_id, visit.c.source_id, request.c.payload_id, by_then(at).label("seen")
    rows = connection.execute(select(*columns).join_from(visit, request).where(visit.c.target_id == target_id).distinct()).all()
    seen, late = ({f"{row.run_id}:{row.source_id}:{row.payload_id}" for row in rows if bool(row.seen) is when} for when in (True, False))
    return late - seen


def _end(connection: Connection, run_id: int) -> str:
    """Return when a run had ended; for one that was killed, or still runs, when its last visit was stored."""
    row = connection.execute(select(run.c.started, run.c.ended).where(run.c.id == run_id)).one()
    last = connection.execute(select(func.max(visit.c.time)).where(visit.c.run_id == run_id)).scalar_one()
    return str(row.ended or last or row.started)


def _brought(table: Table, target_id: int) -> Select[*tuple[Any, ...]]:
    """Return a query for what brought the rows of a target, by filter: BROUGHT."""
    columns = series.c.filter_id, series.c.source_id, table.c.run_id, table.c.payload_id
    return select(*columns).distinct().join_from(series, table, table.c.series_id == series.c.id).where(series.c.target_id == target_id)


def _text(rows: pa.Table, *names: str) -> Any:
    """Return columns in one, as text."""
    columns: list[Any] = [pc.cast(rows[name], pa.string()) for name in names]
    return pc.binary_join_element_wise(*columns, ":")
