"""Checks of the database as such: they follow from the tables' declaration, whatever the tables mean. Each yields a sentence per problem."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Double,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Select,
    Table,
    Text,
    UniqueConstraint,
    exc,
    exists,
    func,
    inspect,
    or_,
    select,
    type_coerce,
)

from harvester.store.tables import (
    COUNTED,
    metadata,
    passband,
    payload,
    photometry,
    photometry_version,
    run,
    schedule,
    series,
    target,
    visit,
)

if TYPE_CHECKING:
    from sqlalchemy import Inspector
    from sqlalchemy.sql.elements import ColumnElement

PARENTS = {"filter_id": passband, "replaced_by_run": run}
"""Tables that undeclared references point to, where the name of the column does not say it."""
STORED_AS = {Double: "real", Boolean: "integer", Integer: "integer", Text: "text", LargeBinary: "blob"}
"""What SQLite, which takes any value in any column, should have stored."""
WORST_QUALITY = 2
RANGES = (target.c.ra, 0.0, 360.0), (target.c.dec, -90.0, 90.0)
"""Columns with the least and the most that they may hold."""
COUNTS = payload.c.size, series.c.points, schedule.c.failures, *(visit.c[name] for name in ("seconds", *COUNTED))
VIEW = "light_curve"
LARGEST = sys.float_info.max


def file(connection: Connection) -> Iterator[str]:
    """Let SQLite go through every page and index of its file; PostgreSQL watches over its own."""
    if connection.dialect.name != "sqlite":
        return
    try:
        told = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check")]
    except exc.DatabaseError as error:
        told = [str(error.orig)]
    yield from (line for line in told if line != "ok")


def tables(connection: Connection) -> Iterator[str]:
    """Find tables, columns and the view that are missing."""
    there = inspect(connection)
    names = set(there.get_table_names())
    for table in metadata.sorted_tables:
        if table.name not in names:
            yield f"table {table.name} is missing"
            continue
        columns = {column["name"] for column in there.get_columns(table.name)}
        yield from (f"column {column.name} of table {table.name} is missing" for column in table.columns if column.name not in columns)
    if VIEW not in there.get_view_names():
        yield f"the view {VIEW} is missing"


def keys(connection: Connection) -> Iterator[str]:
    """Find keys, indexes and references that the tables should have and have not."""
    there = inspect(connection)
    for table in metadata.sorted_tables:
        for what in sorted(_declared(table) - _found(there, table.name)):
            yield f"table {table.name} has no {what}"


def values(connection: Connection) -> Iterator[str]:
    """Find values that could not have been stored by us."""
    if connection.dialect.name == "sqlite":
        for table in metadata.sorted_tables:
            yield from _of_another_type(connection, table)
            yield from _neither_true_nor_false(connection, table)
    for table in (photometry, photometry_version):
        yield from told(connection, table.c.quality, ~table.c.quality.between(0, WORST_QUALITY), "is no quality")
        no_number = or_(*(func.abs(column) > LARGEST for column in table.columns if isinstance(column.type, Double)))
        yield from told(connection, table.c.time, no_number, "stands in a row with an infinite number")
    for column, least, most in RANGES:
        yield from told(connection, column, ~column.between(least, most), "is out of range")
    for column in COUNTS:
        yield from told(connection, column, column < 0, "is less than nothing")
    half = target.c.ra.is_(None) != target.c.dec.is_(None)
    yield from told(connection, target.c.ra, half, "is half of a position")


def references(connection: Connection) -> Iterator[str]:
    """Find rows that refer to a row that is not there: declared references, and those of points, which are not declared."""
    for table in metadata.sorted_tables:
        for column, parent in parents(table):
            orphan = column.is_not(None) & ~exists().where(parent.c.id == column)
            yield from told(connection, column, orphan, f"does not exist in table {parent.name}")


def identity(connection: Connection) -> Iterator[str]:
    """Find keys that occur twice, in every table."""
    keys = [item for table in metadata.sorted_tables for item in table.constraints]
    for columns in [list(item.columns) for item in keys if isinstance(item, PrimaryKeyConstraint | UniqueConstraint)]:
        twice = select(*columns, func.count()).group_by(*columns).having(func.count() > 1)
        for *key, count in stream(connection, twice):
            yield f"{columns[0].table.name} {named(columns, key)} occurs {count} times"


def parents(table: Table) -> list[tuple[Column[Any], Table]]:
    """Return the columns that refer to the `id` of another table, with that table."""
    declared = [(column, next(iter(column.foreign_keys)).column.table) for column in table.columns if column.foreign_keys]
    numbers = [column for column in table.columns if isinstance(column.type, Integer) and not column.foreign_keys]
    found = [(column, PARENTS.get(column.name, metadata.tables.get(column.name.removesuffix("_id")))) for column in numbers]
    return declared + [(column, parent) for column, parent in found if parent is not None]


def stream(connection: Connection, query: Select[Any]) -> Iterator[Any]:
    """Yield rows as they come, not all at once."""
    with connection.execute(query, execution_options={"stream_results": True, "max_row_buffer": 1000}) as result:
        yield from result


def named(columns: list[Column[Any]], key: list[Any]) -> str:
    """Return a key as people read it: target_id 3, filter_id 1, observation_id '77'."""
    return ", ".join(f"{column.name} {value!r}" for column, value in zip(columns, key, strict=True))


def told(connection: Connection, column: Column[Any], wrong: ColumnElement[bool], what: str) -> Iterator[str]:
    """Yield a sentence per row where `wrong` holds: its key, the column's value, and what of it."""
    table = column.table
    key = list(table.primary_key.columns)
    shown = [other for other in key if other is not column]
    for *where, value in stream(connection, select(*shown, column).where(wrong)):
        place = f"{table.name} {named(shown, where)}: " if shown else f"{table.name}: "
        yield f"{place}{column.name} {_short(value)} {what}"


