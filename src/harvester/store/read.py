"""The read path: light curves as Arrow, in bounded memory, and what `harvest status` tells."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, Select, func, select

from harvester.errors import UsageError
from harvester.store import stream
from harvester.store.states import rows_at
from harvester.store.tables import LIGHT_CURVE, ROW, passband, schedule, series, source, target, visit
from harvester.store.targets import named

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from harvester.store.connection import Database
    from harvester.store.states import State

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


def everything(database: Database, cut: Cut) -> Iterator[pa.Table]:
    """Yield the points of every target, in the order in which they were first followed; each by filter, BJD_TDB and observation_id."""
    with database.reading() as connection:
        conditions = _conditions(connection, cut)
    with database.reading() as connection:
        rows = stream.by_target(database, connection, conditions)
        words = _Words.of(connection, named(connection, None))
        for part in rows:
            yield words.readable(part)


def light_curves(connection: Connection, names: Iterable[str] | None, cut: Cut, at: State | None = None) -> Iterator[pa.Table]:
    """Yield the points of each target (all of them for None), by filter, BJD_TDB and observation_id, as they are or were in a state.

    Raises StoreError for an unknown name.
    """
    chosen, conditions = named(connection, names), _conditions(connection, cut)
    words = _Words.of(connection, chosen)
    for target_id in sorted(chosen) if names is None else chosen:
        if at is None:
            rows = stream.of_target(connection, target_id, conditions)
        else:
            rows = _within(rows_at(connection, target_id, at), cut, words)
        yield words.readable(rows)


def batches(tables: Iterable[pa.Table]) -> Iterator[pa.RecordBatch]:
    """Yield record batches of ROWS_PER_BATCH rows, the last one shorter: the same rows are cut at the same places however they come."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        while sum(part.num_rows for part in waiting) >= ROWS_PER_BATCH:
            together = pa.concat_tables(waiting)
            yield from together.slice(0, ROWS_PER_BATCH).combine_chunks().to_batches()
            waiting = [together.slice(ROWS_PER_BATCH)]
    yield from pa.concat_tables(waiting).combine_chunks().to_batches() if waiting else ()


def statuses(connection: Connection, names: Iterable[str] | None) -> list[dict[str, Any]]:
    """Return a row per target and source that was visited, in alphabetical order: the last Outcome and what is stored.

    Keys: target, source, outcome, error, when, message, last_success, failures (in a row), due, newest (BJD_TDB of the newest epoch
    delivered), points, filters, points_by_filter. Raises StoreError for an unknown name.
    """
    chosen = named(connection, names)
    stored: dict[tuple[int, int], dict[str, int]] = defaultdict(dict)
    for target_id, source_id, label, count in connection.execute(_counted(None if names is None else list(chosen))):
        stored[target_id, source_id][label] = int(count)
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
    key = series.c.target_id, series.c.source_id, passband.c.label
    points = func.sum(series.c.points)
    grouped = select(*key, points).select_from(series.join(passband)).group_by(*key).having(points > 0).order_by(passband.c.label)
    return grouped if target_ids is None else grouped.where(series.c.target_id.in_(target_ids))


@dataclass(frozen=True, slots=True)
class _Words:
    """What the ids in a row mean."""

    targets: Mapping[int, str]
    labels: Mapping[int, str]
    sources: Mapping[int, str]

    @classmethod
    def of(cls, connection: Connection, targets: Mapping[int, str]) -> _Words:
        tables = (passband, "label"), (source, "name")
        return cls(targets, *(dict(connection.execute(select(table.c.id, table.c[column])).all()) for table, column in tables))

    def readable(self, rows: pa.Table) -> pa.Table:
        """Return rows (tables.ROW, whole targets in the order of their ids) as LIGHT_CURVE."""
        columns = {
            "target": _translated(rows["target_id"], self.targets),
            "filter": _translated(rows["filter_id"], self.labels),
            "source": _translated(rows["source_id"], self.sources),
        } | {column: rows[column] for column in LIGHT_CURVE.names if column in ROW.names}
        table = pa.table([columns[column] for column in LIGHT_CURVE.names], schema=LIGHT_CURVE)
        order = _order(rows, self.labels)
        return table if np.array_equal(order, np.arange(len(order))) else table.take(order)


def _order(rows: pa.Table, labels: Mapping[int, str]) -> NDArray[np.int64]:
    """Return the places of rows by target, filter's label, BJD_TDB (nulls last) and observation_id.

    Texts are compared only among rows that are equal in the numbers.
    """
    rank = {number: place for place, number in enumerate(sorted(labels, key=lambda number: labels[number]))}
    ranks = np.array([rank.get(number, 0) for number in range(max(labels, default=0) + 1)])
    numbers = rows["target_id"].to_numpy(), ranks[rows["filter_id"].to_numpy()], rows["bjd_tdb"].to_numpy()
    order = np.lexsort(numbers[::-1])
    equal = np.ones(max(len(order) - 1, 0), bool)
    for column in numbers:
        here, after = column[order][:-1], column[order][1:]
        equal &= (here == after) | ((here != here) & (after != after))  # noqa: PLR0124 - NaN is all that differs from itself
    return _by_observation(rows["observation_id"], order, equal) if equal.any() else order


def _by_observation(observations: Any, order: NDArray[np.int64], equal: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Order by observation_id within each run of rows that are equal to the next."""
    group = np.concatenate([[0], np.cumsum(~equal)])
    tied = np.flatnonzero(np.append(equal, False) | np.concatenate([[False], equal]))
    words = observations.take(order[tied]).to_pylist()
    inside = sorted(range(len(tied)), key=lambda place: (group[tied[place]], words[place]))
    order[tied] = order[tied[inside]]
    return order


def _conditions(connection: Connection, cut: Cut) -> list[str]:
    """Return a cut as SQL conditions on photometry and series; all that they hold are numbers."""
    worst = QUALITIES[cut.quality]
    found = [] if worst == max(QUALITIES.values()) else [f"photometry.quality <= {worst}"]
    for table, column, key, names in ((passband, "label", "filter_id", cut.filters), (source, "name", "source_id", cut.sources)):
        if names is not None:
            numbers = connection.execute(select(table.c.id).where(table.c[column].in_(list(names)))).scalars()
            found.append(f"series.{key} IN ({', '.join(map(str, numbers)) or 'NULL'})")
    found += [f"photometry.bjd_tdb >= {cut.since + MJD_ZERO!r}"] if cut.since is not None else []
    return found + ([f"photometry.bjd_tdb < {cut.until + MJD_ZERO!r}"] if cut.until is not None else [])


def _within(rows: pa.Table, cut: Cut, words: _Words) -> pa.Table:
    """Return the rows of a cut."""
    rows = rows.filter(pc.less_equal(rows["quality"], pa.scalar(QUALITIES[cut.quality], pa.int8())))
    for key, known, names in (("filter_id", words.labels, cut.filters), ("source_id", words.sources, cut.sources)):
        if names is not None:
            chosen = pa.array([number for number, name in known.items() if name in names], pa.int64())
            rows = rows.filter(pc.is_in(rows[key], value_set=chosen))
    if cut.since is not None:
        rows = rows.filter(pc.greater_equal(rows["bjd_tdb"], cut.since + MJD_ZERO))
    return rows if cut.until is None else rows.filter(pc.less(rows["bjd_tdb"], cut.until + MJD_ZERO))


def _translated(numbers: Any, words: Mapping[int, str]) -> Any:
    place: Any = pc.index_in(numbers, value_set=pa.array(list(words), pa.int64()))
    return pc.take(pa.array(list(words.values()), pa.string()), place)
