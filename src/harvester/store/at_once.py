"""Visits without news on a server, all that wait in two statements: the way there and back is most of what one costs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import JSON, Integer, TableValuedAlias, Text, Update, bindparam, cast, column, func, insert, select
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by

from harvester.store.prepared import Prepared
from harvester.store.record import SCHEDULED, Scheduled
from harvester.store.tables import passband, payload, request, schedule, series, source, target, visit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection, Table


class Asked(NamedTuple):
    """What decides whether a delivery is the same as the last one: who was asked about, the source, the digest and the hashes of what came."""

    name: str
    source: str
    digest: str
    hashes: list[str]


class Known(NamedTuple):
    """What the store knows of a delivery that is the same as the last one; `points` are those of every series of the target, by filter."""

    where: tuple[int, int]
    """The ids of target and source."""
    before: Scheduled
    payload_ids: list[int]
    """Of those payloads that the archive has, body and all, in order."""
    points: list[tuple[str, int]]


WHERE = ("target_id", "source_id")
ASKED = [found.name for found in request.columns if found.name not in {"id", "visit_id"}]
VISITED = [found.name for found in visit.columns if found.name != "id"]


def _told(name: str, columns: dict[str, Any]) -> TableValuedAlias:
    """Return rows that come as one parameter, in JSON: a list for each column would cost the driver far more. `number` counts them."""
    named = [column(key, kind) for key, kind in {"number": Integer(), **columns}.items()]
    return func.json_to_recordset(cast(bindparam(name), JSON)).table_valued(*named, name=name).render_derived(with_types=True)


def _rows(told: Iterable[Mapping[str, Any]]) -> str:
    return json.dumps([{"number": number, **row} for number, row in enumerate(told)])


def _of(table: Table, names: Iterable[str]) -> dict[str, Any]:
    return {name: table.c[name].type for name in names}


_LOOK = _told("look", {"name": Text(), "source": Text(), "digest": Text(), "hashes": ARRAY(Text)})
_HASH = func.unnest(_LOOK.c.hashes).table_valued("sha256", with_ordinality="place").render_derived()
_IDS = select(func.array_agg(aggregate_order_by(payload.c.id, _HASH.c.place))).where(
    payload.c.sha256 == _HASH.c.sha256, func.length(payload.c.body).is_not(None)
)
_LAST = Prepared(
    select(
        *(_LOOK.c.number, _IDS.correlate(_LOOK).scalar_subquery()),
        *(*(schedule.c[name] for name in (*WHERE, *SCHEDULED)), passband.c.label, series.c.points),
    )
    .select_from(_LOOK.join(target, target.c.folded == _LOOK.c.name).join(source, source.c.name == _LOOK.c.source))
    .join(schedule, (schedule.c.target_id == target.c.id) & (schedule.c.source_id == source.c.id) & (schedule.c.digest == _LOOK.c.digest))
    .outerjoin(series, series.c.target_id == target.c.id)
    .outerjoin(passband, passband.c.id == series.c.filter_id)
    .order_by(target.c.id)
    .with_for_update(key_share=True, of=target)
)
"""What the schedule says, where the delivery is the same as the last one, and the ids of those of its payloads that the archive has, body and all;
for every series. Targets are held in one order by all who do so."""


def _record() -> Update:
    """Return one statement that records visits, their requests and their places in the schedule."""
    came = _told("came", _of(visit, VISITED))
    visited = insert(visit).from_select(VISITED, select(*(came.c[name] for name in VISITED)).order_by(came.c.number))
    kept = visited.returning(visit.c.id, visit.c.target_id, visit.c.source_id).cte("visited")

    def here(rows: Any) -> ColumnElement[bool]:
        matched: ColumnElement[bool] = (rows.c.target_id == kept.c.target_id) & (rows.c.source_id == kept.c.source_id)
        return matched

    sent = _told("sent", _of(visit, WHERE) | _of(request, ASKED))
    requests = select(kept.c.id, *(sent.c[name] for name in ASKED)).join(kept, here(sent)).order_by(sent.c.number)
    asked = insert(request).from_select(["visit_id", *ASKED], requests).cte("asked")
    plan = _told("plan", _of(schedule, (*WHERE, *SCHEDULED)))
    values = {name: plan.c[name] for name in SCHEDULED if name != "visit_id"} | {"visit_id": kept.c.id}
    placed = schedule.update().where(schedule.c.target_id == plan.c.target_id, schedule.c.source_id == plan.c.source_id, here(plan))
    return placed.values(values).add_cte(asked)


_RECORD = Prepared(_record())


def lasts(connection: Connection, asked: Mapping[int, Asked]) -> dict[int, Known]:
    """Return what is known of each delivery that is the same as the last one, by its number."""
    found: dict[int, Known] = {}
    told = json.dumps([{"number": number, **one._asdict()} for number, one in asked.items()])
    for number, payload_ids, target_id, source_id, *last, label, points in _LAST.all(connection, look=told):
        known = found.setdefault(number, Known((target_id, source_id), Scheduled(*last), payload_ids or [], []))
        known.points.append((label, points))
    return found


def record(
    connection: Connection, visits: Sequence[dict[str, Any]], requests: Sequence[dict[str, Any]], planned: Sequence[dict[str, Any]]
) -> None:
    """Record visits, their requests, which name target and source in place of the visit, and their places in the schedule; rows as of the tables."""
    _RECORD(connection, came=_rows(visits), sent=_rows(requests), plan=_rows(planned))
