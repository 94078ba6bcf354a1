"""Gaia Alerts: the whole list is asked for once, and searched by name, place, class and date."""

import json

import pytest
from asking import Asked, refused
from conftest import needs_recordings

from harvester.emulator import gaia_alerts as service
from harvester.errors import Malformed

HEAD = "#Name, Date, RaDeg, DecDeg, AlertMag, HistoricMag, HistoricStdDev, Class, Published, Comment, TNSid\n"
ROWS = (
    'Gaia21eeo,2021-09-07 02:07:38,111.55315,-39.30836,18.70,20.22,0.64,"unknown",2021-09-09 08:19:08,"~2 mag brightening, faint",AT2021yjn\n'
    'Gaia24abc,2024-01-02 03:04:05,0.0001,10.0,17.10,,,"SN Ia",2024-01-04 00:00:00,"near a nucleus",SN 2024xyz\n'
    'Gaia14aaa,2014-08-30 00:00:00,359.9999,10.0,16.00,18.0,0.2,"CV",2014-09-01 00:00:00,"outburst",\n'
)
LIST = (HEAD + ROWS).encode()


def names(*answers, **question):
    return [alert.object_id for alert in Asked("gaia_alerts", *(answers or (LIST,)), **question).alerts]


def test_a_line_becomes_an_alert():
    (alert,) = Asked("gaia_alerts", LIST, object_id="Gaia24abc").alerts
    assert (alert.key, alert.ra, alert.dec, alert.mag, alert.filter) == ("Gaia24abc", 0.0001, 10.0, 17.1, "G(GAIA_ALERTS)")
    assert (alert.time, alert.classification, alert.names) == ("2024-01-02T03:04:05Z", "SN Ia", ("SN 2024xyz",))
    assert (alert.survey, alert.url) == ("GAIA_ALERTS", "https://gsaweb.ast.cam.ac.uk/alerts/alert/Gaia24abc/")
    assert json.loads(alert.payload)["comment"] == "near a nucleus"


@pytest.mark.parametrize("name", ["Gaia21eeo", "gaia21EEO", "AT2021yjn", "SN 2021yjn", "2021yjn"])
def test_an_alert_is_found_by_its_name_or_that_of_tns(name):
    assert names(object_id=name) == ["Gaia21eeo"]


def test_a_cone_reaches_over_zero_degrees_and_no_farther_than_its_radius():
    assert names(cone=(0.0, 10.0, 1.0)) == ["Gaia24abc", "Gaia14aaa"]
    assert names(cone=(359.9999, 10.0, 0.5)) == ["Gaia14aaa"]
    assert names(cone=(0.0, 10.0, 0.3)) == []


def test_the_newest_comes_first_and_a_window_is_of_the_alert():
    assert names(since=50000.0) == ["Gaia24abc", "Gaia21eeo", "Gaia14aaa"]
    assert names(since=59000.0, until=60000.0) == ["Gaia21eeo"]
    assert names(class_name="sn ia", since=60400.0) == []


def test_a_class_is_any_that_the_team_wrote_and_an_unknown_one_is_told_with_the_nearest():
    assert names(class_name="sn ia") == ["Gaia24abc"]
    found = Asked("gaia_alerts", LIST, class_name="SN Iax")
    assert found.alerts == []
    assert found.feedback.notes == ["gaia_alerts has no class 'SN Iax'. The nearest: SN Ia."]


def test_the_list_is_asked_for_once_whatever_is_asked():
    assert Asked("gaia_alerts", LIST, class_name="CV").asked == [("alerts/alerts.csv", {})]


@pytest.mark.parametrize(
    "body",
    [
        b"", HEAD.encode(), b"<html>down</html>", LIST[:-40], (HEAD + "a,b\n").encode(), LIST.replace(b"111.55315", b"east"),
        LIST.replace(b"2021-09-07 02:07:38", b"lately"), LIST.replace(b"RaDeg", b"Longitude"), b"\xff\xfe" + LIST,
    ],
)  # fmt: skip
def test_a_list_that_was_cut_off_or_is_none_is_malformed_and_kept(body):
    with pytest.raises(Malformed) as caught:
        Asked("gaia_alerts", body, class_name="CV")
    assert caught.value.payload.body == body


def test_asteroids_are_not_to_be_had():
    assert "cannot be asked by --ssobject" in refused("gaia_alerts", ssobject="8467")


@needs_recordings
def test_the_real_list_has_its_golden_numbers(recorded):
    found = Asked("gaia_alerts", recorded("gaia_alerts/bhtom2_alerts_3rows.csv"), class_name="unknown").alerts
    told = [(alert.object_id, alert.ra, alert.dec, alert.mag, alert.time, alert.names) for alert in found]
    assert told == [
        ("Gaia21eeo", 111.55315, -39.30836, 18.7, "2021-09-07T02:07:38Z", ("AT2021yjn",)),
        ("Gaia21een", 113.25287, -31.98319, 17.82, "2021-09-07T01:59:33Z", ("AT2021yjm",)),
        ("Gaia21edy", 295.16969, 14.58495, 17.17, "2021-09-06T16:50:31Z", ("AT2021ygr",)),
    ]
    assert len(Asked("gaia_alerts", recorded("gaia_alerts/bhtom2_alerts_2rows.csv"), since=59000.0).alerts) == 2


def test_the_simulated_list_comes_through_the_command_line_and_makes_targets(evening):
    assert evening("alerts query --broker gaia_alerts --since 2013-01-01 --add-targets --json") == 0
    wanted = [(alert.name, alert.star.ra) for alert in service.alerts(evening.sky)]
    assert [(row["object_id"], row["ra"]) for row in evening.objects] == [(name, pytest.approx(ra, abs=1e-5)) for name, ra in wanted]
    assert f"{len(wanted)} targets added" in evening.err
    assert len([path for _, path, _ in evening.requests if "gsaweb" in path]) == 1
