"""What was done, run by run: the read side of `run` and `visit`."""

from __future__ import annotations

import re
from collections import defaultdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, Select, distinct, func, select

from harvester.errors import StoreError, UsageError
from harvester.store.living import dead
from harvester.store.tables import COUNTED, run, source, target, visit

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from harvester.store.connection import Database

WORDS = re.compile(r"(?P<number>\d{1,9})|last(?:-(?P<back>\d{1,9}))?")
RUNNING, DIED = "running", "died"
SUMMED = ("new", "revised", "quarantined")


def listed(database: Database, limit: int | None = None, *, brief: bool = False) -> list[dict[str, Any]]:
    """Return the runs, newest first, at most `limit` of them.

    Keys: run, started, ended (None while it runs, and for one that died), seconds, status (as stored; "died" for one that did not end, and on
    which nobody works any more), command, version, targets, sources, visits, outcomes (how many visits ended in each), new, revised and quarantined
    (rows). Those that have to be summed, and targets and sources, are 0 in a `brief` look.
    """
    return _found(database, select(run).order_by(run.c.id.desc()).limit(limit), brief=brief)


def number(connection: Connection, name: str) -> int:
    """Return the number of the run that "12", "last" or "last-1" means. Raises UsageError for another word, StoreError if there is none."""
    word = WORDS.fullmatch(name.strip())
    if not word:
        raise UsageError(f"'{name}' is no run.", hint="Write 12, last or last-1.  All runs: harvest runs list")
    newest = select(run.c.id).order_by(run.c.id.desc())
    wanted = newest.where(run.c.id == int(word["number"])) if word["number"] else newest.offset(int(word["back"] or 0))
    found = connection.execute(wanted.limit(1)).scalar_one_or_none()
    if found is None:
        raise StoreError(f"there is no run '{name}' in the store.", hint="All runs: harvest runs list")
    return int(found)


def some(database: Database, run_ids: Sequence[int]) -> list[dict[str, Any]]:
    """Return runs in the order given, as `listed` does. They must be there."""
    found = {row["run"]: row for row in _found(database, select(run).where(run.c.id.in_(run_ids)))}
    return [found[run_id] for run_id in run_ids]


def visits(connection: Connection, run_id: int) -> list[dict[str, Any]]:
    """Return what happened to every target and source of a run, in the order in which it was stored.

    Keys: target, source, outcome, error, message, time, seconds, since, until, new, revised, known, known_elsewhere, quarantined.
    """
    told = target.c.name.label("target"), source.c.name.label("source"), visit.c.outcome, visit.c.error_kind.label("error"), visit.c.message
    asked = visit.c.time, visit.c.seconds, visit.c.since, visit.c.until
    counts = (visit.c[name] for name in COUNTED)
    joined = visit.join(target).join(source)
    found = select(*told, *asked, *counts).select_from(joined).where(visit.c.run_id == run_id).order_by(visit.c.id)
    return [dict(row) for row in connection.execute(found).mappings()]


def _found(database: Database, wanted: Select[Any], *, brief: bool = False) -> list[dict[str, Any]]:
    """Read runs after it was seen which of them nobody works on: one that ended meanwhile is then known to have ended."""
    with database.reading() as connection:
        unended = [row.id for row in connection.execute(wanted) if row.status == RUNNING]
    gone = dead(database, unended)
    with database.reading() as connection:
        runs = connection.execute(wanted).all()
        return _told(connection, runs, gone, {} if brief else _sums(connection, [row.id for row in runs]))


def _told(
    connection: Connection, runs: Sequence[Row[Any]], gone: Collection[int], sums: Mapping[int, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    outcomes: dict[int, dict[str, int]] = defaultdict(dict)
    counted = select(visit.c.run_id, visit.c.outcome, func.count()).where(visit.c.run_id.in_([row.id for row in runs]))
    for run_id, outcome, count in connection.execute(counted.group_by(visit.c.run_id, visit.c.outcome)):
        outcomes[run_id][outcome] = count
    status = {row.id: DIED if row.status == RUNNING and row.id in gone else row.status for row in runs}
    none = dict.fromkeys(("targets", "sources", *SUMMED), 0)
    return [_line(row, outcomes[row.id], {**none, **sums.get(row.id, {})}) | {"status": status[row.id]} for row in runs]


def _sums(connection: Connection, run_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    of_whom = (func.count(distinct(visit.c[f"{name}_id"])).label(f"{name}s") for name in ("target", "source"))
    sums = (func.sum(visit.c[name]).label(name) for name in SUMMED)
    summed = select(visit.c.run_id, *of_whom, *sums).where(visit.c.run_id.in_(run_ids)).group_by(visit.c.run_id)
    return {row["run_id"]: dict(row) for row in connection.execute(summed).mappings()}


def _line(row: Row[Any], outcomes: Mapping[str, int], sums: Mapping[str, int]) -> dict[str, Any]:
    span = datetime.fromisoformat(row.ended) - datetime.fromisoformat(row.started) if row.ended else None
    return {
        "run": row.id,
        "started": row.started,
        "ended": row.ended,
        "seconds": span and round(span.total_seconds(), 3),
        "status": row.status,
        "command": row.command,
        "version": row.version,
        "targets": sums["targets"],
        "sources": sums["sources"],
        "visits": sum(outcomes.values()),
        "outcomes": dict(sorted(outcomes.items())),
        **{name: int(sums[name]) for name in SUMMED},
    }
