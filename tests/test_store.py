"""The store, on both back ends: nothing is lost, nothing is stored twice, nothing is half-stored."""

import json
import shutil
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from stores import postgres_url, store, store_url

from harvester.errors import StoreError, StoreTooNew, UsageError, WrongKind
from harvester.payload import Payload
from harvester.schema import SCHEMA
from harvester.store import LIGHT_CURVE, Cut, FilterCounts, Store, Visit, versions
from harvester.store.connection import Database
from harvester.store.merge import BJD_TOLERANCE_D
from harvester.store.tables import metadata
from harvester.target import Target

__all__ = ["postgres_url", "store", "store_url"]

STAR = Target("RR Lyr", 291.36631, 42.78436, pmra=-109.0, pmdec=-195.5, parallax=3.98, aliases=("HD 182989",))
PAYLOAD = Payload(b"oid,mjd\n1,2\n", "https://example.org/lc", {"ID": "1"}, "text/csv", "2026-11-21T02:00:00.000Z", "ztf_dr")
KINDS = ["real", "simulated"]


def rows(*observations, filters="g(ZTF)", payload=0, **columns):
    """Return conformed rows, one per observation id, all equal but for their epoch unless a column says otherwise."""
    count = len(observations)
    days = np.array([float(word.removeprefix("o")) for word in observations])
    given = {
        "filter": [filters] * count if isinstance(filters, str) else filters,
        "observation_id": observations,
        "time": 59_000.0 + days,
        "bjd_tdb": 2_459_000.5 + days,
        "mag": [12.5] * count,
        "mag_err": [0.01] * count,
        "upper_limit": [False] * count,
        "quality": [0] * count,
        "object_id": ["686103400067717"] * count,
    }
    given |= columns
    table = pa.table({name: pa.array(given.get(name, [None] * count), SCHEMA.field(name).type) for name in SCHEMA.names})
    return table.append_column("payload", pa.array([payload] * count, pa.int32()))


def visit(table=None, *, body=PAYLOAD.body, source="ztf_dr", target=STAR, **changes):
    return Visit(target, source, "ZTF", table, [replace(PAYLOAD, body=body)], **changes)


def deliver(store, *visits):
    with store.run("fetch", "0.1.0") as run:
        return [run.visit(one) for one in visits][-1]


def query(store, statement):
    with store._database.reading() as connection:
        return connection.execute(sa.text(statement)).all()


def column(store, name, **cuts):
    return store.light_curve("RR Lyr", **({"quality": "all"} | cuts))[name].to_pylist()


def test_a_visit_is_read_back_as_it_was_given(store):
    table = rows("o2", "o1", flux=[None, 36.0], flags=["catflags=0", None], quality=[2, 1], exptime=[30.0, None])
    counts = deliver(store, visit(table))
    assert (counts.new, counts.revised, counts.known, counts.outcome) == (2, 0, 0, "new")
    assert counts.by_filter == {"g(ZTF)": FilterCounts(new=2, revised=0, total=2)}
    back = store.light_curve("rr_lyr", quality="all")
    assert back.schema == LIGHT_CURVE
    expected = table.sort_by("bjd_tdb")
    for name in set(SCHEMA.names):
        assert back[name].to_pylist() == expected[name].to_pylist(), name
    assert back["target"].to_pylist() == ["RR Lyr"] * 2
    assert back["source"].to_pylist() == ["ztf_dr"] * 2


def test_the_store_has_exactly_the_columns_of_the_schema():
    assert set(LIGHT_CURVE.names) - {"target", "source"} == set(SCHEMA.names)
    assert all(LIGHT_CURVE.field(name).type == SCHEMA.field(name).type for name in SCHEMA.names)


@pytest.mark.parametrize("value", [0.1 + 0.2, 5e-324, 1.7976931348623157e308, -1.0 / 3.0, 12.0])
def test_floats_keep_every_bit(store, value):
    deliver(store, visit(rows("o1", flux=[value])))
    assert column(store, "flux") == [value]


def test_a_repeated_delivery_changes_nothing(store):
    deliver(store, visit(rows("o1", "o2")))
    before = query(store, "SELECT * FROM photometry ORDER BY observation")
    counts = deliver(store, visit(rows("o1", "o2"), body=b"same rows, other bytes"))
    assert (counts.new, counts.revised, counts.known, counts.outcome) == (0, 0, 2, "unchanged")
    assert query(store, "SELECT * FROM photometry ORDER BY observation") == before


def test_negative_zero_and_nan_are_no_revision(store):
    deliver(store, visit(rows("o1", flux=[-0.0], flux_err=[np.nan])))
    counts = deliver(store, visit(rows("o1", flux=[-0.0], flux_err=[None]), body=b"2"))
    assert (counts.revised, counts.known) == (0, 1)
    assert column(store, "flux_err") == [None]


def statements_of(store, work):
    """Return every statement that some work runs."""
    seen = []

    def note(_connection, _cursor, statement, *_):
        seen.append(statement)

    sa.event.listen(store._database.engine, "before_cursor_execute", note)
    work()
    sa.event.remove(store._database.engine, "before_cursor_execute", note)
    return seen


