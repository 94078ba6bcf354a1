"""`harvest sources check`: what one small question tells of a live service."""

import json

import pytest
from conftest import needs_recordings
from test_gaia_releases import Day

from harvester import health
from harvester.cli.options import App
from harvester.config import Settings
from harvester.emulator.app import Emulator
from harvester.emulator.faults import Faults
from harvester.emulator.gaia_releases import DR4_DAY
from harvester.emulator.recordings import Recording
from harvester.emulator.server import serve
from harvester.errors import Unreachable
from harvester.layout import columns_of
from harvester.payload import Payload
from harvester.session import Client
from harvester.source import Query, Source, find, layouts, load, registered

BOTH = "sources check gaia_dr3 ztf_dr"


@pytest.fixture
def impatient(monkeypatch):
    """Retries that do not wait."""
    monkeypatch.setattr("harvester.session.session.backoff", lambda *_: 0.0)


def test_services_that_are_well_are_said_to_be(harvest):
    assert harvest(BOTH) == 0
    assert [(row["source"], row["state"], row["columns"]) for row in harvest.rows] == [
        ("gaia_dr3", "ok", "unchanged"),
        ("ztf_dr", "ok", "unchanged"),
    ]
    assert all(int(row["rows"]) > 50 and row["credentials"] == "not needed" for row in harvest.rows)
    assert harvest.err == ""


def test_every_source_of_ours_is_well_in_the_simulated_sky_or_says_why_it_cannot_be_asked(harvest, monkeypatch):
    with serve(Emulator(clock=Day(DR4_DAY - 1))) as server:
        monkeypatch.setattr(App, "emulator", server)
        assert harvest("sources check --json") == 0
    states = {found["source"]: found["state"] for found in harvest.objects}
    unasked = dict.fromkeys(("lsst_alerts", "mars", "ztf_alerts"), "unknown")
    assert {name: state for name, state in states.items() if state != "ok"} == {"gaia_dr4": "not yet public"} | unasked
    assert set(states) == set(registered())
    assert {found["source"] for found in harvest.objects if found["credentials"] == "not tried"} == {
        name for name in registered() if load(name).credentials
    }
    assert "gaia_dr4: not yet public" in harvest.err


@pytest.mark.parametrize(("name", "host"), [("atlas", "fallingstar-data.com"), ("ztf_forced", "ztfweb.ipac.caltech.edu")])
def test_a_service_that_works_on_jobs_is_asked_for_the_list_of_ours_and_given_none(harvest, emulator, name, host):
    assert harvest(f"sources check {name} --json") == 0
    (found,) = harvest.objects
    assert (found["state"], found["well"], found["rows"]) == ("ok", True, 0)
    assert found["lines"] == [f"{name} let us in, and listed our jobs.", "Its answers were not looked at: a check submits no job."]
    ((method, path, _),) = emulator.requests
    assert (method, path.startswith(f"/{host}/")) == ("GET", True)
    assert not [
        job for job in emulator._memory["zfps"].get("jobs", []) if name == "ztf_forced" and (job.ra, job.dec) == (226.104082, 10.494222)
    ]


@pytest.mark.parametrize("name", ["atlas", "ztf_forced"])
def test_a_check_says_when_a_service_that_works_on_jobs_does_not_let_us_in(harvest, emulator, name):
    emulator.faults = Faults({{"ztf_forced": "zfps"}.get(name, name): ["401"]})
    assert harvest(f"sources check {name} --json") == 4
    assert harvest.objects[0]["state"] == "refused"


def test_nothing_is_asked_of_a_service_that_takes_jobs_and_lists_none(monkeypatch):
    class Blind(Source):
        survey, base_url, time_system, example = "ZTF_DR", "https://jobs.example/", load("ztf_dr").time_system, Query.at(1.0, 2.0)

        def fetch(self, query, http):
            yield http.get(http.job(lambda _: http.post("submit", idempotent=False).url))

        def normalise(self, payload):
            raise AssertionError("nothing is normalised")

    monkeypatch.setattr(health, "load", lambda _: Blind())
    with Client() as client:
        found = health.check("ztf_dr", client, Settings(""))
    assert (found.state, found.lines[1]) == ("unknown", "Its answers were not looked at: a check submits no job.")


