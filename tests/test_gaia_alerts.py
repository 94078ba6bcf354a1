"""Gaia Alerts: the list and the cone on the sphere, light curves in all their headers, the modelled errors, and the way into the store."""

import csv
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from loopback import Loopback, Reply
from test_sources import light_curve

from harvester.delivery import deliver
from harvester.emulator import gaia_alerts
from harvester.emulator.faults import Faults
from harvester.emulator.server import serve
from harvester.errors import Malformed, Unreachable
from harvester.payload import Payload, SkyObject
from harvester.session import Client, Service
from harvester.source import Http, Pace, Query, load
from harvester.sources.gaia_alerts import modelled_error, separation
from harvester.target import Target

HEAD = "#Name, Date, RaDeg, DecDeg, AlertMag, HistoricMag, HistoricStdDev, Class, Published, Comment, TNSid\n"
POLE = 'Gaia19pol,2019-07-02 12:00:00,10.00000,89.99990,17.10,,,"unknown",2019-07-04 00:00:00,"far north, near the pole",AT2019pol\n'
WRAP = 'Gaia19wrp, 2019-07-02 12:00:00, 359.99990, 0.00000, 17.10, 18.00, 0.20, "unknown", 2019-07-04 00:00:00, "blanks, and a comma", SN2019wrp\n'
NEXT = 'Gaia19nxt,2019-07-02 12:00:00,0.00020,0.00000,17.10,18.00,0.20,"unknown",2019-07-04 00:00:00,"",\n'
INDEX = (HEAD + POLE + WRAP + NEXT).encode()
CURVE = b"Gaia19wrp\n#Date,JD(TCB),averagemag\n2019-03-02 01:12:59,2458544.55068,17.05\n\n"
NEAR_ZERO = Target("near zero", 0.0, 0.0)
FAST = Pace(per_second=1e6, at_once=8)


class Alerts:
    """The service with prepared answers by path; remembers what it was asked."""

    def __init__(self, index=INDEX, curve=CURVE):
        self.index, self.curve, self.asked = index, curve, []

    def once(self, path, **params):
        return self.get(path, **params)

    def get(self, path, **_):
        self.asked.append(path)
        return Payload(self.index if path.endswith("alerts.csv") else self.curve, source="gaia_alerts", url=path)


def fetched(target, http, radius=2.0):
    return list(load("gaia_alerts").fetch(Query((target,), radius), http))


@pytest.mark.parametrize(
    ("mag", "error"), [(10.0, 0.00316), (13.5, 0.00316), (15.0, 0.0063), (17.0, 0.0158), (18.91, 0.0454), (19.0, 0.0479), (20.5, 0.1175)]
)
def test_the_modelled_error_is_that_of_the_dossier(mag, error):
    assert modelled_error(np.array([mag]))[0] == pytest.approx(error, rel=5e-3)


def test_rows_with_a_magnitude_say_that_their_error_is_modelled():
    row = light_curve("gaia_alerts", CURVE).to_pylist()[0]
    assert (row["mag"], row["flags"], row["object_id"]) == (17.05, "mag_err model", "Gaia19wrp")
    assert row["mag_err"] == pytest.approx(10 ** (0.26 * 17.05 - 6.26))


@pytest.mark.parametrize(("ra", "dec", "jd", "bjd_tdb"), [
    (152.445, -53.376, "2456884.18567", 2456884.185456962705),
    (80.869, 21.795, "2459859.65826", 2459859.658000827415),
    (111.55315, -39.30836, "2459464.58863", 2459464.588376953047),
])  # fmt: skip
def test_the_stamp_is_barycentric_tcb_and_no_light_time_is_added(ra, dec, jd, bjd_tdb):
    body = f"Gaia21eeo\n#Date,JD(TCB),averagemag\n2021-09-07 02:07:38,{jd},18.70\n\n".encode()
    (row,) = light_curve("gaia_alerts", body, Target("golden", ra, dec)).to_pylist()
    assert (row["bjd_tdb"] - bjd_tdb) * 86400 == pytest.approx(0, abs=1e-4)


