"""`harvest runs`: what was done is told as it was stored."""

import json
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest
from stores import postgres_url, store, store_url

from harvester.emulator.faults import Faults
from harvester.store import Store, living

__all__ = ["postgres_url", "store", "store_url"]

LYR = "--target 'RR Lyr'"


def test_runs_are_listed_newest_first_with_how_their_visits_ended(harvest, emulator):
    harvest(f"fetch --source gaia_dr3 --source ztf_dr {LYR}")
    emulator.faults = Faults({"irsa": ["html"]})
    harvest(f"fetch --source gaia_dr3 --source ztf_dr {LYR}")
    assert harvest("runs list --json", emulate=False) == 0
    second, first = harvest.objects
    assert (first["run"], first["status"], first["outcomes"], first["targets"], first["sources"]) == (1, "done", {"new": 2}, 1, 2)
    assert first["new"] > 1000
    assert (second["run"], second["status"], second["outcomes"], second["new"]) == (2, "partial", {"failed": 1, "unchanged": 1}, 0)
    assert second["started"] < second["ended"]
    assert second["command"] == " ".join(sys.argv[1:])
    assert harvest("runs list --limit 1", emulate=False) == 0
    assert [row["outcomes"] for row in harvest.rows] == ["1 failed, 1 unchanged"]


def test_a_run_is_shown_visit_by_visit_and_failures_by_class(harvest, emulator):
    harvest(f"fetch --source gaia_dr3 {LYR}")
    emulator.faults = Faults({"irsa": ["html"]})
    harvest(f"fetch --source gaia_dr3 --source ztf_dr {LYR}")
    assert harvest("runs show 2 --json", emulate=False) == 0
    by_source = {row["source"]: row for row in harvest.objects}
    assert {name: (row["run"], row["outcome"], row["error"]) for name, row in by_source.items()} == {
        "gaia_dr3": (2, "unchanged", ""),
        "ztf_dr": (2, "failed", "malformed"),
    }
    assert "HTML" in by_source["ztf_dr"]["message"]
    assert harvest("runs show last --failed --json", emulate=False) == 0
    assert [row["source"] for row in harvest.objects] == ["ztf_dr"]
    assert harvest("runs show last-1 --json", emulate=False) == 0
    assert [(row["run"], row["outcome"]) for row in harvest.objects] == [(1, "new")]
    assert harvest("runs show", emulate=False) == 0
    assert "failed: malformed" in harvest.out


@pytest.mark.parametrize(("word", "status"), [("7", 1), ("last-9", 1), ("yesterday", 2)])
def test_a_run_that_is_not_there_is_said(harvest, word, status):
    harvest(f"fetch --source gaia_dr3 {LYR} -q")
    assert harvest(f"runs show {word}", emulate=False) == status
    assert "harvest runs list" in harvest.err


def test_a_store_without_runs_lists_none(harvest):
    harvest("targets add --target '10 20'")
    assert harvest("runs list --json", emulate=False) == 0
    assert harvest.out == ""


def test_listing_runs_and_status_do_not_wait_for_what_they_do_not_need(harvest):
    harvest("targets add --target '10 20'")
    heavy = ["pandas", "astropy", "astroquery", "matplotlib", "httpx", "requests", "rich", "alembic"]
    for words, more in (["runs", "list"], ["pyarrow.compute", "erfa"]), (["status"], []):
        code = (
            "import sys\nfrom harvester.cli import status_of\n"
            f"status = status_of(['--store', {str(harvest.store)!r}, *{words}])\n"
            f"print(status, [name for name in {heavy + more} if name in sys.modules], file=sys.stderr)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stderr.splitlines()[-1] == "0 []"


def test_json_of_a_run_is_one_object_a_line(harvest):
    harvest(f"fetch --source gaia_dr3 {LYR} -q")
    harvest("runs show --json", emulate=False)
    (line,) = harvest.out.splitlines()
    assert {"run", "target", "source", "outcome", "error", "message", "new", "time"} <= set(json.loads(line))


AT_WORK = """
import sys
from harvester.store import Store
with Store.open(sys.argv[1], simulated=True) as store, store.run(sys.argv[2], "1") as run:
    print(run.id, flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_at_work(place, command="update"):
    """Another process with an open run; gives the process and the run's number. It ends its run when nobody writes to it any more."""
    process = subprocess.Popen([sys.executable, "-c", AT_WORK, place, command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


def killed(process):
    process.send_signal(signal.SIGKILL)
    process.wait(30)


def statuses(store):
    return {row["run"]: row["status"] for row in store.runs()}


def test_a_run_that_was_killed_has_died_and_one_beside_it_still_runs(store, store_url):
    with another_at_work(store_url) as (first, one), another_at_work(store_url) as (second, two), store.run("fetch", "1") as own:
        assert statuses(store) == {one: "running", two: "running", own.id: "running"}
        killed(first)
        assert statuses(store) == {one: "died", two: "running", own.id: "running"}
        assert store.visits(str(one))[0]["status"] == "died"
        second.communicate("")
        assert statuses(store) == {one: "died", two: "done", own.id: "running"}
    assert statuses(store) == {one: "died", two: "done", own.id: "done"}
    assert [row["ended"] is None for row in store.runs()] == [False, False, True]


def test_looking_at_runs_takes_no_lock_from_those_that_this_process_has(store, store_url):
    with store.run("one", "1") as first, Store.open(store_url, simulated=True) as again, again.run("two", "1"):
        statuses(store)
        with another_at_work(store_url) as (_, third):
            assert set(statuses(again).values()) == {"running"}
            look = f"import sys; from harvester.store import Store; print([r['status'] for r in Store.open({store_url!r}, simulated=True).runs()])"
            told = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
            assert told.stdout.strip() == "['running', 'running', 'running']"
        assert statuses(store)[third] == "died"
        assert statuses(store)[first.id] == "running"


def test_a_store_whose_locks_cannot_be_asked_says_running(tmp_path, monkeypatch):
    with Store.open(tmp_path / "s.db", simulated=True) as store:
        with another_at_work(store.place) as (process, one):
            killed(process)
        monkeypatch.setattr(living.fcntl, "lockf", no_locks)
        assert statuses(store) == {one: "running"}


def no_locks(*_):
    raise OSError(37, "No locks available")


def test_the_command_line_says_that_a_run_died_and_what_then(harvest):
    harvest(f"fetch --source gaia_dr3 {LYR} -q")
    with another_at_work(str(harvest.store)) as (process, two):
        assert harvest("status", emulate=False) == 0
        assert "running" in harvest.out
        killed(process)
    for words in ("runs list --json", "status --json"):
        assert harvest(words, emulate=False) == 0
        assert (harvest.objects[0]["run"], harvest.objects[0]["status"]) == (two, "died")
    assert harvest("runs show", emulate=False) == 0
    assert "died" in harvest.out
    assert harvest("fetch --failed-of last") == 0
    assert f"Run {two} died" in harvest.err
    assert "harvest update" in harvest.err
