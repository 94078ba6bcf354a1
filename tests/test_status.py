"""`harvest status`: what ran last, what is due, what fails since when and why, what is pending; against a store whose past is known."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
import sqlalchemy as sa
from stores import postgres_url, store, store_url
from test_store import PAYLOAD, rows

from harvester.emulator.faults import Faults
from harvester.store import Visit
from harvester.store.tables import schedule
from harvester.store.tables import visit as visits
from harvester.store.visit import Rhythm
from harvester.target import Target

__all__ = ["postgres_url", "store", "store_url"]

NIGHTLY = {"alerce": Rhythm(1.0), "ztf_dr": Rhythm(None, "DR24")}
STARS = [Target(f"star {number}", 10.0 + number, 20.0) for number in range(4)]


def visited(store, star, outcome, error="", source="alerce", **more):
    """Store a visit in a run of its own; return when it was stored."""
    message = f"{source}: {outcome} {error}" if error else ""
    with store.run("update", "1") as run:
        run.visit(Visit(star, source, "ZTF", None, [], outcome=outcome, error_kind=error, message=message, rhythm=NIGHTLY[source], **more))
    with store._database.reading() as connection:
        return connection.execute(sa.select(sa.func.max(visits.c.time))).scalar_one()


def test_a_failure_is_told_with_its_class_since_when_and_how_many_targets(store):
    visited(store, STARS[0], "empty")
    since = visited(store, STARS[0], "failed", "unreachable")
    visited(store, STARS[1], "failed", "unreachable")
    visited(store, STARS[2], "failed", "malformed")
    last = visited(store, STARS[0], "failed", "unreachable")
    _, troubles = store.overview(NIGHTLY, datetime.now(UTC))
    first, second = troubles
    assert (first["source"], first["outcome"], first["error"], first["targets"]) == ("alerce", "failed", "unreachable", 2)
    assert (first["since"], first["last"], first["failures"], first["target"]) == (since, last, 2, "star 0")
    assert first["message"] == "alerce: failed unreachable"
    assert (second["error"], second["targets"], second["failures"]) == ("malformed", 1, 1)


def test_a_success_ends_a_trouble(store):
    visited(store, STARS[0], "failed", "unreachable")
    visited(store, STARS[0], "empty")
    (state, _), troubles = store.overview(NIGHTLY, datetime.now(UTC))
    assert not troubles
    assert (state["source"], state["failed"], state["targets"]) == ("alerce", 0, 1)


def test_pending_postponed_and_suspicious_are_counted_apart_from_failures(store):
    for star, outcome in zip(STARS, ("pending", "postponed", "suspicious", "failed"), strict=True):
        visited(store, star, outcome, "unreachable" if outcome == "failed" else "")
    (state, _), troubles = store.overview(NIGHTLY, datetime.now(UTC))
    assert [state[name] for name in ("pending", "postponed", "suspicious", "failed", "targets")] == [1, 1, 1, 1, 4]
    assert {row["outcome"] for row in troubles} == {"pending", "postponed", "suspicious", "failed"}


def test_due_is_what_an_update_would_ask_for(store):
    for star in STARS:
        store.add_target(star)
    now = datetime.now(UTC)
    assert {row["source"]: row["due"] for row in store.overview(NIGHTLY, now)[0]} == {"alerce": 4, "ztf_dr": 4}
    for source in NIGHTLY:
        visited(store, STARS[0], "empty", source=source)
    alerce, ztf = store.overview(NIGHTLY, now)[0]
    assert (alerce["due"], ztf["due"]) == (3, 3)
    with store._database.reading() as connection:
        (planned,) = connection.execute(sa.select(schedule.c.next_due).where(schedule.c.next_due.is_not(None))).scalars()
    assert (alerce["next_due"], ztf["next_due"]) == (planned, None)
    alerce, ztf = store.overview(NIGHTLY, now + timedelta(days=2))[0]
    assert (alerce["due"], ztf["due"]) == (4, 3)
    _, ztf = store.overview(NIGHTLY | {"ztf_dr": Rhythm(None, "DR25")}, now)[0]
    assert ztf["due"] == 4


def test_a_source_that_can_no_longer_be_asked_is_still_told(store):
    visited(store, STARS[0], "failed", "unreachable")
    (state,), troubles = store.overview({}, datetime.now(UTC))
    assert (state["source"], state["failed"], state["due"]) == ("alerce", 1, None)
    assert len(troubles) == 1


def test_status_answers_the_four_questions_on_the_command_line(harvest, emulator):
    assert harvest("fetch --source gaia_dr3 --source ztf_dr --target 'RR Lyr' --target 'SS Cyg'") == 0
    emulator.faults = Faults({"irsa": ["html"]})
    harvest("fetch --source ztf_dr --target 'RR Lyr'")
    assert harvest("status --json", emulate=False) == 0
    about = {kind: [row for row in harvest.objects if row["about"] == kind] for kind in ("run", "source", "trouble")}
    assert [(row["run"], row["status"]) for row in about["run"]] == [(2, "failed")]
    states = {row["source"]: (row["targets"], row["failed"]) for row in about["source"]}
    assert (states["gaia_dr3"], states["ztf_dr"]) == ((2, 0), (2, 1))
    (trouble,) = about["trouble"]
    assert (trouble["source"], trouble["error"], trouble["targets"], trouble["target"]) == ("ztf_dr", "malformed", 1, "RR Lyr")
    assert trouble["since"] >= about["run"][0]["started"]
    assert harvest("status", emulate=False) == 0
    for word in ("last run", "failed: malformed", "due", trouble["since"][:19].replace("T", " ")):
        assert word in harvest.out


def test_status_of_a_target_tells_what_is_stored(harvest):
    harvest("fetch --source gaia_dr3 --target 'RR Lyr' --target 'SS Cyg' -q")
    assert harvest("status --target 'RR Lyr'", emulate=False) == 0
    (row,) = harvest.rows
    assert (row["target"], row["source"], row["outcome"]) == ("RR Lyr", "gaia_dr3", "new")
    assert int(row["points"]) > 100


def test_status_of_a_new_store_says_how_to_begin(harvest):
    harvest("targets add --target '10 20'")
    assert harvest("status", emulate=False) == 0
    assert "harvest fetch" in harvest.err
    assert harvest("status --json", emulate=False) == 0
    assert {json.dumps(row["about"]) for row in harvest.objects} == {'"source"'}


@pytest.mark.parametrize("words", ["status --target nobody", "status --target 'no such star' --json"])
def test_an_unknown_target_is_said(harvest, words):
    harvest("targets add --target '10 20'")
    assert harvest(words, emulate=False) in {1, 2}
    assert "no" in harvest.err


def test_an_answer_that_repeated_its_rows_makes_no_later_one_suspicious(store):
    once = rows("o1", "o2", "o3")
    for delivered, body in ((pa.concat_tables([once] * 5), b"five times"), (once, b"once")):
        answer = replace(PAYLOAD, body=body)
        with store.run("update", "1") as run:
            found = run.visit(Visit(STARS[0], "alerce", "ZTF", delivered, [answer], rhythm=NIGHTLY["alerce"]))
    assert (found.outcome, found.known) == ("unchanged", 3)
