"""TNS: single objects by name and cone, and all that was added or changed, from the files of hours, of days and of everything."""

import csv
import io
import json
import zipfile
from datetime import UTC, datetime, timedelta

import pyarrow.parquet as pq
import pytest
from asking import NOON, Answers, Asked, refused
from conftest import FIXTURES, needs_recordings

from harvester.alerts.broker import Feedback, Question, load
from harvester.alerts.brokers import tns
from harvester.alerts.reading import date_of
from harvester.emulator import tns_reports
from harvester.errors import Malformed
from harvester.tns_api import change_files

THING = {
    "objname": "2021rf",
    "name_prefix": "SN",
    "radeg": 150.0,
    "decdeg": 2.0,
    "discoverydate": "2021-01-12 13:07:10.000",
    "discoverymag": 20.1,
}
THING |= {"object_type": {"id": 3, "name": "SN Ia"}, "internal_names": ",ZTF21aaabbbb,Gaia21xyz", "discmagfilter": {"id": 111, "name": "r"}}
HEAD = ["objid", *"name_prefix name ra declination type discoverydate discoverymag discmagfilter internal_names lastmodified".split()]
MOMENT = datetime(2026, 11, 21, 2, 30, tzinfo=UTC)


def answer(data):
    return {"id_code": 200, "id_message": "OK", "data": data}


def file_of(*rows, stamp='"2026-11-20 00:00:00"\n', quoted=True):
    """A file of changes: names, types and last changes, all of them discovered on 1 November."""
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL, lineterminator="\n")
    made = [
        ["1", "SN" if kind else "AT", name, "10.5", "-20.25", kind, "2026-11-01 05:00:00.000", "19.2", "72", "ATLAS26x, PS26y", changed]
        for name, kind, changed in rows
    ]
    writer.writerows([HEAD, *made])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("tns_public_objects.csv", stamp + text.getvalue())
    return packed.getvalue()


@pytest.fixture
def at_half_past_two(monkeypatch):
    monkeypatch.setattr(tns, "now", lambda: MOMENT)


def mjd(day, hour=0.0):
    return 61345.0 + day - 1 + hour / 24.0  # of November 2026


def test_an_object_becomes_an_alert_as_it_was_discovered():
    found = Asked("tns", answer(THING), object_id="SN 2021RF")
    (alert,) = found.alerts
    assert found.asked == [("api/get/object", {"data": '{"objname": "2021rf"}'})]
    assert (alert.key, alert.object_id, alert.survey, alert.ra, alert.dec) == ("2021rf", "2021rf", "TNS", 150.0, 2.0)
    assert (alert.mag, alert.filter, alert.classification, alert.time) == (20.1, "r(ZTF)", "SN Ia", "2021-01-12T13:07:10Z")
    assert alert.names == ("SN 2021rf", "ZTF21aaabbbb", "Gaia21xyz")
    assert alert.url == "https://www.wis-tns.org/object/2021rf"


def test_what_nobody_classified_has_no_class_and_a_filter_that_nobody_knows_is_none():
    thing = THING | {
        "object_type": {"id": None, "name": None},
        "discmagfilter": {"id": 999, "name": "?"},
        "name_prefix": "AT",
        "internal_names": None,
    }
    (alert,) = Asked("tns", answer(thing), object_id="2021rf").alerts
    assert (alert.classification, alert.filter, alert.names) == (None, None, ("AT 2021rf",))


def test_the_layer_of_before_2025_is_still_understood():
    assert Asked("tns", answer({"received_data": {}, "reply": THING}), object_id="2021rf").alerts[0].object_id == "2021rf"


@pytest.mark.parametrize("nothing", [None, answer([]), answer({"reply": []})])
def test_an_object_that_is_unknown_is_nothing_and_that_is_said(nothing):
    found = Asked("tns", nothing, object_id="AT2030zzz")
    assert (found.alerts, found.feedback.notes) == ([], ["tns knows no object 2030zzz."])


def test_a_survey_s_own_name_is_searched_for_first():
    found = Asked("tns", answer([{"objname": "2021rf", "prefix": "SN", "objid": 1}]), answer(THING), object_id="ZTF21aaabbbb")
    assert json.loads(found.asked[0][1]["data"]) == {"internal_name": "ZTF21aaabbbb", "internal_name_exact_match": 1}
    assert [alert.object_id for alert in found.alerts] == ["2021rf"]


