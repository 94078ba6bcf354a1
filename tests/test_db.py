"""The store as a thing to look after: copied, checked, tidied, described; and what happens to it when the world goes wrong."""

import signal
import sqlite3
import subprocess
import sys
import tracemalloc
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import psycopg
import pyarrow as pa
import pytest
import sqlalchemy as sa
from stores import BACK_ENDS, some_place
from test_store import PAYLOAD, STAR, deliver, query, rows, visit

from harvester.errors import StoreError
from harvester.jobs import Job
from harvester.payload import SkyObject
from harvester.store import Store, Visit, check, copying
from harvester.store.check import CHECKS
from harvester.store.connection import Database
from harvester.store.soundness import parents
from harvester.store.tables import metadata, photometry, photometry_version
from harvester.target import Target

OTHER = Target("α Ori \"'x'%;--", 88.79, 7.41)
BAD = pa.table({"reason": ["a number that cannot be read"], "payload": pa.array([0], pa.int32()), "mag": [np.inf], "passband": ["g"]})
ON_SQLITE = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
ON_POSTGRES = pytest.mark.parametrize("store_url", ["postgresql"], indirect=True)


def fill(store):
    """Leave every kind of row in every table: two targets and sources, a chain of versions, limits, quarantine, failures."""
    extremes = {"flux": [0.1 + 0.2, -5e-324, 1.7976931348623157e308], "flags": [None, "ü; 'quoted' \\N\tx", "chi=1.25"]}
    deliver(store, visit(rows("o1", "o2", "o3", **extremes), object_ids=("686103400067717",), quarantine=BAD))
    deliver(store, visit(rows("o1", "o2", "o3", mag=[12.5, 12.6, 12.7], **extremes), body=b"2"))
    deliver(store, visit(rows("o1", "o2", "o3", mag=[12.5, 12.8, 12.7], **extremes), body=b"3"))
    limit = rows("o4", "o5", upper_limit=[True, False], limiting_mag=[20.5, None], mag=[None, 1.0], filters=["g(ZTF)", "r(ZTF)"])
    deliver(store, visit(limit, body=b"", source="alerce"), visit(outcome="failed", error_kind="unreachable", source="alerce", body=b"4"))
    deliver(store, visit(rows("o1"), target=OTHER, body=b"5"), visit(outcome="empty", target=OTHER, source="alerce", body=b"6"))
    near = replace(PAYLOAD, body=b"7", objects=(SkyObject("1", 10.0, 20.0),), doubt="header only", role="objects")
    deliver(store, Visit(OTHER, "ztf_dr", "ZTF", payloads=[near], outcome="suspicious"))
    store.remember_name("RR Lyr", STAR)
    store.jobs.put(Job("atlas", "ff" * 32, None, "2026-11-21T02:00:00.000Z", "{}"))
    with store._database.writing() as connection:
        for table in metadata.sorted_tables:  # alerts, nights, streams, matches: a row of whatever their columns hold
            if connection.execute(sa.select(table)).first() is None:
                connection.execute(table.insert(), {column.name: of_kind(column) for column in table.columns})


def of_kind(column):
    """Return a value that a column can hold; references are to the first row."""
    if column.name == "state":
        return "done"
    kinds = {sa.Boolean: True, sa.LargeBinary: b"\x00\xff", sa.Double: 0.1 + 0.2, sa.BigInteger: 2**40, sa.Integer: 1, sa.Text: "wörd"}
    return next(value for kind, value in kinds.items() if isinstance(column.type, kind))


def contents(place):
    """Return every row of every table, floats by their bits."""
    database = Database(place)
    with database.reading() as connection:
        found = {
            name: sorted(
                repr([value.hex() if isinstance(value, float) else value for value in row]) for row in connection.execute(sa.select(table))
            )
            for name, table in metadata.tables.items()
        }
    database.engine.dispose()
    return found


def is_no_store(place):
    with pytest.raises(StoreError, match="there is no store at"):
        Store.open(place, simulated=None)
    return True


def problems(store):
    return {finding.check: finding for finding in store.check() if finding.problems}


