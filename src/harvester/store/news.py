"""What runs brought: the light curves that they added to, which of their points are new, and what they did not get."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, Select, and_, func, select

from harvester.store import runs, stream
from harvester.store.overview import troubles
from harvester.store.rows import fetch
from harvester.store.states import State, rows_at
from harvester.store.tables import KEY, ROW, passband, run, source, superseded, target, visit
from harvester.store.visit import SUCCESSES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harvester.store.connection import Database

OLD, ADDED, REVISED, BASIS = 0, 1, 2, 3
MEASURED = ("bjd_tdb", "mag", "mag_err", "flux", "flux_err", "upper_limit", "limiting_mag", "limit_sigma", "quality")
WITH_NEWS = pa.schema([("filter", pa.string()), *(ROW.field(name) for name in MEASURED), ("news", pa.int8())])
"""What can be drawn and compared of a light curve, and of each point whether the runs found it OLD, ADDED it, or REVISED it.

BASIS is what the first of several runs added where nothing was known in a filter: that with which the others are to be compared."""
AT_ONCE = 5000
"""Targets that are asked for in one statement."""


def of_day(connection: Connection, date: str) -> list[int]:
    """Return the runs that began on a date (ISO 8601, UTC), oldest first."""
    return list(connection.execute(select(run.c.id).where(run.c.started.startswith(date, autoescape=True)).order_by(run.c.id)).scalars())


def touched(connection: Connection, run_ids: Sequence[int]) -> dict[int, str]:
    """Return the targets, by id and in alphabetical order, to which runs brought new or revised points."""
    brought = select(visit.c.target_id).distinct().where(visit.c.run_id.in_(run_ids), visit.c.new + visit.c.revised > 0)
    return dict(connection.execute(select(target.c.id, target.c.name).where(target.c.id.in_(brought)).order_by(target.c.folded)).all())


def light_curves(database: Database, target_ids: Sequence[int], run_ids: Sequence[int], at: State) -> Iterator[tuple[int, pa.Table]]:
    """Yield ids and light curves (WITH_NEWS, by filter and BJD_TDB) of targets as they were in a state, that of the last of the runs.

    After the newest run they come in one pass, in any order, as fast as an export; after an older one target by target.
    """
    with database.reading() as connection:
        telling = _Telling(connection, run_ids)
        later = connection.execute(select(func.max(visit.c.run_id))).scalar_one() or 0
    with database.reading() as connection:
        if later > max(run_ids):
            tables: Iterable[pa.Table] = (rows_at(connection, number, at) for number in target_ids)
        else:
            tables = stream.by_target(database, connection, [f"series.target_id IN ({', '.join(map(str, target_ids))})"])
        for table in tables:
            ids = table["target_id"].to_numpy()
            ends = [*np.flatnonzero(np.diff(ids)) + 1, len(ids)] if len(ids) else []
            for start, end in pairwise([0, *ends]):
                yield int(ids[start]), telling.told(connection, table.slice(start, end - start))


class _Telling:
    """What is needed to say which rows are news: the names of filters, and the targets of which anything was revised."""

    def __init__(self, connection: Connection, run_ids: Sequence[int]) -> None:
        self._run_ids, self._runs = run_ids, pa.array(run_ids, pa.int64())
        labels = dict(connection.execute(select(passband.c.id, passband.c.label)).all())
        self._ids, self._labels = pa.array(list(labels), pa.int64()), pa.array(list(labels.values()), pa.string())
        revised = select(visit.c.target_id).distinct().where(visit.c.run_id.in_(run_ids), visit.c.revised > 0)
        self._revised = set(connection.execute(revised).scalars())

    def told(self, connection: Connection, rows: pa.Table) -> pa.Table:
        """Return the rows (tables.ROW) of one target as WITH_NEWS."""
        brought = pc.is_in(rows["run_id"], value_set=self._runs).to_numpy()
        news = np.where(brought, ADDED, OLD)
        target_id = rows["target_id"][0].as_py()
        if target_id in self._revised:
            news[brought & _had_values(connection, target_id, self._run_ids, rows)] = REVISED
        _mark_basis(rows, news)
        names = self._labels.take(pc.index_in(rows["filter_id"], value_set=self._ids))
        columns = [names, *(rows[name] for name in MEASURED), pa.array(news, pa.int8())]
        return pa.table(columns, schema=WITH_NEWS).sort_by([("filter", "ascending"), ("bjd_tdb", "ascending")])


def unfulfilled(connection: Connection, run_ids: Sequence[int]) -> list[dict[str, Any]]:
    """Return what runs did not get, as `overview.troubles` does for this moment: a row per source, Outcome and class of failure.

    Of each target and source the last visit of the runs counts. `since` is the first of the visits in vain since the last that succeeded.
    """
    ids = _last_in_vain(run_ids).subquery()
    pairs = select(visit, _since().label("first")).where(visit.c.id.in_(select(ids.c.id))).subquery()
    key = source.c.name.label("source"), pairs.c.outcome, pairs.c.error_kind.label("error")
    counts = func.count().label("targets"), func.min(pairs.c.first).label("since"), func.max(pairs.c.id).label("visit_id")
    grouped = select(*key, *counts).select_from(pairs.join(source, source.c.id == pairs.c.source_id)).group_by(*key)
    found = [dict(row) for row in connection.execute(grouped.order_by("since", *key)).mappings()]
    told = select(visit.c.id, target.c.name, visit.c.message, visit.c.time).join_from(visit, target)
    examples = {row.id: row for row in connection.execute(told.where(visit.c.id.in_([row["visit_id"] for row in found])))}
    for row in found:
        example = examples[row.pop("visit_id")]
        row |= {"last": example.time, "target": example.name, "message": example.message}
    return found


def _mark_basis(rows: pa.Table, news: NDArray[np.int64]) -> None:
    """Mark BASIS in `news`."""
    filters, run_ids = rows["filter_id"].to_numpy(), rows["run_id"].to_numpy()
    for number in np.unique(filters[news == ADDED]):
        here = filters == number
        first = run_ids[here].min()
        if (news[here] == ADDED).all() and first < run_ids[here].max():
            news[here & (run_ids == first)] = BASIS


def _had_values(connection: Connection, target_id: int, run_ids: Sequence[int], rows: pa.Table) -> Any:
    """Return which rows replaced a version that was there before the runs."""
    earlier = superseded.c.target_id == target_id, superseded.c.replaced_by_run.in_(run_ids), superseded.c.run_id.not_in(run_ids)
    before = fetch(connection, select(*(superseded.c[name] for name in KEY)).where(*earlier), pa.schema([ROW.field(name) for name in KEY]))
    return pc.is_in(_key(rows), value_set=_key(before).combine_chunks()).to_numpy()


def _key(rows: pa.Table) -> Any:
    return pc.binary_join_element_wise(*(rows[name].cast(pa.string()) for name in KEY), ":")


def _last_in_vain(run_ids: Sequence[int]) -> Select[int]:
    last = select(func.max(visit.c.id)).where(visit.c.run_id.in_(run_ids)).group_by(visit.c.target_id, visit.c.source_id)
    return select(visit.c.id).where(visit.c.id.in_(last), visit.c.outcome.not_in(SUCCESSES))


def _since() -> Any:
    """Return the time of the first visit to the same target and source, up to this one, that no success followed."""
    good, bad = visit.alias("good"), visit.alias("bad")

    def earlier(other: Any) -> Any:
        return and_(other.c.target_id == visit.c.target_id, other.c.source_id == visit.c.source_id, other.c.id <= visit.c.id)

    success = select(func.max(good.c.id)).where(earlier(good), good.c.outcome.in_(SUCCESSES)).correlate(visit).scalar_subquery()
    since = func.min(bad.c.time)
    return select(since).where(earlier(bad), bad.c.id > func.coalesce(success, 0)).correlate(visit).scalar_subquery()


class News:
    """The news of one store: the functions of this module, each in a transaction of its own. Raises StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def runs(self, run_ids: Sequence[int]) -> list[dict[str, Any]]:
        """Return what is known of runs, in the order given (see `runs.listed`). They must be there."""
        return runs.some(self._database, run_ids)

    def number(self, word: str) -> int:
        """Return the number of the run that "12", "last" or "last-1" means. Raises UsageError, StoreError."""
        with self._database.reading() as connection:
            return runs.number(connection, word)

    def of_day(self, date: str) -> list[int]:
        """Return the runs that began on a date (see `of_day`)."""
        with self._database.reading() as connection:
            return of_day(connection, date)

    def touched(self, run_ids: Sequence[int]) -> dict[int, str]:
        """Return the targets to which runs brought points (see `touched`)."""
        with self._database.reading() as connection:
            return touched(connection, run_ids)

    def light_curves(self, target_ids: Sequence[int], run_ids: Sequence[int], at: State) -> Iterator[tuple[int, pa.Table]]:
        """Yield ids and light curves of targets (see `light_curves`), some thousand rows in memory at a time."""
        for first in range(0, len(target_ids), AT_ONCE):
            yield from light_curves(self._database, target_ids[first : first + AT_ONCE], run_ids, at)

    def unfulfilled(self, run_ids: Sequence[int]) -> list[dict[str, Any]]:
        """Return what is not had: after the newest run what is so now, whoever asked last; after older runs what they did not get."""
        with self._database.reading() as connection:
            newest = connection.execute(select(func.max(visit.c.run_id))).scalar_one()
            return troubles(connection) if newest is None or newest in run_ids else unfulfilled(connection, run_ids)
