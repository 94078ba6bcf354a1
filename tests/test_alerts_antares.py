"""ANTARES: loci page by page, each as its newest alert; by id of the locus or of a survey, cone, tag, asteroid and window."""

import importlib.util
import json

import pytest
from asking import NOON, Answers, Asked, refused
from conftest import needs_recordings

from harvester.alerts.broker import Feedback, Question, load
from harvester.alerts.reading import tai_of_utc
from harvester.emulator import asteroids, lsst_stream, ztf_stream
from harvester.emulator.antares import LEAST_RB
from harvester.emulator.transients import shining
from harvester.errors import Malformed, Unreachable

HELD = {"num_alerts": 9, "num_mag_values": 7, "newest_alert_id": "ztf_candidate:3470490460915015042", "newest_alert_magnitude": 15.428}
HELD |= {"newest_alert_observation_time": 61224.49046299979, "ztf_object_id": "ZTF26abeuijw", "ztf_ssnamenr": None}
HELD |= {"survey": {"ztf": {"id": ["ZTF26abeuijw"]}, "lsst": {"dia_object_id": ["170595943059554358"], "ss_object_id": []}}}
LOCUS = {"locus_id": "ANT2026b78o35eau2gs", "ra": 59.7257, "dec": 23.7619, "properties": HELD, "tags": ["lc_feature_extractor", "dimmers"]}


def listing(*loci, link=None):
    return {"data": [{"locus": locus} for locus in loci], "meta": {"count": len(loci)}, "links": {"self": "x", "next": link}}


def locus(**held):
    return LOCUS | {"properties": HELD | held}


def filters(asked):
    assert asked["sort"] == "-properties.newest_alert_observation_time"
    return json.loads(asked["elasticsearch_query"])["query"]["bool"]["filter"]


def test_a_locus_becomes_its_newest_alert_under_the_survey_s_id():
    (alert,) = Asked("antares", listing(LOCUS), class_name="dimmers").alerts
    assert (alert.survey, alert.object_id, alert.alert_id) == ("ZTF", "ZTF26abeuijw", "3470490460915015042")
    assert (alert.ra, alert.dec, alert.mag, alert.filter, alert.mjd) == (59.7257, 23.7619, 15.428, None, 61224.49046299979)
    assert alert.names == ("ANT2026b78o35eau2gs", "LSST 170595943059554358")
    assert (alert.classification, alert.moving) == ("lc_feature_extractor, dimmers", False)
    assert alert.url == "https://antares.noirlab.edu/loci/ANT2026b78o35eau2gs"
    assert json.loads(alert.payload)["properties"] == HELD


def test_the_same_locus_is_an_object_of_lsst_where_that_is_asked_for():
    (alert,) = Asked("antares", listing(LOCUS), survey="lsst", class_name="dimmers").alerts
    assert (alert.survey, alert.object_id, alert.alert_id) == ("LSST", "170595943059554358", None), "its newest alert is ZTF's"
    assert alert.names == ("ANT2026b78o35eau2gs", "ZTF26abeuijw")


def test_a_newest_alert_of_lsst_is_brought_from_tai_to_utc():
    (alert,) = Asked("antares", listing(locus(newest_alert_id="lsst_alert:1234")), survey="lsst", since=61000.0).alerts
    assert alert.alert_id == "1234"
    assert alert.mjd == pytest.approx(61224.49046299979 - 37 / 86400, abs=1e-9)


@pytest.mark.parametrize(
    ("question", "wanted"),
    [
        ({"object_id": "ZTF26abeuijw"}, [{"term": {"properties.ztf_object_id": "ZTF26abeuijw"}}]),
        ({"object_id": "1705", "survey": "lsst"}, [{"term": {"properties.survey.lsst.dia_object_id": "1705"}}]),
        ({"class_name": "dimmers"}, [{"term": {"tags": "dimmers"}}, {"exists": {"field": "properties.ztf_object_id"}}]),
        ({"ssobject": "220"}, [{"term": {"properties.ztf_ssnamenr": "220"}}, {"exists": {"field": "properties.ztf_object_id"}}]),
    ],
)  # fmt: skip
def test_a_question_becomes_filters(question, wanted):
    ((path, asked),) = Asked("antares", listing(LOCUS), **question).asked
    assert path == "loci"
    assert filters(asked) == wanted


def test_a_cone_is_asked_as_the_service_s_own_client_asks_it():
    (_, asked), *_ = Asked("antares", listing(LOCUS), cone=(10.0, 20.0, 1.5)).asked
    assert filters(asked)[0] == {"sky_distance": {"radius": "0.0004167 degree", "location": "00h40m00.00000s +20d00m00.00000s"}}


