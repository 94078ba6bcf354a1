"""When the world goes wrong while `harvest` writes: an error in three lines, a sound store, and a rerun that completes it."""

import resource
import shutil
import sqlite3
import subprocess
import sys
from functools import partial

import psycopg
import pytest
import sqlalchemy as sa

from harvester.cli import status_of
from harvester.cli.options import App
from harvester.errors import StoreError
from harvester.store import Store, copying

FETCH = ["fetch", "--source", "gaia_dr3", "--source", "ztf_dr"]
LYR = "fetch --source gaia_dr3 --source ztf_dr --target 'RR Lyr'"
AGAIN = ("UPDATE schedule", "WITH visited AS")
"""How the statement begins that puts a further visit into the schedule, on SQLite and on PostgreSQL."""
ON_SQLITE = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
ON_POSTGRES = pytest.mark.parametrize("store_url", ["postgresql"], indirect=True)


def command(place, *words):
    return [sys.executable, "-m", "harvester", "--emulate", "--store", str(place), *words]


def content(place):
    """Return what a store knows, but for moments and for the visits and runs that it took."""
    with Store.open(place, simulated=True) as store:
        assert [found for found in store.check() if found.problems] == []
        points = {target.name: store.light_curve(target.name, quality="all").to_pylist() for target in store.targets()}
        assert all(points.values())
        watermarks = {name: store.timetable.watermarks(name) for name in store.sources()}
        return points, watermarks, store.targets(), store.info()["revised"]


@pytest.fixture
def undisturbed(harvest, tmp_path):
    """What a store holds after a fetch that nothing disturbed."""
    harvest.store = tmp_path / "undisturbed.db"
    assert harvest(LYR) == 0
    return content(harvest.store)


def assert_three_lines(text):
    lines = text.splitlines()
    assert "Traceback" not in text
    assert lines[0].startswith("error: ")
    assert 2 <= len(lines) <= 3


PAIRS = ["RR Lyr", "SS Cyg"], ["SS Cyg", "del Cep"]


@pytest.fixture(scope="module")
def one_after_the_other(running, tmp_path_factory):
    """What a store holds that one process after the other fetched into."""
    place = tmp_path_factory.mktemp("alone") / "alone.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(App, "emulator", running[1])
        for first, second in PAIRS:
            assert status_of(["--emulate", "--store", str(place), "-q", *FETCH, "-t", first, "-t", second]) == 0
    return content(place)


