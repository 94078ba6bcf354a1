"""The write path of many visits at once: what a batch of alert packets says of many targets, compared and inserted in one go.

It leaves what a visit of each target, one after the other, would leave; a test compares the two. What is small (the visits themselves, their
requests, the schedule) is written one by one, the photometry all together.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, bindparam, select

from harvester.store import photometry, series, targets
from harvester.store.many import MJD_OF_JD, Many
from harvester.store.merge import without_repeats
from harvester.store.provenance import archived, request_row
from harvester.store.record import NEVER, Scheduled, passband_id, source_id, visit_row
from harvester.store.rows import clean, conformed, filters_of, insert_numbered, insert_plain, parts_of
from harvester.store.schedule import entry
from harvester.store.tables import ROW, alias, request, schedule, target
from harvester.store.tables import visit as visit_table
from harvester.store.visit import SUCCESSES, Counts, Visit
from harvester.store.write import Place, compared, keep_ids, keep_refused, refused_rows
from harvester.target import fold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from harvester.target import Target

    Places = NDArray[np.int64]


NO_PAYLOAD = -1


def write_many(connection: Connection, many: Many, run_id: int) -> list[Counts]:
    """Store the visits and return what each changed, in the order of the targets; the filters are not told apart."""
    ids = followed(connection, many.targets)
    if len(set(ids)) < len(ids):
        raise ValueError("a target stands twice in a batch")
    asked = source_id(connection, many.source)
    batch = _Batch(connection, many, ids, (run_id, asked))
    return batch.keep(batch.told())


class _Batch:
    """One batch under way: `ids` are the targets', `who` are run and source."""

    def __init__(self, connection: Connection, many: Many, ids: list[int], who: tuple[int, int]) -> None:
        self._connection, self._many, self._ids = connection, many, ids
        self._run_id, self._source_id = who
        self._lines = series.of_targets(connection, ids)
        self._schedule = _scheduled(connection, ids, self._source_id)
        self._filters = {label: passband_id(connection, label) for label in filters_of(many.rows)}
        self._payload_ids = self._archived()

    def told(self) -> _Told:
        """Compare the rows with the store and insert what is new; return what became of them, target by target."""
        rows = self._as_stored()
        once, contradictory, repeats = without_repeats(rows)
        place = Place(0, self._source_id, self._run_id, None, self._lines)
        held = photometry.stored(self._connection, self._lines, set(self._filters.values()))
        merged = compared(self._connection, once, held, place) if held else None
        fresh, revised = (merged.new, merged.revised) if merged else (once, once.slice(0, 0))
        for part in (fresh, revised):
            photometry.insert(self._connection, part, self._lines)
        elsewhere = merged.elsewhere if merged else pa.array([], pa.int64())
        assert repeats + contradictory.num_rows + once.num_rows == rows.num_rows
        return _Told(self._ids, (rows["target_id"], fresh["target_id"], revised["target_id"], elsewhere), contradictory)

    def keep(self, told: _Told) -> list[Counts]:
        """Record the visits of all targets."""
        every = [(number, self._visit(number, told), self._refused(number, told)) for number in range(len(self._ids))]
        counts = [told.counts(number, visit, refused=len(refused)) for number, visit, refused in every]
        rows = [
            visit_row(visit, count, (self._run_id, self._ids[number], self._source_id))
            for (number, visit, _), count in zip(every, counts, strict=True)
        ]
        visit_ids = insert_numbered(self._connection, visit_table, rows)
        self._keep_requests(visit_ids)
        self._reschedule(every, visit_ids, counts)
        for (number, one, refused), visit_id in zip(every, visit_ids, strict=True):
            if refused:
                keep_refused(self._connection, refused, self._place(number), visit_id)
            if not _all_known(one):
                keep_ids(self._connection, one, self._place(number))
        return counts

    def _place(self, number: int) -> Place:
        return Place(self._ids[number], self._source_id, self._run_id, self._schedule.get(self._ids[number]), self._lines)

    def _keep_requests(self, visit_ids: list[int]) -> None:
        pairs = [(visit_id, one) for number, visit_id in enumerate(visit_ids) for one in self._used(number)]
        payloads, ids = self._many.payloads, self._payload_ids
        rows = [request_row(self._connection, payloads[one], ids[one], visit_id) for visit_id, one in pairs]
        insert_plain(self._connection, request, rows)

    def _reschedule(self, every: list[tuple[int, Visit, Any]], visit_ids: list[int], counts: list[Counts]) -> None:
        new, old = list[dict[str, Any]](), list[dict[str, Any]]()
        for (number, one, _), visit_id, count in zip(every, visit_ids, counts, strict=True):
            scheduled = self._scheduled(number, one, visit_id, count)
            known = self._ids[number] in self._schedule
            where = {"target": self._ids[number], "source": self._source_id} if known else {}
            whose = {} if known else {"target_id": self._ids[number], "source_id": self._source_id}
            (old if known else new).append(scheduled._asdict() | where | whose)
        insert_plain(self._connection, schedule, new)
        if old:
            here = (schedule.c.target_id == bindparam("target")) & (schedule.c.source_id == bindparam("source"))
            names = [name for name in old[0] if name not in {"target", "source"}]
            self._connection.execute(schedule.update().where(here).values({name: bindparam(name) for name in names}), old)

    def _scheduled(self, number: int, visit: Visit, visit_id: int, counts: Counts) -> Scheduled:
        known, newest = self._schedule.get(self._ids[number]), self._ends[1, number].item()
        before = known or NEVER
        epochs = [epoch for epoch in (before.watermark, newest) if epoch is not None and np.isfinite(epoch)]
        values: dict[str, Any] = {"visit_id": visit_id, "watermark": max(epochs, default=None), "digest": None, "rows_digest": None}
        if counts.outcome not in SUCCESSES and not np.isfinite(newest):
            values |= {"digest": before.digest, "rows_digest": before.rows_digest}
        values |= entry(visit, known, counts.outcome, counts.new + counts.revised + counts.known)
        return before._replace(**values)

    def _archived(self) -> list[int]:
        """Return the ids of the payloads; one that nothing stands in is not kept."""
        used = {number for part in (self._many.rows, self._many.quarantine) for number in pc.unique(part["payload"]).to_pylist()}
        return [archived(self._connection, one) if number in used else NO_PAYLOAD for number, one in enumerate(self._many.payloads)]

    def _as_stored(self) -> pa.Table:
        """Return the rows as ROW, each with its own target."""
        rows = self._many.rows
        if not rows.num_rows:
            return ROW.empty_table()
        columns: dict[str, Any] = {name: rows[name] for name in rows.column_names if name in ROW.names}
        columns |= {
            name: pa.repeat(pa.scalar(one), rows.num_rows) for name, one in (("source_id", self._source_id), ("run_id", self._run_id))
        }
        columns["target_id"] = pa.array(np.array(self._ids, np.int64)[rows["target"].to_numpy()])
        labels = pc.index_in(pc.cast(rows["filter"], pa.string()), value_set=pa.array(list(self._filters)))
        columns["filter_id"] = pc.take(pa.array(list(self._filters.values())), labels)
        columns["payload_id"] = pc.take(pa.array(self._payload_ids, pa.int64()), rows["payload"])
        return conformed(pa.table(columns), ROW)

    def _visit(self, number: int, told: _Told) -> Visit:
        """Return the visit of one target without its rows, which are stored already."""
        many, ids = self._many, dict(self._many.object_ids[number])
        first, last = self._ends[:, number].tolist()
        seen = np.isfinite(first)
        window = {"since": first - MJD_OF_JD, "until": last - MJD_OF_JD} if seen else {"since": 0.0, "until": 0.0}
        made = Visit(many.targets[number], many.source, many.survey, object_ids=ids.pop(many.survey, ()), also_ids=ids, **window)
        made = replace(made, radius=many.radius, source_version=many.source_version)
        if told.delivered(number):
            return made
        reasons = self._quarantined(number)["reason"]
        return replace(made, outcome="suspicious", message=f"every row that came ({len(reasons)}) cannot be trusted: {reasons[0].as_py()}")

    @property
    def _ends(self) -> NDArray[np.float64]:
        """First and last epoch (BJD_TDB) of the rows of each target, NaN where it has none."""
        if not hasattr(self, "_found_ends"):
            number, bjd = self._many.rows["target"].to_numpy(), self._many.rows["bjd_tdb"].to_numpy()
            first, last = np.full(len(self._ids), np.inf), np.full(len(self._ids), -np.inf)
            np.minimum.at(first, number, bjd)
            np.maximum.at(last, number, bjd)
            self._found_ends = np.where(np.isfinite([first, last]), [first, last], np.nan)
        return self._found_ends

    def _bounds(self, part: pa.Table, number: int) -> tuple[int, int]:
        first, last = np.searchsorted(part["target"].to_numpy(), [number, number + 1]).tolist()
        return first, last

    def _quarantined(self, number: int) -> pa.Table:
        first, last = self._bounds(self._many.quarantine, number)
        return self._many.quarantine.slice(first, last - first)

    def _used(self, number: int) -> list[int]:
        """Return the payloads in which one target stands."""
        if len(self._many.payloads) == 1:
            return [0]
        first, last = self._bounds(self._many.rows, number)
        rows = self._many.rows["payload"].slice(first, last - first).to_numpy()
        return sorted({*rows.tolist(), *self._quarantined(number)["payload"].drop_null().to_pylist()})

    def _refused(self, number: int, told: _Told) -> list[dict[str, Any]]:
        parts = told.contradictory_of(number), self._quarantined(number)
        if not any(part.num_rows for part in parts):
            return []
        return refused_rows(parts[0], parts[1].drop_columns(["target"]), self._filters, self._payload_ids)


