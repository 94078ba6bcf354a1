"""Lasair, ZTF and LSST: rows of the table of objects, page by page, by id, cone, Sherlock's class, asteroid and window."""

import importlib.util
import json

import pytest
import yaml
from asking import NOON, Answers, Asked, refused
from conftest import needs_recordings

from harvester.alerts.broker import Feedback, Question, load
from harvester.alerts.brokers.lasair import PAGE
from harvester.alerts.reading import tai_of_utc
from harvester.emulator import asteroids, lsst_stream, ztf_stream
from harvester.emulator.transients import shining
from harvester.errors import Malformed

ROW = {"objectId": "ZTF23aabplmy", "ramean": 179.9776, "decmean": 26.0689, "jdmax": 2459994.9107986, "gmag": 16.82, "rmag": 16.9}
ROW |= {"jdgmax": 2459994.9107986, "jdrmax": 2459990.1, "ncand": 4, "ssnamenr": None, "classification": "SN"}
OF_LSST = {"diaObjectId": 313637921267122191, "ra": 9.05705, "decl": -44.11797, "lastDiaSourceMjdTai": 60983.20685446523, "nDiaSources": 8}
OF_LSST |= {f"{band}_{word}": None for band in "ugrizy" for word in ("psfFlux", "latestMJD")}
OF_LSST |= {"g_psfFlux": 10804.8, "g_latestMJD": 60983.203, "i_psfFlux": 24162.1953125, "i_latestMJD": 60983.207, "tns_name": "2025agpz"}
OF_LSST |= {"classification": "VS"}


def test_a_row_becomes_an_alert_in_the_band_that_was_seen_last():
    (alert,) = Asked("lasair", [ROW], object_id="ZTF23aabplmy").alerts
    assert (alert.object_id, alert.alert_id, alert.ra, alert.dec, alert.classification) == ("ZTF23aabplmy", None, 179.9776, 26.0689, "SN")
    assert (alert.mag, alert.filter, alert.mjd) == (16.82, "g(ZTF)", pytest.approx(59994.4107986))
    assert (alert.survey, alert.moving, alert.url) == ("ZTF", False, "https://lasair-ztf.lsst.ac.uk/objects/ZTF23aabplmy/")
    assert json.loads(alert.payload) == ROW


def test_a_row_of_lsst_is_in_utc_and_its_flux_a_magnitude():
    (alert,) = Asked("lasair_lsst", [OF_LSST], object_id="313637921267122191").alerts
    assert (alert.object_id, alert.survey, alert.dec, alert.names) == ("313637921267122191", "LSST", -44.11797, ("2025agpz",))
    assert alert.mjd == pytest.approx(60983.20685446523 - 37 / 86400, abs=1e-9)
    assert (alert.filter, alert.mag) == ("i(LSST)", pytest.approx(20.4422, abs=1e-4))


def test_without_any_magnitude_there_is_none():
    (alert,) = Asked("lasair", [ROW | {"jdgmax": None, "jdrmax": None}], object_id="ZTF23aabplmy").alerts
    assert (alert.mag, alert.filter) == (None, None)


def test_the_question_becomes_a_condition_and_the_newest_come_first():
    ((path, asked),) = Asked("lasair", [], class_name="sn", since=61000.0, until=61010.5).asked
    assert path == "query/"
    assert asked["tables"] == "objects,sherlock_classifications"
    assert asked["conditions"] == (
        'sherlock_classifications.classification = "SN" AND objects.jdmax >= 2461000.5 AND objects.jdmax <= 2461011.0 '
        "ORDER BY objects.jdmax DESC, objects.objectId"
    )
    assert {"objects.objectId", "objects.jdmax", "sherlock_classifications.classification"} <= set(asked["selected"].split(", "))
    assert len(asked["selected"]) < 4096
    assert (asked["limit"], asked["offset"]) == (PAGE, 0)


