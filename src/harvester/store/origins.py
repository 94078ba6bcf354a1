"""How every point of a light curve came: by which run, from which payload and request, and how often it was revised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, func, select

from harvester.store.rows import fetch
from harvester.store.tables import measurement, passband, payload, request, run, superseded
from harvester.store.targets import get

if TYPE_CHECKING:
    from collections.abc import Mapping

ORIGINS = pa.schema(
    [("revisions", pa.int64()), ("run", pa.int64()), ("received", pa.string()), ("sha256", pa.string()), ("url", pa.string())]
)
"""Older versions of the point in the store, the run that wrote it and when that began, and of its payload the hash and the newest request."""
KEY = pa.schema([("filter_id", pa.int64()), ("observation_id", pa.string())])
BORN = pa.schema([*KEY, ("run_id", pa.int64()), ("payload_id", pa.int64())])


def origins(connection: Connection, name: str, light_curve: pa.Table) -> pa.Table:
    """Return a row (ORIGINS) for each row of a light curve of that target; null is what is not on record. Raises StoreError."""
    target_id = get(connection, name)
    born = _of_target(connection, measurement, target_id, BORN)
    older = _of_target(connection, superseded, target_id, KEY)
    labels = dict(connection.execute(select(passband.c.label, passband.c.id)).all())
    wanted = _key(_looked_up(light_curve["filter"], labels, pa.int64()), light_curve["observation_id"])
    rows = born.take(pc.index_in(wanted, value_set=_key(born["filter_id"], born["observation_id"])))
    counted = pc.value_counts(_key(older["filter_id"], older["observation_id"]))
    revisions = counted.field("counts").take(pc.index_in(wanted, value_set=counted.field("values")))
    runs = dict(connection.execute(select(run.c.id, run.c.started)).all())
    hashes, urls = _payloads(connection, pc.unique(rows["payload_id"]).drop_null().to_pylist())
    columns = [
        pc.fill_null(revisions, pa.scalar(0, revisions.type)).cast(pa.int64()),
        rows["run_id"],
        _looked_up(rows["run_id"], runs, pa.string()),
        _looked_up(rows["payload_id"], hashes, pa.string()),
        _looked_up(rows["payload_id"], urls, pa.string()),
    ]
    return pa.table(columns, schema=ORIGINS)


def _of_target(connection: Connection, table: Any, target_id: int, schema: pa.Schema) -> pa.Table:
    return fetch(connection, select(*(table.c[name] for name in schema.names)).where(table.c.target_id == target_id), schema)


def _payloads(connection: Connection, ids: list[int]) -> tuple[dict[int, str], dict[int, str]]:
    """Return hash, and URL of the newest request, of payloads by id; asked by range, as they may be more than a statement takes."""
    if not ids:
        return {}, {}
    near, wanted = payload.c.id.between(min(ids), max(ids)), set(ids)
    hashes = {number: word for number, word in connection.execute(select(payload.c.id, payload.c.sha256).where(near)) if number in wanted}
    newest = select(func.max(request.c.id)).where(request.c.payload_id.between(min(ids), max(ids))).group_by(request.c.payload_id)
    asked = connection.execute(select(request.c.payload_id, request.c.url).where(request.c.id.in_(newest)))
    return hashes, {number: url for number, url in asked if number in wanted}


def _looked_up(column: Any, known: Mapping[Any, Any], kind: pa.DataType) -> Any:
    kinds = pa.string() if all(isinstance(key, str) for key in known) else pa.int64()
    return pa.array(list(known.values()), kind).take(pc.index_in(column.cast(kinds), value_set=pa.array(list(known), kinds)))


def _key(filters: Any, observations: Any) -> Any:
    words = pc.binary_join_element_wise(filters.cast(pa.string()), observations, ":")
    return words.combine_chunks() if isinstance(words, pa.ChunkedArray) else words