def test_the_same_rows_in_another_payload_are_known_without_reading_them(store):
    deliver(store, visit(rows("o1", "o2")))
    kept = []
    seen = statements_of(store, lambda: kept.append(deliver(store, visit(rows("o1", "o2"), body=b"another date in the header"))))
    assert (kept[0].known, kept[0].by_filter) == (2, {"g(ZTF)": FilterCounts(total=2)})
    assert not [statement for statement in seen if "photometry" in statement]
    assert len(query(store, "SELECT * FROM payload")) == 2


def test_rows_that_went_and_came_back_are_compared(store):
    deliver(store, visit(rows("o1", mag=[12.5])))
    deliver(store, visit(rows("o1", mag=[12.6]), body=b"2"))
    assert deliver(store, visit(rows("o1", mag=[12.5]), body=b"3")).revised == 1
    assert column(store, "mag") == [12.5]


def test_rows_that_a_replay_changed_are_compared_with_the_next_delivery(store):
    deliver(store, visit(rows("o1", mag=[12.5])))
    deliver(store, replace(visit(rows("o1", mag=[12.6])), replayed=True))
    assert deliver(store, visit(rows("o1", mag=[12.5]), body=b"other bytes")).revised == 1
    deliver(store, replace(visit(rows("o1", mag=[12.6]), body=b"other bytes"), replayed=True))
    assert deliver(store, visit(rows("o1", mag=[12.5]), body=b"other bytes")).revised == 1


def test_rows_of_another_source_are_told_apart_each_time(store):
    deliver(store, visit(rows("o1", "o2"), source="alerce"))
    for body in (b"1", b"2"):
        assert deliver(store, visit(rows("o1", "o2"), source="fink", body=body)).known_elsewhere == 2


def test_a_series_knows_how_many_points_it_has(store):
    deliver(store, visit(rows("o1", "o2")))
    deliver(store, visit(rows("o1", "o2", "o3", mag=[12.5, 12.6, 12.7], flags=["a", "b", "c"]), body=b"2"))
    assert query(store, "SELECT points FROM series") == [(3,)]
    assert store.status()[0]["points"] == 3
    with store._database.writing() as connection:
        connection.exec_driver_sql("UPDATE series SET points = 4")
    assert [found.examples for found in store.check() if found.problems] == [("series 1 has 3 points and says 4",)]


def test_an_unchanged_payload_touches_no_photometry(store):
    deliver(store, visit(rows("o1", "o2"), object_ids=("686103400067717",)))
    kept = []
    touched = statements_of(store, lambda: kept.append(deliver(store, visit(rows("o1", "o2"), object_ids=("686103400067717",)))))
    (counts,) = kept
    writing = [statement for statement in touched if statement.startswith(("INSERT", "UPDATE", "DELETE", "WITH"))]
    assert (counts.outcome, counts.known) == ("unchanged", 2)
    assert counts.by_filter == {"g(ZTF)": FilterCounts(total=2)}
    assert writing
    assert not [statement for statement in writing if "photometry" in statement or "INTO payload" in statement]
    assert len(query(store, "SELECT * FROM visit")) == 2


def of_stars(*numbers, body=PAYLOAD.body):
    """Return a visit to each of some stars that are nowhere near one another."""
    return [visit(rows(f"o{number}"), body=body, target=Target(f"star {number}", 10.0 * number, 20.0)) for number in numbers]


def history(store):
    """Return every visit of the last run with the payloads that it got, and what the schedule says of it."""
    told = """SELECT target.name, visit.outcome, visit.known, visit.new, request.url, request.payload_id, schedule.digest, schedule.failures
        FROM visit JOIN target ON target.id = visit.target_id JOIN request ON request.visit_id = visit.id
        JOIN schedule ON schedule.visit_id = visit.id WHERE visit.run_id = (SELECT max(id) FROM run) ORDER BY visit.id, request.id"""
    return query(store, told)


def test_visits_without_news_share_a_transaction_and_leave_what_they_would_leave_alone(store):
    with store.run("fetch", "0.1.0") as run:
        assert [counts.outcome for counts in run.visits(of_stars(1, 2, 3, 4))] == ["new"] * 4
    alone = [deliver(store, one) for one in of_stars(3, 1, 2, 4)]
    with store.run("fetch", "0.1.0") as run:
        for one in of_stars(3, 1, 2, 4):
            run.visit(one)
    expected = history(store)
    with store.run("fetch", "0.1.0") as run:
        together = []
        seen = statements_of(store, lambda: together.extend(run.visits(of_stars(3, 1, 2, 4))))
    assert together == alone
    assert history(store) == expected
    assert len(expected) == 4
    if store._database.is_sqlite:
        assert seen.count("BEGIN IMMEDIATE") == 1
    else:
        assert len(seen) == 2


