"""`harvest update` and `fetch --failed-of` as users and cron see them."""

import json
import os
import shlex
import signal
import subprocess
import sys
from contextlib import ExitStack

import pytest
from loopback import Loopback, Reply
from nights import DOWN, SURVEYS, Sky, _surveys, answer, star

from harvester.cli import status_of, update
from harvester.cli.stopping import heard
from harvester.harvest import Stop
from harvester.store import Store

__all__ = ["_surveys"]


class Cli:
    """Runs `harvest` on a real store and the surveys of `nights`."""

    def __init__(self, capfd, sky):
        self._capfd, self.sky = capfd, sky

    def __call__(self, words):
        self._capfd.readouterr()
        self.status = status_of(["--store", self.sky.store.place, *shlex.split(words)])
        self.out, self.err = self._capfd.readouterr()
        return self.status

    @property
    def objects(self):
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def outcomes(self):
        return {(found["target"], found["source"]): found["outcome"] for found in self.objects}


@pytest.fixture
def harvest(_surveys, tmp_path, capfd, monkeypatch):
    with Loopback() as server, Store.open(tmp_path / "s.db", simulated=False) as store:
        for name in SURVEYS:
            monkeypatch.setenv(f"HARVESTER_{name}_BASE_URL".upper(), f"{server.url}{name}")
            monkeypatch.setenv(f"HARVESTER_{name}_PER_SECOND".upper(), "1000")
        yield Cli(capfd, Sky(server, store))


def follow(harvest, count, *sources, reply=answer):
    for number in range(count):
        harvest.sky.store.add_target(star(number))
        for source in sources:
            harvest.sky.says(source, star(number), reply(star(number)) if callable(reply) else reply)


BOTH = "--source night --source other"


def test_everything_due_is_asked_and_then_nothing_is(harvest):
    follow(harvest, 4, "night", "other")
    assert harvest(f"update --json {BOTH}") == 0
    assert set(harvest.outcomes.values()) == {"new"}
    assert len(harvest.outcomes) == 8
    assert harvest(f"update {BOTH}") == 0
    assert harvest.out == ""
    assert "Nothing is due. Next: " in harvest.err
    assert len(harvest.sky.server.seen) == 8


def test_quiet_means_silent_when_all_goes_well_and_when_nothing_is_due(harvest):
    follow(harvest, 3, "night")
    for _ in range(2):
        assert harvest("update -q --source night") == 0
        assert (harvest.out, harvest.err) == ("", "")


def test_a_file_gets_a_row_per_source(harvest):
    follow(harvest, 3, "night", "other")
    harvest(f"update {BOTH}")
    head, *rows = [line.split("\t") for line in harvest.out.splitlines()]
    assert [dict(zip(head, row, strict=True))["new"] for row in rows] == ["3", "3"]


def test_a_broker_that_is_down_is_one_line_and_exit_3_and_the_rest_is_stored(harvest):
    follow(harvest, 8, "night")
    follow(harvest, 8, "other", reply=DOWN)
    assert harvest(f"update -q {BOTH}") == 3
    (said,) = [line for line in harvest.err.splitlines() if not line.startswith(" ")]
    assert said.startswith("error: other: 8 of 8 did not succeed: ")
    assert "failed (unreachable)" in said
    assert sum(harvest.sky.store.points().values()) == 80


def test_all_down_is_exit_1(harvest):
    follow(harvest, 8, "night", "other", reply=DOWN)
    assert harvest(f"update -q {BOTH}") == 1


def test_credentials_alone_are_exit_4(harvest):
    follow(harvest, 2, "night", reply=Reply(status=401))
    assert harvest("update -q --source night") == 4


def test_a_pending_job_is_no_trouble(harvest):
    follow(harvest, 1, "queue", reply=Reply(b"J1\n"))
    harvest.sky.says("queue", "jobs/J1", Reply(b"queued\n"))
    assert harvest("update --json --source queue") == 0
    assert harvest.outcomes == {("T0", "queue"): "pending"}
    assert "1 pending" in harvest.err
    assert harvest("update -q --source queue") == 0


def test_a_dry_run_prints_what_is_due_and_sends_nothing(harvest):
    follow(harvest, 4, "night", "many")
    assert harvest("update -n --source night --source many") == 0
    rows = [line.split("\t") for line in harvest.out.splitlines()]
    assert [row[:2] for row in rows[1:]] == [["night", f"T{n}"] for n in range(4)] + [["many", "T0, T1, T2"], ["many", "T3"]]
    assert all(row[3].startswith("GET http://127.0.0.1") for row in rows[1:])
    assert harvest.sky.server.seen == []
    assert harvest.sky.store.runs() == []
    assert harvest("update -n --json --source many") == 0
    assert harvest.objects[0]["targets"] == ["T0", "T1", "T2"]


def test_a_dry_run_of_many_shows_the_first_questions_of_each_source_and_how_many_there_are(harvest, monkeypatch):
    monkeypatch.setattr(update, "SHOWN", 2)
    follow(harvest, 7, "night", "many")
    assert harvest("update -n --source night --source many") == 0
    assert [line.split("\t")[1] for line in harvest.out.splitlines()[1:]] == ["T0", "T1", "T0, T1, T2", "T3, T4, T5"]
    assert "night: 7 due. The first 2 of 7 questions are shown; all: --json" in harvest.err
    assert "many: 7 due. The first 2 of 3 questions are shown; all: --json" in harvest.err
    assert harvest("update -n --json --source night --source many") == 0
    assert sum(len(row["targets"]) for row in harvest.objects) == 14
    assert "shown" not in harvest.err


