"""The write path: one visit into the store, inside one transaction that the caller opens and commits."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, bindparam, delete, select

from harvester.store import exposures, photometry, series, targets
from harvester.store.jobs import strike
from harvester.store.merge import Merge, content_digest, merge, without_repeats
from harvester.store.prepared import Prepared
from harvester.store.provenance import archived, keep_requests
from harvester.store.record import NEVER, SCHEDULED, Scheduled, keep_visit, passband_id, reschedule, source_id
from harvester.store.rows import arrow, clean, conformed, filters_of, now
from harvester.store.same import digest_of, repeated
from harvester.store.schedule import SHRUNK, entry, shrinkage
from harvester.store.tables import BIRTH, GIVEN, ROW, STORED, quarantine, schedule
from harvester.store.visit import SUCCESSES, Counts, FilterCounts, Visit

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTRADICTION = "another row of the same answer has this observation_id and other values"
LOST = "had points of this target before, and sent none now"
SCHEDULE = Prepared(
    select(*(schedule.c[name] for name in SCHEDULED)).where(
        schedule.c.target_id == bindparam("target"), schedule.c.source_id == bindparam("source")
    )
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a visit belongs; `before` is its row of `schedule`, None at the first visit; `lines` are the target's series."""

    target_id: int
    source_id: int
    run_id: int
    before: Scheduled | None
    lines: series.Lines

    @property
    def watermark(self) -> float | None:
        """The newest epoch that the source delivered before."""
        return self.before.watermark if self.before else None


@dataclass(frozen=True, slots=True)
class _Delivery:
    """The rows of a visit, each measurement once, with a digest of what they say; rows that contradict them, and the number of repeats.

    Beside them their filters' ids, and the ids of the visit's payloads in order.
    """

    rows: pa.Table
    contradictory: pa.Table
    repeats: int
    filter_ids: Mapping[str, int]
    payload_ids: list[int]
    digest: str

    @property
    def served(self) -> int:
        """How many measurements were delivered; an answer that repeats its rows has no more of them."""
        return int(self.rows.num_rows)


def write(connection: Connection, delivered: Visit, run_id: int, version: str) -> Counts:
    """Store a visit and return what it changed. The target is followed from now on, at the visit's position.

    A delivery that is the same as the last one (see `harvester.store.same`) leaves the photometry alone; all its rows count as known.
    """
    same = repeated(connection, [delivered], run_id, version)
    return same[0] if same else _written(connection, delivered, run_id, digest_of(delivered, version))


def _written(connection: Connection, delivered: Visit, run_id: int, digest: str) -> Counts:
    place = _place(connection, delivered, run_id)
    delivery = _delivery(connection, delivered, place)
    merged = _merge(connection, delivery, place)
    refused = _refused(delivered, delivery)
    sent = delivery.served, delivery.served + delivery.repeats
    less = shrinkage(connection, delivered, place.before, sent, ids=(place.target_id, place.source_id))
    counts = _settled(delivered, _counts(delivery, merged, place), place, refused=len(refused), less=less)
    visit_id = keep_visit(connection, delivered, counts, (run_id, place.target_id, place.source_id))
    if delivered.replayed:
        _release(connection, refused, place, delivery.payload_ids)
        _replayed(connection, place, delivery.rows, changed=bool(counts.new + counts.revised))
    else:
        keep_requests(connection, delivered.payloads, delivery.payload_ids, visit_id)
        _reschedule(connection, delivered, delivery, place, after=(visit_id, counts, digest))
        strike(connection, delivered.source, delivered.finished_jobs)
    keep_refused(connection, refused, place, visit_id)
    keep_ids(connection, delivered, place)
    return counts


def _place(connection: Connection, delivered: Visit, run_id: int) -> Place:
    target_id, asked = targets.visited(connection, delivered.target), source_id(connection, delivered.source)
    before = SCHEDULE.one(connection, target=target_id, source=asked)
    return Place(target_id, asked, run_id, Scheduled(*before) if before else None, series.of_target(connection, target_id))


def _delivery(connection: Connection, delivered: Visit, place: Place) -> _Delivery:
    rows = delivered.rows
    filter_ids = {label: passband_id(connection, label) for label in filters_of(rows)}
    payload_ids = [archived(connection, answer) for answer in delivered.payloads]
    stored = ROW.empty_table() if rows is None or not rows.num_rows else _as_stored(rows, filter_ids, payload_ids, place)
    once, contradictory, repeats = without_repeats(stored)
    return _Delivery(once, contradictory, repeats, filter_ids, payload_ids, content_digest(once))