def test_a_visit_with_news_among_others_is_told_in_its_place(store):
    with store.run("fetch", "0.1.0") as run:
        assert len(list(run.visits(of_stars(1, 2, 3)))) == 3
        (changed,) = of_stars(2, body=b"other bytes")
        first, _, last = of_stars(1, 2, 3)
        taken = list(run.visits([first, replace(changed, rows=rows("o2", "o9")), last, last]))
    assert [(counts.outcome, counts.new, counts.known) for counts in taken] == [
        ("unchanged", 0, 1), ("new", 1, 1), ("unchanged", 0, 1), ("unchanged", 0, 1),
    ]  # fmt: skip
    assert [row[:4] for row in history(store)] == [
        ("star 1", "unchanged", 1, 0), ("star 2", "new", 1, 1), ("star 3", "unchanged", 1, 0),
    ]  # fmt: skip


def test_two_runs_may_hold_the_same_targets_in_any_order(store):
    with store.run("fetch", "0.1.0") as run:
        list(run.visits(of_stars(*range(1, 9))))

    def again(numbers):
        with (
            Store.open(store._database.url.render_as_string(hide_password=False), simulated=True) as mine,
            mine.run("fetch", "0.1.0") as run,
        ):
            return [counts.outcome for _ in range(20) for counts in run.visits(of_stars(*numbers))]

    with ThreadPoolExecutor(2) as two:
        done = list(two.map(again, [range(1, 9), range(8, 0, -1)]))
    assert done == [["unchanged"] * 160] * 2


def test_the_same_payload_is_compared_when_it_now_matches_other_objects(store):
    deliver(store, visit(rows("o1"), object_ids=("1",)))
    counts = deliver(store, visit(rows("o1", "o2"), object_ids=("1", "2")))
    assert (counts.new, counts.known) == (1, 1)


def test_a_newer_harvester_compares_the_same_payload_again(store):
    deliver(store, visit(rows("o1")))
    with store.run("fetch", "0.2.0") as run:
        assert run.visit(visit(rows("o1", mag=[12.6]))).revised == 1


def test_a_revision_keeps_the_superseded_row(store):
    deliver(store, visit(rows("o1", "o2")))
    counts = deliver(store, visit(rows("o1", "o2", mag=[12.5, 12.7]), body=b"2"))
    assert (counts.new, counts.revised, counts.known, counts.outcome) == (0, 1, 1, "new")
    assert counts.by_filter == {"g(ZTF)": FilterCounts(revised=1, total=2)}
    assert column(store, "mag") == [12.5, 12.7]
    kept = query(store, "SELECT observation, mag, run_id, replaced_by_run FROM photometry_version")
    assert kept == [("o2", 12.5, 1, 2)]
    assert query(store, "SELECT observation, run_id FROM photometry ORDER BY 1") == [("o1", 1), ("o2", 2)]


@pytest.mark.parametrize("change", [{"mag_err": [None]}, {"flags": ["x"]}, {"quality": [2]}, {"upper_limit": [True]}, {"ra": [1.0]}])
def test_a_change_in_any_given_column_is_a_revision(store, change):
    deliver(store, visit(rows("o1")))
    assert deliver(store, visit(rows("o1", **change), body=b"2")).revised == 1
    ((name, values),) = change.items()
    assert column(store, name) == values


def test_rounding_of_the_derived_epoch_is_no_revision_but_a_moved_target_is(store):
    deliver(store, visit(rows("o1")))
    noise, shift = BJD_TOLERANCE_D / 4, BJD_TOLERANCE_D * 4
    assert deliver(store, visit(rows("o1", bjd_tdb=[2_459_001.5 + noise]), body=b"2")).known == 1
    assert deliver(store, visit(rows("o1", bjd_tdb=[2_459_001.5 + shift]), body=b"3")).revised == 1
    assert column(store, "bjd_tdb") == [2_459_001.5 + shift]


def test_a_delivery_that_shrinks_deletes_nothing(store):
    deliver(store, visit(rows("o1", "o2", "o3")))
    assert deliver(store, visit(rows("o2"), body=b"2")).known == 1
    assert column(store, "observation_id") == ["o1", "o2", "o3"]


def test_a_measurement_from_another_source_is_known_elsewhere_and_the_first_is_kept(store):
    deliver(store, visit(rows("o1", mag=[12.5])))
    counts = deliver(store, visit(rows("o1", "o2", mag=[99.0, 13.0]), source="alerce", body=b"2"))
    assert (counts.new, counts.revised, counts.known_elsewhere) == (1, 0, 1)
    assert column(store, "mag") == [12.5, 13.0]
    assert column(store, "source") == ["ztf_dr", "alerce"]
    assert column(store, "mag", sources=["alerce"]) == [13.0]


def test_one_observation_in_two_filters_is_two_points(store):
    assert deliver(store, visit(rows("o1", "o1", filters=["g(ZTF)", "r(ZTF)"]))).new == 2
    assert column(store, "filter") == ["g(ZTF)", "r(ZTF)"]


