"""Scout: candidates with their scores, told as what they are: things that move, without a place unless one is asked for."""

import json

import pytest
from asking import NOON, Asked, refused
from conftest import needs_recordings

from harvester.emulator.scout import candidates
from harvester.errors import Malformed

SIGNED = {"signature": {"source": "NASA/JPL Scout API", "version": "1.3"}}
ROW = {
    "objectName": "P10vY9r",
    "lastRun": "2026-03-30 03:43",
    "neoScore": 90,
    "phaScore": 5,
    "neo1kmScore": 0,
    "ieoScore": 1,
    "rating": None,
}
ROW |= {"geocentricScore": 0, "tisserandScore": 44, "Vmag": "20.8", "ra": "12:53", "dec": "+09", "tEphem": "2026-04-05 01:45"}
PLACE = SIGNED | {
    "count": "1",
    "eph": [{"time": "2026-04-05 02:00:00", "median": {"ra": "193.4512", "dec": "9.1234", "vmag": "20.7"}, "data": [[1]]}],
}


def listing(*rows, count=None):
    return SIGNED | {"count": str(len(rows) if count is None else count), "data": list(rows)}


def test_the_list_gives_scores_and_no_places_for_those_are_rounded_to_a_degree():
    found = Asked("scout", listing(ROW), class_name="neo")
    (alert,) = found.alerts
    assert (alert.classification, alert.score, alert.mag, alert.filter) == ("NEO", 90.0, 20.8, "V(NEOCP)")
    assert (alert.ra, alert.dec, alert.moving, alert.time) == (None, None, True, "2026-03-30T03:43:00Z")
    assert any("no exact places" in note for note in found.feedback.notes)
    assert json.loads(alert.payload)["dec"] == "+09", "what came is kept"


def test_one_candidate_is_told_with_its_place_of_this_moment():
    found = Asked("scout", SIGNED | ROW, PLACE, object_id="P10vY9r")
    (alert,) = found.alerts
    assert found.asked == [("scout.api", {"tdes": "P10vY9r"}), ("scout.api", {"tdes": "P10vY9r", "eph-start": "now"})]
    assert (alert.ra, alert.dec, alert.mag, alert.time) == (193.4512, 9.1234, 20.7, "2026-04-05T02:00:00Z")
    assert "data" not in json.loads(alert.payload)["eph"][0], "a thousand sampled orbits are not kept"


def test_a_candidate_without_an_ephemeris_is_told_without_a_place_and_says_so():
    found = Asked("scout", SIGNED | ROW, SIGNED | {"error": "no ephemeris"}, ssobject="P10vY9r")
    assert (found.alerts[0].ra, found.alerts[0].score) == (None, 90.0)
    assert "no ephemeris" in found.feedback.notes[0]


def test_one_that_has_left_the_list_is_nothing_in_scout_s_own_words():
    found = Asked("scout", SIGNED | {"error": "specified object does not exist"}, object_id="gone")
    assert (found.alerts, found.feedback.notes) == ([], ["scout of gone: specified object does not exist."])


def test_every_run_is_an_alert_of_its_own():
    one, two = (
        Asked("scout", listing(ROW | {"lastRun": run}), class_name="NEO").alerts[0] for run in ("2026-03-30 03:43", "2026-03-30 09:00")
    )
    assert one.object_id == two.object_id
    assert one.key != two.key


@pytest.mark.parametrize(("kind", "score"), [("NEO", 90.0), ("PHA", 5.0), ("IEO", 1.0), ("Tisserand", 44.0)])
def test_a_class_says_which_score_is_meant(kind, score):
    assert Asked("scout", listing(ROW), class_name=kind).alerts[0].score == score


@pytest.mark.parametrize("kind", ["NEO1KM", "geocentric", "impact"])
def test_what_has_no_score_of_a_class_is_not_of_it(kind):
    assert Asked("scout", listing(ROW), class_name=kind).alerts == []


def test_the_highest_score_comes_first_and_the_least_is_an_option():
    rows = [ROW | {"objectName": f"x{score}", "neoScore": score} for score in (10, 100, 55)]
    assert [alert.score for alert in Asked("scout", listing(*rows), class_name="NEO").alerts] == [100.0, 55.0, 10.0]
    asked = Asked("scout", listing(*rows), class_name="NEO", options={"min_score": "50"})
    assert [alert.score for alert in asked.alerts] == [100.0, 55.0]


