"""Between a measurement as one knows it (tables.ROW) and as `photometry` holds it (tables.STORED).

What many rows repeat is stored once: target, filter, source, object, facility and observer in `series`, flags in `flags`. An observation_id
that begins with the object's id, as most that a survey did not give itself, is stored without that beginning. Both ways are exact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, Table, select

from harvester.store.rows import fetch, insert_missing
from harvester.store.tables import FROM_OBJECT, ROW, STORED, VERBATIM, flags, series

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

SERIES = ("target_id", "filter_id", "source_id", "object_id", "facility", "observer")
LONG_NUMBER = 7
"""Flags from the first word with a point or so many digits on are a row's own: a number measured, a time, an id."""
MOST_PARAMETERS = 10_000
SERIES_ROW = pa.schema([("id", pa.int64())] + [ROW.field(name) for name in SERIES])
FLAGS_ROW = pa.schema([("id", pa.int64()), ("text", pa.string())])


def encoded(connection: Connection, rows: pa.Table) -> pa.Table:
    """Return rows (ROW, of one target) as `photometry` holds them (STORED); series and flags that are new are added."""
    shared, own = _split(rows["flags"])
    columns = {
        "series_id": _series_ids(connection, rows),
        "observation": _shortened(rows["observation_id"], rows["object_id"]),
        "flags_id": _flags_ids(connection, shared),
        "flags_rest": own,
    }
    return pa.table([columns[name] if name in columns else rows[name] for name in STORED.names], schema=STORED)


def decoded(connection: Connection, stored: pa.Table) -> pa.Table:
    """Return rows of `photometry` or `photometry_version` (STORED, further columns are left out) as ROW."""
    lines = _by_id(connection, series, SERIES_ROW, stored["series_id"])
    texts = _by_id(connection, flags, FLAGS_ROW, stored["flags_id"])
    at = pc.index_in(stored["series_id"], value_set=lines["id"])
    columns = {name: lines[name].take(at) for name in SERIES}
    columns["observation_id"] = _lengthened(stored["observation"], columns["object_id"])
    columns["flags"] = _joined(texts["text"].take(pc.index_in(stored["flags_id"], value_set=texts["id"])), stored["flags_rest"])
    return pa.table([columns[name] if name in columns else stored[name] for name in ROW.names], schema=ROW)


def series_of(connection: Connection, target_id: int, filter_ids: list[int]) -> dict[int, int]:
    """Return the series that a target has in some filters, with the filter of each.

    Numbers rather than a subquery: PostgreSQL would read the whole of `photometry` for one, before its statistics are made.
    """
    found = select(series.c.id, series.c.filter_id).where(series.c.target_id == target_id, series.c.filter_id.in_(filter_ids))
    return dict(connection.execute(found).all())


def _split(words: Any) -> tuple[Any, Any]:
    """Return the part of every text that rows share, and from its first own word on the part that is its own: null where there is none."""
    coded = _one_chunk(words).dictionary_encode()
    if not len(coded.dictionary):
        return words, words
    offsets, data = _bytes_of(coded.dictionary)
    cuts = _own_words(offsets, data)
    is_shared = np.zeros(len(data) + 1, np.int8)
    np.add.at(is_shared, offsets[:-1], 1)
    np.add.at(is_shared, cuts, -1)
    here = np.cumsum(is_shared[:-1], dtype=np.int8).astype(bool)
    shared, own = _texts(data[here], cuts - offsets[:-1]), _texts(data[~here], offsets[1:] - cuts)
    none = pa.scalar(None, pa.string())
    own_or_none = pc.if_else(pa.array(cuts < offsets[1:]), own, none)
    shared_or_none = pc.if_else(pa.array((cuts > offsets[:-1]) | (cuts == offsets[1:])), shared, none)
    return shared_or_none.take(coded.indices), own_or_none.take(coded.indices)


def _own_words(offsets: NDArray[np.int64], data: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return where, in the bytes of texts end to end, the first own word of each begins; its end where it has none."""
    is_digit = (data >= ord("0")) & (data <= ord("9"))
    ends = max(len(data) - LONG_NUMBER + 1, 0)
    runs = np.flatnonzero(np.logical_and.reduce([is_digit[place:][:ends] for place in range(LONG_NUMBER)]))
    long = runs[_row(offsets, runs) == _row(offsets, runs + LONG_NUMBER - 1)]
    marks = np.sort(np.concatenate([np.flatnonzero(data == ord(".")), long]))
    rows = _row(offsets, marks)
    first = np.flatnonzero(np.diff(rows, prepend=-1))
    spaces = np.append(-1, np.flatnonzero(data == ord(" ")))
    begins = np.maximum(spaces[np.searchsorted(spaces, marks[first]) - 1] + 1, offsets[rows[first]])
    cuts = offsets[1:].copy()
    cuts[rows[first]] = begins
    return cuts


def _row(offsets: NDArray[np.int64], places: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.searchsorted(offsets, places, side="right") - 1


def _bytes_of(words: Any) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Return texts, none null, end to end as bytes, and where each begins and the last ends."""
    lengths = pc.binary_length(words).to_numpy()
    offsets = np.append(0, np.cumsum(lengths, dtype=np.int64))
    data = np.frombuffer(words.buffers()[2] or b"", np.uint8)
    return offsets, data[: offsets[-1]]


def _texts(data: NDArray[np.uint8], lengths: NDArray[np.int64]) -> Any:
    """Return bytes, end to end, as texts of given lengths."""
    offsets = np.append(0, np.cumsum(lengths)).astype(np.int32)
    return pa.StringArray.from_buffers(len(lengths), pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(data)))


