"""The payload archive: what every source answered, by content, so that a point can be walked back and an answer be read again.

A payload is stored once however often it came; every time it came is a row of `request`. Pruning takes the body and leaves the hash and the
requests. Requests of one visit stay together: a replay needs an answer as whole as the source got it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlalchemy import Connection, Select, func, select

from harvester.errors import StoreError
from harvester.payload import Payload, SkyObject
from harvester.store.tables import payload, quarantine, request, run, sky_objects, source, target, visit
from harvester.store.targets import named
from harvester.store.visit import SUCCESSES

if TYPE_CHECKING:
    from harvester.store.connection import Database

SHORTEST_HASH = 4


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which requests: of targets and sources by name, of one run, that came `since` and before `until` (moments as the store writes them).

    None chooses all.
    """

    targets: Sequence[str] | None = None
    sources: Sequence[str] | None = None
    run: int | None = None
    since: str | None = None
    until: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What one visit got: its payloads' ids in order and what was asked; `windowed` is a question about a part of time.

    `shared_by` are the targets that shared the answer, first come first.
    """

    visit_id: int
    run_id: int
    payload_ids: tuple[int, ...]
    radius: float | None
    windowed: bool = False
    shared_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Chain:
    """Every answer that one source gave about one target, oldest first."""

    target: str
    source: str
    answers: tuple[Answer, ...]


def listed(connection: Connection, chosen: Chosen) -> list[dict[str, Any]]:
    """Return a row per request, oldest first: what came, from where, for whom, and whether its body is still there.

    Keys: sha256, size (bytes as received), stored (bytes as kept, None when pruned), source, source_version, target, run, time, url, params,
    content_type, role, doubt. Raises StoreError for an unknown target.
    """
    what = payload.c.sha256, payload.c.size, func.length(payload.c.body).label("stored")
    whose = source.c.name.label("source"), visit.c.source_version, target.c.name.label("target"), visit.c.run_id.label("run")
    how = (request.c[name] for name in ("time", "url", "params", "content_type", "role", "doubt"))
    found = _narrowed(connection, select(*what, *whose, *how), chosen).order_by(request.c.time, request.c.id)
    return [dict(row) | {"params": json.loads(row["params"])} for row in connection.execute(found).mappings()]


def body(connection: Connection, prefix: str) -> tuple[str, str, bytes | None]:
    """Return hash, content type and body of the payload whose hash begins so; the body is None when it was pruned. Raises StoreError."""
    like = payload.c.sha256.like(f"{prefix.lower()}%") if prefix.isalnum() and len(prefix) >= SHORTEST_HASH else payload.c.id.is_(None)
    found = connection.execute(select(payload.c.id, payload.c.sha256, payload.c.size, payload.c.body).where(like).limit(2)).all()
    if len(found) != 1:
        why = f"Several begin with '{prefix}'." if found else f"A hash, or at least its first {SHORTEST_HASH} characters, is needed."
        raise StoreError(f"no payload '{prefix}' in the store.", why, "All payloads: harvest payloads list")
    row = found[0]
    kind = select(request.c.content_type).where(request.c.payload_id == row.id).order_by(request.c.id.desc()).limit(1)
    return row.sha256, connection.execute(kind).scalar_one_or_none() or "", _unpacked(row.body, row.size)


def prunable(connection: Connection, before: str) -> tuple[int, int]:
    """Return how many bodies came last before a moment, and how many bytes they take in the store."""
    counted = select(func.count(), func.coalesce(func.sum(func.length(payload.c.body)), 0)).where(_old(before))
    count, size = connection.execute(counted).one()
    return count, size


def prune(connection: Connection, before: str) -> tuple[int, int]:
    """Remove bodies that came last before a moment; hashes, sizes and requests stay. Return how many, and the bytes freed."""
    freed = prunable(connection, before)
    connection.execute(payload.update().where(_old(before)), {"body": None})
    return freed


def chains(connection: Connection, chosen: Chosen) -> list[Chain]:
    """Return the answers of the chosen requests by target and source, and those that came after them.

    The later ones belong to it: values of an old answer must not come back over those of a newer one. Answers that several targets shared
    stand next to one another.
    """
    first: dict[tuple[int, int], int] = {}
    pairs = _narrowed(connection, select(visit.c.target_id, visit.c.source_id, func.min(visit.c.id)), chosen)
    for target_id, source_id, visit_id in connection.execute(pairs.group_by(visit.c.target_id, visit.c.source_id)):
        first[target_id, source_id] = visit_id
    found: dict[tuple[int, int], list[Answer]] = {pair: [] for pair in first}
    for pair, answer in _answers(connection, min(first.values(), default=0)):
        if pair in first and answer.visit_id >= first[pair]:
            found[pair].append(answer)
    names, sources = named(connection, None), dict(connection.execute(select(source.c.id, source.c.name)).all())
    made = [Chain(names[pair[0]], sources[pair[1]], tuple(answers)) for pair, answers in found.items()]
    return sorted(made, key=lambda chain: (chain.source, chain.answers[0].visit_id))


def newest_answers(connection: Connection, when: Any) -> list[Chain]:
    """Return the newest whole and successful answer of each target and source among the visits of a condition: chains of one answer."""
    believed = visit.c.since.is_(None) & visit.c.until.is_(None) & visit.c.outcome.in_(SUCCESSES)
    got = visit.c.id.in_(select(request.c.visit_id))
    newest = select(func.max(visit.c.id)).where(when, believed, got).group_by(visit.c.target_id, visit.c.source_id)
    wanted = set(connection.execute(newest).scalars())
    names, sources = named(connection, None), dict(connection.execute(select(source.c.id, source.c.name)).all())
    found = [(pair, answer) for pair, answer in _answers(connection, min(wanted, default=0)) if answer.visit_id in wanted]
    return [Chain(names[target_id], sources[source_id], (answer,)) for (target_id, source_id), answer in found]


def recorded(connection: Connection, answer: Answer, source_name: str) -> list[Payload] | None:
    """Return the payloads of an answer as `fetch` yielded them, None when one of them was pruned."""
    columns = request, payload.c.size, payload.c.body, sky_objects.c.objects
    joined = request.join(payload).outerjoin(sky_objects)
    rows = connection.execute(
        select(*columns).select_from(joined).where(request.c.visit_id == answer.visit_id).order_by(request.c.id)
    ).all()
    made = [_payload(row, source_name) for row in rows]
    return None if None in made else [one for one in made if one]


def quarantined(connection: Connection, targets: Sequence[str] | None, sources: Sequence[str] | None) -> list[dict[str, Any]]:
    """Return every row in quarantine: id, target, source, reason, row (what the survey said), run, time, sha256 of its payload (or None)."""
    columns = quarantine.c.id, target.c.name.label("target"), source.c.name.label("source"), quarantine.c.reason, quarantine.c.row
    found = (
        select(*columns, visit.c.run_id.label("run"), visit.c.time, payload.c.sha256, payload.c.body.is_not(None).label("releasable"))
        .select_from(quarantine.join(target).join(source).join(visit, visit.c.id == quarantine.c.visit_id).outerjoin(payload))
        .order_by(quarantine.c.id)
    )
    if targets is not None:
        found = found.where(quarantine.c.target_id.in_(named(connection, targets)))
    if sources is not None:
        found = found.where(source.c.name.in_(sources))
    return [
        dict(row) | {"row": json.loads(row["row"]), "releasable": bool(row["releasable"])} for row in connection.execute(found).mappings()
    ]


def _narrowed(connection: Connection, query: Select[*tuple[Any, ...]], chosen: Chosen) -> Select[*tuple[Any, ...]]:
    found = query.select_from(request.join(visit).join(payload).join(source, source.c.id == visit.c.source_id).join(target).join(run))
    if chosen.targets is not None:
        found = found.where(visit.c.target_id.in_(named(connection, chosen.targets)))
    if chosen.sources is not None:
        found = found.where(source.c.name.in_(chosen.sources))
    if chosen.run is not None:
        found = found.where(visit.c.run_id == chosen.run)
    if chosen.since is not None:
        found = found.where(request.c.time >= chosen.since)
    if chosen.until is not None:
        found = found.where(request.c.time < chosen.until)
    return found


def _answers(connection: Connection, first_visit: int) -> Iterator[tuple[tuple[int, int], Answer]]:
    """Yield (target id, source id) and Answer of every visit that got something, in the order of visits."""
    columns = [visit.c[name] for name in ("id", "run_id", "target_id", "source_id", "radius", "since", "until")]
    rows = connection.execute(
        select(*columns, target.c.name, request.c.payload_id)
        .select_from(visit.join(request, request.c.visit_id == visit.c.id).join(target))
        .where(visit.c.id >= first_visit)
        .order_by(visit.c.id, request.c.id)
    )
    answers = []
    sharing: dict[tuple[Any, ...], list[str]] = {}
    for _, parts in groupby(rows, key=lambda row: row.id):
        first, *rest = parts
        payload_ids = tuple(row.payload_id for row in (first, *rest))
        sharing.setdefault((first.run_id, first.source_id, payload_ids), []).append(first.name)
        answers.append((first, payload_ids))
    for row, payload_ids in answers:
        shared_by = tuple(sharing[row.run_id, row.source_id, payload_ids])
        windowed = row.since is not None or row.until is not None
        yield (row.target_id, row.source_id), Answer(row.id, row.run_id, payload_ids, row.radius, windowed, shared_by)


def _payload(row: Any, source_name: str) -> Payload | None:
    content = _unpacked(row.body, row.size)
    if content is None:
        return None
    objects = tuple(SkyObject(*values) for values in json.loads(row.objects or "[]"))
    told = {name: getattr(row, name) for name in ("url", "content_type", "time", "role", "doubt")}
    return Payload(content, params=json.loads(row.params), source=source_name, objects=objects, **told)


def _unpacked(kept: bytes | None, size: int) -> bytes | None:
    return None if kept is None else pa.decompress(bytes(kept), size, codec="zstd", asbytes=True)


def _old(before: str) -> Any:
    newest = select(func.max(request.c.time)).where(request.c.payload_id == payload.c.id).correlate(payload).scalar_subquery()
    return payload.c.body.is_not(None) & (newest < before)


class Archive:
    """The payloads and the quarantine of one store: the functions of this module, each in a transaction of its own. Raises StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def listed(self, chosen: Chosen) -> list[dict[str, Any]]:
        """Return a row per request (see `listed`)."""
        with self._database.reading() as connection:
            return listed(connection, chosen)

    def body(self, prefix: str) -> tuple[str, str, bytes | None]:
        """Return hash, content type and body of a payload (see `body`)."""
        with self._database.reading() as connection:
            return body(connection, prefix)

    def prune(self, before: str, *, dry_run: bool = False) -> tuple[int, int]:
        """Remove old bodies, or only count them; return how many and their bytes (see `prune`)."""
        if dry_run:
            with self._database.reading() as connection:
                return prunable(connection, before)
        with self._database.writing() as connection:
            return prune(connection, before)

    def chains(self, chosen: Chosen) -> list[Chain]:
        """Return the answers to read again (see `chains`)."""
        with self._database.reading() as connection:
            return chains(connection, chosen)

    def recorded(self, answer: Answer, source_name: str) -> list[Payload] | None:
        """Return an answer's payloads (see `recorded`)."""
        with self._database.reading() as connection:
            return recorded(connection, answer, source_name)

    def quarantined(self, targets: Sequence[str] | None = None, sources: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """Return the rows in quarantine (see `quarantined`)."""
        with self._database.reading() as connection:
            return quarantined(connection, targets, sources)