class _Told:
    """What became of the rows: for each target how many were delivered, new, revised, and known elsewhere."""

    def __init__(self, ids: list[int], parts: Sequence[Any], contradictory: pa.Table) -> None:
        at = np.argsort(ids)
        self._counts = [self._per_target(np.asarray(ids)[at], at, part.to_numpy()) for part in parts]
        self._contradictory, self._ids = contradictory, ids
        self._against = self._per_target(np.asarray(ids)[at], at, contradictory["target_id"].to_numpy())

    def delivered(self, number: int) -> int:
        """Return how many rows came of a target."""
        return int(self._counts[0][number])

    def contradictory_of(self, number: int) -> pa.Table:
        """Return the rows of a target that contradict another."""
        if not self._against[number]:
            return self._contradictory.slice(0, 0)
        return self._contradictory.filter(pc.equal(self._contradictory["target_id"], self._ids[number]))

    def counts(self, number: int, visit: Visit, *, refused: int) -> Counts:
        """Return what the visit of a target changed."""
        delivered, new, revised, elsewhere = (int(part[number]) for part in self._counts)
        known = delivered - new - revised - elsewhere - int(self._against[number])
        outcome = ("new" if new + revised else "unchanged") if visit.outcome == "new" else visit.outcome
        return Counts(new, revised, known, elsewhere, refused, outcome=outcome, message=visit.message)

    @staticmethod
    def _per_target(ids: Places, at: Places, rows: Places) -> Places:
        counts = np.zeros(len(ids), np.int64)
        numbers, found = np.unique(rows, return_counts=True)
        counts[at[np.searchsorted(ids, numbers)]] = found
        return counts