def test_a_cone_is_searched_and_each_hit_asked_for_as_it_is_read():
    broker, http = (
        load("tns"),
        Answers(answer([{"objname": "2021rf"}, {"objname": "2021rg"}]), answer(THING), answer(THING | {"objname": "2021rg"})),
    )
    asked = broker.checked(Question.from_json('{"cone": {"ra": 150.0, "dec": 2.0, "radius": 3.0}, "since": 61345.5}'))
    alerts = broker.query(asked, http, Feedback())
    assert next(alerts).object_id == "2021rf"
    assert len(http.asked) == 2
    said = json.loads(http.asked[0][1]["data"])
    assert said == {"ra": "150.000000", "dec": "2.000000", "radius": "3.00", "units": "arcsec", "public_timestamp": "2026-11-01 12:00:00"}
    assert [alert.object_id for alert in alerts] == ["2021rg"]


def test_of_single_objects_those_discovered_after_the_window_are_left_out():
    assert Asked("tns", answer(THING), object_id="2021rf", until=59000.0).alerts == []
    assert len(Asked("tns", answer(THING), object_id="2021rf", until=60000.0).alerts) == 1


@pytest.mark.parametrize(
    ("since", "until", "files"),
    [
        (mjd(20, 12), None, [["_00", "_01", "_02"], ["_20261120"]]), (mjd(19), None, [["_00", "_01", "_02"], ["_20261120"], ["_20261119"]]),
        (mjd(18, 23), mjd(19, 23), [[], ["_20261120"], ["_20261119"], ["_20261118"]]), (None, None, [["_00", "_01", "_02"], [""]]),
        (mjd(21, 1), None, [["_00", "_01", "_02"]]), (mjd(-5), None, [["_00", "_01", "_02"], [""]]), (mjd(-5), mjd(5), [[], [""]]),
    ],
)  # fmt: skip
def test_the_files_of_a_window_are_those_of_hours_of_days_or_of_everything(since, until, files):
    assert change_files(since and date_of(since), until and date_of(until), MOMENT) == files


@pytest.mark.usefixtures("at_half_past_two")
def test_a_window_is_of_the_last_change_newest_first_and_the_time_that_of_the_discovery():
    day = file_of(
        ("2026aaa", "", "2026-11-20 05:00:00"), ("2026aab", "SN II", "2026-11-20 23:59:59"), ("2026aac", "", "2026-11-19 00:00:00")
    )
    found = Asked("tns", None, file_of(("2026aad", "", "2026-11-21 01:10:00")), None, day, since=mjd(20, 4))
    assert [path.rpartition("objects")[2] for path, _ in found.asked] == ["_00.csv.zip", "_01.csv.zip", "_02.csv.zip", "_20261120.csv.zip"]
    assert [alert.object_id for alert in found.alerts] == ["2026aad", "2026aab", "2026aaa"]
    assert {alert.time for alert in found.alerts} == {"2026-11-01T05:00:00Z"}
    assert (found.alerts[1].classification, found.alerts[1].filter) == ("SN II", "o(ATLAS)")
    assert found.alerts[1].names == ("SN 2026aab", "ATLAS26x", "PS26y")
    assert (found.alerts[1].ra, found.alerts[1].dec, found.alerts[1].mag) == (10.5, -20.25, 19.2)
    assert found.feedback.whole, "an hour without changes has no file"


@pytest.mark.usefixtures("at_half_past_two")
def test_an_object_that_changed_twice_is_told_once_as_it_is_now():
    newer = file_of(("2026aaa", "SN Ia", "2026-11-21 00:10:00"), ("2026aab", "", "2026-11-21 00:20:00"))
    older = file_of(("2026aaa", "", "2026-11-20 05:00:00"), ("2026aac", "SN Ia", "2026-11-20 06:00:00"))
    found = Asked("tns", newer, newer, None, older, since=mjd(20))
    assert [(alert.object_id, alert.classification) for alert in found.alerts] == [
        ("2026aab", None),
        ("2026aaa", "SN Ia"),
        ("2026aac", "SN Ia"),
    ]
    found = Asked("tns", newer, None, None, older, since=mjd(20), class_name="sn ia")
    assert [alert.object_id for alert in found.alerts] == ["2026aaa", "2026aac"]


@pytest.mark.usefixtures("at_half_past_two")
def test_what_is_another_class_by_now_is_not_told_under_the_old_one():
    newer, older = file_of(("2026aaa", "SN II", "2026-11-21 00:10:00")), file_of(("2026aaa", "SN Ia", "2026-11-20 05:00:00"))
    assert Asked("tns", newer, None, None, older, since=mjd(20), class_name="SN Ia").alerts == []


