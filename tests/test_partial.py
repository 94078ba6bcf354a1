"""One of a broker's two hosts is down: what the other gave is stored, the Outcome is a failure, and all is asked again."""

import csv
from pathlib import Path

import pytest
from loopback import Loopback, Reply
from test_session import CSV, FakeClock, service
from test_sources import Scripted

from harvester.alert_photometry import each_survey
from harvester.emulator.recordings import Recording
from harvester.errors import Malformed, Resting, Throttled, Unreachable
from harvester.payload import Payload, SkyObject
from harvester.session import Client
from harvester.source import Query, load
from harvester.target import Target

LISTS = {
    ("alerce", "ZTF"): Recording("api.alerce.online", "/ztf/v1/objects", Path()),
    ("alerce", "LSST"): Recording("api-lsst.alerce.online", "/object_api/list_objects", Path()),
    ("fink", "ZTF"): Recording("api.ztf.fink-portal.org", "/api/v1/conesearch", Path()),
    ("fink", "LSST"): Recording("api.lsst.fink-portal.org", "/api/v1/conesearch", Path()),
}
EACH = pytest.mark.parametrize(("source", "down"), LISTS)
OTHER = {"ZTF": "LSST", "LSST": "ZTF"}
THING = SkyObject("1", 10.0, 20.0)


@pytest.fixture
def broken(emulator, tmp_path, monkeypatch):
    """Make the host of one survey answer with a status and a page; without a status, with the page alone."""
    monkeypatch.setattr("harvester.session.session.backoff", lambda *_: 0.0)
    (tmp_path / "page.html").write_text("<html><body><h1>Under maintenance</h1></body></html>", "utf-8")

    def broken(source, survey, status=503):
        known = LISTS[source, survey]
        path = f"/{known.host}{known.path}"  # the two hosts of Fink have the same paths
        emulator.recordings = [Recording(known.host, path, tmp_path / "page.html", content_type="text/html", status=status)]

    return broken


def surveys_of(harvest, target):
    assert harvest(f"export --target '{target}' --format csv --quality all -o light.csv -q") == 0
    with Path("light.csv").open(newline="") as file:
        return {row["filter"].partition("(")[2][:4].rstrip("_)") for row in csv.DictReader(file)}


@EACH
@pytest.mark.parametrize(("status", "error"), [(503, "unreachable"), (200, "malformed"), (403, "refused")])
def test_what_one_host_gave_is_stored_and_the_outcome_says_that_the_other_failed(harvest, broken, source, down, status, error):
    broken(source, down, status)
    assert harvest(f"fetch --source {source} --target 'W Vir' --json") in {3, 4}
    (outcome,) = harvest.objects
    assert (outcome["outcome"], outcome["error"]) == ("failed", error)
    assert outcome["new"] > 20
    assert f"What came of {OTHER[down]} is stored" in outcome["message"]
    assert surveys_of(harvest, "W Vir") == {OTHER[down]}


@EACH
def test_all_is_asked_again_and_the_store_is_then_that_of_an_undisturbed_run(harvest, emulator, broken, source, down, tmp_path):
    broken(source, down)
    assert harvest(f"fetch --source {source} --target 'W Vir' --json") == 3
    first = harvest.objects[0]["new"]
    emulator.recordings = []
    assert harvest("fetch --failed-of last --json") == 0
    (outcome,) = harvest.objects
    assert (outcome["outcome"], outcome["known"]) == ("new", first)
    assert surveys_of(harvest, "W Vir") == {"ZTF", "LSST"}
    disturbed = Path("light.csv").read_text("utf-8")
    assert harvest("db check -q") == 0
    harvest.store = tmp_path / "undisturbed.db"
    assert harvest(f"fetch --source {source} --target 'W Vir' -q") == 0
    surveys_of(harvest, "W Vir")
    assert Path("light.csv").read_text("utf-8") == disturbed