def test_a_copy_holds_the_same_rows_to_the_last_bit(store, store_url, other_url):
    fill(store)
    copied = store.copy(other_url)
    before = contents(store_url)
    assert contents(other_url) == before
    assert {table.table: table.rows for table in copied} == {name: len(found) for name, found in before.items()}
    assert not [name for name, found in before.items() if not found], "the test needs rows in every table"
    with Store.open(other_url, simulated=True) as there:
        assert there.kind == store.kind
        assert problems(there) == {}
        assert there.light_curve("RR Lyr", quality="all").equals(store.light_curve("RR Lyr", quality="all"))


def test_a_copy_goes_on_where_the_store_was(store, other_url):
    fill(store)
    store.copy(other_url)
    with Store.open(other_url, simulated=True) as there:
        last = visit(rows("o1"), target=OTHER, body=b"5")
        assert deliver(there, last).outcome == "unchanged"
        new = Target("new", 1.0, 2.0)
        counts = deliver(
            there, visit(rows("o1", "o2", filters=["g(ZTF)", "i(ZTF)"]), target=new, source="lasair", body=b"7", quarantine=BAD)
        )
        assert (counts.new, counts.quarantined) == (2, 1)
        assert deliver(there, visit(rows("o1", mag=[0.5]), target=new, source="lasair", body=b"8")).revised == 1
        assert problems(there) == {}


@pytest.mark.parametrize("is_old", [False, True])
def test_a_copy_keeps_the_name_of_the_store_for_what_is_exported_of_it(store, store_url, other_url, is_old):
    named = store.about()["store"]
    if is_old:  # made by a harvester that kept no name
        harm(store_url, statements("DELETE FROM meta WHERE key = 'name'"))
    store.copy(other_url)
    with Store.open(other_url, simulated=True) as there:
        assert there.about()["store"] == store.about()["store"] == named


def test_a_negative_zero_survives_where_the_new_place_can_hold_it(store, store_url, other_url):
    deliver(store, visit(rows("o1", flux=[-0.0])))
    store.copy(other_url)
    with Store.open(other_url, simulated=True) as there:
        (value,) = there.light_curve("RR Lyr")["flux"].to_pylist()
    (sent,) = store.light_curve("RR Lyr")["flux"].to_pylist()
    assert value == 0.0
    assert np.signbit(value) == (np.signbit(sent) and other_url.startswith("postgresql"))


def test_a_place_that_holds_a_store_is_refused_and_left_alone(store, store_url, other_url):
    fill(store)
    with Store.open(other_url, simulated=False) as there:
        there.add_target(OTHER)
    before = contents(other_url)
    for place in (other_url, store_url):
        with pytest.raises(StoreError, match="holds a store already"):
            store.copy(place)
    assert contents(other_url) == before


def test_a_file_of_another_program_is_refused_and_left_alone(store, tmp_path):
    with sqlite3.connect(tmp_path / "bookmarks.db") as connection:
        connection.execute("CREATE TABLE bookmarks (id)")
    connection.close()
    before = (tmp_path / "bookmarks.db").read_bytes()
    with pytest.raises(StoreError, match="tables of another program"):
        store.copy(tmp_path / "bookmarks.db")
    assert (tmp_path / "bookmarks.db").read_bytes() == before


def nudged(chunk):
    return [tuple(np.nextafter(value, 99.0).item() if isinstance(value, float) else value for value in row) for row in chunk]


@pytest.mark.parametrize("harm", [nudged, lambda chunk: chunk[1:], lambda chunk: [*chunk[1:], chunk[1]]], ids=["bit", "lost", "doubled"])
def test_a_row_that_arrives_otherwise_spoils_the_copy(store, store_url, other_url, monkeypatch, harm):
    fill(store)
    before = contents(store_url)
    insert = copying._insert

    def harmed(connection, table, chunk):
        insert(connection, table, harm(chunk) if table is photometry_version else chunk)

    monkeypatch.setattr(copying, "_insert", harmed)
    with pytest.raises(StoreError) as caught:
        store.copy(other_url)
    assert len(caught.value.lines()) == 3
    assert is_no_store(other_url)
    assert contents(store_url) == before
    monkeypatch.undo()
    store.copy(other_url)
    assert contents(other_url) == before