def test_repeats_within_an_answer_are_stored_once_and_contradictions_go_to_quarantine(store):
    counts = deliver(store, visit(rows("o1", "o1", "o1", mag=[12.5, 12.5, 13.0])))
    assert (counts.new, counts.known, counts.quarantined) == (1, 1, 1)
    assert column(store, "mag") == [12.5]
    ((reason, row),) = query(store, "SELECT reason, row FROM quarantine")
    assert "observation_id" in reason
    assert json.loads(row)["mag"] == 13.0
    assert json.loads(row)["filter"] == "g(ZTF)"


def test_rejected_rows_are_quarantined_once_with_their_payload(store):
    bad = pa.table({"reason": ["a number that cannot be read"], "payload": pa.array([0], pa.int32()), "mag": [np.inf], "passband": ["g"]})
    for body in (PAYLOAD.body, b"another"):
        assert deliver(store, visit(rows("o1"), quarantine=bad, body=body)).quarantined == 1
    kept = query(store, "SELECT reason, row, sha256 FROM quarantine JOIN payload ON payload.id = payload_id")
    assert kept == [("a number that cannot be read", '{"mag": "inf", "passband": "g"}', PAYLOAD.sha256)]


def test_payloads_are_kept_compressed_and_once(store):
    body = b"mjd,mag\n" + b"59000.5,12.5\n" * 1000
    deliver(store, visit(rows("o1"), body=body), visit(rows("o1"), body=body, target=replace(STAR, name="other", aliases=())))
    ((sha256, size, packed),) = query(store, "SELECT sha256, size, body FROM payload")
    assert pa.decompress(bytes(packed), size, codec="zstd", asbytes=True) == body
    assert sha256 == replace(PAYLOAD, body=body).sha256
    assert len(packed) < size / 10
    requests = query(store, "SELECT url, params, content_type, time, role FROM request")
    assert requests == [(PAYLOAD.url, '{"ID": "1"}', "text/csv", PAYLOAD.time, "photometry")] * 2


def test_every_row_knows_its_payload(store):
    answers = [replace(PAYLOAD, body=b"first"), replace(PAYLOAD, body=b"")]
    deliver(store, Visit(STAR, "ztf_dr", "ZTF", pa.concat_tables([rows("o1"), rows("o2", payload=1)]), answers))
    found = query(store, "SELECT observation, sha256, size FROM photometry JOIN payload ON payload.id = payload_id ORDER BY 1")
    assert found == [("o1", answers[0].sha256, 5), ("o2", answers[1].sha256, 0)]


def test_a_failed_visit_is_recorded_and_the_next_success_ends_the_count(store):
    deliver(store, visit(rows("o1")))
    for _ in range(2):
        deliver(store, visit(outcome="failed", error_kind="unreachable", message="no answer\x00 \ud800", body=b"<html>"))
    (status,) = store.status()
    assert (status["outcome"], status["error"], status["failures"], status["points"]) == ("failed", "unreachable", 2, 1)
    assert status["message"] == "no answer ?"
    assert status["last_success"] < status["when"]
    assert deliver(store, visit(rows("o1"))).outcome == "unchanged"
    (status,) = store.status(["HD 182989"])
    assert (status["outcome"], status["failures"]) == ("unchanged", 0)


def test_rows_of_a_failed_visit_are_kept_and_the_next_answer_is_compared_with_them(store):
    deliver(store, visit(rows("o1", "o2")))
    assert deliver(store, visit(rows("o2", mag=[13.0]), outcome="failed", body=b"cut off")).revised == 1
    assert deliver(store, visit(rows("o1", "o2"))).revised == 1
    assert column(store, "mag") == [12.5, 12.5]


def test_an_empty_answer_after_points_is_suspicious(store):
    assert deliver(store, visit(outcome="empty", body=b"")).outcome == "empty"
    deliver(store, visit(rows("o1"), body=b"1"))
    counts = deliver(store, visit(outcome="empty", body=b"", message="1 neighbour kept out"))
    assert counts.outcome == "suspicious"
    assert counts.message == "had points of this target before, and sent none now; 1 neighbour kept out"
    assert column(store, "observation_id") == ["o1"]
    assert store.status()[0]["last_success"] < store.status()[0]["when"]


def test_the_watermark_is_the_newest_epoch_and_never_goes_back(store):
    deliver(store, visit(rows("o5", "o9")))
    deliver(store, visit(rows("o2"), body=b"2"))
    assert store.timetable.watermarks("ztf_dr") == {"RR Lyr": 2_459_009.5}
    assert store.timetable.watermarks("alerce") == {}


def test_a_run_says_how_it_ended(store):
    deliver(store, visit(rows("o1")))
    deliver(store, visit(rows("o1")), visit(source="alerce", outcome="failed"))
    deliver(store, visit(outcome="failed"))
    with pytest.raises(KeyboardInterrupt), store.run("fetch", "0.1.0"):
        raise KeyboardInterrupt
    with pytest.raises(ZeroDivisionError), store.run("fetch", "0.1.0"):
        raise ZeroDivisionError
    assert [row.status for row in query(store, "SELECT status FROM run ORDER BY id")] == [
        "done", "partial", "failed", "interrupted", "failed",
    ]  # fmt: skip