def test_the_cone_is_one_on_the_sphere():
    places = np.array([[10.0, 190.0, 359.9999, 0.0002], [89.9999, 89.9999, 0.0, 0.0]])
    assert separation((10.0, 89.9999), places)[:2] == pytest.approx([0.0, 0.72], abs=1e-9)
    assert separation((0.0, 0.0), places)[2:] == pytest.approx([0.36, 0.72])
    assert [thing.object_id for thing in fetched(Target("opposite, at the pole", 190.0, 89.9999), Alerts())[0].objects] == ["Gaia19pol"]


def test_by_place_all_alerts_inside_the_radius_are_fetched():
    http = Alerts()
    index, *curves = fetched(NEAR_ZERO, http)
    assert [thing.object_id for thing in index.objects] == ["Gaia19wrp", "Gaia19nxt"]
    assert http.asked == ["alerts/alerts.csv", "alerts/alert/Gaia19wrp/lightcurve.csv", "alerts/alert/Gaia19nxt/lightcurve.csv"]
    assert (index.role, len(curves)) == ("objects", 2)
    assert index.objects[0].epoch == pytest.approx(2019.5, abs=0.003)


@pytest.mark.parametrize("name", ["Gaia19wrp", "gaia19WRP", "SN 2019wrp", "AT2019wrp", "2019wrp"])
def test_a_target_called_like_an_alert_or_its_name_in_tns_is_that_alert(name):
    for target in (Target(name, 0.0, 0.0), Target("other", 0.0, 0.0, aliases=(name,))):
        assert [thing.object_id for thing in fetched(target, Alerts())[0].objects] == ["Gaia19wrp"]


def test_an_alert_of_that_name_elsewhere_is_told_and_not_taken():
    (index,) = came = fetched(Target("Gaia19wrp", 0.01, 0.0), Alerts())
    assert index.doubt == 'Gaia19wrp lies 36.4" away, outside the radius'
    assert not deliver(load("gaia_alerts"), came).rows.num_rows


def test_an_alert_on_a_moving_star_is_found_where_it_was():
    moving = Target("fast", 0.0, -0.0055556, pmdec=1000.0)  # passes the place of the alert in the year 2020
    index, *curves = fetched(moving, Alerts())
    assert {thing.object_id for thing in index.objects} == {"Gaia19wrp", "Gaia19nxt"}
    assert len(curves) == 2


@pytest.mark.parametrize("index", [
    b"", HEAD.encode(), INDEX[:-40], b"<html><h1>Down</h1></html>", INDEX.replace(b"359.99990", b"somewhere"), INDEX.replace(b"#Name", b"#Nom"),
    INDEX.replace(b"2019-07-02 12:00:00,10.0", b",10.0"), INDEX.replace(b"Gaia19pol,", b",", 1), INDEX.replace(b"10.00000", b"nan"),
])  # fmt: skip
def test_a_list_that_is_empty_cut_off_or_another_thing_is_malformed_and_kept(index):
    with pytest.raises(Malformed, match="list of alerts") as caught:
        fetched(NEAR_ZERO, Alerts(index))
    assert isinstance(caught.value.payload, Payload)
    assert 1 <= len(caught.value.lines()) <= 3


def test_the_content_says_whose_light_curve_it_is():
    came = fetched(Target("Gaia19nxt", 0.0, 0.0), Alerts())
    delivery = deliver(load("gaia_alerts"), came)
    assert delivery.rejected["reason"].to_pylist() == ["of a thing that was not asked for"]
    assert "lists photometry" in delivery.share(Target("Gaia19nxt", 0.0, 0.0), 2.0, windowed=False).lost


