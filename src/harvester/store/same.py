"""A delivery that is the same as the last one: recorded in a few statements, without a look at the photometry.

Most visits of a nightly update are so, and they decide what the update costs.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, func, select

from harvester.store.prepared import Prepared
from harvester.store.provenance import held, keep_requests
from harvester.store.record import SCHEDULED, Scheduled, keep_visit, reschedule
from harvester.store.rows import clean, filters_of
from harvester.store.schedule import entry
from harvester.store.tables import passband, schedule, series, source, target
from harvester.store.visit import SUCCESSES, Counts, FilterCounts, Visit
from harvester.target import fold

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

_LAST = Prepared(
    select(schedule.c.target_id, schedule.c.source_id, *(schedule.c[name] for name in SCHEDULED))
    .select_from(schedule.join(target, target.c.id == schedule.c.target_id).join(source, source.c.id == schedule.c.source_id))
    .where(target.c.folded == bindparam("name"), source.c.name == bindparam("source"), schedule.c.digest == bindparam("digest"))
    .with_for_update(key_share=True, of=target)
)
_POINTS = Prepared(
    select(passband.c.label, func.sum(series.c.points))
    .select_from(series.join(passband, passband.c.id == series.c.filter_id))
    .where(series.c.target_id == bindparam("target"))
    .group_by(passband.c.label)
)


def digest_of(delivered: Visit, version: str) -> str:
    """Return a hash of all that decides what a visit stores: the answers, the code that reads them, the match, and what the target is."""
    asked = delivered.target
    found = {delivered.survey: delivered.object_ids, **delivered.also_ids}
    others = {survey: sorted(set(ids) - set(found.get(survey, ()))) for survey, ids in asked.ids.items()}
    who = [asked.ra, asked.dec, asked.epoch, asked.pmra, asked.pmdec, asked.parallax, sorted({asked.name, *asked.aliases})]
    sent = [0 if rows is None else rows.num_rows for rows in (delivered.rows, delivered.quarantine)]
    answers = [answer.sha256 for answer in delivered.payloads]
    known = sorted((survey, ids) for survey, ids in others.items() if ids)
    question = [delivered.radius, delivered.since, delivered.until]
    matched = sorted((survey, sorted(ids)) for survey, ids in found.items() if ids)
    what = [version, delivered.source_version, question, sent, matched, answers, who, known]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()


def repeated(connection: Connection, delivered: Visit, run_id: int, digest: str) -> Counts | None:
    """Record a visit that brought what the last one brought; return its counts, or None, with nothing written, for any other visit."""
    if delivered.replayed or delivered.finished_jobs or delivered.outcome not in SUCCESSES:
        return None
    last = _LAST.one(connection, name=fold(clean(delivered.target.name)), source=delivered.source, digest=digest)
    if last is None:
        return None
    target_id, source_id, before = *last[:2], Scheduled(*last[2:])
    if delivered.outcome == "empty" and before.watermark is not None:
        return None
    payload_ids = [held(connection, answer) for answer in delivered.payloads]
    if None in payload_ids:
        return None
    counts = _counts(delivered, dict(_POINTS.all(connection, target=target_id)))
    visit_id = keep_visit(connection, delivered, counts, (run_id, target_id, source_id))
    keep_requests(connection, delivered.payloads, payload_ids, visit_id)
    values = entry(delivered, before, counts.outcome, before.served or 0)
    reschedule(connection, target_id, source_id, before._replace(visit_id=visit_id, **values), first=False)
    return counts


def _counts(delivered: Visit, points: Mapping[str, int]) -> Counts:
    outcome = "unchanged" if delivered.outcome == "new" else delivered.outcome
    refused = 0 if delivered.quarantine is None else delivered.quarantine.num_rows
    rows = 0 if delivered.rows is None else delivered.rows.num_rows
    by_filter = {label: FilterCounts(total=int(points.get(label, 0))) for label in filters_of(delivered.rows)}
    return Counts(known=rows, quarantined=refused, by_filter=by_filter, outcome=outcome, message=clean(delivered.message))
