"""Brokers: what they refuse before anybody is asked, what they make of real answers, and how they page."""

import json
from dataclasses import replace

import pytest
from conftest import needs_recordings
from test_sources import Scripted

from harvester.alerts.alert import Alert
from harvester.alerts.broker import Broker, load, registered
from harvester.alerts.question import Cone, Feedback, Question
from harvester.emulator.fink_search import TAGS
from harvester.errors import BadCoordinates, BadQuestion, Malformed, UnknownBroker

FINK, ALERCE = load("fink"), load("alerce")
CONE = Cone(10.0, 20.0, 5.0)
ROW = {"i:objectId": "ZTF26aaaaaaa", "i:candid": 1, "i:jd": 2461000.5, "i:fid": 1, "i:magpsf": 18.5, "i:ra": 10.0, "i:dec": 20.0}


def rows(*times, first=1):
    return json.dumps([ROW | {"i:jd": 2400000.5 + mjd, "i:candid": number} for number, mjd in enumerate(times, first)]).encode()


def answered(broker, question, *answers):
    """Everything that a broker makes of prepared answers, what it asked, and what it said."""
    http, feedback = Scripted(*answers), Feedback()
    return list(broker.query(broker.checked(question), http, feedback)), http.asked, feedback


@pytest.mark.parametrize(
    ("question", "words"),
    [
        (Question(), "nothing was asked"),
        (Question(object_id="ZTF18abcdefg", cone=CONE), "--object and --cone do not go together"),
        (Question(object_id="ZTF18abcdefg", class_name="SN candidate", ssobject="8467"), "--object and --class and --ssobject do not"),
        (Question(cone=replace(CONE, radius=18_000.1)), "18000.1 arcsec is too large"),
        (Question(class_name="SN candidate", since=61_000.0, until=61_000.0), "--since has to lie before --until"),
        (Question(class_name="SN candidate", limit=0), "--limit has to be 1 or more"),
        (Question(class_name="Early SN"), "no class 'Early SN'"),
        (Question(class_name="SN candidate", survey="atlas"), "no survey 'atlas'"),
        (Question(class_name="SN candidate", survey="lsst"), "no class 'SN candidate' of lsst"),
        (Question(class_name="uniform_sample", survey="lsst"), "no class 'uniform_sample' of lsst"),
        (Question(class_name="SN candidate", options={"trend": "rising"}), "no option 'trend'"),
        (Question(object_id="2026abc"), "'2026abc' is no object of ZTF"),
        (Question(object_id="170587116732416143"), "'170587116732416143' is no object of ZTF"),
        (Question(object_id="ZTF18abcdefg", survey="lsst"), "'ZTF18abcdefg' is no object of LSST"),
    ],
)
def test_what_fink_cannot_be_asked_is_refused_before_any_request(question, words):
    with pytest.raises(BadQuestion, match=words):
        FINK.checked(question)


@pytest.mark.parametrize(
    ("question", "words"),
    [
        (Question(ssobject="8467"), "cannot be asked by --ssobject"),
        (Question(class_name="SN candidate"), "no class 'SN candidate'"),
        (Question(class_name="SN", options={"probability": "2"}), "probability 2"),
        (Question(class_name="SN", options={"by": "middle"}), "by=middle"),
        (Question(class_name="SNIa", options={"classifier": "stamp_classifier"}), "stamp_classifier has no class 'SNIa'"),
        (Question(cone=CONE, options={"classifier": "lc_classifier"}), "go with --class"),
    ],
)
def test_what_alerce_cannot_be_asked_is_refused_before_any_request(question, words):
    with pytest.raises(BadQuestion, match=words):
        ALERCE.checked(question)


def test_an_unknown_class_is_refused_with_the_nearest_names():
    with pytest.raises(BadQuestion) as caught:
        FINK.checked(Question(class_name="Early SN candidate"))
    assert "'Early SN Ia candidate'" in caught.value.why
    assert "--classes" in caught.value.hint


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("sn CANDIDATE", "SN candidate"),
        ("EB*", "(SIMBAD) EB*"),
        ("AGN", "(SIMBAD) AGN"),
        ("SN Ia", "(TNS) SN Ia"),
        ("(TNS) AGN", "(TNS) AGN"),
    ],
)
def test_a_class_is_found_whatever_its_capitals_and_without_its_catalogue(said, meant):
    assert FINK.checked(Question(class_name=said)).class_name == meant


def test_a_class_that_nobody_has_heard_of_can_be_asked_when_one_insists():
    assert FINK.checked(Question(class_name="Brand new", unlisted=True)).class_name == "Brand new"


