"""Moving a store to another place: SQLite or PostgreSQL, from either to either, and proof that every row arrived.

Rows go from cursor to cursor in chunks, as plain numbers, text and bytes, so memory does not grow with the store. At the new place all is
one transaction, checked before it is committed: a copy that was stopped leaves no store there, and can be started again.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from sqlalchemy import Boolean, Column, Connection, Double, Integer, LargeBinary, Table, cast, exc, func, literal, select, text

from harvester.errors import StoreError
from harvester.store import versions
from harvester.store.tables import meta, metadata

if TYPE_CHECKING:
    from harvester.store.connection import Database

ROWS_PER_CHUNK = 5_000
BODIES_PER_CHUNK = 16
"""Rows with bodies, which may be large, go in smaller chunks."""
DIGEST_BYTES = 16

Row = tuple[Any, ...]
Report = Callable[[str, int, int], None]
"""Is told the table, how many rows were copied or checked so far, and how many there will be in all."""


def unheard(table: str, done: int, total: int) -> None:
    """A report that nobody reads."""


@dataclass(frozen=True, slots=True)
class Copied:
    """A table that was copied: its rows, and the digest of their content, which was the same at both places."""

    table: str
    rows: int
    digest: str


class _Content:
    """What a table holds, whatever the order of its rows: their number, and the sum of their digests. Every bit of every value counts."""

    def __init__(self) -> None:
        self.rows, self.total = 0, 0

    def add(self, rows: list[Row]) -> None:
        self.rows += len(rows)
        digests = (blake2b(marshal.dumps(row, 2), digest_size=DIGEST_BYTES).digest() for row in rows)
        self.total += sum(int.from_bytes(digest, "big") for digest in digests)

    @property
    def digest(self) -> str:
        return f"{self.total % 256**DIGEST_BYTES:0{2 * DIGEST_BYTES}x}"


def copy(origin: Database, destination: Database, report: Report) -> list[Copied]:
    """Copy every row, ids included, to a place that holds no store; return what was copied, table by table.

    Sees one state of the origin, to which others may go on writing. The copy keeps the name under which the store was made.
    SQLite has no negative zero: there it becomes zero.
    Raises StoreError: the place holds a store or another program's tables, it is full, or what arrived differs from what was sent.
    """
    with origin.reading() as source, versions.newborn(destination) as target:
        tables = metadata.sorted_tables
        step = _Steps(report, 2 * sum(_count(source, table) for table in tables))
        copied = [_copied(source, target, table, step) for table in tables]
        if versions.NAME not in target.execute(select(meta.c.key)).scalars():  # a store of an older harvester
            versions.keep_name(target, versions.name(source, origin))
        if not destination.is_sqlite:
            _continue_ids(target)
    if destination.is_sqlite:
        destination.make_wal()
    return copied


class _Steps:
    """Counts rows for the one who waits."""

    def __init__(self, report: Report, total: int) -> None:
        self._report, self._total, self._done = report, total, 0

    def __call__(self, table: Table, rows: int) -> None:
        self._done += rows
        self._report(table.name, self._done, max(self._total, self._done))


def _copied(source: Connection, target: Connection, table: Table, step: _Steps) -> Copied:
    sent, arrived = _Content(), _Content()
    signless = target.dialect.name == "sqlite"
    for rows in _chunks(source, table, signless=signless):
        _store(target, table, rows)
        sent.add(rows)
        step(table, len(rows))
    for rows in _chunks(target, table, signless=signless):
        arrived.add(rows)
        step(table, len(rows))
    counts = {_count(source, table), _count(target, table), sent.rows, arrived.rows}
    if len(counts) > 1 or sent.digest != arrived.digest:
        raise StoreError(
            "the copy differs from the store, and was given up.",
            f"Table {table.name}: {sent.rows} rows with digest {sent.digest} were sent, {arrived.rows} with {arrived.digest} arrived.",
            "The store is as it was. Check it: harvest db check",
        )
    return Copied(table.name, sent.rows, sent.digest)


def _count(connection: Connection, table: Table) -> int:
    return connection.execute(select(func.count()).select_from(table)).scalar_one()


def _chunks(connection: Connection, table: Table, *, signless: bool) -> Iterator[list[Row]]:
    """Yield a table's rows by its key, as the driver gives them: the same plain values from either back end."""
    size = BODIES_PER_CHUNK if any(isinstance(column.type, LargeBinary) for column in table.columns) else ROWS_PER_CHUNK
    driver: Any = connection.connection.driver_connection
    on_postgres = connection.dialect.name == "postgresql"
    columns = [_plain(column, signless=signless) if on_postgres else column for column in table.columns]
    query = select(*columns).order_by(*table.primary_key.columns).compile(connection, compile_kwargs={"literal_binds": True})
    with closing(driver.cursor(name="copying") if on_postgres else driver.cursor()) as cursor:  # a name keeps the rows on the server
        cursor.execute(str(query))
        while rows := cursor.fetchmany(size):
            yield rows


def _plain(column: Column[Any], *, signless: bool) -> Any:
    """Let PostgreSQL say 1 and 0 for true and false, as SQLite does; adding zero takes the sign from a zero."""
    if isinstance(column.type, Boolean):
        return cast(column, Integer).label(column.name)
    return (column + literal(0.0, Double)).label(column.name) if signless and isinstance(column.type, Double) else column


def _store(connection: Connection, table: Table, rows: list[Row]) -> None:
    driver: Any = connection.dialect.loaded_dbapi
    try:
        _insert(connection, table, rows)
    except (exc.IntegrityError, exc.DataError, driver.IntegrityError, driver.DataError) as error:
        why = str(getattr(error, "orig", error)).splitlines()[0]
        raise StoreError(
            "a row cannot be stored at the new place, and the copy was given up.",
            f"Table {table.name}: {why[:200]}",
            "The store is as it was. Check it: harvest db check",
        ) from error


def _insert(connection: Connection, table: Table, rows: list[Row]) -> None:
    names = ", ".join(connection.dialect.identifier_preparer.quote(column.name) for column in table.columns)
    if connection.dialect.name == "sqlite":
        marks = ", ".join("?" for _ in table.columns)
        connection.exec_driver_sql(f"INSERT INTO {table.name} ({names}) VALUES ({marks})", rows)  # noqa: S608 - names of ours
        return
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(f"COPY {table.name} ({names}) FROM STDIN") as sink:
        for row in rows:
            sink.write_row(row)


def _continue_ids(connection: Connection) -> None:
    """Let PostgreSQL number new rows after the copied ones."""
    for table in metadata.sorted_tables:
        column = table.autoincrement_column
        if column is None:
            continue
        newest = connection.execute(select(func.max(column))).scalar_one()
        if newest is not None:
            after = text("SELECT setval(pg_get_serial_sequence(:table, :column), :newest)")
            connection.execute(after, {"table": table.name, "column": column.name, "newest": newest})
