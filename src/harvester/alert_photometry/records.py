"""What brokers send, brought to one shape: records in JSON as a table of text, ids, flags."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harvester.errors import Malformed
from harvester.payload import NULL_WORDS, Payload, number, numpy, read_json, text
from harvester.schema import SECONDHAND

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Truths = NDArray[np.bool_]

DETECTED = 3.0
"""Sigma above which forced flux is a detection; below, the row is a limit that keeps its signed flux."""


def records(payload: Payload, found: Any, *required: str, names: Mapping[str, str] | None = None) -> pa.Table:
    """Return a list of JSON objects as a table of text, null where a key is missing or says nothing; whole numbers keep every digit.

    An object inside an object lends it the keys that it has not itself. `names` translates the service's words; words that it lacks stay.
    Raises Malformed for what is no list of objects, and for objects of which none has one of the `required` keys (translated).
    """
    if not isinstance(found, list) or not all(isinstance(record, dict) for record in found):
        raise Malformed(f"{payload.source}: expected a list of measurements.", f"Received: {str(found)[:100]}", payload=payload)
    columns: dict[str, list[Any]] = {}
    for key, values in _flat(found):
        name = (names or {}).get(key, key)
        before = columns.get(name)
        columns[name] = values if before is None else [old if new is None else new for old, new in zip(before, values, strict=True)]
    lacking = sorted(name for name in required if found and name not in columns)
    if lacking:
        raise Malformed(
            f"{payload.source}: measurements lack: {', '.join(lacking)}.",
            hint="The service has changed, or cut its answer.",
            payload=payload,
        )
    return pa.table({name: _texts(columns.get(name, [])) for name in dict.fromkeys([*required, *columns])})


def answered(payload: Payload) -> Any:
    """Return what a JSON body says, None for an empty one. Raises Malformed."""
    return read_json(payload) if payload.body.strip() else None


def epoch_ids(measured: pa.Table, mjd: Any = None) -> Any:
    """Return object and second of each row: exposures start at whole seconds, which survive every road's digits."""
    days = numpy(number(measured["mjd"]) if mjd is None else mjd)
    whole = np.isfinite(days)
    seconds = pa.array(np.round(np.where(whole, days, 0.0) * 86400.0).astype(np.int64), mask=~whole)
    return pc.binary_join_element_wise(text(measured["object_id"]), pc.cast(seconds, pa.string()), ":")


def flags(
    rows: pa.Table,
    totals: Truths,
    told: Iterable[str],
    mixed: Truths | None = None,
    *,
    words: Mapping[str, Truths] | None = None,
    history: Truths | None = None,
) -> pa.Array:
    """Return, as text: which sort of brightness, whether from memory, the flags that are set, what else the survey tells of the measurement."""
    nothing = pa.scalar(None, pa.string())
    raised = {SECONDHAND: history, "mixed": mixed, **(words or {})}
    parts: list[Any] = [pc.if_else(pa.array(totals, pa.bool_()), "total", "difference")]
    parts += [pc.if_else(pa.array(here), name, nothing) for name, here in raised.items() if here is not None and here.any()]
    said = [(name, _one_chunk(pc.cast(column(rows, name), pa.string()))) for name in told if name in rows.column_names]
    parts += [pc.binary_join_element_wise(f"{name}=", values, "") for name, values in said if values.null_count < len(values)]
    return pc.binary_join_element_wise(*parts, " ", null_handling="skip")


def floats(rows: pa.Table, name: str) -> Floats:
    """Return a column as numbers, NaN where there is none; text that is no number is infinite."""
    return numpy(number(column(rows, name)))


def column(rows: pa.Table, name: str) -> pa.ChunkedArray:
    """Return a column, of numbers as they are and of all else as text; nulls where a road does not have it."""
    if name not in rows.column_names:
        return pa.chunked_array([pa.nulls(rows.num_rows, pa.string())])
    found = rows[name]
    return found if pa.types.is_floating(found.type) or pa.types.is_integer(found.type) else text(found)


def beside(rows: pa.Table) -> dict[str, Any]:
    """Return the column that says which of many packets a row came in, where there is one: it goes along."""
    return {name: rows[name] for name in ("payload",) if name in rows.column_names}


def _one_chunk(values: Any) -> Any:
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values


def nullable(values: Floats) -> pa.Array:
    """Return numbers as a column, null for NaN."""
    return pa.array(values, pa.float64(), from_pandas=True)


def word(value: Any) -> str | None:
    """Return a JSON value as text, None for nothing; floats keep every digit."""
    word = repr(value) if isinstance(value, float) else str(value)
    return None if value is None or word in NULL_WORDS else word


def _flat(found: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, list[Any]]]:
    """Yield the keys of objects with a value for each, None where it has none; those of objects inside come first."""
    columns = {key: _values(found, key) for key in dict.fromkeys(chain.from_iterable(found))}
    inside = {key for key, values in columns.items() if dict in set(map(type, values))}
    for key in inside:
        yield from _flat([value if isinstance(value, dict) else {} for value in columns[key]])
        columns[key] = [None if isinstance(value, dict) else value for value in columns[key]]
    yield from ((key, values) for key, values in columns.items() if key not in inside or any(value is not None for value in values))


def _values(found: Sequence[Mapping[str, Any]], key: str) -> list[Any]:
    try:
        return list(map(itemgetter(key), found))
    except KeyError:
        return [record.get(key) for record in found]


def _texts(values: list[Any]) -> pa.Array:
    """Return JSON values as text, null for nothing; Arrow does it where they are of one kind."""
    try:
        typed = pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return pa.array([word(value) for value in values], pa.string())
    if pa.types.is_nested(typed.type):
        return pa.array([word(value) for value in values], pa.string())
    words = pc.if_else(typed, "True", "False") if pa.types.is_boolean(typed.type) else pc.cast(typed, pa.string())
    return pc.if_else(pc.is_in(words, value_set=pa.array(NULL_WORDS)), None, words)