def test_a_window_is_of_the_last_run_newest_first_whatever_the_score():
    rows = [ROW | {"objectName": day, "lastRun": f"2026-03-{day} 00:00", "neoScore": 0} for day in ("10", "20", "30")]
    assert [alert.object_id for alert in Asked("scout", listing(*rows), since=61115.0).alerts] == ["30", "20"]
    assert [alert.object_id for alert in Asked("scout", listing(*rows), since=61115.0, until=61121.0).alerts] == ["20"]


def test_a_list_shorter_than_it_counts_is_not_whole():
    found = Asked("scout", listing(ROW, count=28), class_name="NEO")
    assert found.feedback.lacking == ["scout counts 28 candidates and lists 1."]


def test_another_version_is_told():
    answer = listing(ROW) | {"signature": {"source": "NASA/JPL Scout API", "version": "2.0"}}
    assert any("version 2.0" in note for note in Asked("scout", answer, class_name="NEO").feedback.notes)


@pytest.mark.parametrize(
    "answer",
    [
        {"count": "0", "data": []}, SIGNED, SIGNED | {"data": [ROW]}, SIGNED | {"count": "1", "data": "x"}, b"<html>down</html>", [1],
        listing({"objectName": "x"}), listing(ROW | {"lastRun": "soon"}), listing({key: ROW[key] for key in ROW if key != "neoScore"}), b"",
    ],
)  # fmt: skip
def test_what_is_not_as_documented_is_malformed(answer):
    with pytest.raises(Malformed):
        Asked("scout", answer, class_name="NEO")


def test_it_is_refused_what_it_cannot_be_asked():
    assert "cannot be asked by --cone" in refused("scout", cone=(1.0, 2.0, 3.0))
    assert "Did you mean 'PHA'" in refused("scout", class_name="PHAs")
    assert "is no score" in refused("scout", class_name="NEO", options={"min_score": "high"})
    assert "is of a class" in refused("scout", object_id="x", options={"min_score": "5"})
    assert "no option" in refused("scout", class_name="NEO", options={"max_score": "5"})


@needs_recordings
@pytest.mark.parametrize(
    ("name", "score", "mag", "time"),
    [
        ("A11z2Ek", 0.0, 18.8, "2026-03-31T05:40:00Z"), ("A11zrA3", 100.0, 20.8, "2026-03-30T03:43:00Z"),
        ("CEFL3M2", 93.0, 20.4, "2026-03-25T12:34:00Z"),
    ],
)  # fmt: skip
def test_real_candidates_have_their_golden_numbers(recorded, name, score, mag, time):
    answer = json.loads(recorded(f"scout/scout_object_{name}.json"))
    (alert,) = Asked("scout", answer, SIGNED | {"error": "none"}, object_id=name).alerts
    assert (alert.object_id, alert.score, alert.mag, alert.time, alert.ra) == (name, score, mag, time, None)
    (listed,) = Asked("scout", listing(answer), since=60000.0).alerts
    assert (listed.score, listed.key) == (score, alert.key)


@needs_recordings
def test_a_real_candidate_with_orbits_is_read(recorded):
    answer = json.loads(recorded("scout/scout_object_ZTF10BL_orbits1.json"))
    (alert,) = Asked("scout", listing(answer), class_name="impact").alerts
    assert (alert.object_id, alert.score, alert.classification) == ("ZTF10BL", 2.0, "impact")


def test_the_simulated_candidates_come_through_the_command_line_and_make_no_targets(evening):
    assert evening("alerts query --broker scout --class NEO --option min_score=30 --add-targets --json") == 0
    listed = candidates(evening.sky, NOON)
    wanted = {one.name: one.row(NOON)["neoScore"] for one in listed if one.row(NOON)["neoScore"] >= 30}
    assert {row["object_id"]: row["score"] for row in evening.objects} == wanted
    assert "of the solar system made none" in evening.err
    assert evening(f"alerts query --broker scout --object {listed[0].name} --json") == 0
    (row,) = evening.objects
    assert (row["ra"], row["dec"]) == pytest.approx(listed[0].place(NOON), abs=1e-4)
    assert evening("alerts query --broker scout --ssobject nobody") == 0
    assert "does not exist" in evening.err