@pytest.mark.parametrize("name", sorted(registered()))
def test_every_broker_is_what_it_is_registered_as(name):
    broker = load(name)
    assert isinstance(broker, Broker)
    assert broker.name == name
    assert broker.surveys
    assert broker.takes <= set(Question.__dataclass_fields__) | {"object", "cone", "class", "ssobject", "window"}


def test_an_unknown_broker_is_named_with_the_nearest():
    with pytest.raises(UnknownBroker, match="Did you mean 'fink'"):
        load("finc")


@pytest.mark.parametrize(
    ("text", "cone"),
    [
        ("193.822,2.897,5", Cone(193.822, 2.897, 5.0)),
        ("271.3914265, 45.2545134, 5", Cone(271.3914265, 45.2545134, 5.0)),
        ("18:05:33.942, 45:15:16.25, 5", Cone(271.391425, 45.25451388888889, 5.0)),
        ("18 05 33.942, +45 15 16.25, 5", Cone(271.391425, 45.25451388888889, 5.0)),
        ("18h05m33.942s, +45d15m16.25s, 5", Cone(271.391425, 45.25451388888889, 5.0)),
        ("10.5 -20.5 60", Cone(10.5, -20.5, 60.0)),
    ],
)
def test_a_cone_is_read_as_tom_fink_reads_it(text, cone):
    found = Cone.parse(text)
    assert (found.ra, found.dec, found.radius) == pytest.approx((cone.ra, cone.dec, cone.radius))


@pytest.mark.parametrize("text", ["", "10,20", "M31,5", "10,20,-5", "10,20,nan", "10,20,wide"])
def test_what_is_no_cone_is_refused(text):
    with pytest.raises((BadQuestion, BadCoordinates)):
        Cone.parse(text)


def test_a_question_survives_the_store():
    question = Question("ztf", cone=CONE, since=61_000.25, limit=3, options={"by": "first"})
    assert Question.from_json(question.as_json()) == question


@needs_recordings
def test_fink_latest_alerts_of_a_class_as_recorded(recorded):
    question = Question(class_name="SN candidate", since=61_301.0, until=61_311.0, limit=4)
    alerts, asked, feedback = answered(FINK, question, recorded("fink/ztf_latests_SN_candidate.json"), b"[]")
    method, url, params = asked[0]
    assert (method, url) == ("GET", "https://api.ztf.fink-portal.org/api/v1/latests")
    assert params == {"class": "SN candidate", "n": 4, "startdate": "2026-09-18 00:00:00.000", "stopdate": "2026-09-28 00:00:00.000"}
    first = alerts[0]
    assert (first.broker, first.survey, first.object_id, first.alert_id) == ("fink", "ZTF", "ZTF26abtnjsl", "3552338592415015018")
    assert (first.mjd, first.time) == (61306.3385995, "2026-09-23T08:07:34Z")
    assert (first.ra, first.dec, first.mag, first.filter) == (39.6342382, 3.9232084, 18.448374, "r(ZTF)")
    assert (first.classification, first.score) == ("SN candidate", 0.2504339218)
    assert first.url == "https://ztf.fink-portal.org/ZTF26abtnjsl"
    assert json.loads(first.payload)["i:candid"] == 3552338592415015018
    assert len(alerts) == 4
    assert feedback.whole


@needs_recordings
def test_fink_cone_as_recorded(recorded):
    (alert,), asked, _ = answered(FINK, Question(cone=Cone(304.3485, -13.3842, 5.0)), recorded("fink/ztf_conesearch_one_row.json"))
    assert asked[0][2] == {"ra": 304.3485, "dec": -13.3842, "radius": 5.0, "n": 1000}
    assert (alert.object_id, alert.alert_id, alert.filter, alert.mag) == ("ZTF26aawdxet", "3432436160215015018", "g(ZTF)", 18.429005)
    assert alert.classification is None  # "Unknown" is none


@needs_recordings
def test_fink_tags_of_lsst_as_recorded_keep_every_digit_and_tell_utc(recorded):
    question = Question("lsst", class_name="extragalactic_new_candidate", since=61_200.0, limit=4)
    alerts, asked, _ = answered(FINK, question, recorded("fink/lsst_tags_extragalactic_new_candidate.json"), b"[]")
    assert asked[0][1:] == (
        "https://api.lsst.fink-portal.org/api/v1/tags",
        {"tag": "extragalactic_new_candidate", "n": 4, "startdate": "2026-06-09 00:00:37.000"},
    )
    assert [alert.object_id for alert in alerts] == ["170657518965489670", "170657518963916898", "170657517628555290", "170657517579272230"]
    assert alerts[0].alert_id == "170666303386288164"
    assert (61235.4127394704 - alerts[0].mjd) * 86400 == pytest.approx(37.0, abs=1e-3)
    assert (alerts[0].filter, alerts[0].survey) == ("g(LSST)", "LSST")
    assert alerts[0].mag == pytest.approx(31.4 - 2.5 * 3.4802371, abs=1e-5)
    assert [alert.names for alert in alerts] == [(), (), ("AT 2026ucw",), ("AT 2026udb",)]
    assert [alert.score for alert in alerts] == [None] * 4


