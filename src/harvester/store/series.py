"""Between a measurement as one knows it (tables.ROW) and as `photometry` holds it (tables.STORED).

What many rows repeat is stored once: target, filter, source, object, facility and observer in `series`, flags in `flags`. An observation_id
that begins with the object's id, as most that a survey did not give itself, is stored without that beginning. Both ways are exact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, Table, bindparam, select

from harvester.store.prepared import Numbered, Prepared, among
from harvester.store.rows import fetch, insert_missing, insert_numbered, tuples_of
from harvester.store.tables import FROM_OBJECT, ROW, STORED, VERBATIM, flags, series

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

SERIES = ("target_id", "filter_id", "source_id", "object_id", "facility", "observer")
TARGET, FILTER = SERIES.index("target_id"), SERIES.index("filter_id")
LONG_NUMBER = 7
"""Flags from the first word with a point or so many digits on are a row's own: a number measured, a time, an id."""
LONGEST_SHARED = 1_000
"""Bytes of flags that rows can share: PostgreSQL's index cannot hold texts much longer. What follows is a row's own."""
MOST_PARAMETERS = 10_000
SERIES_ROW = pa.schema([("id", pa.int64())] + [ROW.field(name) for name in SERIES])
FLAGS_ROW = pa.schema([("id", pa.int64()), ("text", pa.string())])
NOBODY = -1
"""An id that no series and no flags have."""
CONTINUES = 0x80
"""The two highest bits of a byte of UTF-8 that does not begin a character."""
FEW = 8
"""Texts that are looked up one by one."""


class Line(NamedTuple):
    """A series: its id, and how many points it has."""

    id: int
    points: int


Lines = dict[tuple[Any, ...], Line]
"""The series of one target, by what SERIES says of each."""
NO_LINE = Line(NOBODY, 0)
_LINES = Prepared(select(*(series.c[name] for name in (*SERIES, "id", "points"))).where(series.c.target_id == bindparam("target")))
_NEW_LINE = Numbered(series, *SERIES)
_FLAGS = Prepared(select(flags.c.id).where(flags.c.text == bindparam("word")))


def of_target(connection: Connection, target_id: int) -> Lines:
    """Return the series that a target has."""
    return {tuple(row[:-2]): Line(*row[-2:]) for row in _LINES.all(connection, target=target_id)}


def of_targets(connection: Connection, target_ids: list[int]) -> Lines:
    """Return the series that targets have."""
    rows = among(connection, series.c.target_id, target_ids, (*SERIES, "id", "points"))
    return {tuple(row[:-2]): Line(*row[-2:]) for row in rows}


def points(lines: Lines) -> dict[int, int]:
    """Return how many points every filter has, by its id."""
    totals: dict[int, int] = {}
    for key, line in lines.items():
        totals[key[FILTER]] = totals.get(key[FILTER], 0) + line.points
    return totals


