"""Questions to brokers: with prepared answers, or through the command line to an emulator whose clock stands still."""

import json

import pytest
from emulated import Harvest

from harvester.alerts.broker import Feedback, Question, load
from harvester.alerts.question import Cone
from harvester.cli.options import App
from harvester.emulator.app import Emulator
from harvester.emulator.server import serve
from harvester.errors import BadQuestion
from harvester.payload import Payload

NOON = 61365.625
"""MJD at which the emulator's clock stands: 21 November 2026, 15 h."""


class Answers:
    """A service that gives prepared answers in order, and remembers what it was asked; None is a 404."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    def get(self, path, *, accept=(), **params):
        return self._answer(path, params, accept)

    def post(self, path, *, data=None, accept=(), **params):
        return self._answer(path, dict(data or {}) | params, accept)

    once = get

    def _answer(self, path, params, accept):
        self.asked.append((path, params))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            assert 404 in accept, "a 404 would be an error"
            return Payload(b"<html>404</html>", source="answers", doubt="HTTP 404")
        return Payload(answer if isinstance(answer, bytes) else json.dumps(answer).encode(), source="answers")


class Asked:
    """What a broker made of prepared answers."""

    def __init__(self, name, *answers, cone=None, **question):
        broker, self.feedback, self.http = load(name), Feedback(), Answers(*answers)
        self.question = broker.checked(Question(cone=cone and Cone(*cone), **question))
        self.alerts = list(broker.query(self.question, self.http, self.feedback))

    @property
    def asked(self):
        return self.http.asked


def refused(name, *, cone=None, **question):
    """Return the words with which a broker refuses a question, before anybody is asked."""
    with pytest.raises(BadQuestion) as caught:
        load(name).checked(Question(cone=cone and Cone(*cone), **question))
    return str(caught.value)


class Still:
    """A clock that stands."""

    def time(self):
        return (NOON - 40587.0) * 86400.0

    def sleep(self, _seconds):
        return


@pytest.fixture(scope="session")
def standing():
    app = Emulator(clock=Still())
    with serve(app) as server:
        yield app, server


@pytest.fixture
def evening(standing, monkeypatch, capfd, tmp_path):
    """Run `harvest` with the emulator whose clock stands; its sky is `evening.sky`."""
    app, server = standing
    app.requests.clear()
    monkeypatch.setattr(App, "emulator", server)
    harvest = Harvest(capfd, tmp_path / "store.db")
    harvest.sky, harvest.requests = app.sky, app.requests
    yield harvest
    for memory in app._memory.values():
        memory.clear()