@needs_recordings
def test_fink_bodies_of_lsst_as_recorded_are_moving(recorded):
    alerts, asked, _ = answered(FINK, Question("lsst", ssobject="2007 OR10"), recorded("fink/lsst_sso_gonggong_trimmed.json"))
    assert asked[0][2] == {"n_or_d": "2007 OR10", "accept": (400,)}
    assert [alert.moving for alert in alerts] == [True] * 4
    assert [alert.filter for alert in alerts] == ["r(LSST)", "r(LSST)", "z(LSST)", "i(LSST)"]
    assert {alert.names for alert in alerts} == {("2007 OR10",)}


def test_a_body_that_passes_by_is_no_name_of_the_star_and_a_body_is_no_star():
    star, body, found = ROW | {"i:ssnamenr": "8467", "d:roid": 0}, ROW | {"d:roid": 3}, ROW | {"v:classification": "Solar System MPC"}
    alerts, _, _ = answered(FINK, Question(object_id="ZTF26aaaaaaa"), json.dumps([star, body, found]).encode())
    assert [(alert.names, alert.moving) for alert in alerts] == [((), False), ((), True), ((), True)]


@needs_recordings
def test_every_class_that_fink_is_known_to_have_can_be_asked(recorded):
    for file, prefix in (("fink_types.csv", ""), ("simbad_types.csv", "(SIMBAD) "), ("tns_types.csv", "(TNS) ")):
        for name in recorded(f"fink/{file}").decode().split("\n"):
            assert not name.strip() or f"{prefix}{name.strip()}" in FINK.classes("ztf")


def test_the_tags_that_we_ship_are_those_that_fink_serves():
    assert set(FINK.classes("lsst")) == {tag for tag, served in TAGS.items() if served}


def test_fink_is_asked_for_a_page_only_when_the_one_before_is_used_up():
    http = Scripted(rows(61010.0, 61009.0), rows(61008.0, 61007.0, first=3), rows(61006.0, first=5))
    alerts = FINK.query(FINK.checked(Question(class_name="SN candidate", limit=2)), http, Feedback())
    assert [next(alerts).key, next(alerts).key] == ["1", "2"]
    assert len(http.asked) == 1
    assert next(alerts).key == "3"
    assert http.asked[1][2]["stopdate"] == "2025-11-30 00:00:01.000"
    assert [alert.key for alert in alerts] == ["4", "5"]


def test_alerts_of_one_moment_on_both_sides_of_a_page_come_once():
    pages = rows(61010.0, 61009.0), rows(61009.0, 61009.0, first=2), rows(61009.0, first=3)
    alerts, asked, feedback = answered(FINK, Question(class_name="SN candidate", limit=2), *pages)
    assert [alert.key for alert in alerts] == ["1", "2", "3"]
    assert feedback.whole
    assert len(asked) == 3


def test_more_alerts_of_one_moment_than_a_page_holds_are_asked_for_at_once_and_an_end_to_that_is_said():
    same, every = rows(61009.0, 61009.0), rows(*[61009.0] * 10_000)
    alerts, asked, feedback = answered(FINK, Question(class_name="SN candidate", limit=2), same, same, every, every)
    assert [params["n"] for _, _, params in asked] == [2, 2, 10_000, 10_000]
    assert len(alerts) == 10_000
    assert not feedback.whole
    assert "older ones are missing" in feedback.lacking[0]


@pytest.mark.parametrize(("question", "size"), [(Question(cone=CONE), 1000), (Question(object_id="ZTF26aaaaaaa"), 10_000)])
def test_an_answer_of_fink_that_was_cut_is_never_passed_off_as_whole(question, size):
    alerts, _, feedback = answered(FINK, question, rows(*[61009.0 + number / 1e6 for number in range(size)]))
    assert len(alerts) == size
    assert not feedback.whole


@pytest.mark.parametrize(
    "body", [b"<html>busy</html>", b'{"status": "error"}', b"[1]", b'[{"i:jd": 1}]', b'[{"i:objectId": "ZTF26aaaaaaa"}]']
)
def test_what_is_no_list_of_alerts_is_malformed(body):
    with pytest.raises(Malformed):
        answered(FINK, Question(object_id="ZTF26aaaaaaa"), body)


