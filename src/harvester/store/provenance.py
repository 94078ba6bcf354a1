"""What a visit leaves of how its rows came: requests, what was known of the objects around, bodies that were pruned and came again."""

from __future__ import annotations

import hashlib
import json
from dataclasses import astuple
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlalchemy import Connection, select

from harvester.store.rows import clean, insert_missing
from harvester.store.tables import payload, request, sky_objects

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harvester.payload import Payload


def keep_requests(connection: Connection, answers: Sequence[Payload], payload_ids: Sequence[int], visit_id: int) -> None:
    """Record how each payload (its id in the store beside it) was asked for, and what `fetch` said of it."""
    if not answers:
        return
    lists = _listed(connection, answers)
    rows: list[dict[str, Any]] = [
        {name: clean(getattr(answer, name)) for name in ("url", "content_type", "time", "role", "doubt")}
        | {"params": clean(json.dumps(dict(answer.params), default=str, ensure_ascii=False))}
        | {"visit_id": visit_id, "payload_id": payload_id, "sky_objects_id": lists.get(_hash(_objects(answer)))}
        for answer, payload_id in zip(answers, payload_ids, strict=True)
    ]
    connection.execute(request.insert(), rows)
    _restore(connection, dict(zip(payload_ids, answers, strict=True)))


def compressed(body: bytes) -> bytes:
    """Return a body as the archive keeps it."""
    return bytes(pa.compress(body, codec="zstd", asbytes=True))


def _listed(connection: Connection, answers: Sequence[Payload]) -> dict[str, int]:
    """Return the ids of the answers' lists of objects by their hashes; lists that are new are added. An answer without objects has none."""
    texts = {_hash(text): text for text in map(_objects, answers) if text}
    if not texts:
        return {}
    connection.execute(insert_missing(connection, sky_objects), [{"sha256": key, "objects": text} for key, text in sorted(texts.items())])
    known = select(sky_objects.c.sha256, sky_objects.c.id).where(sky_objects.c.sha256.in_(texts))
    return dict(connection.execute(known).all())


def _objects(answer: Payload) -> str:
    return json.dumps([astuple(thing) for thing in answer.objects]) if answer.objects else ""


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _restore(connection: Connection, answers: dict[int, Payload]) -> None:
    """Put back bodies that were pruned and have now come again."""
    pruned = select(payload.c.id).where(payload.c.id.in_(answers), payload.c.body.is_(None))
    for payload_id in connection.execute(pruned).scalars().all():
        connection.execute(payload.update().where(payload.c.id == payload_id), {"body": compressed(answers[payload_id].body)})
