"""Earlier states of the store, what changed between them, where a point comes from; on both back ends."""

import json
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from time import sleep

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from answers import STAR, answered, asked, body
from stores import postgres_url, store, store_url
from test_store import rows, visit

from harvester.cli.explain import _time
from harvester.errors import StoreError, UsageError
from harvester.export import export
from harvester.replay import unserved
from harvester.store import LIGHT_CURVE, Store, stream

__all__ = ["postgres_url", "store", "store_url"]


def exported(store, path, at=None):
    about = store.about() | {"as_of": store.past.newest_change(at)}
    export(LIGHT_CURVE, store.read(at=at, quality="all"), str(path), form=None, about=about)
    return path.read_bytes()


def changes(store, before="last-1", after="last"):
    return list(store.past.changes(store.past.state(before), store.past.state(after)))


def gone(store, before="last-1", after="last"):
    return unserved(store, store.past.state(before), store.past.state(after))


def lived(store):
    """Yield after every run of a store in whose life all happens that can."""
    answered(store, body({1: 12.5, 2: 12.6}))
    yield
    answered(store, body({1: 12.5, 2: 12.7, 3: 12.8}))
    yield
    with store.run("fetch", "0.1.0") as run:
        run.visit(visit(rows("o1", "o2"), target=replace(STAR, name="another", ra=10.0), source="other"))
        run.visit(visit(rows("o1", "o9", quality=[0, 2]), source="other"))
    yield
    answered(store, body({1: 12.4, 2: 12.6, 3: 12.8, 4: 12.9}))
    yield
    answered(store, b"<html>maintenance</html>")
    yield
    store.move_target(replace(STAR, ra=291.3664))
    answered(store, body({1: 12.4, 2: 12.6, 3: 12.8, 4: 12.9}), targets=(replace(STAR, ra=291.3664),))
    yield


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_an_export_of_an_earlier_state_is_byte_for_byte_what_it_was_then(store, tmp_path, suffix):
    then = []
    for number, _ in enumerate(lived(store), start=1):
        then.append((store.past.state(str(number)), exported(store, tmp_path / f"then.{suffix}")))
        sleep(0.002)  # a date tells runs apart by milliseconds
    assert len({content for _, content in then}) == (6 if suffix == "parquet" else 5)  # a failed visit changes no point
    for state, content in then:
        assert exported(store, tmp_path / f"now.{suffix}", state) == content
        assert exported(store, tmp_path / f"now.{suffix}", store.past.state(state.moment)) == content


CUTS = [
    ({"filters": ["g(ZTF_DR)"]}, 4),
    ({"sources": ["other"]}, 3),
    ({"since": 58002.0, "until": 58004.0}, 2),
    ({}, 7),
    ({"quality": "all"}, 8),
]


def test_an_earlier_state_can_be_cut_like_today_s(store):
    for _ in lived(store):
        pass
    for cut, points in CUTS:
        now = pa.Table.from_batches(store.read(**cut), LIGHT_CURVE)
        assert now.num_rows == points
        assert pa.Table.from_batches(store.read(at=store.past.state("last"), **cut), LIGHT_CURVE) == now


def said(store, at=None):
    """Return what each point says, today or in a state."""
    batches = pa.Table.from_batches(store.read(at=at, quality="all"), LIGHT_CURVE)
    return {row["observation_id"].partition("-")[2]: row["mag"] for row in batches.to_pylist()}


@pytest.mark.parametrize("steps", [[{1: 12.5}, {1: 12.6, 2: 12.7}, {1: 12.4}], [{1: 12.5, 2: 12.5}, {3: 12.5}, {1: 12.5, 2: 12.6}]])
def test_a_date_within_a_run_sees_what_was_stored_by_then_though_a_later_visit_of_the_run_changed_it(store, steps):
    then = []
    with store.run("alerts listen", "0.1.0") as run:
        for step in steps:
            run.visit(asked(body(step))[0])
            then.append((store.past.state(store.past.newest_change()), said(store)))
            sleep(0.002)
    assert len({repr(points) for _, points in then}) == len(steps)
    for state, points in then:
        assert said(store, state) == points
    assert said(store, store.past.state("last")) == then[-1][1]
    changed = [row["observation_id"][-1] for row in store.past.changes(then[0][0], then[1][0])]
    assert sorted(changed) == sorted(key for key, mag in then[1][1].items() if then[0][1].get(key) != mag)