def _joined(shared: Any, own: Any) -> Any:
    return pc.coalesce(pc.binary_join_element_wise(shared, own, ""), own, shared)


def _shortened(observations: Any, objects: Any) -> Any:
    """Replace the object's id, where an observation_id begins with it, by FROM_OBJECT; object by object, as a target has few."""
    coded = _one_chunk(objects).dictionary_encode()
    codes = pc.fill_null(coded.indices, -1).to_numpy()
    places = [np.flatnonzero(codes == code) for code in range(-1, len(coded.dictionary))]
    words = [None, *coded.dictionary.to_pylist()]
    parts = [_without(observations.take(here), word) for here, word in zip(places, words, strict=True)]
    return pa.chunked_array([chunk for part in parts for chunk in part.chunks], pa.string()).take(np.argsort(np.concatenate(places)))


def _without(observations: Any, word: str | None) -> Any:
    """Cut a word off the beginning of texts; mark texts that begin with a mark themselves."""
    marked = pc.or_(pc.starts_with(observations, FROM_OBJECT), pc.starts_with(observations, VERBATIM))
    whole = pc.if_else(marked, pc.binary_join_element_wise(VERBATIM, observations, ""), observations)
    if not word:
        return whole
    rest = pc.binary_join_element_wise(FROM_OBJECT, pc.utf8_slice_codeunits(observations, len(word)), "")
    return pc.if_else(pc.starts_with(observations, word), rest, whole)


def _lengthened(written: Any, objects: Any) -> Any:
    rest = pc.utf8_slice_codeunits(written, 1)
    verbatim = pc.if_else(pc.starts_with(written, VERBATIM), rest, written)
    return pc.if_else(pc.starts_with(written, FROM_OBJECT), pc.binary_join_element_wise(objects, rest, ""), verbatim)


def _series_ids(connection: Connection, rows: pa.Table) -> Any:
    """Return the series of every row; those that are new are added. The target is held by the caller: nobody else adds to it."""
    codes: NDArray[np.int64] = np.zeros(rows.num_rows, np.int64)
    for name in SERIES:
        coded = _one_chunk(rows[name]).dictionary_encode(null_encoding="encode")
        codes = codes * (len(coded.dictionary) + 1) + coded.indices.to_numpy()
    _, first, back = np.unique(codes, return_index=True, return_inverse=True)
    wanted = [tuple(row.values()) for row in rows.select(SERIES).take(first).to_pylist()]
    mine = select(*(series.c[name] for name in (*SERIES, "id"))).where(series.c.target_id.in_({row[0] for row in wanted}))
    known = {tuple(row[:-1]): row[-1] for row in connection.execute(mine)}
    missing = [dict(zip(SERIES, row, strict=True)) for row in wanted if row not in known]
    if missing:
        connection.execute(series.insert(), missing)
        known = {tuple(row[:-1]): row[-1] for row in connection.execute(mine)}
    return pa.array(np.array([known[row] for row in wanted], np.int64)[back])


def _flags_ids(connection: Connection, texts: Any) -> Any:
    """Return the id of every text, null for null; texts that are new are added, also when another process is adding them."""
    coded = _one_chunk(texts).dictionary_encode()
    words = coded.dictionary.to_pylist()
    known = _flags_known(connection, words)
    missing = [{"text": word} for word in sorted(set(words) - set(known))]
    if missing:
        connection.execute(insert_missing(connection, flags), missing)
        known |= _flags_known(connection, [row["text"] for row in missing])
    return pa.array([known[word] for word in words], pa.int64()).take(coded.indices)


def _flags_known(connection: Connection, words: list[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in _parts(words):
        found |= dict(connection.execute(select(flags.c.text, flags.c.id).where(flags.c.text.in_(part))).all())
    return found


def _by_id(connection: Connection, table: Table, schema: pa.Schema, ids: Any) -> pa.Table:
    wanted = pc.unique(ids).drop_null().to_pylist()
    columns = [table.c[name] for name in schema.names]
    found = [fetch(connection, select(*columns).where(table.c.id.in_(part)), schema) for part in _parts(wanted)]
    return pa.concat_tables([schema.empty_table(), *found]).combine_chunks()


def _parts(values: list[Any]) -> Iterator[list[Any]]:
    """Cut a list so that a statement can take every part as parameters."""
    return (values[start : start + MOST_PARAMETERS] for start in range(0, len(values), MOST_PARAMETERS))


def _one_chunk(column: Any) -> Any:
    """Return a column as one array."""
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
