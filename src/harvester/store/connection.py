"""Where a store lies, and how it is reached: an SQLite file by its path, or a PostgreSQL database by its URL.

SQLite runs in WAL mode with `synchronous=NORMAL`: readers and one writer at once, and a killed process loses only what it had not
committed. The log may grow to 32 MiB before it is worked into the file: pages that many visits change are then written once. A writing
transaction takes the lock when it begins (BEGIN IMMEDIATE), so that two processes wait for one another instead of
failing.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, exc, make_url

from harvester.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_S = 30.0
"""How long one process waits for another that writes to the same SQLite file."""
IDLE_S = 1.0
"""A server's connection that was idle for longer is tried before it is used."""
POSTGRES_DRIVER = "postgresql+psycopg"
SECRETS = ("password", "sslpassword")
INSUFFICIENT_PRIVILEGE = "42501"
CAUSES = (
    ("not a database", "The file is no SQLite database.", "Name another file: harvest --store FILE"),
    ("is locked", "Another process has been writing to it for too long.", "Try again when that process is done."),
    (
        "unable to open",
        "The file or its folder cannot be opened.",
        "Check that the folder exists and may be written, or name another: harvest --store FILE",
    ),
    ("readonly", "The file or its folder may not be written.", "Change its permissions, or name another: harvest --store FILE"),
    ("is full", "The disk is full.", "Make room and run the command again: nothing is half-stored."),
    ("No space left", "The disk of the database server is full.", "Make room and run the command again: nothing is half-stored."),
    (
        "disk I/O error",
        "The disk cannot be written or read: a limit was reached, or it fails.",
        "Make room or check the disk, and run the command again: nothing is half-stored.",
    ),
    ("malformed", "The file is damaged.", "Restore it from a backup; 'sqlite3 FILE .recover' may save most of it."),
)


class Database:
    """Connections to one store; what goes wrong with them is a StoreError in the user's words."""

    def __init__(self, place: str | Path, patience: float | None = None) -> None:
        self.url = _url(place)
        self.place = shown(self.url)
        self.engine = _engine(self.url, PATIENCE_S if patience is None else patience, self.place)
        self._reader = self.engine if self.is_sqlite else self.engine.execution_options(isolation_level="REPEATABLE READ")
        self._writer = self.engine.execution_options(begin="BEGIN IMMEDIATE")

    @property
    def is_sqlite(self) -> bool:
        """Whether the store is a file of its own."""
        return self.engine.dialect.name == "sqlite"

    @property
    def file(self) -> Path | None:
        """The SQLite file, or None for a server."""
        return Path(self.url.database or "") if self.is_sqlite else None

    @property
    def name(self) -> str:
        """The place without its folder: what a file may say of where it comes from."""
        return self.file.name if self.file else self.place

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One transaction that sees one state of the store, whatever others write meanwhile. Raises StoreError."""
        with self._explained(), self._reader.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction that is stored whole or not at all. Raises StoreError."""
        with self._explained(), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def rebuilding(self) -> Iterator[Connection]:
        """Open a writing transaction in which a table may be replaced by its next version: SQLite looks at references at its end only.

        On a connection of its own, which nobody uses afterwards. Raises StoreError.
        """
        if not self.is_sqlite:
            with self.writing() as connection:
                yield connection
            return
        with self._explained(), self.engine.execution_options(begin="").connect() as connection:
            connection.detach()
            connection.exec_driver_sql("PRAGMA foreign_keys=OFF")  # says nothing within a transaction
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection
            if broken := connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall():
                raise StoreError(f"the store '{self.place}' has rows that refer to nothing: {broken[0]}.", hint="See: harvest db check")
            connection.commit()

    @contextmanager
    def outside(self) -> Iterator[Connection]:
        """Open a connection on which every statement stands for itself, outside any transaction. Raises StoreError."""
        alone = {"begin": ""} if self.is_sqlite else {"isolation_level": "AUTOCOMMIT"}
        with self._explained(), self.engine.execution_options(**alone).connect() as connection:
            yield connection

    def make_wal(self) -> None:
        """Let readers and a writer work at once; SQLite keeps this in the file. Raises StoreError."""
        with self.outside() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        driver: Any = self.engine.dialect.loaded_dbapi
        try:
            yield
        except (exc.DatabaseError, driver.DatabaseError) as error:
            told = error.orig if isinstance(error, exc.DatabaseError) else error
            if not _is_of_the_place(told, driver):
                raise
            why, hint = _cause(_without_secrets(str(told), self.url))
            raise StoreError(f"the store '{self.place}' cannot be used.", why, hint) from error