def test_an_object_whose_name_only_begins_like_the_one_asked_for_is_left_out():
    mine, other = {"r:diaObjectId": 17, "r:midpointMjdTai": 61_100.0}, {"r:diaObjectId": 171, "r:midpointMjdTai": 61_100.0}
    alerts, asked, _ = answered(FINK, Question("lsst", object_id="17"), json.dumps([mine, other]).encode())
    assert [alert.object_id for alert in alerts] == ["17"]
    assert asked[0][1:] == ("https://api.lsst.fink-portal.org/api/v1/sources", {"diaObjectId": "17"})


def test_a_window_alone_asks_fink_for_each_of_its_classes_and_says_so():
    alerts, asked, feedback = answered(FINK, Question(since=61_000.0, until=61_001.0), rows(61_000.5), *[rows(61_000.5)] * 10)
    assert [params["class"] for _, _, params in asked] == list(FINK.classes("ztf")[:11])
    assert len(alerts) == 1
    assert "no search by date alone" in feedback.notes[0]


@needs_recordings
def test_alerce_objects_of_a_class_as_recorded(recorded):
    question = Question(class_name="SN", since=61308.3842, until=61311.3842, options={"by": "first"})
    alerts, asked, _ = answered(ALERCE, question, recorded("alerce/ztf_v1_objects_stamp_SN_firstmjd.json"))
    assert asked[0][1:] == (
        "ztf/v1/objects/",
        {"count": "false", "class": "SN", "classifier": "stamp_classifier", "ranking": 1, "probability": None}
        | {"firstmjd": ["61308.3842000", "61311.3842000"], "order_by": "firstmjd", "order_mode": "DESC", "page": 1, "page_size": 500},
    )
    first = alerts[0]
    assert (first.object_id, first.alert_id, first.key) == ("ZTF26abxsysn", None, "ZTF26abxsysn")
    assert (first.mjd, first.ra, first.dec) == (61309.53358800011, 142.3385326, 10.2607714)
    assert (first.classification, first.score, first.survey) == ("SN", 0.4011076, "ZTF")
    assert len(alerts) == 4


@needs_recordings
def test_alerce_detections_as_recorded(recorded):
    alerts, asked, _ = answered(ALERCE, Question(object_id="ZTF18abcgqmz"), recorded("alerce/ztf_v1_detections_ZTF18abcgqmz.json"))
    assert asked[0][1] == "ztf/v1/objects/ZTF18abcgqmz/detections"
    told = [(alert.object_id, alert.alert_id, alert.mjd, alert.filter, round(alert.mag, 2)) for alert in alerts]
    assert told == [
        ("ZTF18abcgqmz", "593191350115010084", 58347.19135419978, "g(ZTF)", 18.31),
        ("ZTF18abcgqmz", "534377870115010099", 58288.37787039997, "g(ZTF)", 18.77),
    ]


@needs_recordings
def test_alerce_detections_of_lsst_as_recorded(recorded):
    question = Question("lsst", object_id="170587116732416143")
    alerts, _, _ = answered(ALERCE, question, recorded("alerce/lsst_detections_170587116732416143.json"))
    newest = alerts[0]
    assert [alert.filter for alert in alerts] == ["g(LSST)", "g(LSST)", "i(LSST)"]
    assert newest.alert_id == "170587117274005632"
    assert newest.mag == pytest.approx(31.4 - 2.5 * 3.47999293, abs=1e-5)


@needs_recordings
def test_alerce_empty_list_as_recorded_is_no_alert(recorded):
    alerts, asked, feedback = answered(ALERCE, Question(class_name="SN"), recorded("alerce/ztf_v1_objects_empty.json"))
    assert alerts == []
    assert len(asked) == 1
    assert feedback.whole


def test_alerce_is_asked_until_a_page_is_not_full_whatever_it_says_of_a_next_one():
    def page(*names):
        items = [{"oid": name, "lastmjd": 61_000.0, "class": "SN", "probability": 0.5} for name in names]
        return json.dumps({"total": None, "has_next": False, "items": items}).encode()

    alerts, asked, _ = answered(ALERCE, Question(class_name="SN", limit=2), page("a", "b"), page("b", "c"), page("d"))
    assert [alert.object_id for alert in alerts] == ["a", "b", "c", "d"]
    assert [params["page"] for _, _, params in asked] == [1, 2, 3]


def test_an_alert_as_json_has_what_the_broker_sent():
    alert = Alert("fink", "ZTF26aaaaaaa", "1", 61000.0, payload=b'{"i:candid": 1}')
    assert alert.as_object()["payload"] == {"i:candid": 1}
    assert replace(alert, payload=b"Obj\x01").as_object()["payload"] is None
    assert alert.as_object()["time"] == "2025-11-21T00:00:00Z"
