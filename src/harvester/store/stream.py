"""Every point of the store in one pass, target by target, in bounded memory: what an export of everything rides on.

Series of one target follow one another in the query, and photometry is clustered by series, so nothing is sorted by the database. From SQLite the
rows come through a process of its own where ADBC is installed (see `reader`) and the store is large; else through the driver.
"""

from __future__ import annotations

import importlib.util
import logging
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection

from harvester.errors import StoreError
from harvester.store.rows import arrow
from harvester.store.series import decoded
from harvester.store.tables import ROW, STORED

if TYPE_CHECKING:
    from harvester.store.connection import Database

log = logging.getLogger(__name__)

READER = Path(__file__).with_name("reader.py")
WORTH_A_PROCESS = 16 << 20
"""Bytes of an SQLite file from which on starting a process costs less than it saves."""
ROWS_AT_ONCE = 8_192
ZERO = {pa.float64(): "0.5", pa.string(): "''"}


def by_target(database: Database, connection: Connection, conditions: Iterable[str] = ()) -> Iterator[pa.Table]:
    """Yield rows (tables.ROW) in tables of whole targets, in the order of their ids; `conditions` are SQL on photometry and series.

    `connection` must be in a transaction that has read nothing yet: what it decodes with must not be older than the rows. Raises StoreError.
    """
    sql = _query(connection, conditions)
    feed = _through_reader(database.file, sql) if database.file and _worth_a_process(database.file) else None
    return _whole_targets(decoded(connection, part) for part in feed or _through_driver(connection, sql))


def of_target(connection: Connection, target_id: int, conditions: Iterable[str] = ()) -> pa.Table:
    """Return the rows (tables.ROW) of one target."""
    sql = _query(connection, [f"series.target_id = {target_id}", *conditions])
    return decoded(connection, pa.concat_tables([STORED.empty_table(), *_through_driver(connection, sql)]))


def _query(connection: Connection, conditions: Iterable[str]) -> str:
    """CROSS JOIN is SQLite's word for a join whose order it must not choose."""
    join = "CROSS JOIN" if connection.dialect.name == "sqlite" else "JOIN"
    columns = ", ".join(f"photometry.{name}" for name in STORED.names)
    where = " AND ".join(conditions) or "1 = 1"
    order = "series.target_id, series.id"
    return f"SELECT {columns} FROM series {join} photometry ON photometry.series_id = series.id WHERE {where} ORDER BY {order}"  # noqa: S608 - names and numbers of ours


def _worth_a_process(file: Path) -> bool:
    return importlib.util.find_spec("adbc_driver_sqlite") is not None and file.stat().st_size >= WORTH_A_PROCESS


def _through_driver(connection: Connection, sql: str) -> Iterator[pa.Table]:
    """Yield what a query finds. The driver's own cursor: SQLAlchemy's would double the time, and PostgreSQL's must stay on the server."""
    raw: Any = connection.connection.driver_connection
    with closing(raw.cursor() if connection.dialect.name == "sqlite" else raw.cursor(name="harvester")) as cursor:
        cursor.execute(sql)
        while rows := cursor.fetchmany(ROWS_AT_ONCE):
            yield arrow(rows, STORED)


def _through_reader(file: Path, sql: str) -> Iterator[pa.Table] | None:
    """Return the rows that a reading process sends, None where it cannot read. Its state of the store is that of the return, or earlier.

    The first row is none: it tells ADBC the types, which it takes from values, and a column may begin with nulls.
    """
    types = ", ".join(f"{ZERO.get(field.type, '0')} AS {field.name}" for field in STORED)
    command = [sys.executable, "-P", str(READER), str(file), f"SELECT {types} UNION ALL SELECT * FROM ({sql})"]  # noqa: S608 - names and numbers of ours
    with ExitStack() as opened:
        process = opened.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE))  # noqa: S603 - our own file
        opened.callback(process.kill)
        try:
            stream = pa.ipc.open_stream(process.stdout)
            first = stream.read_next_batch()
        except (pa.ArrowInvalid, StopIteration):
            told = process.stderr.read().decode("utf-8", "replace").splitlines() if process.stderr else []
            log.info("the fast reader cannot be used: %s", told[-1:] or "no reason given")
            return None
        return _received(opened.pop_all(), process, stream, first)


def _received(opened: ExitStack, process: Any, stream: Any, first: pa.RecordBatch) -> Iterator[pa.Table]:
    with opened:
        yield _typed(first.slice(1))
        try:
            for batch in stream:
                yield _typed(batch)
            status = process.wait()
        except pa.ArrowInvalid as error:
            raise StoreError("reading the store broke off.", str(error).splitlines()[0], "Run the command again.") from error
        if status:
            raise StoreError("reading the store broke off.", f"The reading process ended with status {status}.", "Run the command again.")


def _typed(batch: pa.RecordBatch) -> pa.Table:
    return pa.table([batch.column(field.name).cast(field.type) for field in STORED], schema=STORED)


def _whole_targets(parts: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Cut tables where a target ends; the rows of one that may go on wait for the next."""
    waiting: list[pa.Table] = []
    for part in parts:
        if not part.num_rows:
            continue
        last = part["target_id"][part.num_rows - 1]
        begins = pc.index(part["target_id"], last).as_py()
        if begins or (waiting and waiting[-1]["target_id"][0] != last):
            yield from _filled([*waiting, part.slice(0, begins)])
            waiting = []
        waiting.append(part.slice(begins))
    yield from _filled(waiting)


def _filled(parts: list[pa.Table]) -> Iterator[pa.Table]:
    if sum(part.num_rows for part in parts):
        yield pa.concat_tables(parts) if parts else ROW.empty_table()
