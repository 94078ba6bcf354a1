"""The write path: one visit into the store, inside one transaction that the caller opens and commits."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, Row, Table, delete, select

from harvester.store import photometry, targets
from harvester.store.merge import Merge, merge, without_repeats
from harvester.store.provenance import compressed, keep_requests
from harvester.store.rows import clean, conformed, insert_missing, now
from harvester.store.tables import GIVEN, ROW, alias, passband, payload, quarantine, schedule, source, visit
from harvester.store.visit import SUCCESSES, Counts, FilterCounts, Visit
from harvester.target import fold

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CONTRADICTION = "another row of the same answer has this observation_id and other values"
LOST = "had points of this target before, and sent none now"


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a visit belongs; `before` is its row of `schedule`, None at the first visit."""

    target_id: int
    source_id: int
    run_id: int
    before: Row[Any] | None

    @property
    def watermark(self) -> float | None:
        return self.before.watermark if self.before else None


@dataclass(frozen=True, slots=True)
class _Delivery:
    """The rows of a visit that have to be compared, their filters' ids, and the ids of the visit's payloads in order."""

    rows: pa.Table
    filter_ids: Mapping[str, int]
    payload_ids: list[int]


def write(connection: Connection, delivered: Visit, run_id: int, version: str) -> Counts:
    """Store a visit and return what it changed. The target is followed from now on, at the visit's position.

    A delivery with the digest of the last one (payload hashes, matched ids, number of rows, harvester's version) leaves the photometry
    alone; all its rows count as known.
    """
    place = _place(connection, delivered, run_id)
    digest = _digest(delivered, version)
    same = bool(place.before and place.before.digest == digest and delivered.outcome in SUCCESSES and not delivered.replayed)
    delivery = _delivery(connection, delivered, place, same=same)
    if same:
        merged = Merge(ROW.empty_table(), ROW.empty_table(), 0 if delivered.rows is None else delivered.rows.num_rows, 0)
        refused = _refused(delivered, delivery, ROW.empty_table())
    else:
        merged, contradictory = _merge(connection, delivery, place)
        refused = _refused(delivered, delivery, contradictory)
    counts = _settled(delivered, _counts(connection, delivery, merged, place), place, len(refused))
    visit_id = _record(connection, delivered, counts, place)
    if delivered.replayed:
        _release(connection, refused, place, delivery.payload_ids)
        _raise_watermark(connection, place, delivery.rows)
    else:
        keep_requests(connection, delivered.payloads, delivery.payload_ids, visit_id)
        _reschedule(connection, place, visit_id, counts, digest=digest, rows=delivery.rows)
    _keep_refused(connection, refused, place, visit_id)
    _keep_ids(connection, delivered, place)
    return counts