def _as_stored(rows: pa.Table, filter_ids: Mapping[str, int], payload_ids: list[int], place: Place) -> pa.Table:
    columns: dict[str, Any] = {name: rows[name] for name in rows.column_names if name in ROW.names}
    for name in ("target_id", "source_id", "run_id"):
        columns[name] = pa.repeat(pa.scalar(getattr(place, name)), rows.num_rows)
    labels = pc.index_in(pc.cast(rows["filter"], pa.string()), value_set=pa.array(list(filter_ids)))
    columns["filter_id"] = pc.take(pa.array(list(filter_ids.values())), labels)
    columns["payload_id"] = pc.take(pa.array(payload_ids, pa.int64()), rows["payload"])
    return conformed(pa.table(columns), ROW)


def _merge(connection: Connection, delivery: _Delivery, place: Place) -> Merge:
    rows, none = delivery.rows, delivery.rows.slice(0, 0)
    if place.before and place.before.rows_digest == delivery.digest:
        return Merge(none, none, rows.num_rows + delivery.repeats, 0)
    held = photometry.stored(connection, place.lines, set(delivery.filter_ids.values()))
    merged = compared(connection, rows, held, place) if held else Merge(rows, none, 0, 0)
    photometry.insert(connection, merged.new, place.lines)
    photometry.insert(connection, merged.revised, place.lines)
    return replace(merged, known=merged.known + delivery.repeats)


def compared(connection: Connection, rows: pa.Table, held: list[tuple[Any, ...]], place: Place) -> Merge:
    """Compare a delivery with stored rows; those that it revises leave `photometry`.

    Mostly all but the latest are stored exactly so: only the others are worth a closer look. Limits of exposures of which there is a detection
    leave it as well, or do not come in.
    """
    brought, gone = len(BIRTH), exposures.denied(held, rows, place.lines)
    told = photometry.said(series.encoded(connection, rows, place.lines, add=False))
    same = {row[:-brought] for row in held}.intersection(told)
    others = np.array([row not in same for row in told], bool)
    other = int(others.sum())
    others[others] = exposures.not_detected_before(rows.filter(pa.array(others)), held, place.lines)
    stays = [row for row in held if row[:-brought] not in same and row[:2] not in gone]
    stored, went = arrow(stays, STORED), arrow([row for row in held if row[:2] in gone], STORED)
    merged = merge(series.decoded(connection, stored), rows.filter(pa.array(others)))
    for old in (stored.take(merged.replaced), went):
        photometry.supersede(connection, old, run_id=place.run_id, moment=now(), lines=place.lines)
    is_new = np.zeros(rows.num_rows, bool)
    is_new[others] = merged.is_new
    return replace(merged, known=merged.known + len(same) + other - int(others.sum()), is_new=is_new)


def _refused(delivered: Visit, delivery: _Delivery) -> list[dict[str, Any]]:
    return refused_rows(delivery.contradictory, delivered.quarantine, delivery.filter_ids, delivery.payload_ids)


def refused_rows(
    contradictory: pa.Table, rejected: pa.Table | None, filter_ids: Mapping[str, int], payload_ids: list[int]
) -> list[dict[str, Any]]:
    """Return the rows for quarantine: those that contradict another of the same answer, and those that `conform` rejected."""
    labels = {number: label for label, number in filter_ids.items()}
    refused = []
    for row in _dicts(contradictory):
        told = {"filter": labels[row["filter_id"]]} | {name: row[name] for name in ("observation_id", *GIVEN)}
        refused.append({"reason": CONTRADICTION, "payload_id": row["payload_id"], "row": _as_json(told)})
    for row in _dicts(rejected):
        reason, index = row.pop("reason"), row.pop("payload")
        payload_id = None if index is None else payload_ids[index]
        refused.append({"reason": clean(reason), "payload_id": payload_id, "row": _as_json(row)})
    return refused


def _dicts(rows: pa.Table | None) -> list[dict[str, Any]]:
    return [] if rows is None else rows.to_pylist()


def _as_json(row: Mapping[str, Any]) -> str:
    """Return what a row says, without its nulls; JSON knows no infinity."""
    said = {name: value for name, value in row.items() if value is not None}
    finite = {name: str(value) if isinstance(value, float) and not math.isfinite(value) else value for name, value in said.items()}
    return clean(json.dumps(finite, ensure_ascii=False))


