"""`harvest runs`: what was done is told as it was stored."""

import json
import subprocess
import sys

import pytest

from harvester.emulator.faults import Faults

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
