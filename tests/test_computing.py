"""Computing: answers are read in a process beside ours once they come faster than they are read; nothing else may show."""

import os
import pickle
import signal
import subprocess
import sys
from dataclasses import replace
from importlib import metadata

import psutil
import pytest
from loopback import Loopback, Reply
from nights import HEAD, Night, answer, star

from harvester import source
from harvester.computing import FEW, NOTHING, _Process
from harvester.config import ServiceSettings, Settings
from harvester.delivery import deliver
from harvester.harvest import plan, run
from harvester.payload import Payload
from harvester.session import Client
from harvester.source import Query
from harvester.store import Store

COUNT, MANY = 40, 150
ENTRIES = "[harvester.sources]\nslow = beside_surveys:Slow\nkilled = beside_surveys:Killed\n"

pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="a machine with one core has no process beside")


class Sky:
    """The service, the settings that lead to it, and a store."""

    def __init__(self, server, store):
        self.server, self.store = server, store
        services = {name: ServiceSettings(base_url=f"{server.url}{name}", per_second=1000.0, at_once=8) for name in ("slow", "killed")}
        self.settings = Settings(store.place, services=services)

    def says(self, survey, number, *replies):
        self.server.script(f"/{survey}/{star(number).name}", *replies or (answer(star(number)),))

    def fetch(self, count=COUNT, survey="slow", **options):
        tasks = plan([star(number) for number in range(count)], [survey], self.settings)
        with Client(version="0.1.0") as client:
            return run(tasks, self.store, client, self.settings, **options)

    def readers(self, count=COUNT):
        """Return the ids of the processes that read what is stored; everything has to be there."""
        curves = [self.store.light_curve(star(number).name) for number in range(count)]
        assert [curve.num_rows for curve in curves] == [10] * count
        return {int(word) for curve in curves for word in curve["flags"].to_pylist()}


def children():
    return [child for child in psutil.Process().children() if "harvester.computing" in " ".join(child.cmdline())]


@pytest.fixture
def sky(tmp_path, monkeypatch):
    about = tmp_path / "plugins" / "beside_surveys-1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: beside-surveys\nVersion: 1\n")
    (about / "entry_points.txt").write_text(ENTRIES)
    monkeypatch.syspath_prepend(str(about.parent))
    source._entries.cache_clear()
    with Loopback() as server, Store.open(tmp_path / "beside.db", simulated=True) as store:
        yield Sky(server, store)
    source._entries.cache_clear()


@pytest.fixture
def lit(sky):
    """The same with an answer for each target."""
    for number in range(COUNT):
        sky.says("slow", number)
    return sky


def kinds(outcomes):
    return {outcome.kind for outcome in outcomes}


def test_answers_that_come_faster_than_they_are_read_are_read_in_one_process_beside(lit):
    seen = set()
    assert kinds(lit.fetch(on_outcome=lambda _: seen.update(child.pid for child in children()))) == {"new"}
    assert len(seen) == 1
    assert seen <= lit.readers() <= seen | {os.getpid()}
    assert not children()


def test_nothing_is_begun_for_a_few_answers(lit):
    seen = []
    lit.fetch(FEW, on_outcome=lambda _: seen.extend(children()))
    assert (lit.readers(FEW), seen) == ({os.getpid()}, [])


