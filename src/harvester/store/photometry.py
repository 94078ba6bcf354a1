"""Statements on the photometry tables: read a target's rows, insert new ones, supersede revised ones."""

from __future__ import annotations

from functools import lru_cache
from itertools import count
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, bindparam

from harvester.store import binary
from harvester.store.prepared import Prepared, execute, execute_many
from harvester.store.rows import tuples_of
from harvester.store.series import FEW, FILTER, Lines, encoded
from harvester.store.tables import BIRTH, STORED, photometry, photometry_version, series

IDENTITY = ("series_id", "observation")
MOST_PARAMETERS = 999
"""As many as any SQLite allows in a statement."""
VERSION = pa.schema([*STORED, ("replaced_by_run", pa.int64()), ("replaced_at", pa.string())])
_MORE_POINTS = Prepared(series.update().where(series.c.id == bindparam("line")).values(points=series.c.points + bindparam("more")))


def stored(connection: Connection, lines: Lines, filter_ids: set[int]) -> list[tuple[Any, ...]]:
    """Return the rows that a target has in some filters, as tuples of STORED.

    The series are named one by one: PostgreSQL would read the whole of `photometry` for a subquery, before its statistics are made.
    """
    numbers = [str(line.id) for key, line in lines.items() if key[FILTER] in filter_ids and line.points]
    if not numbers:
        return []
    query = f"SELECT {', '.join(STORED.names)} FROM photometry WHERE series_id IN ({', '.join(numbers)})"  # noqa: S608 - names and numbers of ours
    return list(execute(connection, query, binary=True).fetchall())


def said(rows: pa.Table) -> list[tuple[Any, ...]]:
    """Return what rows (STORED) say, without what brought them (BIRTH), as tuples like those of `stored`."""
    return tuples_of(rows.drop_columns(list(BIRTH)))


def insert(connection: Connection, rows: pa.Table, lines: Lines) -> None:
    """Insert rows (ROW) of one target that the store does not have; in the order of the key, for a clustered table is filled fastest so."""
    if rows.num_rows:
        written = _by_key(encoded(connection, rows, lines))
        _append(connection, photometry.name, written)
        _keep_count(connection, written, 1, lines)


def supersede(connection: Connection, old: pa.Table, *, run_id: int, moment: str, lines: Lines) -> None:
    """Move stored rows (STORED) to `photometry_version`; what replaces them is to be inserted."""
    if old.num_rows:
        went = [pa.repeat(pa.scalar(run_id, pa.int64()), old.num_rows), pa.repeat(pa.scalar(moment), old.num_rows)]
        _append(connection, photometry_version.name, pa.table([*old.columns, *went], schema=VERSION))
        _delete(connection, old)
        _keep_count(connection, old, -1, lines)


def _by_key(rows: pa.Table) -> pa.Table:
    """Sort rows by series and observation, the order of the bytes, unless they lie so already."""
    order = pc.sort_indices(rows.select(IDENTITY), [(name, "ascending") for name in IDENTITY])
    return rows if np.array_equal(order.to_numpy(), np.arange(rows.num_rows)) else rows.take(order).combine_chunks()


def _keep_count(connection: Connection, rows: pa.Table, sign: int, lines: Lines) -> None:
    """Keep the number of points of every series, also in `lines`."""
    numbers, counts = np.unique(rows["series_id"].to_numpy(), return_counts=True)
    more = dict(zip(numbers.tolist(), (sign * counts).tolist(), strict=True))
    if len(more) > FEW:
        _MORE_POINTS.many(connection, [{"line": number, "more": count} for number, count in more.items()])
    for key, line in lines.items():
        if line.id in more:
            if len(more) <= FEW:
                _MORE_POINTS(connection, line=line.id, more=more[line.id])
            lines[key] = line._replace(points=line.points + more[line.id])


def _append(connection: Connection, table: str, rows: pa.Table) -> None:
    """Add rows: on SQLite many to a statement, where columns that say one thing throughout are one parameter."""
    if connection.dialect.name == "postgresql":
        binary.copy(connection, table, rows)
        return
    constant = {name: column[0].as_py() for name, column in zip(rows.column_names, rows.columns, strict=True) if _is_constant(column)}
    varying = rows.drop_columns(list(constant))
    at_once = (MOST_PARAMETERS - len(constant)) // max(varying.num_columns, 1)
    whole = rows.num_rows - rows.num_rows % at_once
    for part, size in ((varying.slice(0, whole), at_once), (varying.slice(whole), 1)):
        if part.num_rows:
            execute_many(
                connection, _statement(table, tuple(rows.column_names), tuple(constant), size), tuples_of(part, size, constant.values())
            )


def _is_constant(column: Any) -> bool:
    if column.null_count or pa.types.is_string(column.type):
        return bool(column.null_count == len(column))
    least, most = pc.min_max(column).values()
    return bool(least == most)


@lru_cache
def _statement(table: str, columns: tuple[str, ...], constant: tuple[str, ...], rows: int) -> str:
    """Return an INSERT of so many rows. Its parameters: the constants, then row by row all else."""
    numbers = {name: place for place, name in enumerate(constant, 1)}
    free = count(len(constant) + 1)
    marks = [f"({', '.join(f'?{numbers.get(name) or next(free)}' for name in columns)})" for _ in range(rows)]
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join(marks)}"  # noqa: S608 - names of ours


def _delete(connection: Connection, rows: pa.Table) -> None:
    keys: list[tuple[Any, ...]] = tuples_of(rows.select(IDENTITY))
    if connection.dialect.name == "postgresql":
        numbers, words = zip(*keys, strict=True)
        gone = "unnest(%s::integer[], %s::text[]) AS gone (series_id, observation)"
        here = "photometry.series_id = gone.series_id AND photometry.observation = gone.observation"
        execute(connection, f"DELETE FROM photometry USING {gone} WHERE {here}", (list(numbers), list(words)))  # noqa: S608 - names of ours
    else:
        execute_many(connection, "DELETE FROM photometry WHERE series_id = ? AND observation = ?", keys)