def test_an_id_of_lsst_is_a_number_in_the_condition_for_as_text_it_would_be_rounded():
    ((_, asked),) = Asked("lasair_lsst", [], object_id="313637921267122191").asked
    assert asked["conditions"].startswith("objects.diaObjectId = 313637921267122191 ORDER BY")
    assert len(asked["selected"]) < 4096


def test_a_window_of_lsst_is_asked_in_tai():
    ((_, asked),) = Asked("lasair_lsst", [], since=61100.0).asked
    assert asked["conditions"].startswith(f"objects.lastDiaSourceMjdTai >= {tai_of_utc(61100.0)!r} ")


def test_an_asteroid_is_asked_for_by_its_designation_and_moves():
    found = Asked("lasair", [ROW | {"ssnamenr": "220"}], ssobject="220")
    assert found.asked[0][1]["conditions"].startswith('objects.ssnamenr = "220" ORDER BY')
    assert (found.alerts[0].moving, found.alerts[0].names) == (True, ("220",))


def page(count, first=0):
    return [ROW | {"objectId": f"ZTF{number}"} for number in range(first, first + count)]


def test_pages_are_asked_for_as_they_are_read():
    broker, http = load("lasair"), Answers(page(PAGE), page(PAGE, 1000), page(3, 2000))
    alerts = broker.query(broker.checked(Question(class_name="SN")), http, Feedback())
    next(alerts)
    assert len(http.asked) == 1
    for _ in range(PAGE):
        next(alerts)
    assert [asked["offset"] for _, asked in http.asked] == [0, PAGE]
    assert len(list(alerts)) == 2003 - PAGE - 1
    assert len(http.asked) == 3


def test_who_comes_to_the_top_meanwhile_is_told_once():
    found = Asked("lasair", page(PAGE), [*page(2, PAGE - 1), *page(1, PAGE + 7)], class_name="SN")
    assert len(found.alerts) == PAGE + 2
    assert len({alert.object_id for alert in found.alerts}) == PAGE + 2


def test_a_small_limit_is_a_small_page():
    assert Asked("lasair", [], class_name="SN", limit=5).asked[0][1]["limit"] == 5


def test_a_cone_lists_ids_and_then_asks_for_their_rows():
    listed = [{"object": "ZTF19bbbbbbb", "separation": 9.0}, {"object": "ZTF23aabplmy", "separation": 1.5}]
    found = Asked("lasair", listed, [ROW, ROW | {"objectId": "ZTF19bbbbbbb"}], cone=(280.0, -5.0, 600.0))
    assert found.asked[0] == ("cone/", {"ra": 280.0, "dec": -5.0, "radius": 600.0, "requestType": "all"})
    assert found.asked[1][1]["conditions"].startswith('objects.objectId IN ("ZTF23aabplmy", "ZTF19bbbbbbb") ORDER BY')
    assert found.feedback.whole


def test_a_large_cone_is_asked_for_in_conditions_that_the_service_takes():
    listed = [{"object": f"ZTF19aaaa{number:03d}", "separation": float(number)} for number in range(734)]
    rows = [[ROW | {"objectId": one["object"]} for one in listed[first : first + 150]] for first in range(0, 734, 150)]
    found = Asked("lasair", listed, *rows, cone=(280.0, -5.0, 600.0))
    assert len(found.alerts) == 734
    assert max(len(asked["conditions"]) for _, asked in found.asked[1:]) < 4096


def test_an_object_that_the_cone_lists_and_the_table_does_not_tell_of_is_missing():
    found = Asked("lasair", [{"object": "ZTF19bbbbbbb", "separation": 9.0}], [], cone=(280.0, -5.0, 600.0))
    assert found.feedback.lacking == ["lasair lists 1 objects in the cone of which it tells nothing, such as ZTF19bbbbbbb."]