@pytest.mark.slow
def test_two_processes_fetch_into_one_store_at_once(store_url, one_after_the_other):
    workers = [
        subprocess.Popen(command(store_url, *FETCH, "-t", first, "-t", second), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for first, second in PAIRS
    ]
    said = [worker.communicate() for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], said
    assert content(store_url) == one_after_the_other


def limited(size):
    """Run in a child: files may not grow beyond `size` bytes; writing on is an error, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.slow
@pytest.mark.parametrize("size", [20_000, 250_000, 500_000])
def test_a_file_that_may_not_grow_is_an_error_and_the_rerun_completes_it(harvest, undisturbed, tmp_path, size):
    place = tmp_path / "store.db"
    stopped = subprocess.run(
        command(place, *FETCH, "-t", "RR Lyr"), capture_output=True, text=True, check=False, preexec_fn=partial(limited, size)
    )
    assert stopped.returncode == 1
    assert_three_lines(stopped.stderr)
    assert "disk" in stopped.stderr
    harvest.store = place
    assert harvest(LYR) == 0
    assert content(place) == undisturbed


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 400 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", folder], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("a small disk can be mounted by root only")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_an_error_and_the_rerun_with_room_completes_it(harvest, undisturbed, small_disk):
    harvest.store = small_disk / "store.db"
    assert harvest(LYR) == 1
    assert_three_lines(harvest.err)
    assert "The disk is full." in harvest.err
    subprocess.run(["mount", "-o", "remount,size=8m", small_disk], check=True)
    assert harvest(LYR) == 0
    assert content(harvest.store) == undisturbed


def test_a_copy_onto_a_full_disk_is_no_store_and_can_be_started_again(harvest, undisturbed, small_disk):
    assert harvest(f"db copy --to {small_disk / 'copy.db'}") == 1
    assert_three_lines(harvest.err)
    with pytest.raises(StoreError, match="there is no store"):
        Store.open(small_disk / "copy.db", simulated=None)
    subprocess.run(["mount", "-o", "remount,size=8m", small_disk], check=True)
    assert harvest(f"db copy --to {small_disk / 'copy.db'}") == 0
    assert content(small_disk / "copy.db") == undisturbed


def end_of(connection, place):
    """End a connection as an administrator or a restart of the server would."""
    pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    with psycopg.connect(place, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", (pid,))


@pytest.fixture
def on_statement():
    """Do something once, when a statement that begins with some words is about to be executed."""
    hooks = []

    def register(words, act):
        def note(connection, _cursor, statement, *_):
            if statement.startswith(words) and not done:
                done.append(statement)
                act(connection)

        done = []
        hooks.append(note)
        sa.event.listen(sa.Engine, "before_cursor_execute", note)
        return done

    yield register
    for note in hooks:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)


@ON_POSTGRES
@pytest.mark.parametrize(
    "moment", ["INSERT INTO series", "INSERT INTO visit", AGAIN, "INSERT INTO schedule"], ids=["series", "visit", "again", "first"]
)
def test_a_dropped_connection_is_an_error_and_the_rerun_completes_it(harvest, undisturbed, store_url, on_statement, moment):
    harvest.store = store_url
    if moment == AGAIN:
        assert harvest("fetch --source ztf_dr --target 'RR Lyr'") == 0
    done = on_statement(moment, lambda connection: end_of(connection, store_url))
    assert harvest(LYR) == 1
    assert done
    assert_three_lines(harvest.err)
    assert harvest(LYR) == 0
    assert content(store_url) == undisturbed


@pytest.mark.parametrize(("store_url", "other_url"), [("sqlite", "postgresql"), ("postgresql", "postgresql")], indirect=True)
def test_a_copy_whose_connection_was_dropped_is_no_store(harvest, undisturbed, store_url, other_url, monkeypatch):
    harvest.store = store_url
    harvest(LYR)
    insert = copying._insert

    def dropped(connection, table, rows):
        if table.name == "photometry":
            end_of(connection, other_url)
        insert(connection, table, rows)

    monkeypatch.setattr(copying, "_insert", dropped)
    assert harvest(f"db copy --to '{other_url}'") == 1
    assert_three_lines(harvest.err)
    with pytest.raises(StoreError, match="there is no store"):
        Store.open(other_url, simulated=None)
    monkeypatch.undo()
    assert content(store_url) == undisturbed


@pytest.mark.parametrize("words", [LYR, "db vacuum", "db copy --to {place}"])
def test_a_locked_file_is_an_error_and_the_rerun_completes_it(harvest, undisturbed, monkeypatch, tmp_path, words):
    place = tmp_path / "store.db"
    harvest.store = tmp_path / "undisturbed.db" if "copy" in words else place
    if "vacuum" in words:
        assert harvest(LYR) == 0
    elif "fetch" in words:
        assert harvest("targets add --target '10 20' --name x") == 0
        assert harvest("targets remove --target x") == 0
    monkeypatch.setattr("harvester.store.connection.PATIENCE_S", 0.1)
    lock = sqlite3.connect(place, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    assert harvest(words.format(place=place)) == 1
    assert_three_lines(harvest.err)
    assert "Another process has been writing" in harvest.err
    lock.execute("ROLLBACK")
    lock.close()
    assert harvest(words.format(place=place)) == 0
    assert content(place) == undisturbed


def test_a_killed_run_stays_running_in_the_books_and_is_no_damage(harvest, on_statement, store_url):
    harvest.store = store_url
    assert harvest("fetch --source gaia_dr3 --target 'RR Lyr'") == 0

    def interrupt(_connection):
        raise KeyboardInterrupt

    on_statement(AGAIN, interrupt)
    assert harvest("fetch --source gaia_dr3 --target 'RR Lyr'") == 130
    assert harvest("db check") == 0