@pytest.mark.parametrize(
    "header", ["#Date,JD(TCB),averagemag", "#Date,JD(TCB),averagemag.", "#Date JD(TCB) averagemag", "#Date,JD,averagemag."]
)
def test_all_headers_seen_in_the_wild_are_read(header):
    body = CURVE.replace(b"#Date,JD(TCB),averagemag", header.encode())
    assert light_curve("gaia_alerts", body)["mag"].to_pylist() == [17.05]


@pytest.mark.parametrize("body", [
    CURVE.replace(b"JD(TCB)", b"JD(UTC)"), CURVE.replace(b"#Date,JD(TCB),averagemag\n", b""), CURVE[:-4], CURVE.replace(b",17.05", b""),
    CURVE.replace(b"Gaia19wrp\n", b""), CURVE.replace(b"2458544.55068", b"58544.05068"), b"Gaia19wrp\nNot found\n", CURVE + b"<!-- cached -->\n",
])  # fmt: skip
def test_a_light_curve_that_is_not_as_documented_is_malformed_and_kept(body):
    payload = Payload(body, source="gaia_alerts")
    with pytest.raises(Malformed) as caught:
        load("gaia_alerts").normalise(payload)
    assert caught.value.payload == payload


def test_a_light_curve_without_a_row_is_suspicious_for_every_alert_has_some():
    came = fetched(Target("Gaia19wrp", 0.0, 0.0), Alerts(curve=CURVE[:35]))
    assert CURVE[:35].endswith(b"averagemag\n")
    assert "lists photometry" in deliver(load("gaia_alerts"), came).share(NEAR_ZERO, 2.0, windowed=False).lost


def test_withheld_and_missing_magnitudes_are_kept_apart_under_the_services_words():
    body = CURVE.replace(b"17.05\n", b"17.05\n2019-03-03 01:12:59,2458545.55068,untrusted\n2019-03-04 01:12:59,2458546.55068,null\n")
    delivery = deliver(load("gaia_alerts"), [Payload(body, objects=(SkyObject("Gaia19wrp", 0.0, 0.0),))])
    assert delivery.rows.num_rows == 1
    assert delivery.rejected["flags"].to_pylist() == ["averagemag untrusted", "averagemag null"]
    assert not pc.any(delivery.rejected["upper_limit"]).as_py()


# once in the life of a client


@pytest.fixture
def server():
    with Loopback() as running:
        yield running


def test_what_serves_many_targets_is_asked_once_in_the_life_of_a_client_by_all_threads(server):
    gate = threading.Event()
    server.script("/list", Reply(b"first", gate=gate), Reply(b"second"))
    with Client() as client, ThreadPoolExecutor(4) as pool:
        sessions: list[Http] = [client.session(Service("demo", server.url, FAST)) for _ in range(4)]
        waiting = [pool.submit(http.once, "list") for http in sessions]
        gate.set()
        assert {future.result().body for future in waiting} == {b"first"}
        assert sessions[0].once("list", other="1").body == b"second"
    assert [seen.query for seen in server.seen] == ["", "other=1"]


def test_a_failure_is_not_remembered(server):
    server.script("/list", Reply(b"", 501), Reply(b"there"))
    with Client() as client:
        http = client.session(Service("demo", server.url, FAST))
        with pytest.raises(Unreachable):
            http.once("list")
        assert http.once("list").body == b"there"


# the simulated service, and the way into the store


def exported(harvest, tmp_path):
    assert harvest(f"export -o {tmp_path / 'out.parquet'} -q") == 0
    return pq.read_table(tmp_path / "out.parquet")