@pytest.mark.usefixtures("at_half_past_two")
def test_a_day_whose_file_is_not_there_is_missing_and_that_is_said():
    found = Asked("tns", None, None, None, None, file_of(("2026aac", "", "2026-11-19 06:00:00")), since=mjd(19))
    assert found.feedback.lacking == ["tns has no file of the changes of 20261120 yet: they are missing here."]
    assert [alert.object_id for alert in found.alerts] == ["2026aac"]


@pytest.mark.usefixtures("at_half_past_two")
def test_a_day_that_is_kept_no_more_is_read_from_the_file_of_everything():
    day, whole = (
        file_of(("2026aaa", "", "2026-11-20 05:00:00")),
        file_of(("2026aaa", "", "2026-11-20 05:00:00"), ("2026aac", "", "2026-11-19 06:00:00")),
    )
    found = Asked("tns", None, None, None, day, None, whole, since=mjd(18))
    assert [path.rpartition("objects")[2] for path, _ in found.asked[3:]] == ["_20261120.csv.zip", "_20261119.csv.zip", ".csv.zip"]
    assert [alert.object_id for alert in found.alerts] == ["2026aaa", "2026aac"]
    assert found.feedback.whole
    assert not Asked("tns", None, None, None, day, None, None, since=mjd(18)).feedback.whole


@pytest.mark.usefixtures("at_half_past_two")
def test_a_class_without_a_window_is_of_everything():
    found = Asked("tns", None, None, None, file_of(("2010aaa", "TDE", "2011-01-01 00:00:00")), class_name="TDE")
    assert found.asked[-1][0] == "system/files/tns_public_objects/tns_public_objects.csv.zip"
    assert [alert.object_id for alert in found.alerts] == ["2010aaa"]


@pytest.mark.usefixtures("at_half_past_two")
def test_a_file_of_a_day_is_asked_for_when_the_ones_before_are_used_up():
    broker, http = load("tns"), Answers(None, None, None, file_of(("2026aaa", "", "2026-11-20 05:00:00")), file_of())
    alerts = broker.query(broker.checked(Question(since=mjd(19))), http, Feedback())
    next(alerts)
    assert len(http.asked) == 4
    assert list(alerts) == []
    assert len(http.asked) == 5


@pytest.mark.usefixtures("at_half_past_two")
@pytest.mark.parametrize("form", [{"stamp": ""}, {"quoted": False}, {"stamp": "2026-11-20\r\n", "quoted": False}])
def test_the_date_above_the_header_and_quotes_may_be_missing(form):
    assert len(Asked("tns", file_of(("2026aaa", "", "2026-11-21 01:00:00"), **form), None, None, since=mjd(21)).alerts) == 1


@pytest.mark.usefixtures("at_half_past_two")
@pytest.mark.parametrize(
    "body", [b"<html>down</html>", b"PK\x03\x04cut", file_of(("2026aaa", "", "2026-11-21"))[:-30], b"", b'"date"\n"a","b"\n"1","2"\n']
)
def test_a_file_that_was_cut_off_or_is_none_is_malformed(body):
    with pytest.raises(Malformed):
        Asked("tns", body, None, None, since=mjd(21))


@pytest.mark.parametrize(
    "bad",
    [answer("No results found."), {"id_code": 401, "id_message": "Unauthorized"}, b"<html>maintenance</html>", [1], answer({"radeg": 1.0})],
)
def test_an_answer_that_is_not_as_documented_is_malformed(bad):
    with pytest.raises(Malformed):
        Asked("tns", bad, object_id="2021rf")


def test_it_is_refused_what_it_cannot_be_asked():
    assert "Did you mean 'SN Ia'" in refused("tns", class_name="SNIa")
    assert "cannot be asked by --ssobject" in refused("tns", ssobject="8467")


@needs_recordings
def test_a_real_object_has_its_golden_numbers(recorded):
    (alert,) = Asked("tns", json.loads(recorded("tns/object_1999gy_old_reply_layer.json")), object_id="AT 1999gy").alerts
    assert (alert.ra, alert.dec, alert.mag, alert.filter) == (244.991894009, -1.174747776, 17.88, "r(TNS)")
    assert (alert.time, alert.classification, alert.names) == ("1999-03-21T11:27:29Z", None, ("AT 1999gy",))