def shown(url: URL) -> str:
    """Return a place without its password, as messages may hold it."""
    if url.drivername == "sqlite":
        return url.database or ""
    hidden = url.update_query_dict({name: "***" for name in SECRETS if name in url.query})
    return hidden.set(drivername="postgresql").render_as_string(hide_password=True)


def _url(place: str | Path) -> URL:
    text = str(place)
    if "://" not in text:
        return URL.create("sqlite", database=str(Path(text).expanduser()))
    try:
        url = make_url(text)
    except (exc.ArgumentError, ValueError) as error:
        raise _no_place("The address cannot be read.") from error
    if url.drivername in {"postgresql", "postgres", POSTGRES_DRIVER}:
        return url.set(drivername=POSTGRES_DRIVER)
    if url.drivername == "sqlite" and url.database:
        return url
    raise _no_place(f"'{url.drivername}' is no database that can hold a store.")


def _no_place(why: str) -> StoreError:
    return StoreError("the store has no usable address.", why, "Name a file (harvest.db) or a database (postgresql://USER@HOST/NAME).")


def _engine(url: URL, patience: float, place: str) -> Engine:
    try:
        engine = create_engine(url)
    except ModuleNotFoundError as error:
        raise StoreError(
            f"the store '{place}' cannot be used.", "The PostgreSQL driver is missing.", "pip install 'harvester[postgres]'"
        ) from error
    if url.drivername == "sqlite":
        _prepare_sqlite(engine, patience)
    else:
        _ping_idle(engine)
    return engine


def _ping_idle(engine: Engine) -> None:
    """See whether a connection that was idle for a while still stands, and open another if not: servers and firewalls cut idle ones."""

    @event.listens_for(engine, "checkin")
    def _rest(_connection: Any, record: Any) -> None:
        record.info["idle since"] = monotonic()

    @event.listens_for(engine, "checkout")
    def _wake(connection: Any, record: Any, _proxy: Any) -> None:
        if monotonic() - record.info.get("idle since", monotonic()) < IDLE_S:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise exc.DisconnectionError from error


def _prepare_sqlite(engine: Engine, patience: float) -> None:
    @event.listens_for(engine, "connect")
    def _settings(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver must not begin transactions of its own
        for pragma in (
            f"busy_timeout={round(1000 * patience)}",
            "foreign_keys=ON",
            "synchronous=NORMAL",
            "wal_autocheckpoint=8000",
            "cache_size=-32000",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        statement = connection.get_execution_options().get("begin", "BEGIN")
        if statement:
            connection.exec_driver_sql(statement)


def _is_of_the_place(error: BaseException | None, driver: Any) -> bool:
    """Tell trouble with the file or server from a bug of ours; `error` is the driver's own."""
    if isinstance(error, driver.OperationalError) or type(error) is driver.DatabaseError:
        return True
    return getattr(error, "sqlstate", None) == INSUFFICIENT_PRIVILEGE


def _cause(message: str) -> tuple[str, str]:
    for words, why, hint in CAUSES:
        if words in message:
            return why, hint
    return message, "Check the address and that the database can be reached."


def _without_secrets(message: str, url: URL) -> str:
    secrets = [str(url.password or ""), *(str(url.query.get(name, "")) for name in SECRETS)]
    for secret in filter(None, secrets):
        message = message.replace(secret, "***")
    return re.sub(r"\s+", " ", message).strip()[:300]