def test_a_row_that_was_never_read_spoils_the_copy(store, other_url, monkeypatch):
    fill(store)
    chunks = copying._chunks
    monkeypatch.setattr(copying, "_chunks", lambda *where, **how: (chunk[1:] for chunk in chunks(*where, **how) if chunk[1:]))
    with pytest.raises(StoreError, match="the copy differs"):
        store.copy(other_url)
    assert is_no_store(other_url)


COPIER = """
import os, signal, sys
from harvester.store import Store

place, to, table, moment = sys.argv[1:]

def die(name, done, total):
    seen[name] = seen.get(name, 0) + 1
    if name == table and seen[name] == int(moment):
        os.kill(os.getpid(), signal.SIGKILL)

seen = {}
with Store.open(place, simulated=True) as store:
    store.copy(to, die)
"""


@pytest.mark.slow
@ON_SQLITE
@pytest.mark.parametrize(("table", "moment"), [("target", 1), ("photometry", 1), ("photometry_version", 2)])
def test_a_copy_that_was_killed_is_no_store_and_can_be_started_again(store, store_url, other_url, table, moment):
    fill(store)
    arguments = [sys.executable, "-c", COPIER, store_url, other_url, table, str(moment)]
    killed = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert is_no_store(other_url)
    store.copy(other_url)
    assert contents(other_url) == contents(store_url)


def test_what_others_write_meanwhile_is_not_in_the_copy(store, store_url, other_url):
    fill(store)
    before = contents(store_url)
    with Store.open(store_url, simulated=True) as meanwhile:

        def write(table, done, total):
            meanwhile.add_target(Target(f"new {done}", 1.0, 2.0))

        store.copy(other_url, write)
    assert contents(other_url) == before
    assert len(contents(store_url)["target"]) > len(before["target"])


def test_progress_is_told_up_to_the_end(store, tmp_path):
    fill(store)
    told = []
    copied = store.copy(tmp_path / "copy.db", lambda *what: told.append(what))
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
    assert told[-1][1] == told[-1][2] == 2 * sum(table.rows for table in copied)


def test_memory_does_not_grow_with_the_store(store, other_url):
    noise = np.random.default_rng(1)
    with store.run("fetch", "0.1.0") as run:
        for number in range(40):
            run.visit(visit(body=noise.bytes(200_000), outcome="failed", source=f"s{number}"))
    tracemalloc.start()
    try:
        store.copy(other_url)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 40 * 200_000


def statements(*sql):
    def harm(execute):
        for statement in sql:
            execute(statement)

    return harm


def a_measurement_in_two_series(execute):
    names = ", ".join(column.name for column in photometry.columns if column.name != "series_id")
    ours = "SELECT id FROM series WHERE filter_id = 1 AND target_id = 1 AND source_id"
    execute(
        f"INSERT INTO photometry (series_id, {names}) SELECT ({ours} = 2), {names} FROM photometry WHERE series_id = ({ours} = 1) LIMIT 1"
    )


def a_series_twice(execute):
    execute("INSERT INTO series SELECT 99, target_id, filter_id, source_id, object_id, facility, observer, 0 FROM series LIMIT 1")


def a_key_that_is_none(execute):
    execute("ALTER TABLE photometry RENAME TO before")
    execute("CREATE TABLE photometry AS SELECT * FROM before")
    execute("INSERT INTO photometry SELECT * FROM before LIMIT 1")