@needs_recordings
def test_a_real_object_of_ampel_s_mirror_is_read_though_it_has_no_place(recorded):
    (alert,) = Asked("tns", answer(json.loads(recorded("tns/object_2020ubb_fields_via_ampel.json"))), object_id="2020ubb").alerts
    assert (alert.ra, alert.mag, alert.filter, alert.time) == (None, 19.1521, "r(ZTF)", "2020-09-23T08:28:24Z")
    assert alert.names == ("AT 2020ubb", "ZTF20acddzrd")


@needs_recordings
@pytest.mark.usefixtures("at_half_past_two")
def test_real_rows_of_the_public_table_have_their_golden_numbers():
    rows = pq.read_table(FIXTURES / "tns" / "fink_tns_raw.parquet").drop_columns(["fullname", "internalname", "__index_level_0__"])
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerows(
        [["2026-11-21 00:00:00"], rows.column_names, *(["" if v is None else v for v in row.values()] for row in rows.to_pylist())]
    )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("tns_public_objects.csv", text.getvalue())
    found = Asked("tns", None, None, None, packed.getvalue(), since=50000.0).alerts
    assert [(alert.names[0], alert.classification, alert.mag, alert.filter) for alert in found] == [
        ("AT 2026cqa", None, 19.908, "r(ZTF)"), ("SN 2022and", "SN II", 18.965, "o(ATLAS)"), ("SN 2018lzf", "SN Ia", 16.97, "g(ZTF)"),
    ]  # fmt: skip
    assert found[1].names[1:] == ("ATLAS22cwl", "PS22agq", "ZTF22aaaifcx")
    assert found[0].time == "2026-02-09T03:46:46Z"


@pytest.fixture
def tonight(monkeypatch):
    """The broker's clock stands where the emulator's does."""
    monkeypatch.setattr(tns, "now", lambda: datetime(1858, 11, 17, tzinfo=UTC) + timedelta(days=NOON))


@pytest.mark.usefixtures("tonight")
def test_the_simulated_changes_of_some_days_come_through_the_command_line(evening):
    since = NOON - 4.0
    assert evening(f"alerts query --broker tns --since {since} --json") == 0
    reports = sorted(tns_reports.changed(evening.sky, since, NOON), key=lambda one: one.changed, reverse=True)
    assert [row["object_id"] for row in evening.objects] == [one.name for one in reports]
    assert {row["classification"] for row in evening.objects} <= {"SN Ia", None}
    one = reports[0]
    for question in (f"--object {one.name}", f"--object {one.internal.split(',')[1]}", f"--cone {one.star.ra},{one.star.dec},3"):
        assert evening(f"alerts query --broker tns {question} --json") == 0
        (row,) = evening.objects
        assert (row["object_id"], row["mag"], row["mjd"]) == (one.name, pytest.approx(one.mag), pytest.approx(one.discovered, abs=2e-5))


@pytest.mark.usefixtures("tonight")
def test_the_same_object_of_several_brokers_is_one_target(evening):
    """TNS knows it by its name, ZTF's brokers by theirs; Gaia and Lasair tell of it by place and by id."""
    one = next(one for one in tns_reports.changed(evening.sky, NOON - 30.0, NOON) if one.kind)
    oid = one.internal.split(",")[1]
    for broker, question in (("tns", one.name), ("lasair", oid), ("antares", oid), ("alerce", oid), ("fink", oid)):
        assert evening(f"alerts query --broker {broker} --object {question} --add-targets --json") == 0, evening.err
        assert evening.objects, broker
    evening("targets list --json")
    (target,) = evening.objects
    assert target["name"] == one.name
    evening(f"targets show --target '{target['name']}' --json")
    assert (evening.objects[0]["id_TNS"], evening.objects[0]["id_ZTF"]) == ([one.name], [oid])


def test_without_a_bot_it_is_not_asked_and_the_way_to_get_one_is_told(harvest):
    assert harvest("alerts query --broker tns --object 2021rf", emulate=False) == 4
    assert "Add a bot" in harvest.err


@pytest.mark.usefixtures("tonight")
def test_a_saved_question_tells_a_transient_once_and_makes_a_target_of_it(evening):
    assert evening(f"alerts query --broker tns --since {NOON - 3.0} --save reports --add-targets --json") == 0, evening.err
    names = {row["object_id"] for row in evening.objects}
    assert names == {one.name for one in tns_reports.changed(evening.sky, NOON - 3.0, NOON)}
    assert evening("alerts saved run --name reports --json") == 0, evening.err
    assert names
    assert not [row for row in evening.objects if row.get("object_id") in names]
    evening("targets list --json")
    assert {row["name"] for row in evening.objects} == names