def test_one_can_be_asked_alone_in_a_single_small_question(harvest, emulator):
    assert harvest("sources check ztf_dr --json") == 0
    (found,) = harvest.objects
    assert (found["source"], found["state"], found["well"], found["missing"], found["added"]) == ("ztf_dr", "ok", True, [], [])
    assert len(emulator.requests) == 1


def test_an_unknown_source_is_a_usage_error(harvest):
    assert harvest("sources check ztf_rd") == 2
    assert "Did you mean 'ztf_dr'?" in harvest.err


def test_silence_when_all_is_well_and_nobody_wants_to_hear(harvest):
    assert harvest("sources check -q") == 0
    assert harvest.out + harvest.err == ""


@pytest.mark.parametrize(
    ("fault", "state"),
    [
        ("503", "unreachable"),
        ("504", "timeout"),
        ("reset", "unreachable"),
        ("truncated", "truncated"),
        ("429=3600", "postponed"),
        ("403=3600", "postponed"),
        ("401", "refused"),
        ("html", "malformed"),
        ("header-only", "suspicious"),
        ("empty", "suspicious"),
    ],
)
def test_what_is_wrong_has_its_word_and_the_other_sources_are_asked_on(harvest, emulator, impatient, fault, state):
    emulator.faults = Faults({"irsa": [fault]})
    assert harvest(f"{BOTH} --json") == (4 if state == "refused" else 3)
    assert [(found["source"], found["state"]) for found in harvest.objects] == [("gaia_dr3", "ok"), ("ztf_dr", state)]
    assert "ztf_dr" in harvest.err


def test_nothing_well_is_a_failure(harvest, emulator, impatient):
    emulator.faults = Faults({"*": ["503"]})
    assert harvest(BOTH) == 1


def test_a_renamed_column_is_reported_by_both_names(harvest, emulator):
    emulator.faults = Faults({"irsa": ["renamed"]})
    assert harvest("sources check ztf_dr --json") == 1
    (found,) = harvest.objects
    assert (found["missing"], found["added"]) == (["oid"], ["renamed"])
    assert found["state"] == "malformed"


def test_a_column_that_is_not_read_may_go_with_a_warning_and_an_added_one_does_no_harm():
    known = layouts(find("ztf_dr"))
    (columns,) = known
    assert health.drift([columns], known) == ((), ())
    assert health.drift([(*columns, "seeing")], known) == ((), ("seeing",))
    found = health.Checkup("ztf_dr", "changed", missing=(), added=("seeing",))
    assert found.is_well
    assert not health.Checkup("ztf_dr", "changed", missing=("airmass",), added=()).is_well


def test_keys_of_json_have_the_names_of_what_they_are_in_and_may_be_left_out():
    said = b'{"seen":[{"mjd":1,"band":{"name":"g"}},{"mjd":2,"corrected":3,"band":{"name":"r","id":1}}],"limits":[],"oid":"7"}'
    assert columns_of(Payload(said)) == ("seen.mjd", "seen.band.name", "seen.band.id?", "seen.corrected?", "limits", "oid")
    known = [("mjd", "limits.mjd", "corrected?")]
    assert health.drift([("mjd", "limits")], known) == ((), ())
    assert health.drift([("mjd", "corrected", "seeing?")], known) == (("limits.mjd",), ("seeing",))


def test_an_answer_is_compared_with_the_layout_that_is_nearest():
    known = layouts(find("gaia_dr3"))
    assert len(known) == 2
    for layout in known:
        assert health.drift([layout], known) == ((), ())