@pytest.mark.parametrize("name", ["SN SIM 2018a", "SS Cyg"])
def test_a_transient_is_stored_as_it_was_simulated(harvest, emulator, tmp_path, name):
    assert harvest(f"fetch --source gaia_alerts --target '{name}' --json") == 0
    (star,) = emulator.sky.named(name)
    (alert,) = [alert for alert in gaia_alerts.alerts(emulator.sky) if alert.star == star]
    truth = gaia_alerts.light_curve(emulator.sky, star)
    rows = exported(harvest, tmp_path).sort_by("bjd_tdb")
    told = np.array([word[0].isdigit() for word in truth.words])
    assert harvest.status == 0
    assert set(rows["filter"].to_pylist()) == {"G(GAIA_ALERTS)"}
    assert set(rows["object_id"].to_pylist()) == {alert.name}
    assert rows.num_rows == told.sum()
    assert np.abs(rows["bjd_tdb"].to_numpy() - truth.bjd_tdb[told]).max() * 86400 < 0.44, "the service prints 0.86 s"
    assert np.abs(rows["mag"].to_numpy() - truth.true_mag[told]).max() < 5 * 0.04


def test_the_store_keeps_count_of_what_the_service_withholds(harvest, emulator):
    assert harvest("fetch --source gaia_alerts --target 'SS Cyg' --json") == 0
    truth = gaia_alerts.light_curve(emulator.sky, emulator.sky.named("SS Cyg")[0])
    withheld = sum(not word[0].isdigit() for word in truth.words)
    assert harvest.objects[0]["quarantined"] == withheld > 10


def test_a_star_without_an_alert_is_an_honest_empty_and_the_list_is_asked_for_once_in_a_run(harvest, emulator):
    assert harvest("fetch --source gaia_alerts --target 'RR Lyr' --target 'SS Cyg' --target 'del Cep' --json") == 0
    assert {found["target"]: found["outcome"] for found in harvest.objects}["SS Cyg"] == "new"
    assert sorted(found["outcome"] for found in harvest.objects) == ["empty", "empty", "new"]
    assert len([path for _, path, _ in emulator.requests if path.endswith("alerts.csv")]) == 1


@pytest.mark.parametrize("fault", ["html", "header-only"])
def test_wrong_answers_under_200_are_no_empty(harvest, emulator, fault):
    emulator.faults = Faults.parse([f"gaia_alerts:{fault}"])
    assert harvest("fetch --source gaia_alerts --target 'RR Lyr' --json") == 1
    assert (harvest.objects[0]["outcome"], harvest.objects[0]["error"]) == ("failed", "malformed")


def test_an_alert_that_the_service_does_not_have_is_a_page_with_status_404(emulator):
    with serve(emulator) as running, Client() as client:
        http = client.session(Service("gaia_alerts", f"{running.url}/gsaweb.ast.cam.ac.uk", FAST))
        with pytest.raises(Malformed, match="HTTP 404"):
            http.get("alerts/alert/Gaia99zzz/lightcurve.csv")
        assert b"var alerts = [" in http.get("alerts/alertsindex").body


def test_a_redirect_to_a_slash_at_the_end_is_followed(server):
    server.script("/alerts/alerts.csv", Reply(INDEX))
    server.script("/alerts/alert/Gaia19wrp/lightcurve.csv", Reply(b"", 301, {"Location": "/alerts/alert/Gaia19wrp/lightcurve.csv/"}))
    server.script("/alerts/alert/Gaia19wrp/lightcurve.csv/", Reply(CURVE))
    with Client() as client:
        came = fetched(Target("Gaia19wrp", 0.0, 0.0), client.session(Service("gaia_alerts", server.url, FAST)))
    assert deliver(load("gaia_alerts"), came).rows["mag"].to_pylist() == [17.05]


def test_the_simulated_list_is_a_csv_with_blanks_in_its_header_and_commas_in_its_comments(emulator):
    from harvester.emulator.gaia_alerts import HEADER, KEYS, csv_list

    class Asked:
        sky = emulator.sky

    head, *lines = csv.reader(csv_list(Asked()).body.decode().splitlines(), skipinitialspace=True)
    assert ", ".join(head) == HEADER
    assert len(head) == len(KEYS)
    assert {len(line) for line in lines} == {len(KEYS)}
    assert any("," in line[KEYS.index("comment")] for line in lines)
