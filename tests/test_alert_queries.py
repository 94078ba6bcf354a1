"""`harvest alerts query` on the simulated sky: tom-fink's five searches, ALeRCE's, and what is refused, kept, and said."""

import os
import subprocess
import sys
import time

import pytest

from harvester.alerts.broker import registered
from harvester.emulator import fink as fink_service
from harvester.emulator import lsst_stream, ztf_stream
from harvester.emulator.faults import Faults
from harvester.emulator.sky import Sky
from harvester.emulator.transients import first_light, is_transient, shining, transients
from harvester.store import Store

SKY = Sky(clock=time)
COLUMNS = "broker survey object_id alert_id time mjd ra dec mag filter classification score names url".split()


@pytest.fixture(scope="module")
def new():
    """A transient with some alerts of the last weeks."""
    found = (ztf_stream.stream(SKY, star) for star in shining(SKY.seed, SKY.now - 60, SKY.now - 20))
    return next(one for one in found if one and len(one.detections) >= 6)


def good(stream):
    """The alerts that pass Fink's cuts, newest first."""
    rows = stream.detections[(stream.detections["rb"] >= fink_service.LEAST_RB) & (stream.detections["nbad"] == 0)]
    return rows[::-1]


def test_an_object_gives_its_alerts_newest_first(harvest, new):
    assert harvest(f"alerts query --broker fink --object {new.oid}") == 0
    assert list(harvest.rows[0]) == COLUMNS
    assert [row["alert_id"] for row in harvest.rows] == [str(candid) for candid in good(new)["candid"]]
    newest = harvest.rows[0]
    assert float(newest["mjd"]) == pytest.approx(good(new)["jd"][0] - 2400000.5, abs=1e-8)
    assert float(newest["mag"]) == good(new)["magpsf"][0]
    assert newest["classification"] in {"SN candidate", "Early SN Ia candidate"}


def test_a_cone_gives_each_object_by_its_latest_alert(harvest, new):
    assert harvest(f"alerts query --broker fink --cone {new.ra},{new.dec},5 --json") == 0
    (alert,) = harvest.objects
    assert (alert["object_id"], alert["alert_id"]) == (new.oid, str(new.detections["candid"][-1]))
    assert alert["payload"]["i:objectId"] == new.oid


def test_a_class_gives_as_many_of_its_latest_alerts_as_are_wanted(harvest):
    assert harvest('alerts query --broker fink --class "SN candidate" --limit 5') == 0
    times = [float(row["mjd"]) for row in harvest.rows]
    assert times == sorted(times, reverse=True)
    assert len(times) == 5
    assert {row["classification"] for row in harvest.rows} == {"SN candidate"}
    assert "as many as asked for" in harvest.err


def test_a_class_and_days_give_all_alerts_of_the_window(harvest, emulator):
    assert harvest('alerts query --broker fink --class "SN candidate" --days 10') == 0
    wanted = set()
    for star in [star for star in (*SKY.famous(), *transients(SKY.seed)) if star.kind == "supernova"]:
        one = ztf_stream.stream(SKY, star)
        for row in good(one) if one else []:
            if row["jd"] - 2400000.5 >= SKY.now - 9.99 and row["jd"] - one.detections["jd"][0] >= 10:
                wanted.add(str(row["candid"]))
    assert {row["alert_id"] for row in harvest.rows} >= wanted
    assert len(wanted) > 10


def test_a_body_of_the_solar_system_gives_its_alerts_and_an_unknown_name_spoils_no_other(harvest):
    assert harvest('alerts query --broker fink --ssobject "nobody, 8467" --days 60 --json') == 0
    assert harvest.objects
    assert all(alert["moving"] and alert["names"] == ["8467"] for alert in harvest.objects)
    assert "nobody is not a valid name or number" in harvest.err


def test_lsst_is_asked_the_same_ways(harvest):
    assert harvest("alerts query --broker fink --survey lsst --class most_likely_sn --limit 3 --json") == 0
    found = harvest.objects
    (one,) = {alert["object_id"] for alert in found[:1]}
    assert len(found) == 3
    assert harvest(f"alerts query --broker fink --survey lsst --object {one} --json") == 0
    stream = lsst_stream.by_id(SKY, int(one))
    assert [alert["alert_id"] for alert in harvest.objects] == [str(number) for number in stream.detections["diaSourceId"][::-1]]
    assert harvest(f"alerts query --broker fink --survey lsst --cone {stream.ra},{stream.dec},3 --json") == 0
    assert [alert["object_id"] for alert in harvest.objects] == [one]
    assert harvest('alerts query --broker fink --survey lsst --ssobject "2007 OR10" --limit 2 --json') == 0
    assert all(alert["moving"] and alert["survey"] == "LSST" for alert in harvest.objects)


@pytest.mark.parametrize(
    "words",
    [
        "--object ZTF18abcdefg --cone 10,20,5",
        "--cone 10,20,99999",
        '--class "Early SN candidate"',
        "--class SN --survey lsst",
        "--object 2026abc",
        "--class 'SN candidate' --days 3 --since 2026-01-01",
        "--class 'SN candidate' --option trend=rising",
        "--class 'SN candidate' --option trend",
        "--class 'SN candidate' --save all",
        "--limit 3",
    ],
)
def test_bad_parameters_are_refused_before_any_request(harvest, emulator, words):
    assert harvest(f"alerts query --broker fink {words}") == 2
    assert harvest.err.startswith("error: ")
    assert emulator.requests == []
    assert not harvest.store.exists()