@pytest.mark.parametrize(("seconds", "words"), [(7200, "ahead of ours"), (30, "")])
def test_a_clock_that_is_off_is_said(harvest, emulator, seconds, words):
    emulator.faults = Faults({"irsa": [f"wrong-clock={seconds}"]})
    assert harvest("sources check ztf_dr --json") == 0
    assert harvest.objects[0]["clock_ahead"] == pytest.approx(seconds, abs=5)
    assert words in harvest.err
    assert bool(harvest.err) == bool(words)


def test_a_bug_of_one_source_does_not_stop_the_others(harvest, monkeypatch):
    monkeypatch.setattr(load("ztf_dr").__class__, "normalise", lambda *_: 1 / 0)
    assert harvest(f"{BOTH} --json") == 3
    assert [found["state"] for found in harvest.objects] == ["ok", "bug"]


def test_a_source_without_an_example_is_unknown_not_well_nor_ill(monkeypatch):
    monkeypatch.setattr(load("ztf_dr").__class__, "example", None)
    assert health._questions(load("ztf_dr"), simulated=False) == []


def test_every_source_of_ours_has_an_example_and_its_columns_written_down():
    for name in registered():
        source = load(name)
        assert source.example is not None or source.retired or not source.takes, name
        assert layouts(find(name)) or name in {"aavso", "atlas", "gaia_alerts", "lsst_alerts", "ztf_alerts", "ztf_forced"}, (
            "these send text that is no table of ours"
        )


@needs_recordings
@pytest.mark.parametrize(
    ("name", "recording"),
    [
        ("ztf_dr", "ztf_dr/nph_light_curves_two_objects.vot.xml"),
        ("gaia_dr3", "gaia_dr3/dr3_epoch_individual_csv_2rows_excerpt.csv"),
        ("gaia_dr2", "gaia_dr3/dr2_epoch_photometry_5813181197970338560.vot.xml"),
        ("asassn", "asassn/skypatrol_v1_light_curve_5740d76a.csv"),
        ("cpcs", "cpcs/bhtom2_get_alert_lc_data.json"),
    ],
)
def test_the_columns_written_down_are_those_of_real_answers(recorded, name, recording):
    assert health.drift([columns_of(Payload(recorded(recording)))], layouts(find(name))) == ((), ())


@pytest.mark.parametrize(
    ("gone", "new", "status", "word"), [("airmass", "", 1, "error"), ("", "seeing", 0, "warning"), ("airmass", "secz", 1, "error")]
)
def test_columns_that_go_or_come_are_reported_although_the_answer_can_be_read(harvest, emulator, tmp_path, gone, new, status, word):
    (names,) = layouts(find("ztf_dr"))
    row = dict.fromkeys(names, "1") | {"oid": "686103400067717", "filtercode": "zg", "mjd": "58250.5", "ra": "291.366", "dec": "42.784"}
    kept = {name: value for name, value in row.items() if name != gone} | ({new: "1"} if new else {})
    (tmp_path / "body.csv").write_text(f"{','.join(kept)}\n{','.join(kept.values())}\n", "utf-8")
    emulator.recordings = [
        Recording("irsa.ipac.caltech.edu", "/cgi-bin/ZTF/nph_light_curves", tmp_path / "body.csv", content_type="text/csv")
    ]
    assert harvest("sources check ztf_dr") == status
    assert harvest.rows[0]["columns"] == " ".join([*([f"-{gone}"] if gone else []), *([f"+{new}"] if new else [])])
    assert harvest.rows[0]["state"] == "changed"
    assert harvest.err.startswith(f"{word}: ztf_dr: the columns have changed")


def test_a_failure_carries_its_own_words(harvest, emulator, impatient):
    emulator.faults = Faults({"gaia": ["503"]})
    assert harvest("sources check gaia_dr3 --json") == 1
    assert json.loads(harvest.out)["lines"][0].startswith("gaia_dr3:")
    assert Unreachable.kind == harvest.objects[0]["state"]