def ids(connection: Connection, table: Table, key: str, rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Return the ids of rows by their unique text `key`; rows that are not there are added, also when another process is adding them."""
    wanted = {row[key]: row for row in rows}
    column = table.c[key]
    known = select(column, table.c.id).where(column.in_(sorted(wanted)))
    found = dict(connection.execute(known).all())
    missing = [_filled(table, wanted[word]) for word in sorted(set(wanted) - set(found))]
    if missing:
        connection.execute(insert_missing(connection, table), missing)
        found = dict(connection.execute(known).all())
    return found


def _place(connection: Connection, delivered: Visit, run_id: int) -> _Place:
    target_id = targets.visited(connection, delivered.target)
    source_id = ids(connection, source, "name", [{"name": delivered.source}])[delivered.source]
    last = select(schedule).where(schedule.c.target_id == target_id, schedule.c.source_id == source_id)
    return _Place(target_id, source_id, run_id, connection.execute(last).one_or_none())


def _delivery(connection: Connection, delivered: Visit, place: _Place, *, same: bool) -> _Delivery:
    """Prepare the rows of a delivery, but none of one that is the `same` as the last: they would be compared with themselves."""
    rows = delivered.rows
    labels: list[Any] = [] if rows is None else pc.cast(pc.unique(rows["filter"]), pa.string()).to_pylist()
    suffix = f"({delivered.survey})"
    filters = [{"label": label, "survey": delivered.survey, "passband": label.removesuffix(suffix)} for label in labels]
    filter_ids = ids(connection, passband, "label", filters)
    hashes = ids(connection, payload, "sha256", [{"sha256": answer.sha256, "body": answer.body} for answer in delivered.payloads])
    payload_ids = [hashes[answer.sha256] for answer in delivered.payloads]
    stored = ROW.empty_table() if same or rows is None or not rows.num_rows else _as_stored(rows, filter_ids, payload_ids, place)
    return _Delivery(stored, filter_ids, payload_ids)


def _as_stored(rows: pa.Table, filter_ids: Mapping[str, int], payload_ids: list[int], place: _Place) -> pa.Table:
    columns: dict[str, Any] = {name: rows[name] for name in rows.column_names if name in ROW.names}
    for name in ("target_id", "source_id", "run_id"):
        columns[name] = pa.repeat(pa.scalar(getattr(place, name)), rows.num_rows)
    labels = pc.index_in(pc.cast(rows["filter"], pa.string()), value_set=pa.array(list(filter_ids)))
    columns["filter_id"] = pc.take(pa.array(list(filter_ids.values())), labels)
    columns["payload_id"] = pc.take(pa.array(payload_ids, pa.int64()), rows["payload"])
    return conformed(pa.table(columns), ROW)


def _filled(table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    """Compress a payload only when it is to be stored."""
    if table is not payload:
        return dict(row)
    return {"sha256": row["sha256"], "size": len(row["body"]), "body": compressed(row["body"])}


def _digest(delivered: Visit, version: str) -> str:
    rows = 0 if delivered.rows is None else delivered.rows.num_rows
    what = [version, delivered.source_version, rows, sorted(delivered.object_ids), [answer.sha256 for answer in delivered.payloads]]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()


def _merge(connection: Connection, delivery: _Delivery, place: _Place) -> tuple[Merge, pa.Table]:
    rows, contradictory, repeats = without_repeats(delivery.rows)
    known, written = photometry.stored(connection, place.target_id, list(delivery.filter_ids.values()))
    merged = merge(known, rows)
    photometry.insert(connection, merged.new)
    photometry.supersede(connection, written.take(merged.replaced), merged.revised, run_id=place.run_id, moment=now())
    return replace(merged, known=merged.known + repeats), contradictory


def _refused(delivered: Visit, delivery: _Delivery, contradictory: pa.Table) -> list[dict[str, Any]]:
    """Return the rows for quarantine: those that `conform` rejected, and those that contradict another of the same answer."""
    labels = {number: label for label, number in delivery.filter_ids.items()}
    refused = []
    for row in _dicts(contradictory):
        told = {"filter": labels[row["filter_id"]]} | {name: row[name] for name in ("observation_id", *GIVEN)}
        refused.append({"reason": CONTRADICTION, "payload_id": row["payload_id"], "row": _as_json(told)})
    for row in _dicts(delivered.quarantine):
        reason, index = row.pop("reason"), row.pop("payload")
        payload_id = None if index is None else delivery.payload_ids[index]
        refused.append({"reason": clean(reason), "payload_id": payload_id, "row": _as_json(row)})
    return refused


def _dicts(rows: pa.Table | None) -> list[dict[str, Any]]:
    return [] if rows is None else rows.to_pylist()


def _as_json(row: Mapping[str, Any]) -> str:
    """Return what a row says, without its nulls; JSON knows no infinity."""
    said = {name: value for name, value in row.items() if value is not None}
    finite = {name: str(value) if isinstance(value, float) and not math.isfinite(value) else value for name, value in said.items()}
    return clean(json.dumps(finite, ensure_ascii=False))


def _counts(connection: Connection, delivery: _Delivery, merged: Merge, place: _Place) -> Counts:
    totals = photometry.totals(connection, place.target_id, list(delivery.filter_ids.values()))
    counted = [_per_filter(merged.new), _per_filter(merged.revised), totals]
    by_filter = {label: FilterCounts(*(part.get(key, 0) for part in counted)) for label, key in sorted(delivery.filter_ids.items())}
    return Counts(merged.new.num_rows, merged.revised.num_rows, merged.known, merged.known_elsewhere, by_filter=by_filter)


def _per_filter(rows: pa.Table) -> dict[int, int]:
    numbers, counts = np.unique(rows["filter_id"].to_numpy(), return_counts=True)
    return dict(zip(numbers.tolist(), counts.tolist(), strict=True))


def _settled(delivered: Visit, counts: Counts, place: _Place, refused: int) -> Counts:
    """Return the counts with what the engine could not know: whether anything is new, and whether there was anything before."""
    outcome, message = delivered.outcome, clean(delivered.message)
    if outcome in {"new", "unchanged"}:
        outcome = "new" if counts.new + counts.revised else "unchanged"
    elif outcome == "empty" and place.watermark is not None:
        outcome, message = "suspicious", "; ".join(filter(None, [LOST, message]))
    return replace(counts, quarantined=refused, outcome=outcome, message=message)


def _record(connection: Connection, delivered: Visit, counts: Counts, place: _Place) -> int:
    row = {
        "run_id": place.run_id,
        "target_id": place.target_id,
        "source_id": place.source_id,
        "time": now(),
        "outcome": counts.outcome,
        "error_kind": delivered.error_kind,
        "message": counts.message,
        "seconds": delivered.seconds,
        "radius": delivered.radius,
        "since": delivered.since,
        "until": delivered.until,
        "source_version": clean(delivered.source_version),
    } | {name: getattr(counts, name) for name in ("new", "revised", "known", "known_elsewhere", "quarantined")}
    (visit_id,) = connection.execute(visit.insert(), row).inserted_primary_key or (0,)
    return int(visit_id)


def _keep_refused(connection: Connection, refused: list[dict[str, Any]], place: _Place, visit_id: int) -> None:
    """Add what is not in quarantine already: the same bad row comes again with every delivery."""
    if not refused:
        return
    here = (quarantine.c.target_id == place.target_id) & (quarantine.c.source_id == place.source_id)
    known = set(connection.execute(select(quarantine.c.reason, quarantine.c.row).where(here)))
    fresh = {(row["reason"], row["row"]): row for row in refused if (row["reason"], row["row"]) not in known}
    where = {"target_id": place.target_id, "source_id": place.source_id, "visit_id": visit_id}
    if fresh:
        connection.execute(quarantine.insert(), [row | where for row in fresh.values()])


def _release(connection: Connection, refused: list[dict[str, Any]], place: _Place, payload_ids: list[int]) -> None:
    """Take out of quarantine what came from replayed payloads and is refused no longer."""
    still = {(row["reason"], row["row"]) for row in refused}
    here = (quarantine.c.target_id == place.target_id) & (quarantine.c.source_id == place.source_id)
    held = connection.execute(select(quarantine).where(here, quarantine.c.payload_id.in_(payload_ids))).all()
    freed = [row.id for row in held if (row.reason, row.row) not in still]
    if freed:
        connection.execute(delete(quarantine).where(quarantine.c.id.in_(freed)))


def _raise_watermark(connection: Connection, place: _Place, rows: pa.Table) -> None:
    newest = pc.max(rows["bjd_tdb"]).as_py()
    if newest is not None and (place.watermark is None or newest > place.watermark):
        here = (schedule.c.target_id == place.target_id) & (schedule.c.source_id == place.source_id)
        connection.execute(schedule.update().where(here), {"watermark": newest})


def _keep_ids(connection: Connection, delivered: Visit, place: _Place) -> None:
    rows = [{"target_id": place.target_id, "survey": delivered.survey, "id": word, "folded": fold(word)} for word in delivered.object_ids]
    if rows:
        connection.execute(insert_missing(connection, alias), rows)


def _reschedule(connection: Connection, place: _Place, visit_id: int, counts: Counts, *, digest: str, rows: pa.Table) -> None:
    before = place.before
    succeeded = counts.outcome in SUCCESSES
    failures = before.failures if before else 0
    epochs = [epoch for epoch in (place.watermark, pc.max(rows["bjd_tdb"]).as_py()) if epoch is not None]
    kept = None if rows.num_rows or not before else before.digest
    values = {
        "visit_id": visit_id,
        "last_success": now() if succeeded else before and before.last_success,
        "failures": 0 if succeeded else failures + (counts.outcome == "failed"),
        "watermark": max(epochs, default=None),
        "digest": digest if succeeded else kept,
    }
    key = {"target_id": place.target_id, "source_id": place.source_id}
    if before:
        here = (schedule.c.target_id == place.target_id) & (schedule.c.source_id == place.source_id)
        connection.execute(schedule.update().where(here), values)
    else:
        connection.execute(schedule.insert(), key | values)