def test_an_earlier_state_names_the_filters_of_then(store):
    answered(store, body({1: 12.5}))
    answered(store, body({1: 12.5}, band="zr", oid="686203400067717"))
    assert store.past.filters(store.past.state("2020-01-01")) == []
    assert store.past.filters(store.past.state("1")) == store.past.filters(store.past.state("1"), ["RR Lyr"]) == ["g(ZTF_DR)"]
    assert store.past.filters(store.past.state("2")) == ["g(ZTF_DR)", "r(ZTF_DR)"]


def test_before_the_first_run_there_is_nothing(store):
    answered(store, body({1: 12.5}))
    assert list(store.read(at=store.past.state("2020-01-01"))) == []


def test_of_runs_that_overlap_each_sees_what_was_stored_when_it_ended(store):
    with store.run("fetch", "0.1.0") as slow:
        slow.visit(asked(body({1: 12.5}))[0])
        sleep(0.002)
        with store.run("fetch", "0.1.0") as quick:
            quick.visit(visit(rows("o1"), source="other"))
        sleep(0.002)
        slow.visit(visit(rows("o5"), target=replace(STAR, name="late", ra=10.0)))

    def names(run):
        return [name for batch in store.read(at=store.past.state(run)) for name in batch["observation_id"].to_pylist()]

    assert sorted(names("2")) == ["686103400067717-1", "o1"]
    assert sorted(names("1")) == ["686103400067717-1", "o1", "o5"]


def test_what_a_run_found_stays_in_the_states_of_later_runs_though_the_clock_was_set_back(store):
    answered(store, body({1: 12.5}))
    with store._database.writing() as connection:
        for table in ("visit SET time", "run SET started", "run SET ended"):
            connection.execute(sa.text(f"UPDATE {table} = '2999-01-01T00:00:00.000Z'"))
    answered(store, body({1: 12.5, 2: 12.6}))
    assert said(store, store.past.state("1")) == {"1": 12.5}
    assert said(store, store.past.state("2")) == {"1": 12.5, "2": 12.6}
    assert [row["observation_id"][-1] for row in changes(store, "1", "2")] == ["2"]


def test_diff_lists_what_was_added_and_what_was_revised_with_both_values(store):
    answered(store, body({1: 12.5, 2: 12.6}))
    answered(store, body({1: 12.5, 2: 12.7, 3: 12.8}))
    revised, added = changes(store)
    assert (revised["change"], revised["target"], revised["filter"], revised["run"]) == ("revised", "RR Lyr", "g(ZTF_DR)", 2)
    assert (revised["old"]["mag"], revised["new"]["mag"]) == (12.6, 12.7)
    assert set(revised["old"]) == {"mag", "flux", "flux_err"}
    assert (added["change"], added["observation_id"], added["mag"]) == ("added", "686103400067717-3", 12.8)
    assert changes(store, "1", "1") == []
    assert [row["change"] for row in changes(store, "2020-01-01", "last")] == ["added"] * 3


def test_a_point_revised_and_revised_back_is_no_change(store):
    for mag in (12.5, 12.6, 12.5):
        answered(store, body({1: mag}))
    assert changes(store, "1", "3") == []
    assert len(changes(store, "1", "2")) == len(changes(store, "2", "3")) == 1


def test_diff_refuses_to_look_backwards(store):
    answered(store, body({1: 12.5}))
    answered(store, body({1: 12.6}))
    with pytest.raises(UsageError, match="run 2 is later than run 1"):
        changes(store, "2", "1")


def test_a_point_that_is_no_longer_served_is_kept_and_listed(store):
    answered(store, body({1: 12.5, 2: 12.6, 3: 12.7}))
    answered(store, body({1: 12.5, 3: 12.7}))
    (missing,) = gone(store)
    assert (missing["observation_id"], missing["mag"], missing["run"]) == ("686103400067717-2", 12.6, 2)
    assert store.light_curve("RR Lyr").num_rows == 3


@pytest.mark.parametrize("question", [{"since": 58002.5}, {"radius": 0.5}], ids=["window", "narrow"])
def test_an_answer_that_does_not_cover_a_point_says_nothing_of_it(store, question):
    answered(store, body({1: 12.5}))
    answered(store, body({3: 12.7}, oid="686203400067717"), **question)
    assert gone(store) == []


def test_a_narrower_search_speaks_for_the_objects_that_it_found(store):
    answered(store, body({1: 12.5, 2: 12.6}))
    answered(store, body({2: 12.6}), radius=0.5)
    assert [row["observation_id"] for row in gone(store)] == ["686103400067717-1"]


def test_a_failed_visit_takes_nothing_away(store):
    answered(store, body({1: 12.5}))
    answered(store, b"<html>maintenance</html>")
    assert gone(store) == []


