"""One invocation of `harvest`, as the store records it: its visits, each whole or not at all, and how it ended."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from sqlalchemy import select

from harvester.errors import StoreError
from harvester.store.bulk import write_many
from harvester.store.living import alive
from harvester.store.rows import clean, now
from harvester.store.same import repeated
from harvester.store.tables import run, visit
from harvester.store.visit import NOT_FAILED, Counts, Visit
from harvester.store.write import write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import Connection

    from harvester.store.connection import Database
    from harvester.store.many import Many

    Write = Callable[[Connection], None]


class Run:
    """An open run: takes visits."""

    def __init__(self, database: Database, run_id: int, version: str) -> None:
        self._database = database
        self.id = run_id
        self.version = version
        self.status = ""
        """How the run ended, where its visits do not tell: "interrupted", or "partial" when there was no time for the rest."""

    def visit(self, visit: Visit) -> Counts:
        """Store one visit, or nothing of it: rows, versions, payloads, Outcome, watermark, ids and quarantine. Raises StoreError."""
        with self._database.writing() as connection:
            return write(connection, visit, self.id, self.version)

    def visits(self, delivered: Sequence[Visit]) -> Iterator[Counts]:
        """Store visits, each whole or not at all; yield what each changed, in their order, once it is stored. Raises StoreError.

        Those without news share a transaction: to begin and to end one is most of what they cost. Every other has one of its own.
        """
        same: dict[int, Counts] = {}
        if len(delivered) > 1:
            with self._database.writing() as connection:
                same = repeated(connection, delivered, self.id, self.version)
        for number, one in enumerate(delivered):
            yield same[number] if number in same else self.visit(one)

    def batch(self, parts: Sequence[Many], before: Write = lambda _: None, after: Write = lambda _: None) -> list[Counts]:
        """Store visits to many targets, and what is written `before` and `after` them, or nothing. Raises StoreError, and what these raise."""
        with self._database.writing() as connection:
            before(connection)
            counts = [counts for part in parts for counts in write_many(connection, part, self.id)]
            after(connection)
        return counts


@contextmanager
def open_run(database: Database, command: str, version: str) -> Iterator[Run]:
    """Record a run while it lasts. One that was killed stays "running", and is known by the lock that it no longer holds. Raises StoreError."""
    with ExitStack() as life:
        with database.writing() as connection:
            row = {"command": clean(command), "version": version, "started": now(), "status": "running"}
            (run_id,) = connection.execute(run.insert(), row).inserted_primary_key or (0,)
            life.enter_context(alive(database, run_id))
        yield from _lasting(database, Run(database, run_id, version))


def _lasting(database: Database, opened: Run) -> Iterator[Run]:
    try:
        yield opened
    except BaseException as error:
        with suppress(StoreError):  # what went wrong first is what the user must read
            _close(database, opened.id, "failed" if isinstance(error, Exception) else "interrupted")
        raise
    _close(database, opened.id, opened.status)


def _close(database: Database, run_id: int, status: str = "") -> None:
    with database.writing() as connection:
        outcomes = set(connection.execute(select(visit.c.outcome).distinct().where(visit.c.run_id == run_id)).scalars())
        started = connection.execute(select(run.c.started).where(run.c.id == run_id)).scalar_one()
        ended = {"ended": max(now(), started), "status": status or _status(outcomes)}  # the machine's clock may have been set back
        connection.execute(run.update().where(run.c.id == run_id), ended)


def _status(outcomes: set[str]) -> str:
    if outcomes <= NOT_FAILED:
        return "done"
    return "partial" if outcomes & NOT_FAILED else "failed"