def test_a_window_is_a_range_of_the_newest_alert_in_the_survey_s_own_time():
    newest = "properties.newest_alert_observation_time"
    found = Asked("antares", listing(LOCUS), since=61000.0, until=61001.0)
    assert filters(found.asked[0][1])[-1] == {"range": {newest: {"gte": 61000.0, "lte": 61001.0}}}
    assert "after --until are left out" in found.feedback.notes[0]
    found = Asked("antares", listing(LOCUS), since=61000.0, survey="lsst")
    assert filters(found.asked[0][1])[-1] == {"range": {newest: {"gte": tai_of_utc(61000.0)}}}


def test_a_locus_is_asked_for_by_its_own_id_and_its_properties_have_another_name_there():
    one = {"id": "ANT2026b78o35eau2gs", "ra": 59.7257, "dec": 23.7619, "internal_properties": HELD, "user_properties": {}, "tags": []}
    found = Asked("antares", {"data": one | {"lightcurve": "", "catalogs": []}}, object_id="ANT2026b78o35eau2gs")
    assert found.asked == [("loci/ANT2026b78o35eau2gs", {})]
    assert (found.alerts[0].object_id, found.alerts[0].classification) == ("ZTF26abeuijw", None)


def test_an_id_that_is_unknown_is_nothing():
    assert Asked("antares", None, object_id="ANT2020nothing").alerts == []
    assert Asked("antares", listing(), object_id="ZTF26abeuijw").alerts == []


def test_pages_are_asked_for_as_they_are_read():
    broker = load("antares")
    link = "http://elsewhere.example/v2/loci?limit=100&page=2"
    http = Answers(listing(*[LOCUS] * 100, link=link), listing(LOCUS))
    alerts = broker.query(broker.checked(Question(class_name="dimmers")), http, Feedback())
    next(alerts)
    assert [path for path, _ in http.asked] == ["loci"]
    assert len(list(alerts)) == 100
    assert [path for path, _ in http.asked] == ["loci", "loci?limit=100&page=2"], "not where the link says, but with what it asks"


def test_a_small_limit_is_a_small_page():
    assert Asked("antares", listing(LOCUS), class_name="dimmers", limit=3).asked[0][1]["limit"] == 3


def test_a_tag_that_nobody_uses_is_told_with_the_nearest():
    found = Asked("antares", listing(), {"data": {"tags": {"dimmers": 10, "extragalactic": 4}}}, class_name="dimmer")
    assert found.feedback.notes == ["antares has no tag 'dimmer'. The nearest: dimmers."]
    assert Asked("antares", listing(), {"data": {"tags": {"dimmers": 10}}}, class_name="dimmers").feedback.notes == []


@pytest.mark.parametrize("answer", [Unreachable("no"), {}, {"data": None}, [], b""])
def test_an_answer_without_loci_stands_even_where_the_tags_cannot_be_had(answer):
    assert Asked("antares", listing(), answer, class_name="dimmers").feedback.whole


@pytest.mark.parametrize(
    ("held", "moving"),
    [
        ({"ztf_ssnamenr": "220", "num_mag_values": 1}, True), ({"ztf_ssnamenr": "220", "num_mag_values": 7}, False),
        ({"ztf_ssnamenr": "null", "num_mag_values": 1}, False), ({"num_mag_values": 0}, False),
    ],
)  # fmt: skip
def test_a_place_where_only_asteroids_were_seen_is_no_object(held, moving):
    assert Asked("antares", listing(locus(**held)), ssobject="220").alerts[0].moving is moving


def test_a_locus_of_another_camera_keeps_its_own_id():
    held = {"survey": {}, "ztf_object_id": None, "newest_alert_id": "decat:17"}
    (alert,) = Asked("antares", listing(locus(**held)), class_name="dimmers").alerts
    assert (alert.object_id, alert.survey, alert.alert_id, alert.names) == ("ANT2026b78o35eau2gs", "", None, ())


@pytest.mark.parametrize(
    "answer",
    [
        {}, {"data": "x"}, listing({"ra": 1.0}), listing({"locus_id": "ANT2020x", "properties": None}),
        listing(locus(newest_alert_observation_time=None)), b"<html>down</html>", {"data": [[]], "links": {}},
    ],
)  # fmt: skip
def test_what_is_not_as_documented_is_malformed(answer):
    with pytest.raises(Malformed):
        Asked("antares", answer, class_name="dimmers")


def test_it_is_refused_what_it_cannot_be_asked():
    assert "no id of ztf" in refused("antares", object_id="170595943059554358")
    assert "no id of lsst" in refused("antares", object_id="ZTF26abeuijw", survey="lsst")
    assert "3600 at most" in refused("antares", cone=(1.0, 2.0, 3601.0))


