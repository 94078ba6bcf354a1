"""Deliveries that are the same as the last ones: recorded in a few statements, without a look at the photometry.

Most visits of a nightly update are so, and they decide what the update costs.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, select

from harvester.store.at_once import WHERE, Asked, Known, lasts, record
from harvester.store.prepared import Prepared
from harvester.store.provenance import held, keep_requests, request_row
from harvester.store.record import SCHEDULED, Scheduled, keep_visit, reschedule, visit_row
from harvester.store.rows import clean, filters_of
from harvester.store.schedule import entry
from harvester.store.tables import passband, schedule, series, source, target
from harvester.store.visit import SUCCESSES, Counts, FilterCounts, Visit
from harvester.target import fold

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Connection

_LAST = Prepared(
    select(*(schedule.c[name] for name in (*WHERE, *SCHEDULED)), passband.c.label, series.c.points)
    .select_from(schedule.join(target, target.c.id == schedule.c.target_id).join(source, source.c.id == schedule.c.source_id))
    .outerjoin_from(target, series, series.c.target_id == target.c.id)
    .outerjoin_from(series, passband, passband.c.id == series.c.filter_id)
    .where(target.c.folded == bindparam("name"), source.c.name == bindparam("source"), schedule.c.digest == bindparam("digest"))
)
"""What the schedule says, if the delivery is the same as the last one, for every series."""


@dataclass(frozen=True, slots=True)
class _Same:
    """A visit without news: what it counts, what is known of it, and its place in the schedule."""

    delivered: Visit
    counts: Counts
    known: Known
    after: Scheduled


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


def repeated(connection: Connection, delivered: Sequence[Visit], run_id: int, version: str) -> dict[int, Counts]:
    """Record those of some visits that bring what the last ones brought; return their counts by their places. Nothing is written of the others."""
    alike = _alike(delivered)
    asked = {number: _asked(delivered[number], version) for number in alike}
    far = connection.dialect.name != "sqlite"
    found = (lasts if far else _lasts)(connection, asked) if asked else {}
    same = {number: known for number, one in found.items() if (known := _same(delivered[number], asked[number], one))}
    if same:
        (_record if far else _record_each)(connection, [same[number] for number in sorted(same)], run_id)
    return {number: one.counts for number, one in same.items()}


def _alike(delivered: Sequence[Visit]) -> list[int]:
    """Return the places of the visits that may be like the last ones: of a target and source, the first."""
    pairs: dict[tuple[str, str], int] = {}
    for number, visit in enumerate(delivered):
        pairs.setdefault((fold(clean(visit.target.name)), visit.source), number)
    return [number for number in pairs.values() if _may_be_same(delivered[number])]


def _may_be_same(visit: Visit) -> bool:
    return not (visit.replayed or visit.finished_jobs) and visit.outcome in SUCCESSES


def _asked(visit: Visit, version: str) -> Asked:
    return Asked(fold(clean(visit.target.name)), visit.source, digest_of(visit, version), [answer.sha256 for answer in visit.payloads])


def _lasts(connection: Connection, asked: Mapping[int, Asked]) -> dict[int, Known]:
    """Do as `at_once.lasts`, one by one."""
    found: dict[int, Known] = {}
    for number, one in asked.items():
        rows = _LAST.all(connection, name=one.name, source=one.source, digest=one.digest)
        if rows:
            target_id, source_id, *last = rows[0][:-2]
            payload_ids = [held(connection, key) for key in one.hashes]
            here = [key for key in payload_ids if key is not None]
            found[number] = Known((target_id, source_id), Scheduled(*last), here, [row[-2:] for row in rows])
    return found


def _same(delivered: Visit, asked: Asked, known: Known) -> _Same | None:
    """Return what there is to record of a visit; None if it brings more, or nothing where there was something."""
    if len(known.payload_ids) < len(asked.hashes) or (delivered.outcome == "empty" and known.before.watermark is not None):
        return None
    counts = _counts(delivered, known.points)
    return _Same(
        delivered, counts, known, known.before._replace(**entry(delivered, known.before, counts.outcome, known.before.served or 0))
    )


def _record_each(connection: Connection, same: Iterable[_Same], run_id: int) -> None:
    for one in same:
        visit_id = keep_visit(connection, one.delivered, one.counts, (run_id, *one.known.where))
        keep_requests(connection, one.delivered.payloads, one.known.payload_ids, visit_id)
        reschedule(connection, *one.known.where, one.after._replace(visit_id=visit_id), first=False)


def _record(connection: Connection, same: Iterable[_Same], run_id: int) -> None:
    visits, requests, planned = [], [], []
    for one in same:
        where = dict(zip(WHERE, one.known.where, strict=True))
        visits.append(visit_row(one.delivered, one.counts, (run_id, *one.known.where)))
        answers = zip(one.delivered.payloads, one.known.payload_ids, strict=True)
        requests += [where | request_row(connection, answer, number, 0) for answer, number in answers]
        planned.append(where | one.after._asdict())
    record(connection, visits, requests, planned)


def _counts(delivered: Visit, points: Iterable[tuple[str, int]]) -> Counts:
    """Return what a visit without news says; `points` are those of every series of the target, by filter."""
    outcome = "unchanged" if delivered.outcome == "new" else delivered.outcome
    refused = 0 if delivered.quarantine is None else delivered.quarantine.num_rows
    rows = 0 if delivered.rows is None else delivered.rows.num_rows
    totals: Counter[str] = Counter()
    for label, held_points in points:
        totals[label] += held_points or 0
    by_filter = {label: FilterCounts(total=totals[label]) for label in filters_of(delivered.rows)}
    return Counts(known=rows, quarantined=refused, by_filter=by_filter, outcome=outcome, message=clean(delivered.message))
