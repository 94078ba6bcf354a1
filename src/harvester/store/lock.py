"""The lock of a store's updates: one process at a time. It is the system's own, and goes with the process that holds it, however that ends.

SQLite: an exclusive `flock` on a file beside the store, which stays there, empty; removing it would let two processes lock two files. PostgreSQL: an
advisory lock on a connection of its own. Both are independent of the store's transactions, so reading and `harvest fetch` go on.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from sqlalchemy import text

from harvester.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harvester.store.connection import Database

UPDATING = 0x68617277
"""First key of the advisory lock; the second is the schema's."""
HELD = (errno.EACCES, errno.EAGAIN)


@contextmanager
def alone(database: Database, *, wait: bool) -> Iterator[bool]:
    """Hold the lock while the block lasts; give False, without it, where another process has it and `wait` is not set. Raises StoreError."""
    holder = _beside(database.file, wait=wait) if database.file else _advisory(database, wait=wait)
    with holder as held:
        yield held


def beside(store: Path, suffix: str) -> Path:
    """Return the path of a file that goes with a store: the same one by whatever way the store was reached."""
    real = store.resolve()
    return real.with_name(f"{real.name}.{suffix}")


def opened(path: Path) -> BinaryIO:
    """Open, or make, a file to be locked. Raises StoreError."""
    try:
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), "r+b")
    except OSError as error:
        raise StoreError(f"the lock '{path}' cannot be made.", f"{error.strerror}.", "The folder of the store must be writable.") from error


@contextmanager
def _beside(store: Path, *, wait: bool) -> Iterator[bool]:
    """Lock the file beside a store."""
    path = beside(store, "lock")
    with opened(path) as file:
        yield _locked(file.fileno(), path, wait=wait)


def _locked(number: int, path: Path, *, wait: bool) -> bool:
    try:
        fcntl.flock(number, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno in HELD:
            return False
        raise StoreError(f"the lock '{path}' does not work.", f"{error.strerror}.", "Keep the store on a disk of this machine.") from error
    return True


@contextmanager
def _advisory(database: Database, *, wait: bool) -> Iterator[bool]:
    """Lock a schema; the lock is the connection's, and the server frees it when that is gone."""
    with database.outside() as connection:
        schema = connection.execute(text("SELECT hashtext(current_schema())")).scalar_one()
        asked = "pg_advisory_lock" if wait else "pg_try_advisory_lock"
        key = {"updating": UPDATING, "schema": schema}
        if connection.execute(text(f"SELECT {asked}(:updating, :schema)"), key).scalar_one() is False:
            yield False
            return
        try:
            yield True
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:updating, :schema)"), key)
