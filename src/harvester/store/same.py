"""A delivery that is the same as the last one: recorded in a few statements, without a look at the photometry.

Most visits of a nightly update are so, and they decide what the update costs.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Table, Update, bindparam, cast, func, insert, select

from harvester.store.prepared import Prepared
from harvester.store.provenance import held, keep_requests, request_row
from harvester.store.record import SCHEDULED, Scheduled, keep_visit, reschedule, visit_row
from harvester.store.rows import clean, filters_of
from harvester.store.schedule import entry
from harvester.store.tables import passband, payload, request, schedule, series, source, target, visit
from harvester.store.visit import SUCCESSES, Counts, FilterCounts, Visit
from harvester.target import fold

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection

_HELD = select(payload.c.id).where(payload.c.sha256 == bindparam("sha256"), func.length(payload.c.body).is_not(None))
_LAST = Prepared(
    select(
        *(schedule.c.target_id, schedule.c.source_id, *(schedule.c[name] for name in SCHEDULED)),
        *(_HELD.scalar_subquery(), passband.c.label, series.c.points),
    )
    .select_from(schedule.join(target, target.c.id == schedule.c.target_id).join(source, source.c.id == schedule.c.source_id))
    .outerjoin_from(target, series, series.c.target_id == target.c.id)
    .outerjoin_from(series, passband, passband.c.id == series.c.filter_id)
    .where(target.c.folded == bindparam("name"), source.c.name == bindparam("source"), schedule.c.digest == bindparam("digest"))
    .with_for_update(key_share=True, of=target)
)
"""What the schedule says, if the delivery is the same as the last one; the id of its first payload, if the archive has it; for every series."""


def _at_once() -> Update:
    """Return one statement that records a visit, its first request and its place in the schedule, and returns the visit's id."""

    def told(table: Table, *names: str) -> dict[str, ColumnElement[Any]]:
        return {name: cast(bindparam(f"{table.name}_{name}"), table.c[name].type) for name in names}

    visits = told(visit, *(column.name for column in visit.columns if column.name != "id"))
    visited = insert(visit).values(visits).returning(visit.c.id).cte("visited")
    requests = told(request, *(column.name for column in request.columns if column.name not in {"id", "visit_id"}))
    asked = insert(request).from_select([*requests, "visit_id"], select(*requests.values(), visited.c.id)).cte("asked")
    values = told(schedule, *SCHEDULED) | {"visit_id": select(visited.c.id).scalar_subquery()}
    here = (schedule.c.target_id == bindparam("target")) & (schedule.c.source_id == bindparam("source"))
    return schedule.update().where(here).values(values).add_cte(asked).returning(schedule.c.visit_id)


_AT_ONCE = Prepared(_at_once())


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
    hashes = [answer.sha256 for answer in delivered.payloads]
    found = _LAST.all(
        connection, name=fold(clean(delivered.target.name)), source=delivered.source, digest=digest, sha256=next(iter(hashes), "")
    )
    if not found:
        return None
    target_id, source_id, *last, first = found[0][:-2]
    before = Scheduled(*last)
    payload_ids = [first, *(held(connection, answer) for answer in delivered.payloads[1:])][: len(hashes)]
    if None in payload_ids or (delivered.outcome == "empty" and before.watermark is not None):
        return None
    counts = _counts(delivered, [row[-2:] for row in found])
    after = before._replace(**entry(delivered, before, counts.outcome, before.served or 0))
    _record(connection, delivered, counts, (run_id, target_id, source_id), after=after, payload_ids=payload_ids)
    return counts


def _record(
    connection: Connection,
    delivered: Visit,
    counts: Counts,
    ids: tuple[int, int, int],
    *,
    after: Scheduled,
    payload_ids: Sequence[int | None],
) -> None:
    """Write down a visit, its requests and its place in the schedule: on a server in one statement, whose way there is what takes the time."""
    _, target_id, source_id = ids
    if not payload_ids or connection.dialect.name == "sqlite":
        visit_id = keep_visit(connection, delivered, counts, ids)
        keep_requests(connection, delivered.payloads, payload_ids, visit_id)
        reschedule(connection, target_id, source_id, after._replace(visit_id=visit_id), first=False)
        return
    values = {f"{schedule.name}_{name}": value for name, value in after._asdict().items()} | {"target": target_id, "source": source_id}
    values |= {f"{visit.name}_{name}": value for name, value in visit_row(delivered, counts, ids).items()}
    asked = request_row(connection, delivered.payloads[0], payload_ids[0], 0)
    values |= {f"{request.name}_{name}": value for name, value in asked.items()}
    ((visit_id,),) = _AT_ONCE.all(connection, **values)
    keep_requests(connection, delivered.payloads[1:], payload_ids[1:], visit_id)


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
