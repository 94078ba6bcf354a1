"""Which runs are alive: every run holds a lock of its own while it lasts, which goes with its process, however that ends.

A run that the store calls "running" and whose lock nobody holds has died. SQLite: the byte of its number in a file beside the store is locked (POSIX,
so that no child of the process has it as well). PostgreSQL: an advisory lock on a connection of its own, so a run on another machine is known
to be alive too. Where the system cannot tell, a run is taken for alive.
"""

from __future__ import annotations

import fcntl
from contextlib import contextmanager, suppress
from threading import Lock
from typing import TYPE_CHECKING, BinaryIO

from sqlalchemy import bindparam, text
from sqlalchemy.exc import DBAPIError

from harvester.errors import StoreError
from harvester.store.lock import beside, opened

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from harvester.store.connection import Database

SUFFIX = "runs"
_SCHEMA = "hashtext('harvester runs of ' || current_schema())"
_LOCKED = text(f"SELECT pg_advisory_lock({_SCHEMA}, :run)")
_UNLOCKED = text(f"SELECT pg_advisory_unlock({_SCHEMA}, :run)")
_FREE = text(
    f"SELECT run FROM unnest(CAST(:runs AS integer[])) AS run WHERE pg_try_advisory_xact_lock_shared({_SCHEMA}, run)"  # noqa: S608 - our words
).bindparams(bindparam("runs"))

_guard = Lock()
_mine: dict[Path, tuple[BinaryIO, set[int]]] = {}
"""The runs of this process by file. A file is open once: closing any handle of it would give back the locks of all."""


@contextmanager
def alive(database: Database, run_id: int) -> Iterator[None]:
    """Show that a run lasts, while the block does. To be entered before others can see the run. Raises StoreError."""
    with _byte(database.file, run_id) if database.file else _advisory(database, run_id):
        yield


@contextmanager
def _byte(store: Path, run_id: int) -> Iterator[None]:
    path = beside(store, SUFFIX)
    _take(path, run_id)
    try:
        yield
    finally:
        _give_back(path, run_id)


@contextmanager
def _advisory(database: Database, run_id: int) -> Iterator[None]:
    with database.outside() as connection:
        connection.execute(_LOCKED, {"run": run_id})
        try:
            yield
        finally:
            with suppress(StoreError, DBAPIError):  # a connection that is lost has given it back
                connection.execute(_UNLOCKED, {"run": run_id})


def dead(database: Database, run_ids: Collection[int]) -> set[int]:
    """Return those of some runs that nobody works on. One of them that the store calls "running" after this has died. Raises StoreError."""
    if not run_ids:
        return set()
    if database.file is None:
        with database.reading() as connection:
            return set(connection.execute(_FREE, {"runs": list(run_ids)}).scalars())
    path = beside(database.file, SUFFIX)
    with _guard:
        file, own = _mine.get(path, (None, set()))
        others = set(run_ids) - own
        try:
            if file is not None:
                return _free(file, others)
            with path.open("rb") as found:
                return _free(found, others)
        except FileNotFoundError:  # no run ever was on this machine
            return others
        except OSError:
            return set()


def _take(path: Path, run_id: int) -> None:
    with _guard:
        file, own = _mine.get(path) or (opened(path), set())
        _mine[path] = file, own | {run_id}
        with suppress(OSError):  # a file system without locks: nobody can tell, and nobody will
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, run_id)


def _give_back(path: Path, run_id: int) -> None:
    with _guard:
        file, own = _mine.pop(path)
        if own - {run_id}:
            _mine[path] = file, own - {run_id}
            with suppress(OSError):
                fcntl.lockf(file, fcntl.LOCK_UN, 1, run_id)
        else:
            file.close()


def _free(file: BinaryIO, run_ids: Collection[int]) -> set[int]:
    return {run_id for run_id in run_ids if _is_free(file, run_id)}


def _is_free(file: BinaryIO, run_id: int) -> bool:
    try:
        fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, run_id)
    except (BlockingIOError, PermissionError):
        return False
    fcntl.lockf(file, fcntl.LOCK_UN, 1, run_id)
    return True