def test_a_cone_of_lsst_is_a_dictionary_and_one_of_nothing_is_nothing():
    listed = {"objects": [{"object": 313637921267122191, "separation": 0.3}], "count": 1, "nearest": {}}
    assert len(Asked("lasair_lsst", listed, [OF_LSST], cone=(9.0, -44.0, 5.0)).alerts) == 1
    for nothing in ([], {"objects": [], "count": 0}):
        assert Asked("lasair_lsst", nothing, cone=(9.0, -44.0, 5.0)).alerts == []


def test_what_was_seen_after_the_window_is_left_out_and_that_is_said():
    assert "alert after --until are left out" in Asked("lasair", [], until=61000.0).feedback.notes[0]


@pytest.mark.parametrize("answer", [{}, {"error": "x"}, [1], [{"objectId": "x"}], [{"jdmax": 1.0}], b"<html>down</html>", b""])
def test_what_is_not_as_documented_is_malformed(answer):
    with pytest.raises(Malformed):
        Asked("lasair", answer, class_name="SN")


@pytest.mark.parametrize("answer", [{}, [{"separation": 1.0}], b"<html>down</html>", {"objects": None}, [[]]])
def test_a_cone_that_is_not_as_documented_is_malformed(answer):
    with pytest.raises(Malformed):
        Asked("lasair", answer, cone=(1.0, 2.0, 3.0))


def test_it_is_refused_what_it_cannot_be_asked():
    assert "Did you mean 'AGN'" in refused("lasair", class_name="AG")
    assert "1000 at most" in refused("lasair", cone=(1.0, 2.0, 1001.0))
    assert "no id of ztf" in refused("lasair", object_id='ZTF23aabplmy" OR 1=1')
    assert "no id of lsst" in refused("lasair_lsst", object_id="ZTF23aabplmy")
    assert "no designation" in refused("lasair", ssobject='8467" OR "1')
    assert "has no survey 'lsst'" in refused("lasair", survey="lsst", class_name="SN")
    assert "cannot be asked by --ssobject" in refused("lasair_lsst", ssobject="8467")


@needs_recordings
def test_the_real_cone_is_read_whole(recorded):
    listed = cone_of(recorded)
    rows = [[ROW | {"objectId": one["object"]} for one in nearest(listed)[first : first + 150]] for first in range(0, len(listed), 150)]
    found = Asked("lasair", listed, *rows, cone=(280.0, -5.0, 600.0))
    assert len(found.alerts) == len({one["object"] for one in listed}) == 734
    assert '("ZTF19aaypuas", ' in found.asked[1][1]["conditions"]


def nearest(listed):
    return sorted(listed, key=lambda one: one["separation"])


def cone_of(recorded):
    text = yaml.safe_load(recorded("lasair/skyportal_cassette_lasair_ztf_cone.yaml"))["interactions"][0]["response"]["body"]["string"]
    return json.loads(text)


@needs_recordings
def test_a_real_object_of_lsst_has_its_golden_numbers(recorded):
    row = json.loads(recorded("lasair/lsst_alert_313637921267122191_object.json"))
    (alert,) = Asked("lasair_lsst", [row], object_id="313637921267122191").alerts
    assert (alert.ra, alert.dec, alert.filter) == (9.057050050707765, -44.117973609689805, "i(LSST)")
    assert alert.mag == pytest.approx(31.4 - 2.5 * 4.38313593, abs=1e-4)
    assert alert.time == "2025-11-04T04:57:15Z"
    assert json.loads(alert.payload)["u_psfFluxMean"] is None, "a bare NaN is none"


@needs_recordings
def test_real_messages_of_lsst_become_alerts(recorded):
    text, decoder, rows = recorded("lasair/lsst_kafka_messages_printed.txt").decode(), json.JSONDecoder(), []
    while text.strip().startswith("{"):
        row, end = decoder.raw_decode(text.strip())
        rows, text = [*rows, row], text.strip()[end:]
    alerts = Asked("lasair_lsst", rows, class_name="SN").alerts
    assert len(alerts) == 10
    assert (alerts[0].object_id, alerts[0].classification, alerts[0].ra) == ("313637935709683761", "SN", 61.62227592104076)


