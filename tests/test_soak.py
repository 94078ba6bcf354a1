"""Bad nights: 300 targets at 4 sources, every fifth request struck, the process killed twice; and in the end nothing shows.

The emulator runs here, with two surveys of its own beside Gaia and ZTF; `harvest` runs in processes of its own, which are killed by SIGKILL.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy as sa
from soak_surveys import PLAIN, QUEUE, remembered

from harvester.emulator.app import Emulator
from harvester.emulator.faults import Faults
from harvester.emulator.server import serve
from harvester.session.service import Service
from harvester.sources.ztf_dr import CONTROL
from harvester.store import Store
from harvester.store.tables import job, run, schedule, superseded, visit

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
PLACES = {
    "gaia_dr3": "gea.esac.esa.int",
    "ztf_dr": "irsa.ipac.caltech.edu",
    "soak_plain": PLAIN.HOSTS[0],
    "soak_queue": QUEUE.HOSTS[0],
}
NORTH, SOUTH = 40, 260
"""Targets that ZTF saw, which cost most, and others that it could not."""
AT_ONCE, PER_SECOND = 8, 100
SECONDS_OF_SILENCE = 4
PATIENCE = 120
"""Seconds of silence that the good nights bear: the simulated sky is made in them."""
NOTICED = (
    *("latency=0.3", "429", "403", "503=1", "500", "502", "504", "reset", f"silent={2 * SECONDS_OF_SILENCE}", "truncated", "drip=0.0005"),
    *("html", "renamed", "wrong-type", "wrong-clock", "401", "giant=1", "truncated-zip"),
)
"""Every fault that a client can notice at the first answer; the others, below, need an earlier one to compare with."""
SILENT = ("shrunk", "header-only", "empty")
STRUCK = 0.2
CLASSES = {"unreachable", "timeout", "throttled", "refused", "malformed", "truncated"}
ROUNDS = 8
LONGEST = 300
"""Seconds after which a command is taken for stuck."""


def stars(sky, count, dec):
    """Return one star near each of so many places, from dec to dec + 20 degrees."""
    places = ((360.0 * number / count, dec + 20.0 * (number % 7) / 7) for number in range(count))
    return [sky.stars_near(ra, dec, 0.05)[0] for ra, dec in places]


def struck(kinds, seed):
    """Return faults that strike one request in five, whatever the service, in equal parts."""
    rate = 1 - (1 - STRUCK) ** (1 / len(kinds))
    return Faults({"*": [f"{kind}:{rate}" for kind in kinds]}, seed=seed)


class Nights:
    """One store that is filled from one emulator, by commands in processes of their own."""

    def __init__(self, app, server, folder, store, *, timeout=SECONDS_OF_SILENCE):
        self.app, self.store, self._folder = app, str(store), folder
        base = {f"HARVESTER_{name.upper()}_BASE_URL": f"{server.url}/{host}/" for name, host in PLACES.items()}
        pace = {f"HARVESTER_{name.upper()}_{key}": str(value) for name in PLACES for key, value in (
            ("AT_ONCE", AT_ONCE), ("PER_SECOND", PER_SECOND), ("TIMEOUT", timeout))}  # fmt: skip
        path = os.pathsep.join([str(folder / "plugins"), str(HERE), os.environ.get("PYTHONPATH", "")])
        self._environment = os.environ | base | pace | {"PYTHONPATH": path}

    def run(self, *words, killed_after=None):
        """Run a command; kill it once the emulator was asked so often. Return its exit status and the Outcomes that it printed."""
        self.app.requests.clear()
        self.app.counts.clear()
        command = [sys.executable, "-m", "harvester", "--store", self.store, *words, "--json", "-q"]
        told = [self._folder / "out", self._folder / "err"]
        with told[0].open("wb") as out, told[1].open("wb") as err:
            process = subprocess.Popen(command, env=self._environment, cwd=self._folder, stdout=out, stderr=err)
            if killed_after:
                wait_until(lambda: len(self.app.requests) >= killed_after or process.poll() is not None)
                process.send_signal(signal.SIGKILL)
            process.wait(LONGEST)
        wait_until(lambda: not any(count.under_way for count in self.app.counts.by_host.values()))
        self.err = told[1].read_text("utf-8")
        return process.returncode, [] if killed_after else [json.loads(line) for line in told[0].read_text("utf-8").splitlines()]

    def fetch(self, *sources, targets="targets", **how):
        named = [word for name in sources or PLACES for word in ("--source", name)]
        return self.run("fetch", *named, "--target", f"@{self._folder / targets}.csv", **how)

    def rows(self):
        """Return every point, with all that does not depend on which run it came in."""
        with Store.open(self.store, simulated=None, create=False) as store:
            return pa.Table.from_batches(list(store.read(quality="all")))

    @property
    def pending(self):
        """Targets and sources whose last visit left a job under way."""
        last = sa.select(sa.func.count()).select_from(schedule.join(visit, visit.c.id == schedule.c.visit_id))
        return self.ask(last.where(visit.c.outcome == "pending"))[0][0]

    def ask(self, statement):
        with Store.open(self.store, simulated=None, create=False) as store, store._database.reading() as connection:
            return connection.execute(statement).all()


def wait_until(condition, seconds=LONGEST):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the plug-in's registration, as pip would leave it."""
    folder = tmp_path_factory.mktemp("soak")
    about = folder / "plugins" / "soak_surveys-1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: soak-surveys\nVersion: 1\n", "utf-8")
    entries = "[harvester.sources]\nsoak_plain = soak_surveys:Plain\nsoak_queue = soak_surveys:Queue\n"
    (about / "entry_points.txt").write_text(entries, "utf-8")
    return folder


