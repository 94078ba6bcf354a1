"""Rows into PostgreSQL by binary COPY, encoded column by column with numpy: no Python value is made.

The format: https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harvester.store.prepared import announce

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from sqlalchemy import Connection

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
END = b"\xff\xff"
NULL = -1
ROWS_AT_ONCE = 4_096
WIRE_TYPES = {pa.float64(): ">f8", pa.int64(): ">i4", pa.int8(): ">i2", pa.bool_(): ">u1"}
"""How a column is sent: INTEGER columns are int64 in Arrow and four bytes in PostgreSQL, SMALLINT ones int8 and two."""


class _Field(NamedTuple):
    """One column, ready to be sent: the length of every value (NULL for null), and all their bytes, end to end."""

    lengths: NDArray[np.int32]
    data: NDArray[np.uint8]


def copy(connection: Connection, table: str, rows: pa.Table) -> None:
    """Append rows (null or values, no NaN) to a table with the same column names, inside the connection's transaction."""
    driver: Any = connection.connection.driver_connection
    into = f"COPY {table} ({', '.join(rows.column_names)}) FROM STDIN (FORMAT BINARY)"
    with driver.cursor() as cursor:
        announce(connection, cursor, into)
        _send(cursor, into, rows)


def _send(cursor: Any, into: str, rows: pa.Table) -> None:
    with cursor.copy(into) as stream:
        stream.write(HEADER)
        for part in encoded(rows):
            stream.write(part)
        stream.write(END)


def encoded(rows: pa.Table) -> Iterator[bytes]:
    """Yield rows as the tuples of a binary COPY, without its header and its end."""
    for start in range(0, rows.num_rows, ROWS_AT_ONCE):
        yield _tuples(rows.slice(start, ROWS_AT_ONCE))


def _tuples(rows: pa.Table) -> bytes:
    fields = [_field(column.combine_chunks()) for column in rows.columns]
    lengths = np.stack([field.lengths for field in fields], axis=1)
    sizes = np.maximum(lengths, 0) + 4
    ends = np.cumsum(sizes.sum(axis=1) + 2)
    starts = ends - sizes.sum(axis=1)
    sent: NDArray[np.uint8] = np.zeros(int(ends[-1]), np.uint8)
    _put(sent, starts - 2, np.full(rows.num_rows, rows.num_columns, ">i2"))
    for number, field in enumerate(fields):
        _put(sent, starts, field.lengths.astype(">i4"))
        _put_ragged(sent, starts + 4, field)
        starts = starts + sizes[:, number]
    return sent.tobytes()


def _field(column: Any) -> _Field:
    there = pc.is_valid(column).to_numpy(zero_copy_only=False)
    if pa.types.is_string(column.type):
        lengths = pc.fill_null(pc.binary_length(column), NULL).to_numpy()
        return _Field(lengths.astype(np.int32), _text(column))
    kind = np.dtype(WIRE_TYPES[column.type])
    values = np.ascontiguousarray(column.drop_null().to_numpy(zero_copy_only=False).astype(kind))
    return _Field(np.where(there, kind.itemsize, NULL).astype(np.int32), values.view(np.uint8))


def _text(column: Any) -> NDArray[np.uint8]:
    """Return the bytes of all texts, end to end; a null has none."""
    joined = pa.concat_arrays([column.drop_null()])
    _, offsets, data = joined.buffers()
    if data is None or not len(joined):
        return np.zeros(0, np.uint8)
    places = np.frombuffer(offsets, np.int32)[joined.offset : joined.offset + len(joined) + 1]
    return np.frombuffer(data, np.uint8)[places[0] : places[-1]]


def _put(sent: NDArray[np.uint8], places: NDArray[np.int64], values: NDArray[Any]) -> None:
    """Write values of one width, one to a place."""
    width = values.dtype.itemsize
    sent[places[:, None] + np.arange(width)] = values.view(np.uint8).reshape(-1, width)


def _put_ragged(sent: NDArray[np.uint8], places: NDArray[np.int64], field: _Field) -> None:
    """Write what a field has at each place; nothing for a null."""
    lengths = np.maximum(field.lengths, 0).astype(np.int64)
    before = np.cumsum(lengths) - lengths
    sent[np.repeat(places - before, lengths) + np.arange(len(field.data))] = field.data