@pytest.mark.slow
def test_the_simulated_supernovae_come_through_the_command_line_newest_first(evening):
    since = NOON - 20.0
    assert evening(f"alerts query --broker lasair --class SN --since {since} --json") == 0
    streams = [one for star in shining(evening.sky.seed, since, NOON) if (one := ztf_stream.stream(evening.sky, star))]
    wanted = {one.oid: one.detections["jd"][-1] - 2400000.5 for one in streams if one.detections["jd"][-1] - 2400000.5 >= since}
    assert {row["object_id"]: row["mjd"] for row in evening.objects} == wanted
    assert [row["mjd"] for row in evening.objects] == sorted(wanted.values(), reverse=True)
    last = next(one for one in streams if one.oid == evening.objects[0]["object_id"]).detections[-1]
    assert (evening.objects[0]["mag"], evening.objects[0]["filter"]) == (last["magpsf"], f"{'gr'[last['fid'] - 1]}(ZTF)")
    assert evening(f"alerts query --broker lasair --object {streams[0].oid} --json") == 0
    assert [row["object_id"] for row in evening.objects] == [streams[0].oid]
    assert evening(f"alerts query --broker lasair --cone {streams[0].ra},{streams[0].dec},2 --json") == 0
    assert [row["object_id"] for row in evening.objects] == [streams[0].oid]


def test_the_simulated_objects_of_lsst_are_in_utc(evening):
    assert evening("alerts query --broker lasair_lsst --class SN --since 61233 --json") == 0
    streams = [one for star in shining(evening.sky.seed, 61100.0, NOON) if (one := lsst_stream.stream(evening.sky, star))]
    last = {str(one.dia_object_id): one.detections["midpointMjdTai"][-1] - 37 / 86400 for one in streams}
    assert {row["object_id"]: row["mjd"] for row in evening.objects} == {
        name: pytest.approx(mjd, abs=1e-9) for name, mjd in last.items() if mjd >= 61233
    }
    assert evening.objects


def test_the_simulated_asteroid_is_met_where_it_was_and_makes_no_target(evening):
    assert evening("alerts query --broker lasair --ssobject 8467 --add-targets --json") == 0
    met = asteroids.meetings(evening.sky.seed, "8467", ztf_stream.NIGHTS[1])
    assert [(row["object_id"], row["ra"], row["mag"]) for row in evening.objects] == [(one.object_id, one.ra, one.mag) for one in met]
    assert "0 targets" in evening.err or "No new target" in evening.err


def test_without_a_token_it_is_not_asked_and_the_way_to_get_one_is_told(harvest):
    assert harvest("alerts query --broker lasair --class SN --since 2026-11-01", emulate=False) == 4
    assert "needs a token" in harvest.err
    assert "HARVESTER_LASAIR_TOKEN" in harvest.err


@pytest.mark.skipif(importlib.util.find_spec("lasair") is None, reason="lasair, the survey's own client, is not installed")
def test_the_service_s_own_client_asks_the_simulation_likewise(standing):
    from lasair import LasairError, lasair_client

    client = lasair_client("emulated", endpoint=f"{standing[1].url}/lasair-ztf.lsst.ac.uk/api")
    rows = client.query("objects.objectId, objects.jdmax-2400000.5 AS mjdmax", "objects,sherlock_classifications",
                        'sherlock_classifications.classification = "SN" AND objects.jdmax >= 2461345.0 ORDER BY mjdmax DESC', limit=5)  # fmt: skip
    assert len(rows) == 5
    assert [row["mjdmax"] for row in rows] == sorted((row["mjdmax"] for row in rows), reverse=True)
    for selected, conditions in (("objects.objectId", "objects.jdmax > 2461345 limit 3"), ("objects.nothing", "objects.jdmax >= 2461364")):
        with pytest.raises(LasairError):
            client.query(selected, "objects", conditions)