def test_the_nearest_classes_are_named(harvest):
    harvest('alerts query --broker fink --class "Early SN candidate"')
    assert "'Early SN Ia candidate'" in harvest.err
    assert harvest("alerts query --broker fink --classes --json") == 0
    assert {"broker": "fink", "survey": "lsst", "class": "in_tns"} in harvest.objects


def test_the_brokers_are_listed_with_how_they_are_asked(harvest, emulator):
    assert harvest("alerts brokers --json") == 0
    listed = {row["broker"]: row for row in harvest.objects}
    assert set(listed) == set(registered())
    assert listed["fink"]["asked_by"] == ["object", "cone", "class", "ssobject", "window"]
    assert (listed["fink"]["surveys"], listed["fink"]["credentials"]) == (["ztf", "lsst"], "none needed")
    assert emulator.requests == []


def test_alerce_lists_objects_by_class_and_date_each_once(harvest, new):
    assert harvest("alerts query --broker alerce --class SN --days 40 --json") == 0
    names = [alert["object_id"] for alert in harvest.objects]
    assert new.oid in names
    assert len(set(names)) == len(names)
    assert harvest("alerts query --broker alerce --class SN --days 40 --option probability=0.7") == 0
    assert harvest.rows == []
    assert harvest(f"alerts query --broker alerce --cone {new.ra},{new.dec},3") == 0
    assert [row["object_id"] for row in harvest.rows] == [new.oid]
    assert harvest(f"alerts query --broker alerce --object {new.oid}") == 0
    assert [row["alert_id"] for row in harvest.rows] == [str(candid) for candid in new.detections["candid"][::-1]]


def test_what_nobody_knows_is_said_and_is_no_failure(harvest):
    for broker in ("fink", "alerce"):
        assert harvest(f"alerts query --broker {broker} --object ZTF26zzzzzzz") == 0
        assert "knows no object 'ZTF26zzzzzzz'" in harvest.err


def test_a_broker_that_is_down_is_an_error_and_never_an_empty_answer(harvest, emulator):
    emulator.faults = Faults({"fink": ["html"]})
    assert harvest("alerts query --broker fink --object ZTF26zzzzzzz") == 1
    assert harvest.err.startswith("error: ")
    assert harvest.out == "\t".join(COLUMNS) + "\n"


def test_a_dry_run_prints_the_first_request_and_sends_none(harvest, emulator):
    assert harvest('alerts query --broker fink --class "SN candidate" --since 2026-10-01 -n') == 0
    assert harvest.out.startswith("GET http://127.0.0.1:")
    assert "latests?class=SN%20candidate&n=1000&startdate=2026-10-01" in harvest.out
    assert emulator.requests == []


def test_alerts_are_kept_with_what_was_received_when_asked(harvest, new):
    assert harvest(f"alerts query --broker fink --object {new.oid} --keep") == 0
    assert harvest(f"alerts query --broker fink --object {new.oid} --keep") == 0
    with Store.open(harvest.store, simulated=True) as store:
        kept = store.alerts.alerts(new.oid)
        assert len(kept) == len(good(new))
        assert store.targets() == []
        assert not [finding for finding in store.check() if finding.problems]
    assert harvest("db info --json") == 0
    assert harvest.objects[0]["payloads"] == len(good(new))


def test_pages_are_asked_for_only_as_long_as_somebody_reads(emulator, running, tmp_path):
    code = "from harvester.cli import main; from harvester.cli.options import App\n"
    code += "import types; import harvester.alerts.brokers.fink as fink; fink.PAGE = 5\n"
    code += f"App.emulator = types.SimpleNamespace(url={running[1].url!r})\nmain()"
    words = ["--emulate", "--store", str(tmp_path / "s.db"), "alerts", "query", "--broker", "fink", "--class", "SN candidate"]
    emulator.requests.clear()
    with subprocess.Popen([sys.executable, "-c", code, *words], stdout=subprocess.PIPE, env=os.environ, text=True) as process:
        assert process.stdout.readline().startswith("broker")
        assert process.stdout.readline().startswith("fink")
        process.stdout.close()
        assert process.wait(60) == 0
    assert len(emulator.requests) < 3


def test_a_transient_is_unknown_before_its_first_alert():
    star = next(star for star in shining(SKY.seed, SKY.now - 60, SKY.now - 20) if ztf_stream.stream(SKY, star))
    first = ztf_stream.stream(SKY, star).detections["jd"][0] - 2400000.5

    class Earlier:
        def __init__(self, mjd):
            self.mjd = mjd

        def time(self):
            return (self.mjd - 40587.0) * 86400.0

    assert is_transient(star)
    assert first >= first_light(star)
    assert ztf_stream.stream(Sky(clock=Earlier(first - 0.01)), star) is None
    assert len(ztf_stream.stream(Sky(clock=Earlier(first + 0.01)), star).detections) == 1
    assert len(ztf_stream.stream(Sky(), star).detections) >= len(ztf_stream.stream(SKY, star).detections)