def test_a_visit_is_stored_whole_or_not_at_all(store):
    deliver(store, visit(rows("o1")))
    broken = rows("o2").set_column(0, "filter", pa.array([None], pa.string()))
    with pytest.raises(Exception, match=r"(?i)null|none"):
        deliver(store, visit(broken, body=b"2", object_ids=("77",)))
    assert column(store, "observation_id") == ["o1"]
    assert len(query(store, "SELECT * FROM visit")) == len(query(store, "SELECT * FROM payload")) == 1
    assert store.target("77") is None


def test_cuts_choose_filters_epochs_quality_and_sources(store):
    deliver(store, visit(rows("o1", "o2", "o3", filters=["g(ZTF)", "r(ZTF)", "r(ZTF)"], quality=[0, 1, 2])))
    assert column(store, "observation_id", quality="good") == ["o1"]
    assert column(store, "observation_id", quality="suspect") == ["o1", "o2"]
    assert column(store, "observation_id", filters=["r(ZTF)"]) == ["o2", "o3"]
    assert column(store, "observation_id", since=59_002.0, until=59_003.0) == ["o2"]
    assert column(store, "observation_id", sources=["alerce"]) == []
    assert store.light_curve("RR Lyr", Cut(quality="all", filters=["g(ZTF)"])).num_rows == 1
    with pytest.raises(UsageError, match="no quality named 'best'"):
        store.light_curve("RR Lyr", quality="best")


def test_batches_stream_every_target_in_order(store, monkeypatch):
    monkeypatch.setattr("harvester.store.read.ROWS_PER_BATCH", 3)
    for name in ("b", "a", "c"):
        deliver(store, visit(rows("o2", "o1"), target=Target(name, 10.0, 20.0)))
    batches = list(store.read(quality="all"))
    assert all(batch.num_rows <= 3 and batch.schema == LIGHT_CURVE for batch in batches)
    whole = pa.Table.from_batches(batches)
    assert whole["target"].to_pylist() == ["b", "b", "a", "a", "c", "c"]  # as they were first followed
    assert whole["observation_id"].to_pylist() == ["o1", "o2"] * 3
    assert pa.Table.from_batches(store.read(["c", "a"])).column("target").to_pylist() == ["c", "c", "a", "a"]


def test_a_reader_sees_one_state_while_another_writes(store, monkeypatch):
    monkeypatch.setattr("harvester.store.read.ROWS_PER_BATCH", 1)
    for name in ("a", "b"):
        deliver(store, visit(rows("o1"), target=Target(name, 10.0, 20.0)))
    batches = store.read()
    next(batches)
    deliver(store, visit(rows("o1", "o2"), target=Target("b", 10.0, 20.0), body=b"2"))
    assert [batch["observation_id"].to_pylist() for batch in batches] == [["o1"]]
    assert store.light_curve("b").num_rows == 2


def test_the_view_reads_well(store):
    deliver(store, visit(rows("o1", quality=[1])))
    (row,) = query(store, "SELECT target, filter, bjd_tdb, bmjd_tdb, mag, quality, source FROM light_curve")
    assert row == ("RR Lyr", "g(ZTF)", 2_459_001.5, 59_001.0, 12.5, "suspect", "ztf_dr")


def test_names_and_aliases_find_a_target_whatever_their_case_and_blanks(store):
    assert store.add_target(STAR)
    assert not store.add_target(replace(STAR, name="rr  LYR"))
    assert not store.add_target(Target("hd182989", 1.0, 2.0, aliases=("BD+42 3338",)))
    assert store.target("Bd+423338") == replace(STAR, aliases=("BD+42 3338", "HD 182989"))
    assert [target.name for target in store.targets()] == ["RR Lyr"]
    assert store.target("AE Aqr") is None


def test_ids_that_a_survey_matched_become_ids_of_the_target(store):
    deliver(store, visit(rows("o1"), object_ids=("686103400067717", "686203400028112")))
    assert store.target("RR Lyr").ids == {"ZTF": ("686103400067717", "686203400028112")}
    assert store.target("686203400028112").name == "RR Lyr"


def test_an_unknown_target_is_an_error_with_the_nearest_name(store):
    store.add_target(STAR)
    with pytest.raises(StoreError) as caught:
        store.light_curve("RR Lyrae")
    assert caught.value.lines() == ["no target named 'RR Lyrae' in the store.", "Did you mean 'RR Lyr'?  All targets: harvest targets list"]


def test_a_moved_target_is_compared_again_although_the_payload_is_the_same(store):
    deliver(store, visit(rows("o1")))
    moved = replace(STAR, ra=STAR.ra + 0.01)
    store.move_target(moved)
    assert (store.target("RR Lyr").ra, store.target("RR Lyr").aliases) == (moved.ra, STAR.aliases)
    assert deliver(store, visit(rows("o1", bjd_tdb=[2_459_001.51]), target=moved)).revised == 1


