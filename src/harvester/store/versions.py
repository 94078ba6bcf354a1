"""The version of a store: what stands at a place, and how a store is made and upgraded (Alembic, run from code)."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, select, text

from harvester.errors import StoreError, StoreTooNew, WrongKind
from harvester.store.every_table import metadata
from harvester.store.tables import meta

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harvester.store.connection import Database

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008")
"""Every revision of the schema, oldest first: opening a store need not load Alembic."""
VERSION_TABLE = "alembic_version"
NAME = "name"
"""What `meta` calls the name under which the store was made."""
MAKING = 0x68617276
"""Key of the PostgreSQL lock under which a store is made or upgraded."""


def kind_of(*, simulated: bool) -> str:
    """Return the word that a store keeps of its kind."""
    return "simulated" if simulated else "real"


def make_or_check(database: Database, *, simulated: bool | None, create: bool) -> None:
    """Make the store, or see that this version can work with the one that is there. Raises StoreError, StoreTooNew, WrongKind."""
    found = _look(database)
    if found is None:
        if simulated is None or not create:
            raise _missing(database)
        _make(database, simulated=simulated)
        found = _look(database)
    _check_revision(str(found), database)
    if simulated is not None:
        _check_kind(database, simulated=simulated)


@contextmanager
def newborn(database: Database) -> Iterator[Connection]:
    """Open the transaction that makes a store's empty tables where there is none; the caller fills them, the kind included.

    All of it is stored at the end or none. Raises StoreError for a place that holds a store or another program's tables.
    """
    if database.file:
        _make_folder(database.file)
    with _alone(database) as connection:
        if revision(connection, database) is not None:
            raise StoreError(f"'{database.place}' holds a store already.", "Nothing was copied.", "Name a new file, or an empty database.")
        _migrate(connection)
        yield connection


def upgrade(database: Database) -> tuple[str, str]:
    """Bring an older store to this version's schema, in one transaction; return both revisions. Raises StoreError, StoreTooNew."""
    found = _look(database)
    if found is None:
        raise _missing(database)
    if found not in REVISIONS:
        _check_revision(found, database)
    with _alone(database, rebuilding=True) as connection:
        _migrate(connection)
    return found, REVISIONS[-1]


def kind(connection: Connection) -> str:
    """Return whether the store holds real or simulated data."""
    return str(connection.execute(select(meta.c.value).where(meta.c.key == "kind")).scalar_one())


def name(connection: Connection, database: Database) -> str:
    """Return the name under which the store was made. Its copies keep it: what is exported of a state is the same wherever the store lies."""
    return connection.execute(select(meta.c.value).where(meta.c.key == NAME)).scalar_one_or_none() or database.name


def keep_name(connection: Connection, word: str) -> None:
    """Keep a name as the one under which a store was made."""
    connection.execute(meta.insert(), {"key": NAME, "value": word})


def revision(connection: Connection, database: Database) -> str | None:
    """Return the revision of the schema, None where there is no store. Raises StoreError for tables that are not ours."""
    found = set(inspect(connection).get_table_names())
    if {VERSION_TABLE, meta.name} <= found:
        return connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar_one_or_none()  # noqa: S608 - a constant
    in_the_way = found if database.is_sqlite else found & {*metadata.tables, VERSION_TABLE}
    if in_the_way:
        raise StoreError(
            f"'{database.place}' is no store of harvester.",
            f"It holds tables of another program ({', '.join(sorted(in_the_way)[:3])}).",
            "Name another file or database: harvest --store PLACE",
        )
    return None


def _look(database: Database) -> str | None:
    """Return the revision of what is there, without making a file by looking."""
    if database.file and not database.file.exists():
        return None
    with database.reading() as connection:
        return revision(connection, database)


def _make(database: Database, *, simulated: bool) -> None:
    """Make a store where there is none. A second process that does the same at once finds it made."""
    if database.file:
        _make_folder(database.file)
        database.make_wal()
    with _alone(database) as connection:
        if revision(connection, database) is None:
            _migrate(connection)
            connection.execute(meta.insert(), {"key": "kind", "value": kind_of(simulated=simulated)})
            keep_name(connection, database.name)


def _check_revision(found: str, database: Database) -> None:
    if found not in REVISIONS:
        raise StoreTooNew(
            f"the store '{database.place}' was written by a newer harvester.",
            f"Its schema is revision {found}; this version knows up to {REVISIONS[-1]}.",
            "Upgrade: pip install -U harvester",
        )
    if found != REVISIONS[-1]:
        raise StoreError(
            f"the store '{database.place}' was written by an older harvester.",
            f"Its schema is revision {found}; this version needs {REVISIONS[-1]}.",
            "Make a copy of it, then run: harvest db upgrade",
        )


def _check_kind(database: Database, *, simulated: bool) -> None:
    with database.reading() as connection:
        found = kind(connection)
    if found != kind_of(simulated=simulated):
        raise WrongKind(
            f"the store '{database.place}' holds {found} data, and this command brings {kind_of(simulated=simulated)} data.",
            "The two never mix.",
            f"Name another store with --store, or {'leave out' if simulated else 'give'} --emulate.",
        )


def _missing(database: Database) -> StoreError:
    return StoreError(
        f"there is no store at '{database.place}'.",
        "Nothing has been fetched yet, or it lies elsewhere.",
        "Start one: harvest fetch --source gaia_dr3 --target 'RR Lyr'  (or name yours: --store PLACE)",
    )


def _make_folder(file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"the folder '{file.parent}' cannot be made.", f"{error.strerror}.", "Name a place that you may write to: harvest --store FILE"
        ) from error


@contextmanager
def _alone(database: Database, *, rebuilding: bool = False) -> Iterator[Connection]:
    """Open a writing transaction that no other process shares, on either back end."""
    with database.rebuilding() if rebuilding else database.writing() as connection:
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MAKING})
        yield connection


def _migrate(connection: Connection, to: str = "head") -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, to)
