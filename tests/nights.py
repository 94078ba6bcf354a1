"""Surveys for tests of the engine, registered as a plug-in's are, and a service on this machine that answers them as a test asks.

Every survey has a host of its own. A survey is asked for a target under /<survey>/<target>, in batches under the first target's name.
"""

from datetime import UTC, datetime, timedelta
from importlib.metadata import EntryPoint

import pyarrow as pa
import pytest
from loopback import Loopback, Reply

from harvester import source
from harvester.config import ServiceSettings, Settings
from harvester.passbands import Passband
from harvester.payload import constant, number, read_table, text
from harvester.session import Client
from harvester.source import Source, TimeSystem
from harvester.store import Store
from harvester.target import Target

NOW = datetime(2026, 11, 21, 3, tzinfo=UTC)
HEAD = "star,jd,mag,ra,dec"
FIRST_JD = 2_461_200.5


class Night(Source):
    """Asked every night, for what is new."""

    survey, base_url = "NIGHT", "https://night.example/"
    time_system = TimeSystem("jd", "tdb", "barycentre")
    own_passbands = (Passband(survey="NIGHT", name="w", system="AB", colour="#333333", marker="o", zeropoint_jy=3630.7805),)
    incremental = True

    def fetch(self, query, http):
        window = {} if query.since is None else {"since": query.since}
        yield http.get(query.targets[0].name, n=len(query.targets), **window)

    def normalise(self, payload):
        rows = read_table(payload, *HEAD.split(","))
        return pa.table(
            {
                "passband": pa.repeat("w", rows.num_rows),
                "time": number(rows["jd"]),
                "mag": number(rows["mag"]),
                "object_id": text(rows["star"]),
                "ra": number(rows["ra"]),
                "dec": number(rows["dec"]),
                "quality": constant(0, rows.num_rows),
            }
        )


class Other(Night):
    """Asked every night, for everything; lives on another host."""

    survey, base_url, incremental = "OTHER", "https://other.example/", False
    own_passbands = (Passband(survey="OTHER", name="w", system="AB", colour="#333333", marker="o", zeropoint_jy=3630.7805),)


class Fixed(Night):
    """A release."""

    base_url, incremental, cadence, release = "https://fixed.example/", False, None, "DR1"


class Many(Night):
    """Takes three targets at once."""

    base_url, batch = "https://many.example/", 3


class Queue(Night):
    """Takes jobs: POST /queue/<target> tells the job's id, GET of that says 'queued' or has the answer."""

    base_url = "https://queue.example/"

    def fetch(self, query, http):
        def submit(tag):
            return http.post(query.target.name, data={"tag": tag, "since": query.since}, idempotent=False).body.decode().strip()

        answer = http.get(f"jobs/{http.job(submit)}")
        if answer.body == b"queued\n":
            http.pending("the job is queued.", 600)
        yield answer


SURVEYS = {"night": Night, "other": Other, "fixed": Fixed, "many": Many, "queue": Queue}


def star(number):
    """A target of its own place."""
    return Target(f"T{number}", (10.0 + number) % 360, 20.0 + number // 360)


def answer(target, days=10, *, first=0, mag=15.0):
    """Return a light curve of so many days."""
    rows = [f"{target.name}-1,{FIRST_JD + day},{mag},{target.ra},{target.dec}" for day in range(first, first + days)]
    return Reply("\n".join([HEAD, *rows, ""]).encode())


DOWN = Reply(status=503)


class Sky:
    """The service, and what a run needs to ask it."""

    def __init__(self, server, store):
        self.server, self.store = server, store
        services = {name: ServiceSettings(base_url=f"{server.url}{name}", per_second=1000.0, at_once=4) for name in SURVEYS}
        self.settings = Settings(store.place, services=services)

    def says(self, survey, target, *replies):
        self.server.script(f"/{survey}/{target if isinstance(target, str) else target.name}", *replies)

    def asked(self, survey):
        """Return what a survey was asked: (target or job, parameters)."""
        seen = [(one.path.removeprefix(f"/{survey}/"), one.params) for one in self.server.seen if one.path.startswith(f"/{survey}/")]
        return sorted(seen, key=str)

    def client(self):
        return Client(version="0.1.0")


@pytest.fixture
def _surveys(monkeypatch):
    entries = [EntryPoint(name, f"nights:{made.__name__}", source.GROUP) for name, made in SURVEYS.items()]
    monkeypatch.setattr(source, "entry_points", lambda **_: entries)
    monkeypatch.setattr("harvester.session.session.backoff", lambda *_: 0.0)


@pytest.fixture
def sky(_surveys, store):
    with Loopback() as server:
        yield Sky(server, store)


@pytest.fixture
def small_sky(_surveys, tmp_path):
    """The same on SQLite alone, for what has nothing to do with the database."""
    with Loopback() as server, Store.open(tmp_path / "night.db", simulated=True) as store:
        yield Sky(server, store)


def later(**time):
    return datetime.now(UTC) + timedelta(**time)