DAMAGES = {
    "view": ({"tables"}, statements("DROP VIEW light_curve")),
    "table": ({"tables"}, statements("DROP TABLE resolved")),
    "column": ({"tables"}, statements("ALTER TABLE resolved DROP COLUMN answer")),
    "index": ({"keys"}, statements("DROP INDEX ix_visit_target_id")),
    "key": ({"keys", "identity", "points", "visits"}, a_key_that_is_none),
    "quality": ({"values"}, statements("UPDATE photometry SET quality = 7 WHERE quality = 0")),
    "infinity": ({"values"}, statements("UPDATE photometry SET mag = 'Infinity'")),
    "moment": ({"texts"}, statements("UPDATE visit SET time = 'yesterday' WHERE id = 1")),
    "date": ({"texts"}, statements("UPDATE schedule SET next_due = '2026-05-01' WHERE target_id = 1")),
    "moment of a version": ({"texts"}, statements("UPDATE photometry_version SET replaced_at = 'x' WHERE id = 3")),
    "no hash": ({"texts"}, statements("UPDATE payload SET sha256 = 'z' || substr(sha256, 2), body = NULL WHERE id = 1")),
    "short hash": ({"texts"}, statements("UPDATE payload SET sha256 = 'ff', body = NULL WHERE id = 1")),
    "parameters": ({"texts"}, statements("UPDATE request SET params = '{' WHERE id = 1")),
    "row in quarantine": ({"texts"}, statements("UPDATE quarantine SET row = 'mag=12'")),
    "size of a pruned payload": ({"values"}, statements("UPDATE payload SET size = -1, body = NULL WHERE id = 1")),
    "right ascension": ({"values"}, statements("UPDATE target SET ra = 400 WHERE id = 1")),
    "declination": ({"values"}, statements("UPDATE target SET dec = -91 WHERE id = 1")),
    "half a position": ({"values"}, statements("UPDATE target SET ra = NULL WHERE id = 1")),
    "failures": ({"values"}, statements("UPDATE schedule SET failures = -1 WHERE target_id = 1")),
    "known": ({"values"}, statements("UPDATE visit SET known = -1 WHERE id = 1")),
    "run of a point": ({"references", "visits", "versions"}, statements("UPDATE photometry SET run_id = 99")),
    "payload of a point": ({"references", "requests"}, statements("UPDATE photometry SET payload_id = 99")),
    "series of a point": ({"references", "points", "visits", "versions"}, statements("UPDATE photometry SET series_id = 99 WHERE series_id = 1")),
    "flags of a point": ({"references"}, statements("UPDATE photometry SET flags_id = 99 WHERE flags_id = 1")),
    "filter of a series": ({"references"}, statements("UPDATE series SET filter_id = 99 WHERE id = 1")),
    "run of a version": ({"references", "versions", "visits"}, statements("UPDATE photometry_version SET replaced_by_run = 99")),
    "visit of a request": ({"references", "requests"}, statements("DELETE FROM request", "UPDATE schedule SET visit_id = 99")),
    "target of an alias": ({"references"}, statements("UPDATE alias SET target_id = 99 WHERE target_id = 1")),
    "kind": ({"kind"}, statements("UPDATE meta SET value = 'surreal' WHERE key = 'kind'")),
    "label": ({"filters"}, statements("UPDATE passband SET label = 'x(ZTF)' WHERE id = 1")),
    "name": ({"names"}, statements("UPDATE target SET folded = 'ghost' WHERE id = 1")),
    "alias": ({"names"}, statements("UPDATE alias SET folded = 'ghost'")),
    "hash": ({"payloads"}, statements("UPDATE payload SET sha256 = 'f' || substr(sha256, 2) WHERE id = 1")),
    "objects": ({"payloads"}, statements("UPDATE sky_objects SET objects = '[]'")),
    "body": ({"payloads"}, statements("UPDATE payload SET body = substr(body, 1, length(body) - 1) WHERE size > 5")),
    "size": ({"payloads"}, statements("UPDATE payload SET size = size + 1 WHERE id = 1")),
    "question": ({"requests"}, statements("UPDATE request SET payload_id = 1")),
    "schedule": ({"requests"}, statements("UPDATE schedule SET visit_id = 1")),
    "measurement": ({"points", "visits", "requests"}, a_measurement_in_two_series),
    "series": ({"points"}, a_series_twice),
    "object of a series": (
        {"points"},
        statements(
            "UPDATE photometry SET observation = '+1' WHERE observation = 'o5'",
            "UPDATE series SET object_id = NULL WHERE id = (SELECT series_id FROM photometry WHERE observation = '+1')",
        ),
    ),
    "id of a point": ({"points"}, statements("UPDATE photometry SET observation = '' WHERE observation = 'o5'")),
    "successor": (
        {"points", "versions", "visits"},
        statements("DELETE FROM photometry WHERE observation IN (SELECT observation FROM photometry_version)"),
    ),
    "chain": ({"versions", "visits"}, statements("DELETE FROM photometry_version WHERE id = (SELECT max(id) FROM photometry_version)")),
    "order": ({"versions"}, statements("UPDATE photometry_version SET replaced_at = '2000-01-01T00:00:00.000Z' WHERE id = 3")),
    "lost point": ({"points", "visits"}, statements("DELETE FROM photometry WHERE series_id = 1 AND observation IN ('o1', '+o1')")),
    "count": ({"visits"}, statements("UPDATE visit SET new = new + 1 WHERE id = 1")),
    "revisions": ({"visits"}, statements("UPDATE visit SET revised = revised - 1, new = new + 1 WHERE revised > 0")),
    "outcome": ({"visits"}, statements("UPDATE visit SET outcome = 'unchanged' WHERE id = 1")),
    "quarantined": ({"visits"}, statements("UPDATE visit SET quarantined = 0")),
    "end": ({"runs"}, statements("UPDATE run SET ended = NULL WHERE id = 1")),
    "running": ({"runs"}, statements("UPDATE run SET status = 'running' WHERE id = 1")),
    "start": ({"runs"}, statements("UPDATE run SET started = '2999-01-01T00:00:00.000Z' WHERE id = 1")),
    "no watermark": ({"watermarks"}, statements("UPDATE schedule SET watermark = NULL")),
    "watermark behind": ({"watermarks"}, statements("UPDATE schedule SET watermark = watermark - 1")),
    "watermark ahead": ({"watermarks"}, statements("UPDATE schedule SET watermark = watermark + 1")),
    "no schedule": ({"watermarks"}, statements("DELETE FROM schedule WHERE target_id = 1")),
}  # fmt: skip


