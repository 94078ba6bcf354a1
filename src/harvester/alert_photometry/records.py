"""What brokers send, brought to one shape: records in JSON as a table of text, ids, flags."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harvester.errors import Malformed
from harvester.payload import NULL_WORDS, Payload, number, numpy, read_json, text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Truths = NDArray[np.bool_]


def records(payload: Payload, found: Any, *required: str, names: Mapping[str, str] | None = None) -> pa.Table:
    """Return a list of JSON objects as a table of text, null where a key is missing or says nothing; whole numbers keep every digit.

    An object inside an object lends it the keys that it has not itself. `names` translates the service's words; words that it lacks stay.
    Raises Malformed for what is no list of objects, and for objects of which none has one of the `required` keys (translated).
    """
    if not isinstance(found, list) or not all(isinstance(record, dict) for record in found):
        raise Malformed(f"{payload.source}: expected a list of measurements.", f"Received: {str(found)[:100]}", payload=payload)
    flat = [
        {key: value for inner in record.values() if isinstance(inner, dict) for key, value in inner.items()} | record for record in found
    ]
    translated = [{(names or {}).get(key, key): value for key, value in record.items() if not isinstance(value, dict)} for record in flat]
    lacking = sorted(name for name in required if translated and not any(name in record for record in translated))
    if lacking:
        raise Malformed(
            f"{payload.source}: measurements lack: {', '.join(lacking)}.",
            hint="The service has changed, or cut its answer.",
            payload=payload,
        )
    keys = dict.fromkeys([*required, *(key for record in translated for key in record)])
    return pa.table({key: pa.array([word(record.get(key)) for record in translated], pa.string()) for key in keys})


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
    rows: pa.Table, totals: Truths, told: Iterable[str], mixed: Truths | None = None, *, words: Mapping[str, Truths] | None = None
) -> pa.Array:
    """Return, as text: which sort of brightness, the flags that are set, and what else the survey tells of the measurement."""
    said: list[tuple[str, Sequence[str | None]]] = [(name, column(rows, name).to_pylist()) for name in told if name in rows.column_names]
    raised = {"mixed": np.zeros(rows.num_rows, bool) if mixed is None else mixed, **(words or {})}
    lines = []
    for place in range(rows.num_rows):
        line = ["total" if totals[place] else "difference", *(name for name, here in raised.items() if here[place])]
        lines.append(" ".join([*line, *(f"{name}={values[place]}" for name, values in said if values[place] is not None)]))
    return pa.array(lines, pa.string())


def floats(rows: pa.Table, name: str) -> Floats:
    """Return a column of text as numbers, NaN where there is none; text that is no number is infinite."""
    return numpy(number(column(rows, name)))


def column(rows: pa.Table, name: str) -> pa.ChunkedArray:
    """Return a column of text, nulls where a road does not have it."""
    return text(rows[name]) if name in rows.column_names else pa.chunked_array([pa.nulls(rows.num_rows, pa.string())])


def nullable(values: Floats) -> pa.Array:
    """Return numbers as a column, null for NaN."""
    return pa.array(values, pa.float64(), from_pandas=True)


def word(value: Any) -> str | None:
    """Return a JSON value as text, None for nothing; floats keep every digit."""
    word = repr(value) if isinstance(value, float) else str(value)
    return None if value is None or word in NULL_WORDS else word
