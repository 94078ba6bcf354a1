"""Statements on the photometry tables: read a target's rows, insert new ones, supersede revised ones."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from sqlalchemy import Connection, func, select

from harvester.store import binary
from harvester.store.rows import fetch, tuples_of
from harvester.store.series import decoded, encoded, series_of
from harvester.store.tables import STORED, photometry, photometry_version

IDENTITY = ("series_id", "observation")
ROWS_AT_ONCE = 40
"""Times 21 columns these are fewer parameters than any SQLite allows (999)."""
VERSION = pa.schema([*STORED, ("replaced_by_run", pa.int64()), ("replaced_at", pa.string())])


def stored(connection: Connection, target_id: int, filter_ids: list[int]) -> tuple[pa.Table, pa.Table]:
    """Return the rows that a target has in some filters, as ROW and, in the same order, as STORED."""
    found = select(photometry).where(photometry.c.series_id.in_(list(series_of(connection, target_id, filter_ids))))
    written = fetch(connection, found, STORED)
    return decoded(connection, written), written


def totals(connection: Connection, target_id: int, filter_ids: list[int]) -> dict[int, int]:
    """Return how many points a target has in some filters."""
    filters = series_of(connection, target_id, filter_ids)
    counted = select(photometry.c.series_id, func.count()).where(photometry.c.series_id.in_(list(filters))).group_by(photometry.c.series_id)
    found: dict[int, int] = {}
    for series_id, points in connection.execute(counted):
        found[filters[series_id]] = found.get(filters[series_id], 0) + points
    return found


def insert(connection: Connection, rows: pa.Table) -> None:
    """Insert rows (ROW) of one target that the store does not have; in the order of the key, for a clustered table is filled fastest so."""
    if rows.num_rows:
        _append(connection, photometry.name, encoded(connection, rows).sort_by([(name, "ascending") for name in IDENTITY]))


def supersede(connection: Connection, old: pa.Table, rows: pa.Table, *, run_id: int, moment: str) -> None:
    """Move stored rows (STORED) to `photometry_version`, and put new rows (ROW) in their place, in another series if need be."""
    if not old.num_rows:
        return
    went = [pa.repeat(pa.scalar(run_id, pa.int64()), old.num_rows), pa.repeat(pa.scalar(moment), old.num_rows)]
    _append(connection, photometry_version.name, pa.table([*old.columns, *went], schema=VERSION))
    _delete(connection, old)
    insert(connection, rows)


def _append(connection: Connection, table: str, rows: pa.Table) -> None:
    """Add rows; on SQLite ROWS_AT_ONCE to a statement, which takes a fifth less than one by one."""
    if connection.dialect.name == "postgresql":
        binary.copy(connection, table, rows)
        return
    whole = rows.num_rows - rows.num_rows % ROWS_AT_ONCE
    one = f"({', '.join('?' * rows.num_columns)})"
    for part, at_once in ((rows.slice(0, whole), ROWS_AT_ONCE), (rows.slice(whole), 1)):
        statement = f"INSERT INTO {table} ({', '.join(rows.column_names)}) VALUES {', '.join([one] * at_once)}"  # noqa: S608 - names of ours
        if part.num_rows:
            connection.exec_driver_sql(statement, tuples_of(part, at_once))


def _delete(connection: Connection, rows: pa.Table) -> None:
    keys: list[tuple[Any, ...]] = tuples_of(rows.select(IDENTITY))
    if connection.dialect.name == "postgresql":
        numbers, words = zip(*keys, strict=True)
        gone = "unnest(%s::integer[], %s::text[]) AS gone (series_id, observation)"
        here = "photometry.series_id = gone.series_id AND photometry.observation = gone.observation"
        connection.exec_driver_sql(f"DELETE FROM photometry USING {gone} WHERE {here}", (list(numbers), list(words)))  # noqa: S608 - names of ours
    else:
        connection.exec_driver_sql("DELETE FROM photometry WHERE series_id = ? AND observation = ?", keys)