GUARDS_OFF = ((("PRAGMA foreign_keys = OFF", "PRAGMA legacy_alter_table = ON"),), ((), "SET LOCAL session_replication_role = replica"))


def harm(place, how):
    """Change a store behind its back, with the database's own guards off."""
    if place.startswith("postgresql"):
        with psycopg.connect(place, autocommit=True) as connection:
            connection.execute("SET session_replication_role = replica")
            how(connection.execute)
        return
    connection = sqlite3.connect(place, isolation_level=None)
    connection.execute("PRAGMA legacy_alter_table = ON")
    how(connection.execute)
    connection.close()


def test_a_store_that_was_used_as_it_should_be_is_sound(store):
    assert problems(store) == {}
    fill(store)
    store.move_target(replace(STAR, ra=STAR.ra + 0.01))
    deliver(store, visit(rows("o1", "o2", bjd_tdb=[2_459_001.4, 2_459_002.4]), body=b"3"))
    deliver(store, visit(rows("o5", mag=[7.0]), source="lasair", body=b"9"))
    store.remove_target(OTHER.name, force=True)
    with pytest.raises(KeyboardInterrupt), store.run("fetch", "0.1.0"):
        raise KeyboardInterrupt
    assert [(finding.check, finding.problems) for finding in store.check()] == [(name, 0) for name in CHECKS]


@pytest.fixture(scope="module", params=BACK_ENDS)
def filled(request, tmp_path_factory):
    """A store for tests that take back what they do to it."""
    with some_place(request, tmp_path_factory.mktemp("filled") / "store.db") as place, Store.open(place, simulated=True) as store:
        fill(store)
        yield store


@contextmanager
def spoilt(store, how):
    """Show a store after damage that the database's own guards would not allow, and take it back."""
    before, *after = GUARDS_OFF[store.place.startswith("postgresql")]
    with store._database.outside() as connection:
        for statement in (*before, "BEGIN", *after):
            connection.exec_driver_sql(statement)
        how(connection.exec_driver_sql)
        yield connection
        connection.exec_driver_sql("ROLLBACK")
    store._database.engine.dispose()


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found_by_the_check_that_looks_for_it(filled, damage):
    expected, how = DAMAGES[damage]
    with spoilt(filled, how) as connection:
        found = {finding.check: finding for finding in check.examine(connection, CHECKS) if finding.problems}
    assert set(found) == expected
    for finding in found.values():
        assert 1 <= len(finding.examples) <= min(3, finding.problems)
        assert all(finding.examples)