@pytest.fixture(scope="module")
def sky(folder):
    """The emulator with the surveys of the soak, served; and the list of targets."""
    app = Emulator(services=[PLAIN, QUEUE])
    app._routes = [
        replace(route, handler=remembered(route.handler)) if route.service.NAME in {"irsa", "gaia"} else route for route in app._routes
    ]
    chosen = stars(app.sky, NORTH, 10.0) + stars(app.sky, SOUTH, -80.0)
    lines = [f"star {number},{star.ra:.7f},{star.dec:.7f}" for number, star in enumerate(chosen)]
    for name, part in (("targets", lines), ("some", lines[: 2 * NORTH])):
        (folder / f"{name}.csv").write_text("\n".join(["name,ra,dec", *part, ""]), "utf-8")
    with serve(app) as server:
        yield app, server


def assert_polite(app):
    """No host had more under way, or began more within a second, than its pace allows; nothing was repeated beyond the retry rule."""
    for host, count in app.counts.by_host.items():
        assert count.most_at_once <= AT_ONCE, host
        assert count.most_per_second <= PER_SECOND, host
    asked = Counter(request for request in app.requests if ("ID", CONTROL) not in request[2])
    assert max(asked.values()) <= 1 + Service.retries, asked.most_common(1)


def until_nothing_fails(nights):
    """Feed what failed back, faults and all."""
    for _ in range(ROUNDS):
        status, _ = nights.run("fetch", "--failed-of", "last")
        assert_polite(nights.app)
        if status == 0:
            return
    raise AssertionError(nights.err)


def test_after_bad_nights_and_two_kills_the_store_is_that_of_good_ones(sky, folder):
    app, server = sky
    good, bad = Nights(app, server, folder, folder / "good.db", timeout=PATIENCE), Nights(app, server, folder, folder / "bad.db")
    status, outcomes = good.fetch()
    requests = len(app.requests)
    assert (status, len(outcomes)) == (0, 4 * (NORTH + SOUTH)), good.err
    assert {outcome["outcome"] for outcome in outcomes} == {"new", "empty", "pending"}
    assert_polite(app)
    assert good.fetch("soak_queue")[0] == 0

    app._memory[QUEUE.NAME].clear()
    for seed, part in ((1, 0.3), (2, 0.6)):
        app.faults = struck(NOTICED, seed)
        assert bad.fetch(killed_after=int(part * requests))[0] == -signal.SIGKILL
        assert_polite(app)
    app.faults = struck(NOTICED, 3)
    status, outcomes = bad.fetch()
    assert status == 3, bad.err
    assert_polite(app)
    until_nothing_fails(bad)
    for _ in range(ROUNDS):
        if not bad.pending:
            break
        time.sleep(1)  # as the source asked
        bad.run("update", "--source", "soak_queue")
        until_nothing_fails(bad)

    failures = bad.ask(sa.select(visit.c.outcome, visit.c.error_kind, sa.func.count()).group_by(visit.c.outcome, visit.c.error_kind))
    named = {kind for outcome, kind, _ in failures if outcome in {"failed", "postponed"}}
    assert named <= CLASSES
    assert len(named) >= 4, failures
    assert bad.rows().equals(good.rows())
    assert bad.rows().num_rows > 50 * (NORTH + SOUTH)
    assert bad.pending == 0
    for table in (superseded, job):
        assert bad.ask(sa.select(sa.func.count()).select_from(table)) == [(0,)]
    assert [status for (status,) in bad.ask(sa.select(run.c.status).order_by(run.c.id).limit(2))] == ["running", "running"]
    with Store.open(bad.store, simulated=None, create=False) as store:
        assert [row["status"] for row in store.runs()][-2:] == ["died", "died"]
    assert app._memory[QUEUE.NAME]["needless"] == []


def test_answers_that_lost_their_rows_in_silence_change_nothing_that_is_stored(sky, folder):
    app, server = sky
    nights = Nights(app, server, folder, folder / "silent.db", timeout=PATIENCE)
    app._memory[QUEUE.NAME].clear()
    app.faults = Faults({})
    nights.fetch(targets="some")
    for _ in range(ROUNDS):
        if not nights.pending:
            break
        time.sleep(1)  # as the source asked
        nights.fetch("soak_queue", targets="some")
    before = nights.rows()
    assert before.num_rows > 0
    app.faults = struck(SILENT, 4)
    status, outcomes = nights.fetch(targets="some")
    assert status == 3
    kinds = Counter((outcome["source"], outcome["outcome"]) for outcome in outcomes)
    assert kinds["ztf_dr", "suspicious"] > 0
    assert not [kind for kind in kinds if kind[1] == "new"]
    assert nights.rows().equals(before)
