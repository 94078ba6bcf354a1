"""Earlier states of the store, what changed between two of them, and where a point comes from.

What a state is, and which rows it had, is told by `harvester.store.states`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, exists, func, select

from harvester.errors import StoreError, UsageError
from harvester.store.archive import Answer, Chain, newest_answers
from harvester.store.origins import origins
from harvester.store.states import State, by_then, filters_at, newest_change, newest_run, rows_at, state
from harvester.store.tables import BIRTH, GIVEN, KEY, measurement, passband, payload, request, run, source, superseded, visit
from harvester.store.targets import get, named

if TYPE_CHECKING:
    from harvester.store.connection import Database

VALUES = (*GIVEN, "bjd_tdb")


def changes(connection: Connection, before: State, after: State, names: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """Yield a row per point that is new or has other values in `after` than in `before`, target by target.

    Keys: change ("added", "revised"; "withdrawn" of limits, see `harvester.store.exposures`), target, filter, source, observation_id, bjd_tdb, mag,
    run (that wrote it), and of revised points `old` and `new`: the columns that differ, with their values. Raises StoreError for an unknown
    target, UsageError if `after` is the earlier one.
    """
    if after.is_before(before):
        raise UsageError(f"{before.name} is later than {after.name}.", hint="Give the earlier one as --from.")
    words = _words(connection)
    changed = select(visit.c.target_id).distinct().where(by_then(after), ~by_then(before), visit.c.new + visit.c.revised > 0)
    touched = set(connection.execute(changed).scalars())
    for target_id, name in named(connection, names).items():
        if target_id in touched:
            old, new = rows_at(connection, target_id, before), rows_at(connection, target_id, after)
            yield from ({"target": name} | row for row in _compared(old, new, words))


def answers_between(connection: Connection, before: State, after: State, names: Sequence[str] | None = None) -> list[Chain]:
    """Return the newest whole and successful answer, stored after `before` and by `after`, of each target and source: chains of one."""
    when = by_then(after) & ~by_then(before)
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
    brought = exists().where(request.c.visit_id == visit.c.id, request.c.payload_id == row["payload_id"])
    found = connection.execute(select(*asked).where(seen).order_by(brought.desc(), visit.c.id)).mappings().first()
    return {
        "point": point,
        "versions": _versions(connection, whole),
        "run": dict(connection.execute(select(run).where(run.c.id == row["run_id"])).mappings().one()),
        "visit": dict(found) if found else None,
        **_provenance(connection, whole),
    }


def _versions(connection: Connection, row: dict[str, Any]) -> list[dict[str, Any]]:
    here = [superseded.c[name] == row[name] for name in ("target_id", *KEY)]
    older = [dict(found) for found in connection.execute(select(superseded).where(*here).order_by(superseded.c.id)).mappings()]
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
    found = pa.array(place, pa.int32(), from_pandas=True)
    by_run, by_payload = (pc.not_equal(ordered[name], old[name].take(found)) for name in BIRTH)
    written: Any = pc.or_(by_run, by_payload)
    for index in np.flatnonzero(added | written.fill_null(True).to_numpy()):
        row = ordered.slice(index, 1).to_pylist()[0]
        told = _told(row, words)
        if added[index]:
            yield {"change": "added"} | told
            continue
        was = old.slice(int(place[index]), 1).to_pylist()[0]
        differing = [name for name in VALUES if was[name] != row[name]]
        if differing:
            values = {"old": {name: was[name] for name in differing}, "new": {name: row[name] for name in differing}}
            yield {"change": "revised"} | told | values
    withdrawn = old.filter(pc.invert(pc.is_in(_key(old), value_set=_key(new)))).sort_by("bjd_tdb")
    yield from ({"change": "withdrawn"} | _told(row, words) for row in withdrawn.to_pylist())


def _told(row: dict[str, Any], words: dict[str, dict[int, str]]) -> dict[str, Any]:
    told = {"filter": words["filter"][row["filter_id"]], "source": words["source"][row["source_id"]], "run": row["run_id"]}
    return told | {name: row[name] for name in ("observation_id", "bjd_tdb", "mag")}


def _no_wider(answer: Answer) -> Any:
    return visit.c.radius.is_(None) | (visit.c.radius <= answer.radius) if answer.radius is not None else visit.c.id.is_not(None)


def _words(connection: Connection) -> dict[str, dict[int, str]]:
    filters, sources = select(passband.c.id, passband.c.label), select(source.c.id, source.c.name)
    return {"filter": dict(connection.execute(filters).all()), "source": dict(connection.execute(sources).all())}


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

    def filters(self, at: State, names: Sequence[str] | None = None) -> list[str]:
        """Return the filters in which targets had points in a state (see `states.filters_at`)."""
        with self._database.reading() as connection:
            return filters_at(connection, names, at)

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