@ON_SQLITE
@pytest.mark.parametrize("change", ["mag = 'bright'", "mag = -9e999", "upper_limit = 0.5", "upper_limit = 7", "observation = x'00'"])
def test_a_value_of_another_type_is_found(store, store_url, change):
    fill(store)
    harm(store_url, statements(f"UPDATE photometry SET {change} WHERE observation LIKE '%o3'"))
    assert "values" in problems(store)


@ON_SQLITE
@pytest.mark.parametrize("what", ["ix_visit_target_id", "photometry"])
def test_a_spoilt_page_is_found_and_nothing_else_is_tried(store, store_url, what):
    fill(store)
    store.vacuum()
    ((page,),) = query(store, f"SELECT rootpage FROM sqlite_master WHERE name = '{what}'")
    ((size,),) = query(store, "PRAGMA page_size")
    store.close()
    with Path(store_url).open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    with Store.open(store_url, simulated=None) as damaged:
        (finding,) = damaged.check()
    assert (finding.check, finding.problems > 0) == ("file", True)


def test_every_number_that_refers_to_a_row_is_checked():
    referring = {(name, column.name) for name, table in metadata.tables.items() for column, _ in parents(table)}
    looks_so = {
        (name, column.name)
        for name, table in metadata.tables.items()
        for column in table.columns
        if isinstance(column.type, sa.Integer) and column.name.endswith("_id")
    }
    assert looks_so <= referring
    assert (photometry_version.name, "replaced_by_run") in referring


def test_db_check_says_what_it_found_and_leaves_with_a_status(harvest, store, store_url):
    fill(store)
    harvest.store = store_url
    assert harvest("db check") == 0
    assert {row["result"] for row in harvest.rows} == {"ok"}
    assert [row["check"] for row in harvest.rows] == list(CHECKS)
    assert harvest("db check -q") == 0
    assert harvest.out == ""
    harm(store_url, statements("UPDATE run SET ended = NULL"))
    assert harvest("db check --json") == 1
    (broken,) = [found for found in harvest.objects if found["problems"]]
    assert (broken["check"], broken["problems"], len(broken["examples"])) == ("runs", 6, 3)
    assert harvest("db check -q") == 1
    assert "6 problems" in harvest.out
    assert "run 1 is 'done'" in harvest.out


def test_db_copy_says_what_it_did(harvest, store, store_url, other_url):
    fill(store)
    harvest.store = store_url
    assert harvest(f"db copy --to '{other_url}'") == 0
    assert "copied and compared" in harvest.err
    assert harvest(f"db copy --to '{other_url}'") == 1
    assert len(harvest.err.splitlines()) == 3
    harvest.store = other_url
    assert harvest("db check --json") == 0
    assert harvest("db info --json") == 0
    assert (harvest.objects[0]["kind"], harvest.objects[0]["points"]) == ("simulated", 6)


def test_vacuum_gives_room_back_and_changes_no_row(harvest, store, store_url):
    many = [f"o{number}" for number in range(5_000)]
    deliver(store, visit(rows("o1"), target=OTHER), visit(rows(*many, flux=np.linspace(0.1, 9.7, 5_000))))
    store.remove_target("RR Lyr", force=True)
    before = contents(store_url)
    harvest.store = store_url
    assert harvest("db vacuum --json") == 0
    (said,) = harvest.objects
    assert said["bytes_after"] < 0.8 * said["bytes_before"]
    assert contents(store_url) == before


def test_info_tells_what_is_stored(harvest, store, store_url):
    harvest.store = store_url
    assert harvest("db info") == 0
    fill(store)
    info = store.info()
    assert info["points_by_source"] == {"alerce": 2, "ztf_dr": 4}
    assert (info["points"], info["revised"], info["quarantined"], info["failing"], info["runs"]) == (6, 3, 1, 2, 6)
    assert (info["first_epoch"], info["last_epoch"]) == (2_459_001.5, 2_459_005.5)
    assert set(info["bytes_by_table"]) == set(metadata.tables)
    assert info["bytes"] >= sum(info["bytes_by_table"].values())
    assert harvest("db info") == 0
    assert "2020-06-01" in harvest.out
    assert "ztf_dr  4" in harvest.out