@needs_recordings
def test_the_real_answer_of_version_1_has_its_golden_numbers(recorded):
    found = Asked("antares", json.loads(recorded("antares/v1_loci_search.json")), object_id="ZTF26abeuijw")
    (alert,) = found.alerts
    assert (alert.object_id, alert.alert_id, alert.names) == ("ZTF26abeuijw", "3470490460915015042", ("ANT2026b78o35eau2gs", "220"))
    assert (alert.ra, alert.dec, alert.mag) == (59.725723300000006, 23.761943400000007, 15.428149223327637)
    assert (alert.time, alert.moving) == ("2026-07-03T11:46:16Z", True), "asteroid 220 Stephania"
    assert alert.classification == "lc_feature_extractor, refitt_newsources_snrcut"


@pytest.mark.slow
def test_the_simulated_loci_of_a_tag_come_through_the_command_line_newest_first(evening):
    since = NOON - 20.0
    assert evening(f"alerts query --broker antares --class young_extragalactic_candidate --since {since} --json") == 0
    streams = [one for star in shining(evening.sky.seed, since, NOON) if (one := ztf_stream.stream(evening.sky, star))]
    good = {one.oid: one.detections[one.detections["rb"] >= LEAST_RB] for one in streams}
    wanted = {oid: (rows["candid"][-1], rows["jd"][-1] - 2400000.5) for oid, rows in good.items() if rows["jd"][-1] - 2400000.5 >= since}
    assert {row["object_id"]: (int(row["alert_id"]), row["mjd"]) for row in evening.objects} == wanted
    assert [row["mjd"] for row in evening.objects] == sorted((mjd for _, mjd in wanted.values()), reverse=True)
    first = evening.objects[0]
    for question in (f"--object {first['object_id']}", f"--object {first['names'][0]}", f"--cone {first['ra']},{first['dec']},1"):
        assert evening(f"alerts query --broker antares {question} --json") == 0
        assert [row["alert_id"] for row in evening.objects] == [first["alert_id"]]


@pytest.mark.slow
def test_the_simulated_loci_of_lsst_are_in_utc(evening):
    assert (
        evening("alerts query --broker antares --survey lsst --class young_extragalactic_candidate --since 61235.2 --limit 3 --json") == 0
    )
    for row in evening.objects:
        stream = lsst_stream.by_id(evening.sky, int(row["object_id"]))
        assert row["alert_id"] is None or row["mjd"] == pytest.approx(stream.detections["midpointMjdTai"][-1] - 37 / 86400, abs=1e-9)
    assert len(evening.objects) == 3


def test_the_simulated_asteroid_makes_no_target(evening):
    assert evening("alerts query --broker antares --ssobject 8467 --limit 4 --add-targets --json") == 0
    met = asteroids.meetings(evening.sky.seed, "8467", ztf_stream.NIGHTS[1])[:4]
    assert [(row["object_id"], row["alert_id"], row["ra"]) for row in evening.objects] == [(m.object_id, str(m.candid), m.ra) for m in met]
    assert "4 of the solar system made none" in evening.err


def test_the_simulated_service_tells_which_tags_there_are(evening):
    assert evening(f"alerts query --broker antares --class young_extragalactic --since {NOON - 3}") == 0
    assert "The nearest: young_extragalactic_candidate" in evening.err


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(importlib.util.find_spec("antares_client") is None, reason="antares-client, the survey's own, is not installed")
def test_the_service_s_own_client_searches_the_simulation_likewise(standing, monkeypatch):
    from antares_client import search as theirs

    app, server = standing
    connection = theirs.ANTARESAPIClient(base_url=f"{server.url}/api.antares.noirlab.edu/v2/", timeout=60)
    monkeypatch.setattr(theirs, "api_client", connection)
    wanted = [
        {"term": {"tags": "young_extragalactic_candidate"}},
        {"range": {"properties.newest_alert_observation_time": {"gte": NOON - 10}}},
    ]
    loci = list(theirs.search({"query": {"bool": {"filter": wanted}}}, limit=5))
    assert len(loci) > 5, "it follows the links"
    times = [one.properties["newest_alert_observation_time"] for one in loci]
    assert times == sorted(times, reverse=True)
    assert min(times) >= NOON - 10
    assert "young_extragalactic_candidate" in theirs.get_available_tags()
    assert theirs.get_by_ztf_object_id(loci[0].properties["ztf_object_id"]).tags == loci[0].tags
    assert app.sky.now == pytest.approx(NOON)
    connection.client.close()