def encoded(connection: Connection, rows: pa.Table, lines: Lines, *, add: bool = True) -> pa.Table:
    """Return rows (ROW, of one target) as `photometry` holds them (STORED).

    Series and flags that the store lacks are added, to `lines` as well; without `add` they get ids that no row has.
    """
    shared, own = _split(rows["flags"])
    columns = {
        "series_id": _series_ids(connection, rows, lines, add=add),
        "observation": _shortened(rows["observation_id"], rows["object_id"]),
        "flags_id": _flags_ids(connection, shared, add=add),
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


def _split(words: Any) -> tuple[Any, Any]:
    """Return the part of every text that rows share, and from its first own word on the part that is its own: null where there is none."""
    coded = _one_chunk(words).dictionary_encode()
    if not len(coded.dictionary):
        return words, words
    offsets, data = _bytes_of(coded.dictionary)
    cuts = _within_reach(_own_words(offsets, data), offsets, data)
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


def _within_reach(cuts: NDArray[np.int64], offsets: NDArray[np.int64], data: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the cuts, none more than LONGEST_SHARED behind where its text begins; a character of several bytes stays whole."""
    for row in np.flatnonzero(cuts - offsets[:-1] > LONGEST_SHARED):
        cut = offsets[row] + LONGEST_SHARED
        while data[cut] & 0xC0 == CONTINUES:
            cut -= 1
        cuts[row] = cut
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
    """Replace the object's id, where an observation_id begins with it, by FROM_OBJECT; texts that begin with a mark themselves are marked."""
    marked = pc.or_(pc.starts_with(observations, FROM_OBJECT), pc.starts_with(observations, VERBATIM))
    whole = pc.if_else(marked, pc.binary_join_element_wise(VERBATIM, observations, ""), observations)
    lengths = pc.utf8_length(objects)
    for length in pc.unique(lengths).to_pylist():  # ids of a survey have few lengths
        if length:
            begins = pc.and_(pc.equal(lengths, length), pc.equal(pc.utf8_slice_codeunits(observations, 0, length), objects))
            rest = pc.binary_join_element_wise(FROM_OBJECT, pc.utf8_slice_codeunits(observations, length), "")
            whole = pc.if_else(pc.fill_null(begins, False), rest, whole)
    return whole


def _lengthened(written: Any, objects: Any) -> Any:
    rest = pc.utf8_slice_codeunits(written, 1)
    verbatim = pc.if_else(pc.starts_with(written, VERBATIM), rest, written)
    return pc.if_else(pc.starts_with(written, FROM_OBJECT), pc.binary_join_element_wise(objects, rest, ""), verbatim)


def _series_ids(connection: Connection, rows: pa.Table, lines: Lines, *, add: bool) -> Any:
    """Return the series of every row. The target is held by the caller: nobody else adds to it."""
    codes: NDArray[np.int64] = np.zeros(rows.num_rows, np.int64)
    for name in SERIES:
        coded = _one_chunk(rows[name]).dictionary_encode(null_encoding="encode")
        if len(coded.dictionary) > 1:
            codes = codes * len(coded.dictionary) + coded.indices.to_numpy()
    first, back = _first_of_each(codes)
    wanted = tuples_of(rows.select(SERIES).take(first))
    if add:
        new = [key for key in dict.fromkeys(wanted) if key not in lines]
        numbers = (
            insert_numbered(connection, series, SERIES, new)
            if len(new) > FEW
            else [_NEW_LINE(connection, **dict(zip(SERIES, key, strict=True))) for key in new]
        )
        lines |= {key: Line(number, 0) for key, number in zip(new, numbers, strict=True)}
    return pa.array(np.array([lines.get(key, NO_LINE).id for key in wanted], np.int64)[back])


def _first_of_each(codes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where each code stands first, in the order of the codes, and the place of every code among these; as numpy's `unique`, but faster."""
    coded = pa.array(codes).dictionary_encode()
    known, places = coded.dictionary.to_numpy(), coded.indices.to_numpy()
    order, rank = np.argsort(known), np.empty(len(known), np.int64)
    rank[order] = np.arange(len(known))
    first = np.flatnonzero(np.diff(np.maximum.accumulate(places), prepend=-1))
    return first[order], rank[places]


def _flags_ids(connection: Connection, texts: Any, *, add: bool) -> Any:
    """Return the id of every text, null for null; one that is new may be added by another process as well."""
    coded = _one_chunk(texts).dictionary_encode()
    words = coded.dictionary.to_pylist()
    known = _flags_known(connection, words)
    missing = [{"text": word} for word in sorted(set(words) - set(known))] if add else []
    if missing:
        connection.execute(insert_missing(connection, flags), missing)
        known |= _flags_known(connection, [row["text"] for row in missing])
    return pa.array([known.get(word, NOBODY) for word in words], pa.int64()).take(coded.indices)


def _flags_known(connection: Connection, words: list[str]) -> dict[str, int]:
    if len(words) <= FEW:
        return {word: row[0] for word in words for row in _FLAGS.all(connection, word=word)}
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
