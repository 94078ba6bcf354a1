"""The write path of many visits at once: what a batch of alert packets says of many targets, compared and inserted in one go.

It leaves what a visit of each target, one after the other, would leave; a test compares the two. What is small (the visits themselves, their
requests, the schedule) is written one by one, the photometry all together.
"""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection

from harvester.store import photometry, series, targets
from harvester.store.many import MJD_OF_JD, Many
from harvester.store.merge import without_repeats
from harvester.store.prepared import among
from harvester.store.provenance import archived, request_row
from harvester.store.record import NEVER, RESCHEDULE, SCHEDULED, Scheduled, passband_id, source_id, visit_row
from harvester.store.rows import clean, conformed, filters_of, insert_numbered, insert_tuples
from harvester.store.schedule import entry
from harvester.store.series import FILTER, TARGET
from harvester.store.tables import COUNTED, ROW, alias, request, schedule, target
from harvester.store.tables import visit as visit_table
from harvester.store.visit import SUCCESSES, Counts, Visit
from harvester.store.write import Place, compared, keep_refused, refused_rows
from harvester.target import fold

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
        self._schedule = _schedules(connection, ids, self._source_id)
        self._filters = {label: passband_id(connection, label) for label in filters_of(many.rows)}
        self._payload_ids = self._archived()

    def told(self) -> _Told:
        """Compare the rows with the store and insert what is new; return what became of them, target by target."""
        rows = self._as_stored()
        once, contradictory, repeats = without_repeats(rows)
        fresh, revised, elsewhere = self._compared(once)
        for part in (fresh, revised):
            photometry.insert(self._connection, part, self._lines)
        assert repeats + contradictory.num_rows + once.num_rows == rows.num_rows
        parts = (rows["target_id"], fresh["target_id"], revised["target_id"], elsewhere)
        return _Told(self._ids, parts, contradictory)

    def _compared(self, once: pa.Table) -> tuple[pa.Table, pa.Table, Any]:
        """Return the rows that are new and those that revise others, and the targets' ids of what is known elsewhere.

        Only rows of targets that have points in these filters are compared: most of a night's targets have none.
        """
        filters = set(self._filters.values())
        old = {key[TARGET] for key, line in self._lines.items() if line.points and key[FILTER] in filters}
        if not old:
            return once, once.slice(0, 0), pa.array([], pa.int64())
        held = photometry.stored(self._connection, self._lines, filters)
        here = np.asarray(pc.is_in(once["target_id"], value_set=pa.array(sorted(old), pa.int64())), bool)
        place = Place(0, self._source_id, self._run_id, None, self._lines)
        merged = compared(self._connection, once.filter(pa.array(here)), held, place)
        new = ~here
        new[here] = merged.is_new
        return once.filter(pa.array(new)), merged.revised, merged.elsewhere

    def keep(self, told: _Told) -> list[Counts]:
        """Record the visits of all targets."""
        refused = self._refused(told)
        counts = told.counts({number: len(rows) for number, rows in refused.items()}, self._suspicious(told))
        visit_ids = self._keep_visits(counts)
        self._keep_requests(visit_ids)
        self._reschedule(visit_ids, counts)
        for number, rows in refused.items():
            keep_refused(self._connection, rows, self._place(number), visit_ids[number])
        for target_id, asked, ids in zip(self._ids, self._many.targets, self._many.object_ids, strict=True):
            if not _all_known(asked, ids):
                for survey, word in ((survey, word) for survey, words in ids.items() for word in words):
                    targets.keep_id(self._connection, target_id, survey, word)
        return counts

    def _keep_visits(self, counts: list[Counts]) -> list[int]:
        """Record the visits, and return their ids. They differ in their target, their window and what they changed."""
        if not counts:
            return []
        columns: dict[str, Any] = {}
        for name, value in visit_row(self._pattern, counts[0], (self._run_id, 0, self._source_id)).items():
            columns[name] = repeat(value, len(counts))
        columns |= {name: [getattr(one, name) for one in counts] for name in ("outcome", "message", *COUNTED)}
        columns |= zip(("target_id", "since", "until"), (self._ids, *np.nan_to_num(self._ends - MJD_OF_JD).tolist()), strict=True)
        return insert_numbered(self._connection, visit_table, tuple(columns), list(zip(*columns.values(), strict=True)))

    def _place(self, number: int) -> Place:
        return Place(self._ids[number], self._source_id, self._run_id, self._schedule.get(self._ids[number]), self._lines)

    def _keep_requests(self, visit_ids: list[int]) -> None:
        """Record in which payloads every target stands."""
        whose, which = self._used()
        payloads, ids = self._many.payloads, self._payload_ids
        rows = {one: request_row(self._connection, payloads[one], ids[one], 0) for one in sorted(set(which))}
        values = {one: tuple(value for name, value in row.items() if name != "visit_id") for one, row in rows.items()}
        names = [name for row in rows.values() for name in row if name != "visit_id"][: len(request.columns) - 2]
        told = [(*values[one], visit_ids[number]) for number, one in zip(whose, which, strict=True)]
        insert_tuples(self._connection, request, (*names, "visit_id"), told)

    def _reschedule(self, visit_ids: list[int], counts: list[Counts]) -> None:
        """Note when every target was asked about: a visit of a window changes neither when the next is due nor what is served."""
        new, old = list[tuple[Any, ...]](), list[dict[str, Any]]()
        first = {outcome: entry(self._pattern, None, outcome, 0) for outcome in {one.outcome for one in counts}}
        for target_id, visit_id, count, newest in zip(self._ids, visit_ids, counts, self._ends[1].tolist(), strict=True):
            known = self._schedule.get(target_id)
            values = entry(self._pattern, known, count.outcome, 0) if known else first[count.outcome]
            scheduled = _scheduled(known or NEVER, newest, count, visit_id)._replace(**values)
            if known:
                old.append(scheduled._asdict() | {"target": target_id, "source": self._source_id})
            else:
                new.append((*scheduled, target_id, self._source_id))
        insert_tuples(self._connection, schedule, (*SCHEDULED, "target_id", "source_id"), new)
        if old:
            RESCHEDULE.many(self._connection, old)

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

    @property
    def _pattern(self) -> Visit:
        """What the visits of all targets have in common: each is one of a window."""
        many = self._many
        return Visit(
            many.targets[0], many.source, many.survey, since=0.0, until=0.0, radius=many.radius, source_version=many.source_version
        )

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

    def _used(self) -> tuple[list[int], list[int]]:
        """Return every target, by number, beside each of the payloads in which it stands."""
        if (size := len(self._many.payloads)) == 1:
            return list(range(len(self._ids))), [0] * len(self._ids)
        parts = [part.select(["target", "payload"]).drop_null() for part in (self._many.rows, self._many.quarantine)]
        pairs = np.unique(
            np.concatenate([part["target"].to_numpy().astype(np.int64) * size + part["payload"].to_numpy() for part in parts])
        )
        return (pairs // size).tolist(), (pairs % size).tolist()

    def _quarantined(self, number: int) -> pa.Table:
        first, last = np.searchsorted(self._many.quarantine["target"].to_numpy(), [number, number + 1]).tolist()
        return self._many.quarantine.slice(first, last - first)

    def _suspicious(self, told: _Told) -> dict[int, str]:
        """Return, for the targets of which no row can be trusted, why."""
        reasons = {number: self._quarantined(number)["reason"] for number in np.flatnonzero(told.delivered == 0).tolist()}
        return {number: f"every row that came ({len(words)}) cannot be trusted: {words[0].as_py()}" for number, words in reasons.items()}

    def _refused(self, told: _Told) -> dict[int, list[dict[str, Any]]]:
        """Return the rows for quarantine of the targets that have any."""
        numbers = {*np.flatnonzero(told.against).tolist(), *pc.unique(self._many.quarantine["target"]).to_pylist()}
        return {
            number: refused_rows(
                told.contradictory_of(number), self._quarantined(number).drop_columns(["target"]), self._filters, self._payload_ids
            )
            for number in sorted(numbers)
        }


class _Told:
    """What became of the rows: for each target how many were `delivered`, new, revised, known elsewhere, and `against` another."""

    def __init__(self, ids: list[int], parts: Sequence[Any], contradictory: pa.Table) -> None:
        order = np.argsort(ids)
        told = [self._per_target(np.asarray(ids)[order], order, part.to_numpy()) for part in (*parts, contradictory["target_id"])]
        self.delivered, self._new, self._revised, self._elsewhere, self.against = told
        self._contradictory, self._ids = contradictory, ids

    def contradictory_of(self, number: int) -> pa.Table:
        """Return the rows of a target that contradict another."""
        return self._contradictory.filter(pc.equal(self._contradictory["target_id"], self._ids[number]))

    def counts(self, refused: Mapping[int, int], suspicious: Mapping[int, str]) -> list[Counts]:
        """Return what the visit of each target changed; of some of them rows were refused, and some are suspicious, for a reason."""
        known = self.delivered - self._new - self._revised - self._elsewhere - self.against
        parts: list[list[int]] = [part.tolist() for part in (self._new, self._revised, known, self._elsewhere)]
        found = []
        for number, (new, revised, same, elsewhere) in enumerate(zip(*parts, strict=True)):
            outcome = "suspicious" if number in suspicious else "new" if new + revised else "unchanged"
            message = suspicious.get(number, "")
            found.append(Counts(new, revised, same, elsewhere, refused.get(number, 0), outcome=outcome, message=message))
        return found

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
    asked = sorted(words)
    return {row[0] for table in (target, alias) for row in among(connection, table.c.folded, asked, ("folded",))}


def _schedules(connection: Connection, ids: Sequence[int], source: int) -> dict[int, Scheduled]:
    rows = among(connection, schedule.c.target_id, ids, ("target_id", *SCHEDULED), also=f"source_id = {source}")
    return {row[0]: Scheduled(*row[1:]) for row in rows}


def _scheduled(before: Scheduled, newest: float, counts: Counts, visit_id: int) -> Scheduled:
    """Return what the schedule says after a visit, whose `newest` row is NaN where it has none."""
    seen = np.isfinite(newest)
    epochs = [epoch for epoch in (before.watermark, newest if seen else None) if epoch is not None]
    kept = before if counts.outcome not in SUCCESSES and not seen else NEVER
    return before._replace(visit_id=visit_id, watermark=max(epochs, default=None), digest=kept.digest, rows_digest=kept.rows_digest)


def _all_known(asked: Target, found: Mapping[str, Sequence[str]]) -> bool:
    """Whether the target came with all ids that the visit found: then they are stored."""
    return all(word in asked.ids.get(survey, ()) for survey, words in found.items() for word in words)
