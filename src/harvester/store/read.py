"""The read path: light curves as Arrow, in bounded memory, and what `harvest status` tells."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, Select, Table, func, select

from harvester.errors import UsageError
from harvester.store.rows import fetch
from harvester.store.tables import LIGHT_CURVE, ROW, passband, photometry, schedule, source, target, visit
from harvester.store.targets import named

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

MJD_ZERO = 2_400_000.5
QUALITIES = {"good": 0, "suspect": 1, "all": 2}
"""The worst quality that each choice of the reader lets through."""
ROWS_PER_BATCH = 65_536


@dataclass(frozen=True, slots=True)
class Cut:
    """Which points to read: filters and sources by name (None: all), from `since` to before `until`, and a quality.

    The times are MJD (UTC), compared with BJD_TDB - 2400000.5: good to 10 minutes.
    """

    filters: Sequence[str] | None = None
    since: float | None = None
    until: float | None = None
    quality: str = "good"
    sources: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if self.quality not in QUALITIES:
            raise UsageError(f"no quality named '{self.quality}'.", hint=f"Choose one of: {', '.join(QUALITIES)}.")


def light_curves(connection: Connection, names: Iterable[str] | None, cut: Cut) -> Iterator[pa.Table]:
    """Yield the points of each target (all of them for None), by filter and BJD_TDB. Raises StoreError for an unknown name."""
    labels, sources = _words(connection, passband, "label"), _words(connection, source, "name")
    for target_id, name in named(connection, names).items():
        rows = fetch(connection, _points(target_id, cut, labels, sources), ROW)
        yield _readable(rows, name, labels, sources)


def batches(tables: Iterable[pa.Table]) -> Iterator[pa.RecordBatch]:
    """Yield record batches of at most ROWS_PER_BATCH rows, small tables together."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(part.num_rows for part in waiting) >= ROWS_PER_BATCH:
            yield from _together(waiting)
            waiting = []
    yield from _together(waiting)


def statuses(connection: Connection, names: Iterable[str] | None) -> list[dict[str, Any]]:
    """Return a row per target and source that was visited, in alphabetical order: the last Outcome and what is stored.

    Keys: target, source, outcome, error, when, message, last_success, failures (in a row), due, newest (BJD_TDB of the newest epoch
    delivered), points, filters, points_by_filter. Raises StoreError for an unknown name.
    """
    chosen = named(connection, names)
    stored: dict[tuple[int, int], dict[str, int]] = defaultdict(dict)
    for target_id, source_id, label, count in connection.execute(_counted(None if names is None else list(chosen))):
        stored[target_id, source_id][label] = count
    rows = [dict(row) for row in connection.execute(_visited()).mappings() if row["target_id"] in chosen]
    return [_status(row, stored[row.pop("target_id"), row.pop("source_id")]) for row in rows]


def _status(visited: dict[str, Any], points: dict[str, int]) -> dict[str, Any]:
    return visited | {"points": sum(points.values()), "filters": list(points), "points_by_filter": points}


def _visited() -> Select[*tuple[Any, ...]]:
    state = schedule.c.last_success, schedule.c.failures, schedule.c.next_due.label("due"), schedule.c.watermark.label("newest")
    last = visit.c.outcome, visit.c.error_kind.label("error"), visit.c.time.label("when"), visit.c.message
    whose = schedule.c.target_id, schedule.c.source_id, target.c.name.label("target"), source.c.name.label("source")
    return (
        select(*whose, *last, *state)
        .select_from(schedule.join(target).join(source).join(visit, visit.c.id == schedule.c.visit_id))
        .order_by(target.c.folded, source.c.name)
    )


def _counted(target_ids: Sequence[int] | None) -> Select[int, int, str, int]:
    key = photometry.c.target_id, photometry.c.source_id, photometry.c.filter_id
    grouped = select(*key, func.count().label("points")).group_by(*key)
    counts = (grouped if target_ids is None else grouped.where(photometry.c.target_id.in_(target_ids))).subquery()
    return (
        select(counts.c.target_id, counts.c.source_id, passband.c.label, counts.c.points)
        .join_from(counts, passband, passband.c.id == counts.c.filter_id)
        .order_by(passband.c.label)
    )


def watermarks(connection: Connection, source_name: str) -> dict[str, float]:
    """Return the newest epoch (BJD_TDB, full Julian date) that a source delivered, by target name: where an update resumes."""
    found = (
        select(target.c.name, schedule.c.watermark)
        .select_from(schedule.join(target).join(source))
        .where(source.c.name == source_name, schedule.c.watermark.is_not(None))
    )
    return dict(connection.execute(found).all())


def _points(target_id: int, cut: Cut, labels: Mapping[int, str], sources: Mapping[int, str]) -> Select[*tuple[Any, ...]]:
    columns = photometry.c
    found = select(photometry).where(columns.target_id == target_id, columns.quality <= QUALITIES[cut.quality])
    if cut.filters is not None:
        found = found.where(columns.filter_id.in_([number for number, label in labels.items() if label in cut.filters]))
    if cut.sources is not None:
        found = found.where(columns.source_id.in_([number for number, name in sources.items() if name in cut.sources]))
    if cut.since is not None:
        found = found.where(columns.bjd_tdb >= cut.since + MJD_ZERO)
    if cut.until is not None:
        found = found.where(columns.bjd_tdb < cut.until + MJD_ZERO)
    return found


def _readable(rows: pa.Table, name: str, labels: Mapping[int, str], sources: Mapping[int, str]) -> pa.Table:
    columns = {
        "target": pa.repeat(pa.scalar(name, pa.string()), rows.num_rows),
        "filter": _translated(rows["filter_id"], labels),
        "source": _translated(rows["source_id"], sources),
    } | {column: rows[column] for column in LIGHT_CURVE.names if column in ROW.names}
    table = pa.table([columns[column] for column in LIGHT_CURVE.names], schema=LIGHT_CURVE)
    return table.sort_by([(column, "ascending") for column in ("filter", "bjd_tdb", "observation_id")])


def _translated(numbers: Any, words: Mapping[int, str]) -> Any:
    place: Any = pc.index_in(numbers, value_set=pa.array(list(words), pa.int64()))
    return pc.take(pa.array(list(words.values()), pa.string()), place)


def _words(connection: Connection, table: Table, column: str) -> dict[int, str]:
    return dict(connection.execute(select(table.c.id, table.c[column])).all())


def _together(tables: list[pa.Table]) -> Iterator[pa.RecordBatch]:
    filled = [table for table in tables if table.num_rows]
    if filled:
        yield from pa.concat_tables(filled).combine_chunks().to_batches(max_chunksize=ROWS_PER_BATCH)