def _of_another_type(connection: Connection, table: Table) -> Iterator[str]:
    """Find values of another type in any column; a table is gone through once, and again only for the columns where there are some."""
    wrong = [func.typeof(column).not_in([_stored_as(column), "null"]) for column in table.columns]
    counts = connection.execute(select(*(func.count().filter(bad) for bad in wrong)).where(or_(*wrong))).one()
    for column, bad, count in zip(table.columns, wrong, counts, strict=True):
        if count:
            yield from told(connection, column, bad, "is of another type")


def _neither_true_nor_false(connection: Connection, table: Table) -> Iterator[str]:
    key = list(table.primary_key.columns)
    for column in table.columns:
        if isinstance(column.type, Boolean):
            number = type_coerce(column, Integer)
            for *where, value in stream(connection, select(*key, number).where(number.not_in([0, 1]))):
                yield f"{table.name} {named(key, where)}: {column.name} {_short(value)} is neither true nor false"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."


def _stored_as(column: Column[Any]) -> str:
    return next(name for kind, name in STORED_AS.items() if isinstance(column.type, kind))


def _declared(table: Table) -> set[str]:
    unique = {_key("unique key", item.columns.keys()) for item in table.constraints if isinstance(item, UniqueConstraint)}
    indexes = {_key("index", [column.name for column in index.columns]) for index in table.indexes}
    refers = {_key("reference", [item.name]) for item in table.columns if item.foreign_keys}
    return unique | indexes | refers | {_key("primary key", [column.name for column in table.primary_key.columns])}


def _found(there: Inspector, name: str) -> set[str]:
    unique = {_key("unique key", item["column_names"]) for item in there.get_unique_constraints(name)}
    indexes = {_key("index", [str(column) for column in item["column_names"]]) for item in there.get_indexes(name)}
    refers = {_key("reference", item["constrained_columns"]) for item in there.get_foreign_keys(name)}
    return unique | indexes | refers | {_key("primary key", there.get_pk_constraint(name)["constrained_columns"])}


def _key(kind: str, columns: list[str]) -> str:
    return f"{kind} on {', '.join(columns)}"