def test_a_visit_at_another_position_moves_the_target(store):
    deliver(store, visit(rows("o1")), visit(rows("o1"), source="alerce"))
    deliver(store, visit(rows("o1"), target=replace(STAR, dec=40.0)))
    assert store.target("RR Lyr").dec == 40.0
    assert query(store, "SELECT count(*) FROM schedule WHERE digest IS NULL") == [(1,)]


def test_removing_a_target_with_points_needs_force_and_leaves_nothing_of_it(store):
    other = Target("AE Aqr", 310.0, -0.9)
    deliver(store, visit(rows("o1"), object_ids=("7",)), visit(rows("o1", mag=[13.0]), body=b"2"), visit(rows("o1"), target=other))
    with pytest.raises(StoreError, match="has 1 points"):
        store.remove_target("RR Lyr")
    assert store.remove_target("hd 182989", force=True) == 1
    assert store.points() == {"AE Aqr": 1}
    for table in ("photometry_version", "alias"):
        assert query(store, f"SELECT * FROM {table}") == []
    assert store.remove_target("AE Aqr", force=True) == 1
    assert store.targets() == store.status() == []


def test_what_a_name_was_found_to_be_is_remembered(store):
    assert store.cached_name("RR Lyr") is None
    found = replace(STAR, ids={"GAIA_DR3": ("2125982599343482624",)})
    store.remember_name("RR Lyr", STAR)
    store.remember_name("rr lyr", found)
    assert store.cached_name("RR_LYR") == found


def test_info_counts_and_hides_the_password(store):
    deliver(store, visit(rows("o1", "o2")))
    info = store.info()
    assert (info["kind"], info["targets"], info["points"], info["payloads"], info["runs"]) == ("simulated", 1, 2, 1, 1)
    assert store.filters() == ["g(ZTF)"]
    assert store.sources() == ["ztf_dr"]
    assert store.about()["data"] == "simulated"
    secret = Database("postgresql://me:hunter2@127.0.0.1/db?sslpassword=hunter3")
    assert "hunter" not in secret.place
    secret.engine.dispose()


def test_text_that_postgresql_cannot_hold_is_stored_without_its_nul(store):
    deliver(store, visit(rows("o1", flags=["a\x00b"])))
    assert column(store, "flags") == ["ab"]
    assert deliver(store, visit(rows("o1", flags=["a\x00b"]), body=b"2")).known == 1


@pytest.mark.parametrize("begins", ["", "chi=0.5 "], ids=["shared", "own"])
def test_flags_of_any_length_are_stored_as_they_are(store, begins):
    long = [begins + "".join(chr(0x4E00 + (place * step) % 20_000) for place in range(9_000)) for step in (7, 11)]
    flags = [*long, "x" + long[0], None]
    counts = deliver(store, visit(rows("o1", "o2", "o3", "o4", flags=flags)))
    assert (counts.new, column(store, "flags")) == (4, flags)
    assert deliver(store, visit(rows("o1", "o2", "o3", "o4", flags=flags), body=b"again")).known == 4


@pytest.mark.parametrize("simulated", [True, False])
def test_simulated_and_real_data_never_meet(store_url, simulated):
    with Store.open(store_url, simulated=simulated) as made:
        assert made.kind == KINDS[simulated]
    with Store.open(store_url, simulated=None) as taken:
        assert taken.simulated is simulated
    with pytest.raises(WrongKind, match="never mix"):
        Store.open(store_url, simulated=not simulated)


@pytest.mark.parametrize("options", [{"simulated": None}, {"simulated": True, "create": False}])
def test_reading_makes_no_store(store_url, options):
    for _ in range(2):
        with pytest.raises(StoreError, match="there is no store at"):
            Store.open(store_url, **options)
    assert not Path(store_url).exists()


def test_a_newer_store_is_refused_and_an_older_one_waits_for_its_upgrade(store, store_url, monkeypatch):
    newest = versions.REVISIONS[-1]
    monkeypatch.setattr(versions, "REVISIONS", (*versions.REVISIONS, "9999"))
    with pytest.raises(StoreError, match="harvest db upgrade"):
        Store.open(store_url, simulated=True)
    monkeypatch.setattr(versions, "REVISIONS", ("0000",))
    with pytest.raises(StoreTooNew, match=f"revision {newest}; this version knows up to 0000"):
        Store.open(store_url, simulated=True)
    with pytest.raises(StoreTooNew):
        Store.upgrade(store_url)


def test_upgrading_a_current_store_leaves_it_as_it_is(store, store_url):
    deliver(store, visit(rows("o1")))
    assert Store.upgrade(store_url) == (versions.REVISIONS[-1],) * 2
    assert column(store, "observation_id") == ["o1"]


