"""What a visit leaves of how its rows came: payloads, requests, and what was known of the objects around."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlalchemy import Connection, bindparam, func, select

from harvester.elsewhere import Elsewhere
from harvester.payload import SkyObject
from harvester.store.prepared import Missing, Prepared
from harvester.store.rows import clean
from harvester.store.tables import payload, request, sky_objects

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harvester.payload import Payload

_HELD = Prepared(select(payload.c.id, func.length(payload.c.body).is_(None)).where(payload.c.sha256 == bindparam("sha256")))
"""The id of a payload by its hash, and whether its body was pruned: asked by length, for which SQLite need not read the body."""
_ARCHIVE = Missing(payload, "sha256", "size", "body")
_KEEP_LIST = Missing(sky_objects, "sha256", "objects")
_LIST = Prepared(select(sky_objects.c.id).where(sky_objects.c.sha256 == bindparam("sha256")))
_REQUEST = Prepared(request.insert().inline(), *(column.name for column in request.columns if column.name != "id"))


def held(connection: Connection, sha256: str) -> int | None:
    """Return the id of a payload that the archive has, body and all; None for any other."""
    found = _HELD.one(connection, sha256=sha256)
    return None if found is None or found[1] else int(found[0])


def archived(connection: Connection, answer: Payload) -> int:
    """Return the id of a payload; one that is new is kept, and a body that was pruned and has come again is put back."""
    found, here = _HELD.one(connection, sha256=answer.sha256), not isinstance(answer, Elsewhere)
    if found is None:
        _ARCHIVE(connection, sha256=answer.sha256, size=len(answer.body), body=compressed(answer.body) if here else None)
        (found,) = _HELD.all(connection, sha256=answer.sha256)
    elif found[1] and here:
        connection.execute(payload.update().where(payload.c.id == found[0]), {"body": compressed(answer.body)})
    return int(found[0])


def keep_requests(connection: Connection, answers: Sequence[Payload], payload_ids: Sequence[int | None], visit_id: int) -> None:
    """Record how each payload (its id in the store beside it) was asked for, and what `fetch` said of it."""
    for answer, payload_id in zip(answers, payload_ids, strict=True):
        _REQUEST(connection, **request_row(connection, answer, payload_id, visit_id))


def request_row(connection: Connection, answer: Payload, payload_id: int | None, visit_id: int) -> dict[str, Any]:
    """Return how a payload was asked for as a row, without its own id; its list of objects is kept."""
    return {
        **{name: clean(getattr(answer, name)) for name in ("url", "content_type", "time", "role", "doubt")},
        "params": clean(json.dumps(dict(answer.params), default=str, ensure_ascii=False)),
        "visit_id": visit_id,
        "payload_id": payload_id,
        "sky_objects_id": _list_id(connection, answer),
    }


def compressed(body: bytes) -> bytes:
    """Return a body as the archive keeps it."""
    return bytes(pa.compress(body, codec="zstd", asbytes=True))


def _list_id(connection: Connection, answer: Payload) -> int | None:
    """Return the id of the answer's list of objects, None where it has none; a list that is new is added."""
    if not answer.objects:
        return None
    key, text = _as_list(tuple(answer.objects))
    found = _LIST.one(connection, sha256=key)
    if found is None:
        _KEEP_LIST(connection, sha256=key, objects=text)
        (found,) = _LIST.all(connection, sha256=key)
    return int(found[0])


@lru_cache(maxsize=64)
def _as_list(things: tuple[SkyObject, ...]) -> tuple[str, str]:
    """Return the hash and the text of a list of objects: the visits of a batch share one."""
    names = [field.name for field in fields(SkyObject)]
    told = [[getattr(thing, name) for name in (names if thing.survey else names[:-1])] for thing in things]
    text = json.dumps(told)
    return hashlib.sha256(text.encode()).hexdigest(), text
