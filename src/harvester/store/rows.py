"""Rows between Arrow and SQL: column by column, never value by value in Python where an array can do it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import UniqueConstraint, func, select
from sqlalchemy.dialects import postgresql, sqlite

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Select, Table

NUL = "\x00"
POSITIVE_ZERO = 0.0
"""Added to -0.0 it gives 0.0, and changes nothing else: SQLite cannot hold a negative zero. As an Arrow scalar it would import pandas."""


def now() -> str:
    """Return this moment as the store writes it.

    >>> len(now())
    24
    """
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def clean(text: str) -> str:
    """Return text that every back end can hold: without NUL and lone surrogates.

    >>> clean("a" + chr(0) + "b" + chr(0xD800))
    'ab?'
    """
    if text.isascii() and NUL not in text:
        return text
    return text.replace(NUL, "").encode("utf-8", "replace").decode()


def fetch(connection: Connection, query: Select[*tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    """Return what a query finds as Arrow, columns in the schema's order.

    Takes the driver's own tuples: SQLAlchemy's rows would double the time.
    """
    result = connection.execute(query)
    rows = result.cursor.fetchall() if result.cursor else []
    result.close()
    return arrow(rows, schema)


def arrow(rows: Sequence[tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    """Return a driver's tuples as Arrow."""
    if not rows:
        return schema.empty_table()
    return pa.table([_array(values, field.type) for values, field in zip(zip(*rows, strict=True), schema, strict=True)], schema=schema)


def tuples_of(table: pa.Table, at_once: int = 1, before: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
    """Return Arrow rows as tuples of plain Python values, None for null: what a driver takes.

    With `at_once`, so many rows end to end in each tuple, after the values `before`.
    """
    if at_once == 1 and not before:
        return list(zip(*(_values(column) for column in table.columns), strict=True))
    flat: list[Any] = [None] * (table.num_rows * table.num_columns)
    for number, column in enumerate(table.columns):
        flat[number :: table.num_columns] = _values(column)
    width, first = at_once * table.num_columns, tuple(before)
    return [(*first, *flat[start : start + width]) for start in range(0, len(flat), width)]


def conformed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Cast to the schema's columns and types; NaN becomes null, -0.0 becomes 0.0, and text loses its NULs, which PostgreSQL cannot hold."""
    columns = [(table[field.name], field.type) for field in schema]
    return pa.table([_storable(column if column.type == kind else pc.cast(column, kind)) for column, kind in columns], schema=schema)


def insert_missing(connection: Connection, table: Table, *, instead: Mapping[str, Any] | None = None) -> Any:
    """Return an INSERT that leaves rows alone that are there already, also when another process is just adding them.

    With `instead` it sets these columns of such a row, which is known by the table's unique columns.
    """
    insert: Any = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    if instead is None:
        return insert(table).on_conflict_do_nothing()
    (unique,) = (constraint for constraint in table.constraints if isinstance(constraint, UniqueConstraint))
    return insert(table).on_conflict_do_update(index_elements=list(unique.columns), set_=instead)


def insert_numbered(connection: Connection, table: Table, names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> list[int]:
    """Insert rows of the columns `names` into a table that numbers its rows; return their numbers, in order. The transaction is a writing one."""
    if not rows:
        return []
    if connection.dialect.name == "sqlite":  # nobody else writes meanwhile
        first = int(connection.execute(select(func.coalesce(func.max(table.c.id), 0))).scalar_one()) + 1
        numbers = list(range(first, first + len(rows)))
        insert_tuples(connection, table, ("id", *names), [(number, *row) for number, row in zip(numbers, rows, strict=True)])
        return numbers
    statement = table.insert().returning(table.c.id, sort_by_parameter_order=True)
    return [int(number) for number in connection.execute(statement, [dict(zip(names, row, strict=True)) for row in rows]).scalars()]


def insert_plain(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], *, missing: bool = False) -> None:
    """Insert rows that have the same columns in the same order, with `missing` only those that are not there."""
    if rows:
        insert_tuples(connection, table, tuple(rows[0]), [tuple(row.values()) for row in rows], missing=missing)


def insert_tuples(
    connection: Connection, table: Table, names: Sequence[str], rows: Sequence[tuple[Any, ...]], *, missing: bool = False
) -> None:
    """Insert rows of the columns `names`, with `missing` only those that are not there; SQLite takes them as they are, which is much faster."""
    if not rows:
        return
    if connection.dialect.name != "sqlite":
        told = [dict(zip(names, row, strict=True)) for row in rows]
        connection.execute(insert_missing(connection, table) if missing else table.insert(), told)
        return
    marks = ", ".join("?" * len(names))
    text = f"INSERT {'OR IGNORE ' * missing}INTO {table.name} ({', '.join(names)}) VALUES ({marks})"  # noqa: S608 - names of ours
    driver: Any = connection.connection.driver_connection
    driver.executemany(text, rows)


def parts_of(values: Sequence[Any], most: int = 500) -> Iterator[Sequence[Any]]:
    """Cut values so that a statement can take every part as parameters."""
    return (values[start : start + most] for start in range(0, len(values), most))


def filters_of(rows: pa.Table | None) -> list[str]:
    """Return the labels of the filters that rows have, in alphabetical order."""
    if rows is None or not rows.num_rows:
        return []
    column = rows["filter"].combine_chunks()
    if not isinstance(column, pa.DictionaryArray):
        return sorted(pc.unique(column).to_pylist())
    return sorted(column.dictionary.take(np.flatnonzero(np.bincount(column.indices))).to_pylist())


def _array(values: tuple[Any, ...], kind: pa.DataType) -> Any:
    """Return values as Arrow; SQLite says 0 and 1 for false and true."""
    if pa.types.is_boolean(kind):
        return pa.array([None if value is None else bool(value) for value in values], kind)
    return pa.array(values, kind)


def _values(column: Any) -> Iterable[Any]:
    if column.null_count == len(column):
        return [None] * len(column)
    if pa.types.is_string(column.type):
        return list(column.to_numpy())
    if column.null_count == 0:
        return list(column.to_numpy().tolist())
    filled = pc.fill_null(column, pa.scalar(0, pa.int8()).cast(column.type)).to_numpy().astype(object)
    filled[pc.is_null(column).to_numpy()] = None
    return list(filled)


def _storable(column: Any) -> Any:
    """Return a column as the store holds it; numpy takes NaN and null for one another, and both become null."""
    if column.null_count == len(column):
        return column
    if pa.types.is_floating(column.type):
        return pa.array(column.to_numpy() + POSITIVE_ZERO, column.type, from_pandas=True)
    if pa.types.is_string(column.type) and pc.any(pc.match_substring(column, NUL)).as_py():
        return pc.replace_substring(column, NUL, "")
    return column