def test_a_machine_with_one_core_is_left_to_one_process(lit, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    lit.fetch()
    assert lit.readers() == {os.getpid()}


def test_a_process_beside_that_is_killed_in_mid_run_loses_nothing(lit, caplog):
    killed = []

    def kill(outcome):
        if not killed and (found := children()):
            killed.append(found[0].pid)
            found[0].kill()

    outcomes = lit.fetch(on_outcome=kill)
    assert len(killed) == 1
    assert (kinds(outcomes), len(outcomes)) == ({"new"}, COUNT)
    assert os.getpid() in lit.readers()
    assert [record.message for record in caplog.records if "the process that computes is gone" in record.message]


def test_an_answer_that_kills_the_process_beside_is_read_here(sky, monkeypatch):
    monkeypatch.setenv("SPARED", str(os.getpid()))
    for number in range(COUNT):
        sky.says("killed", number)
    assert kinds(sky.fetch(survey="killed")) == {"new"}
    assert sky.readers() == {os.getpid()}


@pytest.mark.parametrize("word", ["malformed", "bug"])
def test_a_failure_is_the_same_wherever_it_is_met(lit, monkeypatch, word, caplog):
    for number in range(COUNT // 2, COUNT):
        rows = [f"{word}-{number},2461200.5,15.0,{star(number).ra},{star(number).dec}"]
        lit.says("slow", number, Reply("\n".join([HEAD, *rows, ""]).encode()))

    def told(outcomes):
        return sorted(str(replace(outcome, seconds=0.0)) for outcome in outcomes if outcome.kind == "failed")

    beside = told(lit.fetch())
    traced = [record for record in caplog.records if record.exc_info]
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    assert beside == told(lit.fetch())
    assert len(beside) == COUNT // 2
    assert len(traced) == (COUNT // 2 if word == "bug" else 0)
    assert {len(lit.store.light_curve(star(number).name)) for number in range(COUNT // 2)} == {10}


def test_a_source_that_only_this_process_knows_is_read_here(lit, monkeypatch):
    monkeypatch.setattr(
        source, "entry_points", lambda **_: metadata.EntryPoints([metadata.EntryPoint("slow", "beside_surveys:Slow", source.GROUP)])
    )
    monkeypatch.setattr(sys, "path", [place for place in sys.path if "plugins" not in place])
    assert kinds(lit.fetch()) == {"new"}
    assert lit.readers() == {os.getpid()}


def test_what_a_source_logs_beside_is_logged_here(sky, caplog):
    for number in range(COUNT):
        rows = [f"told-{number},2461200.5,15.0,{star(number).ra},{star(number).dec}"]
        sky.says("slow", number, Reply("\n".join([HEAD, *rows, ""]).encode()))
    sky.fetch()
    told = [record for record in caplog.records if record.name == "somebody"]
    assert len(told) == COUNT
    assert any(record.process != os.getpid() for record in told)
    assert all(record.getMessage() == f"read by {record.process}" for record in told)


def test_an_interrupt_from_the_terminal_finishes_what_is_under_way_and_leaves_no_process(lit, tmp_path):
    for number in range(COUNT, MANY):
        lit.says("slow", number)
    place, targets = tmp_path / "own.db", tmp_path / "targets.csv"
    targets.write_text("\n".join(["name,ra,dec", *(f"T{number},{star(number).ra},{star(number).dec}" for number in range(MANY)), ""]))
    own = {"HARVESTER_SLOW_BASE_URL": f"{lit.server.url}slow", "HARVESTER_SLOW_PER_SECOND": "1000", "HARVESTER_SLOW_AT_ONCE": "8"}
    environment = os.environ | own | {"PYTHONPATH": os.pathsep.join(sys.path)}
    words = ["--store", str(place), "fetch", "--source", "slow", "--target", f"@{targets}", "--json"]
    command = [sys.executable, "-m", "harvester", *words]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    ) as run:
        lines = [run.stdout.readline()]
        while not (found := psutil.Process(run.pid).children()):
            lines.append(run.stdout.readline())
            assert lines[-1], run.stderr.read()
        (beside,) = found
        os.killpg(run.pid, signal.SIGINT)
        out, err = run.communicate(timeout=60)
    assert run.returncode == 130, err
    done = len(lines) + len(out.splitlines())
    assert done < MANY
    with Store.open(place, simulated=False) as store:
        assert sorted(store.points().values()) == [10] * done
    assert not beside.is_running()


def test_the_process_beside_ends_when_ours_is_killed(lit, tmp_path):
    script = "import sys; from harvester.computing import _Process; beside = _Process(); print(beside._process.pid, flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as ours:
        beside = psutil.Process(int(ours.stdout.readline()))
        ours.kill()
    psutil.wait_procs([beside], timeout=10)
    assert not beside.is_running()


def test_the_process_beside_heeds_no_signal_that_asks_it_to_end():
    beside = _Process()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        assert beside.ask(b"no question") == NOTHING
        os.kill(beside._process.pid, number)
    assert beside.ask(b"no question") == NOTHING
    beside.kill()
    with pytest.raises((OSError, EOFError)):
        beside.ask(b"no question")


def test_shares_arrive_as_they_left():
    rows = [f"{star(number).name}-1,{2461200.5 + day},15.0,{star(number).ra},{star(number).dec}" for number in (1, 2) for day in range(3)]
    bad = f"{star(1).name}-1,soon,15.0,{star(1).ra},{star(1).dec}"
    left = deliver(Night(), [Payload("\n".join([HEAD, *rows, bad, ""]).encode())]).shared(Query((star(1), star(3), star(2)), 1.5))
    came = pickle.loads(pickle.dumps(left))
    assert [share.rows.num_rows for share in came.shares] == [3, 0, 3]
    assert [share.rejected.num_rows for share in came.shares] == [1, 0, 0]
    for ours, theirs in zip(left.shares, came.shares, strict=True):
        assert ours.rows.equals(theirs.rows)
        assert ours.rejected.equals(theirs.rejected)
        assert (ours.target, ours.matches, ours.empty_handed) == (theirs.target, theirs.matches, theirs.empty_handed)
