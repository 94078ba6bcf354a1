"""Saved questions that fail are told by status and at the end of an update: since when, why, of what class."""

import pytest

from harvester.emulator.faults import Faults
from harvester.store import Store

SAVE = 'alerts query --broker fink --class "Early SN Ia candidate" --days 3 --save early'


@pytest.fixture
def saved(harvest):
    assert harvest(SAVE) == 0
    return harvest


def failing(harvest):
    assert harvest("--json status") == 0
    return [row for row in harvest.objects if row["about"] == "saved_query"]


def test_status_says_nothing_of_questions_that_are_answered(saved):
    assert failing(saved) == []
    saved("status")
    assert "saved question" not in saved.out


def test_a_question_that_fails_is_told_with_its_class_and_since_when(saved, emulator):
    emulator.faults = Faults({"fink": ["html"]})
    assert saved("update -s alerce") == 0, "of one source only: no broker is asked"
    assert failing(saved) == []
    assert saved("alerts saved run --all") == 1
    (first,) = failing(saved)
    assert (first["saved_query"], first["broker"], first["outcome"], first["error"]) == ("early", "fink", "failed", "malformed")
    assert first["failures"] == 1
    assert saved("alerts saved run --all") == 1
    (second,) = failing(saved)
    assert (second["failures"], second["since"]) == (2, first["since"])
    assert second["last"] > first["last"]
    saved("status")
    assert "failed: malformed" in saved.out
    emulator.faults = Faults()
    assert saved("alerts saved run --all") == 0
    assert failing(saved) == []


def test_an_update_ends_with_the_questions_that_fail(saved, emulator):
    saved("targets add --target 10.68,41.27 --name here")
    emulator.faults = Faults({"fink": ["html"]})
    assert saved("update -q") == 3
    last = [line for line in saved.err.splitlines() if line.startswith(("warning", "error"))][-1]
    assert "saved question early (fink): failed: malformed since" in last
    emulator.faults = Faults()
    assert saved("alerts saved run --all -q") == 0
    assert saved("update -q") == 0
    assert saved.err == ""


def test_an_answer_that_is_not_whole_is_no_failure_and_is_told(tmp_path):
    from harvester.store.alerts import SavedQuery

    with Store.open(tmp_path / "s.db", simulated=True) as store:
        store.alerts.save(SavedQuery("q", "fink", "{}"))
        store.alerts.asked("q", newest=None, trouble="1000 alerts at most", outcome="incomplete")
        (one,) = store.alerts.saved()
        assert (one.failures, one.outcome, bool(one.failing_since), bool(one.last_success)) == (0, "incomplete", True, True)
        store.alerts.asked("q", newest=1.0)
        (one,) = store.alerts.saved()
        assert (one.outcome, one.failing_since, one.trouble) == ("done", None, "")
