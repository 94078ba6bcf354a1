"""How the store stands: what is due, what waits, what fails since when and why. Grouped in the database, so it is as quick for 10^5 targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Select, and_, func, select

from harvester.store.schedule import counted
from harvester.store.tables import schedule, source, target, visit
from harvester.store.visit import SUCCESSES

if TYPE_CHECKING:
    from datetime import datetime

    from harvester.store.visit import Rhythm

BAD = ("pending", "postponed", "suspicious", "failed")


def by_source(
    connection: Connection, rhythms: Mapping[str, Rhythm], now: datetime, bad: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return a row per source that was ever asked, or that `rhythms` names, in alphabetical order; `bad` is what `troubles` found.

    Keys: source, what `schedule.counted` tells, and a count of each Outcome that is no success (how the last visits ended).
    """
    rows = {name: {"source": name, **row, **dict.fromkeys(BAD, 0)} for name, row in sorted(counted(connection, rhythms, now).items())}
    for trouble in bad:
        rows[trouble["source"]][trouble["outcome"]] += trouble["targets"]
    return list(rows.values())


def troubles(connection: Connection) -> list[dict[str, Any]]:
    """Return a row per source, Outcome and class of failure in which the last visits of targets ended without success.

    Keys: source, outcome, error, targets (how many), since (the first visit of theirs after the last success), failures (in a row, at most),
    last (the newest such visit), target and message (of that one). The longest trouble comes first.
    """
    found = [dict(row) for row in connection.execute(_grouped()).mappings()]
    last = select(visit.c.id, target.c.name, visit.c.message, visit.c.time).join_from(visit, target)
    told = {row.id: row for row in connection.execute(last.where(visit.c.id.in_([row["visit_id"] for row in found])))}
    for row in found:
        example = told[row.pop("visit_id")]
        row |= {"last": example.time, "target": example.name, "message": example.message}
    return found


def _grouped() -> Select[*tuple[Any, ...]]:
    earlier = visit.alias("earlier")
    same = and_(earlier.c.target_id == schedule.c.target_id, earlier.c.source_id == schedule.c.source_id)
    after = and_(same, earlier.c.time > func.coalesce(schedule.c.last_success, ""))
    since = select(func.min(earlier.c.time)).where(after, earlier.c.outcome.not_in(SUCCESSES)).correlate(schedule).scalar_subquery()
    joined = schedule.join(source).join(visit, visit.c.id == schedule.c.visit_id)
    key = source.c.name.label("source"), visit.c.outcome, visit.c.error_kind.label("error")
    pairs = select(*key, schedule.c.visit_id, schedule.c.failures, since.label("since")).select_from(joined)
    each = pairs.where(visit.c.outcome.not_in(SUCCESSES)).subquery()
    names = each.c.source, each.c.outcome, each.c.error
    counts = func.count().label("targets"), func.min(each.c.since).label("since"), func.max(each.c.failures).label("failures")
    return select(*names, *counts, func.max(each.c.visit_id).label("visit_id")).group_by(*names).order_by("since", *names)