def test_what_is_still_served_cannot_be_told_from_a_pruned_payload(store):
    answered(store, body({1: 12.5, 2: 12.6}))
    answered(store, body({1: 12.5}))
    store.archive.prune("2027-01-01T00:00:00.000Z")
    (row,) = gone(store)
    assert "pruned" in row["why"]
    assert "observation_id" not in row


def test_explain_walks_a_point_back_to_its_payload(store):
    answered(store, body({1: 12.5, 2: 12.6}))
    answered(store, body({1: 12.5, 2: 12.7}))
    told = store.past.explained("rr lyr", "g(ZTF_DR)", 2_458_002.9)
    assert (told["point"]["observation_id"], told["point"]["mag"]) == ("686103400067717-2", 12.7)
    (version,) = told["versions"]
    assert (version["run_id"], version["replaced_by_run"], version["old"]["mag"], version["new"]["mag"]) == (1, 2, 12.6, 12.7)
    assert (told["run"]["id"], told["run"]["command"]) == (2, "fetch")
    assert (told["visit"]["radius"], told["visit"]["source_version"]) == (1.5, "harvester 0.1.0")
    (request,) = told["requests"]
    assert (request["url"], request["params"]) == ("https://irsa.example/lc?ID=1", {"ID": "1"})
    assert store.archive.body(told["payload"]["sha256"])[2] == body({1: 12.5, 2: 12.7})
    json.dumps(told)


def test_explain_tells_the_visits_of_one_run_apart_and_its_versions_in_order(store):
    with store.run("alerts listen", "0.1.0") as run:
        for number, mag in enumerate([12.5, 12.9, 12.1, 12.7]):
            run.visit(asked(body({1: mag}), radius=1.0 + number)[0])
        run.visit(asked(body({1: 12.7, 2: 13.0}), radius=9.0)[0])
    told = store.past.explained("RR Lyr", "g(ZTF_DR)", 2_458_001.0)
    assert [(version["old"]["mag"], version["new"]["mag"]) for version in told["versions"]] == [(12.5, 12.9), (12.9, 12.1), (12.1, 12.7)]
    assert told["visit"]["radius"] == 4.0
    assert store.archive.body(told["payload"]["sha256"])[2] == body({1: 12.7})


def test_explain_says_how_the_time_was_converted(store):
    answered(store, body({1: 12.5}))
    time = _time(store.past.explained("RR Lyr", "g(ZTF_DR)", 2_458_001.0)["point"], store)
    assert "UTC" in time["system"]
    assert time["to_middle_s"] == 15.0
    assert abs(time["difference_s"]) < 69.2 + 15 + 500  # TT - UTC, half the exposure, light across 1 au
    assert time["difference_s"] == pytest.approx((time["bjd_tdb"] - 2_458_001.75) * 86400, abs=1e-4)


def test_a_filter_without_points_cannot_be_explained(store):
    answered(store, body({1: 12.5}))
    with pytest.raises(StoreError, match="no points in"):
        store.past.explained("RR Lyr", "r(ZTF_DR)", 2_458_001.0)


def test_runs_and_dates_are_understood(store):
    for mag in (12.5, 12.6):
        answered(store, body({1: mag}))
    assert [store.past.state(text).run for text in ("1", "2", "last", "last-1")] == [1, 2, 2, 1]
    assert store.past.state("2026-05-01").moment == "2026-05-01T00:00:00.000Z"
    assert store.past.state("2026-05-01T14:00+02:00").moment == "2026-05-01T12:00:00.000Z"
    for text, kind in (("3", StoreError), ("last-2", StoreError), ("yesterday", UsageError)):
        with pytest.raises(kind):
            store.past.state(text)


