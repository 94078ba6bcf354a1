"""Statements on the photometry tables: read a target's rows, insert new ones, supersede revised ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Select, func, select

from harvester.store.rows import fetch, tuples_of
from harvester.store.tables import KEY, ROW, photometry, photometry_version

if TYPE_CHECKING:
    import pyarrow as pa

IDENTITY = ("target_id", *KEY)
MARKS = {"sqlite": "?", "postgresql": "%s"}


def stored(connection: Connection, target_id: int, filter_ids: list[int]) -> pa.Table:
    """Return the rows (tables.ROW) that a target has in some filters."""
    found = select(photometry).where(photometry.c.target_id == target_id, photometry.c.filter_id.in_(filter_ids))
    return fetch(connection, found, ROW)


def totals(connection: Connection, target_id: int, filter_ids: list[int]) -> dict[int, int]:
    """Return how many points a target has in some filters."""
    counted: Select[int, int] = (
        select(photometry.c.filter_id, func.count())
        .where(photometry.c.target_id == target_id, photometry.c.filter_id.in_(filter_ids))
        .group_by(photometry.c.filter_id)
    )
    return dict(connection.execute(counted).all())


def insert(connection: Connection, rows: pa.Table) -> None:
    """Insert rows (tables.ROW, sorted by key) whose keys the store does not have."""
    mark = MARKS[connection.dialect.name]
    statement = f"INSERT INTO photometry ({', '.join(ROW.names)}) VALUES ({', '.join(mark for _ in ROW.names)})"  # noqa: S608 - names of ours
    _execute(connection, statement, tuples_of(rows.select(ROW.names)))


def supersede(connection: Connection, rows: pa.Table, run_id: int, moment: str) -> None:
    """Move the stored rows of these keys to `photometry_version`, and put the new values (tables.ROW) in their place."""
    mark = MARKS[connection.dialect.name]
    here = " AND ".join(f"{name} = {mark}" for name in IDENTITY)
    columns = ", ".join(ROW.names)
    keep = (
        f"INSERT INTO {photometry_version.name} ({columns}, replaced_by_run, replaced_at) "  # noqa: S608 - names of ours
        f"SELECT {columns}, {mark}, {mark} FROM photometry WHERE {here}"
    )
    changing = [name for name in ROW.names if name not in IDENTITY]
    change = f"UPDATE photometry SET {', '.join(f'{name} = {mark}' for name in changing)} WHERE {here}"  # noqa: S608 - names of ours
    _execute(connection, keep, [(run_id, moment, *key) for key in tuples_of(rows.select(IDENTITY))])
    _execute(connection, change, tuples_of(rows.select([*changing, *IDENTITY])))


def _execute(connection: Connection, statement: str, rows: list[tuple[Any, ...]]) -> None:
    if rows:
        connection.exec_driver_sql(statement, rows)
