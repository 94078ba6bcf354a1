"""Earlier states of the store, what changed between two of them, and where a point comes from.

Nothing is ever overwritten: a revised row moves to `photometry_version` with the run that replaced it. A row belongs to the visit of its run,
target and source, which was stored in one transaction; so a state is the set of visits that were stored by then.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, func, select

from harvester.errors import StoreError, UsageError
from harvester.store.archive import Answer, Chain, newest_answers
from harvester.store.origins import origins
from harvester.store.rows import fetch
from harvester.store.tables import GIVEN, KEY, ROW, measurement, passband, payload, request, run, source, superseded, visit
from harvester.store.targets import get, named

if TYPE_CHECKING:
    from harvester.store.connection import Database

VALUES = (*GIVEN, "bjd_tdb")
SUPERSEDED = ROW.append(pa.field("replaced_by_run", pa.int64()))
RUNS = 1 << 31
"""More than the ids of runs, and a source's id above it: both in one number."""


@dataclass(frozen=True, slots=True)
class State:
    """The store as it was at a moment (ISO 8601, UTC), or when a run had ended: then `run` is its number."""

    moment: str
    run: int | None = None

    @property
    def name(self) -> str:
        """What the user reads."""
        return f"run {self.run}" if self.run else self.moment


def state(connection: Connection, text: str) -> State:
    """Return the state that "last", "last-1", the number of a run, or a date with or without time (UTC) means.

    A date is its beginning. Raises UsageError for text that is none of these, StoreError for a run that the store does not have.
    """
    counted = re.fullmatch(r"last(?:-(\d{1,9}))?", text.strip())
    if counted or re.fullmatch(r"\d{1,9}", text.strip()):
        numbers = select(run.c.id).order_by(run.c.id.desc()).offset(int(counted.group(1) or 0)) if counted else select(run.c.id)
        wanted = numbers if counted else numbers.where(run.c.id == int(text))
        found = connection.execute(wanted.limit(1)).scalar_one_or_none()
        if found is None:
            raise StoreError(f"there is no run '{text}' in the store.", hint="Runs are numbered from 1: harvest db info counts them.")
        return State(_end(connection, found), found)
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise UsageError(
            f"'{text}' is neither a run nor a date.", hint="Write 12, last, last-1, 2026-05-01 or 2026-05-01T12:00."
        ) from error
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return State(moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"))


def newest_change(connection: Connection, at: State | None) -> str:
    """Return when the last visit of a state was stored (of today's for None), empty when there was none."""
    newest = select(func.max(visit.c.time))
    return connection.execute(newest if at is None else newest.where(_by_then(at))).scalar_one() or ""


def newest_run(connection: Connection, at: State | None) -> int | None:
    """Return the newest run that had stored something in a state (today's for None), None when none had."""
    newest = select(func.max(visit.c.run_id))
    found: int | None = connection.execute(newest if at is None else newest.where(_by_then(at))).scalar_one()
    return found


def rows_at(connection: Connection, target_id: int, at: State) -> pa.Table:
    """Return the rows (tables.ROW) that a target had in a state, with the values of then."""
    stored = select(visit.c.run_id, visit.c.source_id).where(visit.c.target_id == target_id, _by_then(at))
    seen = pa.array([_code(run_id, source_id) for run_id, source_id in connection.execute(stored)], pa.int64())
    now = fetch(connection, select(measurement).where(measurement.c.target_id == target_id), ROW)
    columns = [superseded.c[name] for name in SUPERSEDED.names]
    before = fetch(connection, select(*columns).where(superseded.c.target_id == target_id), SUPERSEDED)
    gone = _is_in(before, "replaced_by_run", seen)
    then = before.filter(pc.and_(_is_in(before, "run_id", seen), pc.invert(gone))).select(ROW.names)
    return pa.concat_tables([now.filter(_is_in(now, "run_id", seen)), then])


def changes(connection: Connection, before: State, after: State, names: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """Yield a row per point that is new or has other values in `after` than in `before`, target by target.

    Keys: change ("added", "revised"), target, filter, source, observation_id, bjd_tdb, mag, run (that wrote it), and of revised points `old` and
    `new`: the columns that differ, with their values. Raises StoreError for an unknown target, UsageError if `after` is the earlier one.
    """
    if (after.moment, after.run or 0) < (before.moment, before.run or 0):
        raise UsageError(f"{before.name} is later than {after.name}.", hint="Give the earlier one as --from.")
    words = _words(connection)
    changed = select(visit.c.target_id).distinct().where(_by_then(after), ~_by_then(before), visit.c.new + visit.c.revised > 0)
    touched = set(connection.execute(changed).scalars())
    for target_id, name in named(connection, names).items():
        if target_id in touched:
            old, new = rows_at(connection, target_id, before), rows_at(connection, target_id, after)
            yield from ({"target": name} | row for row in _compared(old, new, words))


def answers_between(connection: Connection, before: State, after: State, names: Sequence[str] | None = None) -> list[Chain]:
    """Return the newest whole and successful answer, stored after `before` and by `after`, of each target and source: chains of one."""
    when = _by_then(after) & ~_by_then(before)
    return newest_answers(connection, when if names is None else when & visit.c.target_id.in_(named(connection, names)))


def covered(connection: Connection, chain: Chain, before: State, object_ids: list[str]) -> pa.Table:
    """Return the points of `before` (filter, observation_id, bjd_tdb, mag) that the answer of a chain would hold, were they still served.

    These are the points of the objects in the answer, and those found with no wider a search than its own.
    """
    (answer,) = chain.answers
    target_id, words = get(connection, chain.target), _words(connection)
    rows = rows_at(connection, target_id, before)
    source_id = next(number for number, name in words["source"].items() if name == chain.source)
    rows = rows.filter(pc.equal(rows["source_id"], source_id))
    no_wider = select(visit.c.run_id).where(visit.c.target_id == target_id, visit.c.source_id == source_id, _no_wider(answer))
    found = pa.array(sorted(set(connection.execute(no_wider).scalars())), pa.int64())
    known = pc.is_in(rows["object_id"], value_set=pa.array(object_ids, pa.string()))
    rows = rows.filter(pc.or_(known, pc.is_in(rows["run_id"], value_set=found)))
    labels = pa.array([words["filter"][number] for number in rows["filter_id"].to_pylist()], pa.string())
    return rows.select(["observation_id", "bjd_tdb", "mag"]).append_column("filter", labels)


def explained(connection: Connection, name: str, label: str, bjd_tdb: float) -> dict[str, Any]:
    """Return all that is known of the point of a target in a filter that is nearest to an epoch (full JD, TDB).

    Keys: point (columns of a light curve), versions (older values, oldest first: values that differ from the next, run, replaced_by_run,
    replaced_at), run, visit, payload and requests (newest last). Raises StoreError for an unknown target or a filter without points.
    """
    target_id, words = get(connection, name), _words(connection)
    mine = measurement.c.target_id == target_id, measurement.c.filter_id.in_([n for n, word in words["filter"].items() if word == label])
    near = func.abs(func.coalesce(measurement.c.bjd_tdb, 0.0) - bjd_tdb), measurement.c.observation_id
    row = connection.execute(select(measurement).where(*mine).order_by(*near).limit(1)).mappings().one_or_none()
    if row is None:
        raise StoreError(f"'{name}' has no points in '{label}'.", hint=f"What there is: harvest status --target '{name}'")
    whole = dict(row)
    point = {"target": name, "filter": label, "source": words["source"][row["source_id"]]} | {
        key: whole[key] for key in (*KEY[1:], *VALUES)
    }
    seen = (visit.c.run_id == row["run_id"]) & (visit.c.target_id == target_id) & (visit.c.source_id == row["source_id"])
    asked = [visit.c[key] for key in ("time", "outcome", "radius", "since", "until", "source_version")]
    found = connection.execute(select(*asked).where(seen)).mappings().first()
    return {
        "point": point,
        "versions": _versions(connection, whole),
        "run": dict(connection.execute(select(run).where(run.c.id == row["run_id"])).mappings().one()),
        "visit": dict(found) if found else None,
        **_provenance(connection, whole),
    }


def _versions(connection: Connection, row: dict[str, Any]) -> list[dict[str, Any]]:
    here = [superseded.c[name] == row[name] for name in ("target_id", *KEY)]
    older = [dict(found) for found in connection.execute(select(superseded).where(*here)).mappings()]
    older.sort(key=lambda version: (version["run_id"], version["replaced_by_run"]))
    return [
        {key: version[key] for key in ("run_id", "replaced_by_run", "replaced_at")}
        | {"old": {key: version[key] for key in VALUES if version[key] != newer[key]}}
        | {"new": {key: newer[key] for key in VALUES if version[key] != newer[key]}}
        for version, newer in zip(older, [*older, row][1:], strict=True)
    ]


def _provenance(connection: Connection, row: dict[str, Any]) -> dict[str, Any]:
    what = select(payload.c.sha256, payload.c.size, payload.c.body.is_not(None).label("kept")).where(payload.c.id == row["payload_id"])
    found = connection.execute(what).mappings().one_or_none()
    how = [request.c[key] for key in ("time", "url", "params", "content_type", "role", "doubt")]
    here = (visit.c.target_id == row["target_id"]) & (visit.c.source_id == row["source_id"]) & (request.c.payload_id == row["payload_id"])
    asked = connection.execute(select(*how, visit.c.run_id).select_from(request.join(visit)).where(here).order_by(request.c.id)).mappings()
    requests = [dict(one) | {"params": json.loads(one["params"])} for one in asked]
    return {"payload": dict(found) | {"kept": bool(found["kept"])} if found else None, "requests": requests}


def _compared(old: pa.Table, new: pa.Table, words: dict[str, dict[int, str]]) -> Iterator[dict[str, Any]]:
    ordered = new.sort_by([("bjd_tdb", "ascending"), *((name, "ascending") for name in KEY)])
    place = pc.index_in(_key(ordered), value_set=_key(old)).to_numpy(zero_copy_only=False)
    added = np.isnan(place) if place.dtype.kind == "f" else np.zeros(len(place), bool)
    written = pc.not_equal(ordered["run_id"], old["run_id"].take(pa.array(place, pa.int32(), from_pandas=True)))
    for index in np.flatnonzero(added | written.fill_null(True).to_numpy()):
        row = ordered.slice(index, 1).to_pylist()[0]
        told = {"filter": words["filter"][row["filter_id"]], "source": words["source"][row["source_id"]], "run": row["run_id"]}
        told |= {name: row[name] for name in ("observation_id", "bjd_tdb", "mag")}
        if added[index]:
            yield {"change": "added"} | told
            continue
        was = old.slice(int(place[index]), 1).to_pylist()[0]
        differing = [name for name in VALUES if was[name] != row[name]]
        if differing:
            values = {"old": {name: was[name] for name in differing}, "new": {name: row[name] for name in differing}}
            yield {"change": "revised"} | told | values


def _by_then(at: State) -> Any:
    """Return the condition on `visit` for what was stored in a state; of runs that overlapped, what the later one had stored by then."""
    if at.run is None:
        return visit.c.time <= at.moment
    return (visit.c.time <= at.moment) & ((visit.c.run_id <= at.run) | (visit.c.time < at.moment))


def _end(connection: Connection, run_id: int) -> str:
    """Return when a run had ended; for one that was killed, or still runs, when its last visit was stored."""
    row = connection.execute(select(run.c.started, run.c.ended).where(run.c.id == run_id)).one()
    last = connection.execute(select(func.max(visit.c.time)).where(visit.c.run_id == run_id)).scalar_one()
    return str(row.ended or last or row.started)


def _no_wider(answer: Answer) -> Any:
    return visit.c.radius.is_(None) | (visit.c.radius <= answer.radius) if answer.radius is not None else visit.c.id.is_not(None)


def _words(connection: Connection) -> dict[str, dict[int, str]]:
    filters, sources = select(passband.c.id, passband.c.label), select(source.c.id, source.c.name)
    return {"filter": dict(connection.execute(filters).all()), "source": dict(connection.execute(sources).all())}


def _code(run_id: int, source_id: int) -> int:
    return source_id * RUNS + run_id


def _is_in(rows: pa.Table, by: str, seen: pa.Array) -> Any:
    return pc.is_in(pc.add(pc.multiply(rows["source_id"], RUNS), rows[by]), value_set=seen)


def _key(rows: pa.Table) -> Any:
    words: Any = [pc.cast(rows[name], pa.string()) for name in KEY]
    return pc.binary_join_element_wise(*words, ":")


class Past:
    """The history of one store: the functions of this module, each in a transaction of its own. Raises StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def state(self, text: str) -> State:
        """Return the state that a word of the user means (see `state`)."""
        with self._database.reading() as connection:
            return state(connection, text)

    def newest_change(self, at: State | None = None) -> str:
        """Return when the last visit of a state, or of today's, was stored."""
        with self._database.reading() as connection:
            return newest_change(connection, at)

    def newest_run(self, at: State | None = None) -> int | None:
        """Return the newest run that had stored something in a state, or by today."""
        with self._database.reading() as connection:
            return newest_run(connection, at)

    def changes(self, before: State, after: State, names: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """Yield what differs between two states (see `changes`)."""
        with self._database.reading() as connection:
            yield from changes(connection, before, after, names)

    def answers_between(self, before: State, after: State, names: Sequence[str] | None = None) -> list[Chain]:
        """Return the newest whole answers between two states (see `answers_between`)."""
        with self._database.reading() as connection:
            return answers_between(connection, before, after, names)

    def covered(self, chain: Chain, before: State, object_ids: list[str]) -> pa.Table:
        """Return the points that an answer would hold (see `covered`)."""
        with self._database.reading() as connection:
            return covered(connection, chain, before, object_ids)

    def origins(self, name: str, light_curve: pa.Table) -> pa.Table:
        """Return how each point of a light curve came (see `origins.origins`)."""
        with self._database.reading() as connection:
            return origins(connection, name, light_curve)

    def explained(self, name: str, label: str, bjd_tdb: float) -> dict[str, Any]:
        """Return where a point comes from (see `explained`)."""
        with self._database.reading() as connection:
            return explained(connection, name, label, bjd_tdb)
