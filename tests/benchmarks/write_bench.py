"""Writing: visits into a store against the same rows, ready, by the driver alone into the same table.

The rows of every round are made beforehand, and payloads hashed, as a session does when they come. CPU seconds are compared: of this
process, and of the PostgreSQL server's where there is one. Rounds are taken in turn, on a fresh store each; medians are compared.
"""

from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from time import process_time

import psutil
import psycopg
from made_rows import ROWS_PER_VISIT, visits
from sqlalchemy import select

from harvester.lanes import WAITING_TO_BE_WRITTEN
from harvester.store import Store
from harvester.store.rows import fetch, tuples_of
from harvester.store.tables import STORED, photometry

ROUNDS = 3


@dataclass
class Timed:
    """Seconds of the medians: new rows, the same rows with another payload, the same payload, the driver alone; and bytes of a point."""

    new: float
    known: float
    unchanged: float
    raw: float
    bytes_per_point: float = 0.0
    bytes_packed: float = 0.0


def on_sqlite(folder: Path, rows: int, each: int = ROWS_PER_VISIT) -> Timed:
    taken = [_round(lambda name: str(folder / f"{name}.db"), (rows, each), process_time, _executemany) for _ in range(ROUNDS)]
    return Timed(*(median(column) for column in zip(*taken, strict=True)), *_sizes(folder / "ours.db", rows))


def on_postgres(url: str, rows: int) -> Timed:
    from stores import schema_of_its_own

    taken = []
    for _ in range(ROUNDS):
        with schema_of_its_own(url) as ours, schema_of_its_own(url) as theirs:
            taken.append(_round({"ours": ours, "theirs": theirs}.__getitem__, (rows, ROWS_PER_VISIT), _clock_with_server(url), _copy))
    return Timed(*(median(column) for column in zip(*taken, strict=True)))


def _clock_with_server(url: str):
    """Return a clock of the CPU seconds that this process and all of the server's have taken."""
    with psycopg.connect(url) as connection:
        (backend,) = connection.execute("SELECT pg_backend_pid()").fetchone()
        server = psutil.Process(backend).parent()

    def seconds() -> float:
        own, children = server.cpu_times(), [_spent(child) for child in server.children()]
        return process_time() + own.user + own.system + own.children_user + own.children_system + sum(children)

    return seconds


def _spent(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return times.user + times.system


def growth(folder: Path, rows: int, held: int) -> tuple[float, float]:
    """Return the seconds that `rows` new rows take on a store that holds `held` rows, and on an empty one, medians of ROUNDS."""
    big, taken = folder / "big.db", []
    with Store.open(big, simulated=True) as store:
        deliver(store, visits(held, first=10**6))
    for turn in range(ROUNDS):
        small = folder / f"small{turn}.db"
        taken.append(tuple(_new_rows(place, rows, turn) for place in (big, small)))
        remove(small)
    return tuple(median(column) for column in zip(*taken, strict=True))


def _new_rows(place: Path, rows: int, turn: int) -> float:
    with Store.open(place, simulated=True) as store:
        return _timed(process_time, deliver, store, list(visits(rows, first=turn * 1000)))


def _round(place, size: tuple[int, int], clock, raw) -> tuple[float, float, float, float]:
    for name in ("ours", "theirs"):
        remove(Path(place(name)))
    rows, each = size
    once, again = list(visits(rows, each=each)), list(visits(rows, each=each, version="2"))
    for one in (*once, *again):
        assert [answer.sha256 for answer in one.payloads]
    with Store.open(place("ours"), simulated=True) as store:
        new = _timed(clock, deliver, store, once)
        known = _timed(clock, deliver, store, again)
        unchanged = _timed(clock, deliver, store, again)
        with store._database.reading() as connection:
            ready = fetch(connection, select(photometry).order_by(photometry.c.series_id, photometry.c.observation), STORED)
    with Store.open(place("theirs"), simulated=True) as store:
        return new, known, unchanged, raw(store, ready, clock)


def deliver(store: Store, delivered) -> None:
    """Store visits as a run does, which takes all that wait."""
    with store.run("benchmark", "1") as run:
        waiting = iter(delivered)
        while some := list(islice(waiting, WAITING_TO_BE_WRITTEN)):
            for _ in run.visits(some):
                pass


def _executemany(store: Store, ready, clock) -> float:
    tuples = tuples_of(ready)
    statement = f"INSERT INTO photometry VALUES ({', '.join('?' * len(STORED))})"
    with _driver(store) as driver:
        return _timed(clock, lambda: (driver.execute("BEGIN"), driver.executemany(statement, tuples), driver.execute("COMMIT")))


def _copy(store: Store, ready, clock) -> float:
    """Time a binary COPY as psycopg's users write it: row by row, with `write_row`."""
    tuples, kinds = tuples_of(ready), [POSTGRES_TYPES[str(field.type)] for field in STORED]

    def copied(driver):
        with driver.cursor() as cursor, cursor.copy("COPY photometry FROM STDIN (FORMAT BINARY)") as stream:
            stream.set_types(kinds)
            for row in tuples:
                stream.write_row(row)
        driver.commit()

    with _driver(store) as driver:
        return _timed(clock, copied, driver)


POSTGRES_TYPES = {"int64": "int4", "string": "text", "double": "float8", "bool": "bool", "int8": "int2"}


@contextmanager
def _driver(store: Store):
    connection = store._database.engine.raw_connection()
    try:
        yield connection.driver_connection
    finally:
        connection.close()


def _timed(clock, work, *arguments) -> float:
    start = clock()
    work(*arguments)
    return clock() - start


def _sizes(file: Path, rows: int) -> tuple[float, float]:
    """Return the bytes of a point, all in but the payloads and what an empty store takes: as written, and after `db vacuum`."""
    import sqlite3

    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        written = _used(connection)
        connection.execute("VACUUM")
        packed = _used(connection)
    connection.close()
    return written / rows, packed / rows


def _used(connection) -> int:
    """Return the bytes of all tables and indices but those of payloads, less the first page of each."""
    total = "SELECT sum(size - 4096) FROM (SELECT sum(pgsize) AS size FROM dbstat WHERE name NOT LIKE '%payload' GROUP BY name)"
    return connection.execute(total).fetchone()[0]


def remove(file: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{file}{suffix}").unlink(missing_ok=True)