def followed(connection: Connection, wanted: Sequence[Target]) -> list[int]:
    """Return the ids of targets; those of which nobody knows the name are followed from now on, all at once (see `targets.visited`)."""
    names = [fold(clean(one.name)) for one in wanted]
    words = {*names, *(fold(clean(word)) for one in wanted for word in (*one.aliases, *(i for ids in one.ids.values() for i in ids)))}
    known = _known_words(connection, words)
    plain = [one for one, name in zip(wanted, names, strict=True) if not {name, *map(fold, one.aliases)} & known]
    if len({fold(clean(one.name)) for one in plain}) == len(plain) and plain:
        targets.follow(connection, plain)
    fresh = {id(one) for one in plain}
    found = targets.ids_of(connection, [name for one, name in zip(wanted, names, strict=True) if id(one) in fresh])
    return [found[name] if id(one) in fresh else targets.visited(connection, one) for one, name in zip(wanted, names, strict=True)]


def _known_words(connection: Connection, words: set[str]) -> set[str]:
    """Return which of the folded words are names of targets or aliases already."""
    found: set[str] = set()
    for part in parts_of(sorted(words)):
        for column in (target.c.folded, alias.c.folded):
            found |= set(connection.execute(select(column).where(column.in_(part))).scalars())
    return found


def _scheduled(connection: Connection, ids: Sequence[int], source: int) -> dict[int, Scheduled]:
    columns = [schedule.c[name] for name in Scheduled._fields]
    found: dict[int, Scheduled] = {}
    for part in parts_of(list(ids)):
        rows = connection.execute(
            select(schedule.c.target_id, *columns).where(schedule.c.source_id == source, schedule.c.target_id.in_(part))
        )
        found |= {row[0]: Scheduled(*row[1:]) for row in rows}
    return found


def _all_known(visit: Visit) -> bool:
    """Whether the target came with all ids that the visit found: then they are stored."""
    found = {visit.survey: visit.object_ids, **visit.also_ids}
    return all(word in visit.target.ids.get(survey, ()) for survey, words in found.items() for word in words)