def _counts(delivery: _Delivery, merged: Merge, place: Place) -> Counts:
    counted = [_per_filter(merged.new), _per_filter(merged.revised), series.points(place.lines)]
    by_filter = {label: FilterCounts(*(part.get(key, 0) for part in counted)) for label, key in sorted(delivery.filter_ids.items())}
    return Counts(merged.new.num_rows, merged.revised.num_rows, merged.known, merged.known_elsewhere, by_filter=by_filter)


def _per_filter(rows: pa.Table) -> dict[int, int]:
    numbers, counts = np.unique(rows["filter_id"].to_numpy(), return_counts=True)
    return dict(zip(numbers.tolist(), counts.tolist(), strict=True))


def _settled(delivered: Visit, counts: Counts, place: Place, *, refused: int, less: str) -> Counts:
    """Return the counts with what the engine could not know: whether anything is new, and whether there was more before.

    `less` is what `shrinkage` says.
    """
    outcome, message = delivered.outcome, clean(delivered.message)
    if outcome in {"new", "unchanged"}:
        outcome = "new" if counts.new + counts.revised else "unchanged"
        outcome, message = "suspicious" if less == SHRUNK else outcome, "; ".join(filter(None, [less, message]))
    elif outcome == "empty" and place.watermark is not None:
        outcome, message = "suspicious", "; ".join(filter(None, [LOST, message]))
    return replace(counts, quarantined=refused, outcome=outcome, message=message)


def keep_refused(connection: Connection, refused: list[dict[str, Any]], place: Place, visit_id: int) -> None:
    """Add what is not in quarantine already: the same bad row comes again with every delivery."""
    if not refused:
        return
    here = (quarantine.c.target_id == place.target_id) & (quarantine.c.source_id == place.source_id)
    known = set(connection.execute(select(quarantine.c.reason, quarantine.c.row).where(here)))
    fresh = {(row["reason"], row["row"]): row for row in refused if (row["reason"], row["row"]) not in known}
    where = {"target_id": place.target_id, "source_id": place.source_id, "visit_id": visit_id}
    if fresh:
        connection.execute(quarantine.insert(), [row | where for row in fresh.values()])


def _release(connection: Connection, refused: list[dict[str, Any]], place: Place, payload_ids: list[int]) -> None:
    """Take out of quarantine what came from replayed payloads and is refused no longer."""
    still = {(row["reason"], row["row"]) for row in refused}
    here = (quarantine.c.target_id == place.target_id) & (quarantine.c.source_id == place.source_id)
    held = connection.execute(select(quarantine).where(here, quarantine.c.payload_id.in_(payload_ids))).all()
    freed = [row.id for row in held if (row.reason, row.row) not in still]
    if freed:
        connection.execute(delete(quarantine).where(quarantine.c.id.in_(freed)))


def _replayed(connection: Connection, place: Place, rows: pa.Table, *, changed: bool) -> None:
    """Note what a replay changes in the schedule: nothing was asked, but the next delivery must not be taken for known when rows differ now."""
    newest = pc.max(rows["bjd_tdb"]).as_py()
    values = {"digest": None, "rows_digest": None} if changed else {}
    if newest is not None and (place.watermark is None or newest > place.watermark):
        values["watermark"] = newest
    if values:
        here = (schedule.c.target_id == place.target_id) & (schedule.c.source_id == place.source_id)
        connection.execute(schedule.update().where(here), values)


def keep_ids(connection: Connection, delivered: Visit, place: Place) -> None:
    """Remember under which ids the surveys know the target."""
    found = {delivered.survey: delivered.object_ids, **delivered.also_ids}
    for survey, words in found.items():
        for word in words:
            targets.keep_id(connection, place.target_id, survey, word)


def _reschedule(connection: Connection, delivered: Visit, delivery: _Delivery, place: Place, *, after: tuple[int, Counts, str]) -> None:
    """Put the visit into the schedule; `after` it there are its id, its counts and its digest."""
    before, rows, (visit_id, counts, digest) = place.before or NEVER, delivery.rows, after
    epochs = [epoch for epoch in (before.watermark, pc.max(rows["bjd_tdb"]).as_py()) if epoch is not None]
    kept = NEVER if rows.num_rows else before
    values: dict[str, Any] = {
        "visit_id": visit_id,
        "watermark": max(epochs, default=None),
        "digest": digest if counts.outcome in SUCCESSES else kept.digest,
        "rows_digest": None if counts.known_elsewhere else delivery.digest if rows.num_rows else kept.rows_digest,
    }
    values |= entry(delivered, place.before, counts.outcome, delivery.served)
    reschedule(connection, place.target_id, place.source_id, before._replace(**values), first=place.before is None)