FIRST_STORE = [
    "INSERT INTO meta VALUES ('kind', 'simulated')",
    (
        "INSERT INTO target (id, name, folded, ra, dec, epoch, pmra, pmdec, added) "
        "VALUES (1, 'RR Lyr', 'rrlyr', 291.0, 42.0, 2000, 0, 0, '2026-01-02T03:04:05.678Z')"
    ),
    "INSERT INTO source (id, name) VALUES (1, 'ztf_dr')",
    "INSERT INTO passband (id, label, survey, passband) VALUES (1, 'g(ZTF)', 'ZTF', 'g'), (2, 'r(ZTF)', 'ZTF', 'r')",
    (
        "INSERT INTO run (id, command, version, started, ended, status) "
        "VALUES (1, 'fetch', '0.1.0', '2026-01-02T03:04:05.678Z', '2026-01-02T03:05:05.678Z', 'done')"
    ),
    "INSERT INTO visit VALUES (1, 1, 1, 1, '2026-01-02T03:04:05.678Z', 'new', '', '', 1.0, NULL, NULL, NULL, '', 3, 0, 0, 0, 0)",
    "INSERT INTO schedule (target_id, source_id, visit_id, failures, watermark) VALUES (1, 1, 1, 0, 2459002.5)",
    "INSERT INTO series (id, target_id, filter_id, source_id) VALUES (1, 1, 1, 1), (2, 1, 2, 1)",
    *(
        "INSERT INTO photometry (series_id, observation, time, bjd_tdb, mag, upper_limit, quality, run_id) "
        f"VALUES ({line}, 'o{day}', {59000 + day}, {2459000.5 + day}, 12.5, FALSE, 0, 1)"
        for line, day in ((1, 1), (1, 2), (2, 1))
    ),
]
"""What a store of the first release held."""


def test_a_store_of_the_first_release_is_upgraded_with_all_that_it_holds(store_url):
    database = Database(store_url)
    with versions._alone(database) as connection:
        versions._migrate(connection, "0001")
        for statement in FIRST_STORE:
            connection.exec_driver_sql(statement)
    with pytest.raises(StoreError, match="harvest db upgrade"):
        Store.open(store_url, simulated=True)
    assert Store.upgrade(store_url) == ("0001", versions.REVISIONS[-1])
    with Store.open(store_url, simulated=True) as upgraded:
        assert upgraded.status()[0]["points_by_filter"] == {"g(ZTF)": 2, "r(ZTF)": 1}
        assert upgraded.light_curve("RR Lyr").num_rows == 3
        assert [found for found in upgraded.check() if found.problems] == []
    database.engine.dispose()


def test_the_migrations_make_what_the_tables_say(store):
    with store._database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []
        checks = {
            (name, check["name"])
            for name in metadata.tables
            for check in sa.inspect(connection).get_check_constraints(name)
            if not check["name"].endswith("not_null")
        }
    assert checks == {("run", "ck_run_status"), ("visit", "ck_visit_outcome"), ("night", "ck_night_state")}


def test_every_migration_is_listed():
    scripts = ScriptDirectory(str(Path(versions.__file__).with_name("migrations")))
    assert tuple(script.revision for script in scripts.walk_revisions())[::-1] == versions.REVISIONS


def test_photometry_is_clustered_by_its_key(tmp_path):
    with Store.open(tmp_path / "s.db", simulated=False) as made:
        assert "WITHOUT ROWID" in query(made, "SELECT sql FROM sqlite_master WHERE name = 'photometry'")[0][0]
        assert query(made, "PRAGMA journal_mode") == [("wal",)]
        assert query(made, "PRAGMA foreign_keys") == [(1,)]


def no_database(path):
    path.write_bytes(b"this is a letter to my aunt\n" * 100)
    return "no SQLite database"


def of_another_program(path):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE bookmarks (id)")
    connection.close()
    return "tables of another program"


def a_folder(path):
    path.mkdir()
    return "cannot be opened"


@pytest.mark.parametrize("spoil", [no_database, of_another_program, a_folder])
def test_a_place_that_is_no_store_is_refused_in_three_lines_and_left_alone(tmp_path, spoil):
    path = tmp_path / "s.db"
    words = spoil(path)
    before = path.read_bytes() if path.is_file() else None
    for simulated in (None, False):
        with pytest.raises(StoreError, match=words) as caught:
            Store.open(path, simulated=simulated)
        assert 2 <= len(caught.value.lines()) <= 3
    assert (path.read_bytes() if path.is_file() else None) == before
    assert [item.name for item in tmp_path.iterdir() if item.name.startswith("s.db")] == ["s.db"]