def many(store, targets, points):
    """Store light curves with what makes reading hard: nulls first, equal times, several objects, text that repeats."""
    ids = [f"o{number}" for number in range(points)]
    with store.run("fetch", "0.1.0") as run:
        for number in range(targets):
            flux = [None] * (points - 1) + [float(number)]
            table = rows(*ids, filters=["g(ZTF)", "r(ZTF)"] * (points // 2), flux=flux, flags=[f"field=6 chi=0.{number}"] * points)
            same = table.set_column(table.column_names.index("bjd_tdb"), "bjd_tdb", pa.array(np.arange(points) // 4 + 2_459_000.5))
            run.visit(visit(same, target=replace(STAR, name=f"T{number}", ra=float(number)), body=str(number).encode()))


def test_the_whole_store_reads_as_its_targets_do_one_by_one(store, monkeypatch):
    monkeypatch.setattr(stream, "ROWS_AT_ONCE", 7)
    many(store, 5, 20)
    whole = pa.Table.from_batches(store.read(), LIGHT_CURVE)
    apart = pa.concat_tables(store.light_curve(f"T{number}") for number in range(5))
    assert whole.num_rows == 100
    assert whole == apart
    keys = [tuple(row.values()) for row in whole.select(["target", "filter", "bjd_tdb", "observation_id"]).to_pylist()]
    assert keys == sorted(keys)


@pytest.mark.skipif(not find_spec("adbc_driver_sqlite"), reason="the extra 'fast' (adbc-driver-sqlite) is not installed")
def test_the_reading_process_sends_what_the_driver_reads(tmp_path, monkeypatch):
    with Store.open(tmp_path / "store é.db", simulated=True) as store:
        many(store, 3, 100)
        slow = list(store.read())
        monkeypatch.setattr(stream, "WORTH_A_PROCESS", 0)
        monkeypatch.setattr(stream, "_through_driver", None)
        assert list(store.read()) == slow
        assert sum(batch.num_rows for batch in store.read(filters=["g(ZTF)"])) == 150
        next(store.read())  # and nothing hangs when a reader stops early


def test_a_reading_process_that_cannot_start_is_done_without(tmp_path, monkeypatch):
    broken = tmp_path / "reader.py"
    broken.write_text("import no_such_module")
    monkeypatch.setattr(stream, "_worth_a_process", lambda _: True)
    monkeypatch.setattr(stream, "READER", broken)
    with Store.open(tmp_path / "store.db", simulated=True) as store:
        many(store, 2, 10)
        assert sum(batch.num_rows for batch in store.read()) == 20


def test_a_reading_process_that_dies_is_an_error_and_never_a_short_answer(tmp_path, monkeypatch):
    dying = tmp_path / "reader.py"
    dying.write_text(
        "import sys, pyarrow as pa\nfrom harvester.store.tables import STORED\n"
        "stream = pa.ipc.new_stream(sys.stdout.buffer, STORED)\nstream.write_batch(STORED.empty_table().to_batches()[0] if "
        "STORED.empty_table().to_batches() else pa.RecordBatch.from_pylist([], schema=STORED))\nsys.stdout.flush()\nsys.exit(3)"
    )
    monkeypatch.setattr(stream, "_worth_a_process", lambda _: True)
    monkeypatch.setattr(stream, "READER", dying)
    with Store.open(tmp_path / "store.db", simulated=True) as store:
        many(store, 1, 10)
        with pytest.raises(StoreError, match="broke off"):
            list(store.read())


def test_the_reader_imports_nothing_that_opens_the_store_twice():
    loaded = "[name for name in sys.modules if 'harvester' in name or name == 'sqlite3']"
    code = f"import runpy, sys\nrunpy.run_path({str(stream.READER)!r}, run_name='reader')\nprint({loaded})"
    assert subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


@pytest.mark.parametrize(("words", "status"), [("''", 2), ("yesterday", 2), ("2020-02-30", 2), ("7", 1), ("20261121", 1)])
def test_an_export_of_a_state_that_cannot_be_told_is_refused_and_writes_nothing(harvest, tmp_path, words, status):
    assert harvest("targets add --target '10 20' --name x") == 0
    assert harvest(f"export -o {tmp_path}/then.csv --as-of {words}") == status
    assert harvest.err.startswith("error: ")
    assert "2026-05-01" in harvest.err
    assert not (tmp_path / "then.csv").exists()


def test_export_as_of_and_diff_and_explain_at_the_command_line(harvest, tmp_path):
    assert harvest("fetch --source ztf_dr --target 'RR Lyr' --until 2019-01-01") == 0
    assert harvest(f"export -o {tmp_path}/then.parquet") == 0
    assert harvest("fetch --source ztf_dr --target 'RR Lyr'") == 0
    assert harvest(f"export -o {tmp_path}/now.parquet --as-of last-1") == 0
    assert (tmp_path / "then.parquet").read_bytes() == (tmp_path / "now.parquet").read_bytes()
    assert b"as_of" in pq.read_schema(tmp_path / "now.parquet").metadata
    assert harvest("diff --json") == 0
    assert {row["change"] for row in harvest.objects} == {"added"}
    added = len(harvest.objects)
    assert harvest("diff") == 0
    assert f"run 1 to run 2: {added} added, 0 revised, 0 no longer served; 1 targets." in harvest.err
    assert harvest("explain --target 'RR Lyr' --filter 'g(ZTF_DR)' --near 2020-01-01") == 0
    assert "never revised" in harvest.out
    assert "sha256" in harvest.out
    assert harvest("explain --target 'RR Lyr' --filter 'g(ZTF_DR)' --near 2020-01-01 --json") == 0
    assert harvest.objects[0]["run"]["id"] == 2
