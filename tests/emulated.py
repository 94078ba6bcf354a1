"""Commands run in this process against one emulator of the test session, whose sky, faults and record of requests a test may use."""

import json
import shlex

import pytest

from harvester.cli import status_of
from harvester.cli.options import App
from harvester.emulator.app import Emulator
from harvester.emulator.faults import Faults
from harvester.emulator.server import serve
from harvester.session import pace

SHORT_BACKOFF_S = 0.05
"""Before the first retry, twice as long before the next: what comes of retries is the same; how long they wait is tested with the session."""


@pytest.fixture(scope="session")
def running():
    app = Emulator()
    with serve(app) as server:
        yield app, server


@pytest.fixture
def emulator(running, monkeypatch):
    """The emulator, without faults and with no request on record; --emulate means this one, and retries come soon."""
    app, server = running
    app.faults = Faults()
    app.requests.clear()
    monkeypatch.setattr(App, "emulator", server)
    monkeypatch.setattr(pace, "FIRST_BACKOFF_S", SHORT_BACKOFF_S)
    yield app
    app.faults, app.recordings = Faults(), []


class Harvest:
    """Runs `harvest` with words as a shell would split them, on one simulated store; keeps what it printed."""

    def __init__(self, capfd, store):
        self._capfd, self.store = capfd, store

    def __call__(self, words, *, emulate=True):
        self._capfd.readouterr()
        self.status = status_of(["--store", str(self.store), *(["--emulate"] if emulate else []), *shlex.split(words)])
        self.out, self.err = self._capfd.readouterr()
        return self.status

    @property
    def objects(self):
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def rows(self):
        head, *lines = [line.split("\t") for line in self.out.splitlines()]
        return [dict(zip(head, line, strict=True)) for line in lines]


@pytest.fixture
def harvest(emulator, capfd, tmp_path):
    return Harvest(capfd, tmp_path / "store.db")