def test_a_host_that_was_down_after_both_had_answered_takes_nothing_from_the_store(harvest, broken):
    assert harvest("fetch --source alerce --target 'W Vir' -q") == 0
    broken("alerce", "LSST")
    assert harvest("fetch --source alerce --target 'W Vir' --json") == 3
    (outcome,) = harvest.objects
    assert (outcome["outcome"], outcome["new"], outcome["revised"]) == ("failed", 0, 0)
    assert surveys_of(harvest, "W Vir") == {"ZTF", "LSST"}


def test_status_tells_of_the_failure_that_an_update_has_to_make_good(harvest, emulator, broken):
    broken("fink", "ZTF")
    assert harvest("fetch --source fink --target 'W Vir' -q") == 3
    assert harvest("status --json") in {0, 1, 3}
    assert "failed" in harvest.out


def ask_of(**answers):
    def ask(survey):
        for answer in answers[survey]:
            if isinstance(answer, Exception):
                raise answer
            yield answer

    return ask


def heard(*surveys, **answers):
    got = []
    with pytest.raises((Unreachable, Malformed, Throttled)) as caught:
        got.extend(each_survey(surveys, ask_of(**answers)))
    return got, caught.value


def test_what_came_before_the_failure_of_a_survey_is_kept_and_is_no_photometry():
    listing = Payload(b"[]", role="objects", objects=(THING,))
    got, failure = heard("A", "B", A=[listing, Payload(b"half"), Unreachable("a: down.")], B=[listing, Payload(b"whole")])
    assert [(payload.body, payload.role, payload.objects) for payload in got] == [
        (b"[]", "objects", ()), (b"half", "objects", ()), (b"[]", "objects", (THING,)), (b"whole", "photometry", ()),
    ]  # fmt: skip
    assert failure.partial


def test_no_survey_that_answered_is_a_whole_failure():
    got, failure = heard("A", "B", A=[Payload(b"half"), Unreachable("a: down.", hint="Wait.")], B=[Throttled("b: wait.")])
    assert not failure.partial
    assert failure.lines() == ["a: down.", "Wait."]
    assert {payload.role for payload in got} == {"objects"}


def test_a_bug_is_no_failure_of_one_host():
    with pytest.raises(ZeroDivisionError):
        list(each_survey("AB", ask_of(A=[Payload(b"")], B=[ZeroDivisionError()])))


@pytest.mark.parametrize("name", ["alerce", "fink"])
def test_a_host_that_is_left_alone_postpones_the_visit_and_the_other_is_asked(name):
    http = Scripted(*{"alerce": (b'{"items": []}',), "fink": (b"[]",)}[name], Resting("it is left alone.", retry_after=60))
    with pytest.raises(Resting) as caught:
        list(load(name).fetch(Query((Target("x", 10.0, 20.0),), 1.5), http))
    assert (caught.value.partial, caught.value.outcome, caught.value.retry_after) == (True, "postponed", 60)


def test_each_host_that_a_source_asks_has_a_breaker_and_a_pace_of_its_own():
    clock = FakeClock()
    with Loopback() as one, Loopback() as other, Client(clock=clock) as client:
        one.script("/q", Reply(CSV))
        other.script("/q", Reply(status=503))
        http = client.session(service(one.url, retries=0))
        there = f"{other.url}q"
        for _ in range(5):
            with pytest.raises(Unreachable):
                http.get(there)
            assert http.get("q").body == CSV
        with pytest.raises(Resting):
            http.get(there)
        assert http.resting is None
        assert http.get(f"{one.url}q").body == http.get("q").body == CSV
        assert len(other.seen) == 5


def test_a_host_behind_the_emulator_goes_by_its_official_name():
    asked = service("http://127.0.0.1:9/one.example/", official_url="https://one.example/")
    hosts = [asked.host_of(path) for path in ("q", "https://one.example/q", "https://two.example:8/q", "http://127.0.0.1:9/one.example/q")]
    assert hosts == ["", "", "two.example:8", ""]
    assert asked.host_of("https://[broken/q") == asked.host_of("https://two.example:99999/q") == ""