def test_a_store_below_a_file_cannot_be_made(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(StoreError, match=r"folder '.*x' cannot be made"):
        Store.open(tmp_path / "x" / "s.db", simulated=False)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder in which not even root may write")
def test_a_folder_that_may_not_be_written_is_an_error():
    with pytest.raises(StoreError, match="cannot be opened"):
        Store.open("/proc/s.db", simulated=False)


def test_an_empty_file_becomes_a_store(tmp_path):
    (tmp_path / "s.db").touch()
    with Store.open(tmp_path / "s.db", simulated=False) as made:
        assert made.targets() == []


@pytest.mark.parametrize(
    "address", ["mysql://a:hunter2@h/d", "sqlite://", "postgresql://u:hunter2@127.0.0.1:1/d", "://hunter2", "a://b:hunter2:c"]
)
def test_an_address_that_cannot_be_used_is_an_error_without_its_password(address):
    with pytest.raises(StoreError) as caught:
        Store.open(address, simulated=False)
    assert 2 <= len(caught.value.lines()) <= 3
    assert "hunter2" not in str(caught.value)


def test_a_locked_store_is_an_error_after_the_patience_is_over(tmp_path):
    path = tmp_path / "s.db"
    with Store.open(path, simulated=False, patience=0.05) as made:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="Another process has been writing"):
            made.add_target(STAR)
        assert made.targets() == []
        other.execute("ROLLBACK")
        other.close()
        assert made.add_target(STAR)


def lose_the_server(store):
    with store._database.writing() as connection:
        (pid,) = connection.exec_driver_sql("SELECT pg_backend_pid()").one()
        with store._database.reading() as other:
            other.exec_driver_sql(f"SELECT pg_terminate_backend({pid})")
        connection.exec_driver_sql("SELECT 1")


@pytest.mark.parametrize("store_url", ["postgresql"], indirect=True)
def test_a_lost_server_is_an_error_and_the_next_visit_is_stored(store):
    with store.run("fetch", "0.1.0") as run:
        with pytest.raises(StoreError, match="cannot be used"):
            lose_the_server(store)
        assert run.visit(visit(rows("o1"))).new == 1


def test_two_writers_of_one_store_wait_for_one_another(store_url):
    failures = []

    def work(number):
        try:
            with Store.open(store_url, simulated=True) as mine, mine.run("fetch", "0.1.0") as run:
                for day in range(10):
                    run.visit(visit(rows(f"o{day}", f"o{10 + 10 * number + day}"), body=b"%d %d" % (number, day)))
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    with Store.open(store_url, simulated=True) as seen:
        assert column(seen, "observation_id") == [f"o{number}" for number in range(50)]
        assert seen.info()["targets"] == 1
        assert query(seen, "SELECT count(*), sum(new), sum(revised) FROM visit") == [(40, 50, 0)]


VICTIM = """
import os, signal, sys
import sqlalchemy as sa
sys.path.insert(0, {tests!r})
from test_store import Store, rows, visit

place, last = sys.argv[1:]
with Store.open(place, simulated=True) as store, store.run("fetch", "0.1.0") as run:
    def die(statement):
        if statement.startswith(last):
            os.kill(os.getpid(), signal.SIGKILL)
    sa.event.listen(store._database.engine, "before_cursor_execute", lambda _c, _k, statement, *_: die(statement))
    sa.event.listen(store._database.engine, "commit", lambda _c: die("COMMIT"))
    run.visit(visit(rows("o1", "o2", "o3", mag=[12.5, 13.0, 12.5]), body=b"2", object_ids=("7",)))
"""
MOMENTS = ["INSERT INTO payload", "DELETE FROM photometry", "INSERT INTO visit", "UPDATE schedule", "COMMIT"]


def state(store):
    """Return all that a visit leaves behind but moments and numbers of runs."""
    photometry = store.light_curve("RR Lyr", quality="all").to_pylist()
    visits = query(store, "SELECT outcome, new, revised, known FROM visit ORDER BY id")
    versions_kept = query(store, "SELECT observation, mag FROM photometry_version")
    schedule = query(store, "SELECT watermark, digest, failures FROM schedule")
    return photometry, visits, versions_kept, schedule, store.targets(), query(store, "SELECT sha256 FROM payload ORDER BY 1")


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_process_killed_in_mid_visit_leaves_the_store_as_it_was(store, store_url, moment):
    deliver(store, visit(rows("o1", "o2")))
    before = state(store)
    script = VICTIM.format(tests=str(Path(__file__).parent))
    killed = subprocess.run([sys.executable, "-c", script, store_url, moment], capture_output=True, text=True, check=False)
    assert killed.returncode == -9, killed.stderr
    assert state(store) == before
    assert query(store, "SELECT status FROM run ORDER BY id") == [("done",), ("running",)]
    counts = deliver(store, visit(rows("o1", "o2", "o3", mag=[12.5, 13.0, 12.5]), body=b"2", object_ids=("7",)))
    assert (counts.new, counts.revised, counts.known) == (1, 1, 1)


def test_a_store_that_moves_with_its_file_opens_elsewhere(tmp_path):
    with Store.open(tmp_path / "a.db", simulated=False) as made:
        deliver(made, visit(rows("o1")))
    shutil.move(tmp_path / "a.db", tmp_path / "b ü%20?.db")
    with Store.open(tmp_path / "b ü%20?.db", simulated=None) as found:
        assert column(found, "observation_id") == ["o1"]
