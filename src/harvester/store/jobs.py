"""Remote jobs as the store keeps them: each change is a short transaction of its own, which is on disk when the call returns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, Connection, and_, delete, select

from harvester.jobs import Job
from harvester.store.rows import insert_missing
from harvester.store.tables import job

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harvester.store.connection import Database

FIELDS = ("source", "key", "remote", "submitted", "state")


class StoredJobs:
    """The jobs of a store, for any number of threads: satisfies `harvester.jobs.Jobs`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, source: str, key: str) -> Job | None:
        """Return a job, or None. Raises StoreError."""
        with self._database.reading() as connection:
            row = connection.execute(select(*(job.c[name] for name in FIELDS)).where(_is(source, key))).one_or_none()
        return Job(*row) if row else None

    def put(self, given: Job) -> None:
        """Write a job down, in place of an earlier one of the same source and key. Raises StoreError."""
        row = {name: getattr(given, name) for name in FIELDS}
        later = {name: row[name] for name in FIELDS if name not in {"source", "key"}}
        with self._database.writing() as connection:
            insert = insert_missing(connection, job, instead=later)
            connection.execute(insert, row)

    def forget(self, source: str, key: str) -> None:
        """Strike a job off. Raises StoreError."""
        with self._database.writing() as connection:
            strike(connection, source, [key])


def strike(connection: Connection, source: str, keys: Iterable[str]) -> None:
    """Strike jobs off, within the transaction in which their answer is stored."""
    for key in keys:
        connection.execute(delete(job).where(_is(source, key)))


def jobs(connection: Connection) -> list[Job]:
    """Return every job that is under way, oldest first."""
    return [Job(*row) for row in connection.execute(select(*(job.c[name] for name in FIELDS)).order_by(job.c.submitted, job.c.id))]


def _is(source: str, key: str) -> ColumnElement[bool]:
    return and_(job.c.source == source, job.c.key == key)