def test_only_the_targets_that_are_named_are_updated(harvest):
    follow(harvest, 3, "night")
    assert harvest("update --json --source night --target t1") == 0
    assert harvest.outcomes == {("T1", "night"): "new"}
    assert harvest("update --source night --target T9") == 2
    assert "no target 'T9'" in harvest.err


def test_a_second_update_leaves_the_work_to_the_first(harvest):
    follow(harvest, 1, "night")
    with harvest.sky.store.alone():
        assert harvest("update --source night") == 0
        assert "Another update is at work" in harvest.err
        assert harvest("update -q --source night") == 0
        assert (harvest.out, harvest.err) == ("", "")
    assert harvest.sky.server.seen == []
    assert harvest("update -q --wait --source night") == 0
    assert len(harvest.sky.server.seen) == 1


def test_who_waits_for_another_update_says_so_and_then_does_what_is_left(harvest, monkeypatch):
    follow(harvest, 1, "night")
    said = []
    with ExitStack() as other:
        other.enter_context(harvest.sky.store.alone())

        def say(text):
            said.append(text)
            other.close()

        monkeypatch.setattr(update.render, "say", say)
        assert harvest("update --wait --source night") == 0
    assert "waiting until it is done" in said[0]
    assert len(harvest.sky.server.seen) == 1


def test_what_there_is_no_time_for_is_said_and_comes_next(harvest):
    follow(harvest, 30, "night", reply=lambda target: Reply(answer(target).body, delay=0.2))
    assert harvest("update -q --max-time 1s --source night") == 3
    assert "were not asked" in harvest.err
    left = 30 - len(harvest.sky.server.seen)
    assert 0 < left < 30
    assert harvest("update --json --source night") == 0
    assert len(harvest.outcomes) == left


@pytest.mark.parametrize("words", ["", "5", "1x", "m", "0s", "1h-2m"])
def test_a_duration_that_is_none_is_refused(harvest, words):
    assert harvest(f"update --max-time '{words}'") == 2


def test_a_simulated_store_is_not_updated_from_the_real_services(harvest, tmp_path):
    with Store.open(tmp_path / "simulated.db", simulated=True) as store:
        store.add_target(star(1))
    assert status_of(["--store", str(tmp_path / "simulated.db"), "update"]) == 2
    assert harvest.sky.server.seen == []


def test_a_store_that_is_not_there_is_not_made(harvest, tmp_path):
    assert status_of(["--store", str(tmp_path / "none.db"), "update"]) == 1
    assert not (tmp_path / "none.db").exists()


def test_the_failed_part_of_a_run_is_asked_again(harvest):
    follow(harvest, 4, "night")
    harvest.sky.says("night", star(2), DOWN)
    assert harvest("fetch --json --source night " + " ".join(f"-t T{n}" for n in range(4))) == 3
    before = len(harvest.sky.server.seen)
    harvest.sky.says("night", star(2), answer(star(2)))
    assert harvest("fetch --json --failed-of last") == 0
    assert harvest.outcomes == {("T2", "night"): "new"}
    assert len(harvest.sky.server.seen) == before + 1
    assert harvest("fetch --failed-of last") == 0
    assert "Nothing failed in run 2" in harvest.err
    assert harvest("fetch --failed-of 1 --json") == 0
    assert harvest.outcomes == {("T2", "night"): "unchanged"}


@pytest.mark.parametrize(("words", "status"), [("--failed-of 99", 1), ("--failed-of soon", 2), ("--failed-of last -t T1", 2)])
def test_a_run_that_cannot_be_fed_back_is_refused(harvest, words, status):
    follow(harvest, 1, "night")
    harvest("update -q --source night")
    assert harvest(f"fetch {words}") == status


def test_the_first_signal_asks_and_the_second_ends(capfd):
    stop = Stop()
    with heard(stop):
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.called
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert "stopping" in capfd.readouterr().err


NIGHT = """
import sys
sys.path[:0] = {path!r}
from importlib.metadata import EntryPoint
from harvester import source
source.entry_points = lambda group: [EntryPoint("night", "nights:Night", group)]
from harvester.cli import main
main({words!r})
"""


@pytest.mark.parametrize("signals", [1, 2])
def test_sigterm_finishes_what_is_under_way_and_a_second_one_does_not(harvest, signals, tmp_path):
    """What is under way takes 9 s; T0 is stored first, so that the run is known to have begun."""
    follow(harvest, 20, "night", reply=lambda target: Reply(answer(target).body, delay=0.0 if target.name == "T0" else 9.0))
    words = ["--store", harvest.sky.store.place, "update", "--json", "--source", "night"]
    command = [sys.executable, "-c", NIGHT.format(path=sys.path, words=words)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert "T0" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        if signals == 2:
            assert any(line.startswith("stopping") for line in process.stderr)
            process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    runs = harvest.sky.store.runs()
    assert [run["status"] for run in runs] == ["interrupted"]
    stored = runs[0]["visits"]
    if signals == 1:
        assert 1 < stored < 20
        assert stored == 1 + len(out.splitlines())
    else:
        assert stored == 1
    assert not [finding for finding in harvest.sky.store.check() if finding.problems]
