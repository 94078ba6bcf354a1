"""TNS: each reported point under the survey that took it, in the system of its passband; quotas and keys are obeyed."""

import json

import httpx
import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from conftest import needs_recordings
from loopback import Loopback, Reply

from harvester.access import credentials
from harvester.delivery import deliver
from harvester.emulator import tns as service
from harvester.errors import Malformed, Refused
from harvester.payload import Payload
from harvester.session import Client, Credentials, Service
from harvester.session.pace import Clock
from harvester.session.verdict import quota_wait
from harvester.source import Pace, Query, load
from harvester.target import Target

TNS = load("tns")
MARKER = 'tns_marker{"tns_id":1,"type":"bot","name":"sim"}'
BOT = {"headers": {"User-Agent": MARKER}, "fields": {"api_key": "emulated-key"}}
POINT = {"obsdate": "2021-01-12 13:07:10", "jd": 2459227.0466435, "flux": 20.0864, "fluxerr": 0.158485, "limflux": 20.4038, "exptime": 30}
POINT |= {"flux_unit": {"id": 1, "name": "ABMag"}, "instrument": {"id": 196, "name": "ZTF-Cam"}, "telescope": {"id": 1, "name": "P48"}}
POINT |= {"filters": {"id": 110, "name": "g"}, "observer": "Robot", "remarks": ""}
THING = {"objname": "2021rf", "radeg": 150.0, "decdeg": 2.0, "photometry": [POINT]}


def answered(data, code=200):
    return Payload(json.dumps({"id_code": code, "id_message": "OK", "data": data}).encode(), source="tns")


def delivered(*points):
    return deliver(TNS, [answered(THING | {"photometry": list(points)})])


def point(filter_id, name, camera=(33, "SIM-Cam"), unit="ABMag", **said):
    parts = {"filters": {"id": filter_id, "name": name}, "instrument": dict(zip(("id", "name"), camera, strict=True))}
    return POINT | parts | {"flux_unit": {"id": 1, "name": unit}} | said


class Scripted:
    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    def post(self, path, *, data, accept=()):
        self.asked.append((path, json.loads(data["data"])))
        return self.answers.pop(0)


@pytest.mark.parametrize(
    ("filter_id", "name", "camera", "filter_"),
    [
        (110, "g", 196, "g(ZTF)"), (111, "r-ZTF", 196, "r(ZTF)"), (112, "i", 196, "i(ZTF)"), (71, "cyan", 153, "c(ATLAS)"),
        (72, "orange-ATLAS", 167, "o(ATLAS)"), (160, "u", 287, "u(LSST)"), (165, "y", 289, "y(LSST)"), (56, "g", 98, "g(PS1)"),
        (59, "z", 257, "z(PS1)"), (26, "w-PS1", 154, "w(PS1)"), (75, "G", 163, "G(GAIA_ALERTS)"), (120, "L-GOTO", 265, "L(GOTO)"),
        (12, "V-Johnson", 195, "V(ASASSN)"), (21, "g-Sloan", 195, "g(ASASSN)"), (22, "r", 140, "r(TNS)"), (13, "R-Cousins", 33, "R(TNS)"),
    ],
)  # fmt: skip
def test_a_point_is_the_survey_s_that_took_it(filter_id, name, camera, filter_):
    unit = "VegaMag" if filter_[0] in "GVR" else "ABMag"
    assert delivered(point(filter_id, name, (camera, "x"), unit)).rows["filter"].to_pylist() == [filter_]


@pytest.mark.parametrize(
    ("filter_id", "name", "camera", "unit"),
    [(0, "Clear", 33, "ABMag"), (110, "r", 196, "ABMag"), (110, "g", 163, "ABMag"), (22, "r", 33, "mJy"), (999, "g", 33, "ABMag")],
)
def test_words_that_do_not_agree_go_to_quarantine_and_are_not_guessed(filter_id, name, camera, unit):
    found = delivered(point(filter_id, name, (camera, "x"), unit), POINT)
    assert (found.rows.num_rows, found.rejected.num_rows) == (1, 1)


def test_a_magnitude_in_another_system_is_turned_into_that_of_the_passband_and_suspect():
    gaia, asassn = delivered(point(75, "G", (163, "Gaia"), flux=18.91)), delivered(point(21, "g", (195, "ASAS-SN"), "VegaMag"))
    assert gaia.rows["mag"].to_pylist()[0] == pytest.approx(18.91 - 2.5 * np.log10(3630.7805 / 3269.858))
    assert gaia.rows["quality"].to_pylist() == [1]
    assert asassn.rows["mag"].to_pylist()[0] == pytest.approx(20.0864)
    assert delivered(POINT).rows["quality"].to_pylist() == [0]


@pytest.mark.parametrize("nothing", [None, ""])
def test_a_point_without_flux_is_a_limit(nothing):
    (row,) = delivered(POINT | {"flux": nothing, "fluxerr": nothing}).rows.to_pylist()
    assert (row["upper_limit"], row["limiting_mag"], row["mag"], row["mag_err"]) == (True, 20.4038, None, None)


def test_numbers_may_be_text():
    (row,) = delivered(POINT | {"flux": "20.0864", "fluxerr": "0.158485", "jd": "2459227.0466435", "exptime": "30"}).rows.to_pylist()
    assert (row["mag"], row["mag_err"], row["time"], row["exptime"]) == (20.0864, 0.158485, 2459227.0466435, 30.0)


def test_points_are_told_apart_by_everything_that_names_them():
    found = delivered(POINT, POINT | {"flux": 20.1}, POINT | {"telescope": {"id": 2, "name": "P60"}})
    assert len(set(found.rows["observation_id"].to_pylist())) == 3


def test_the_layer_of_before_2025_is_still_understood():
    old = deliver(TNS, [answered({"received_data": {"objname": "2021rf"}, "reply": THING})])
    assert old.rows.equals(delivered(POINT).rows)


@pytest.mark.parametrize("data", [{}, [], {"reply": []}, {"reply": {}}, THING | {"photometry": []}])
def test_nothing_reported_is_nothing(data):
    assert deliver(TNS, [answered(data)]).rows.num_rows == 0


@pytest.mark.parametrize(
    "payload",
    [
        answered(THING, code=401), answered("No results found."), answered(None), answered({"objname": "x"}),
        answered(THING | {"photometry": [{}]}), answered(THING | {"radeg": None}), Payload(b"<html>down</html>", source="tns"),
        answered([THING]), Payload(b"[1]", source="tns"), answered(THING | {"photometry": [POINT | {"filters": None}]}),
    ],
)  # fmt: skip
def test_what_is_not_as_documented_is_malformed_and_kept(payload):
    with pytest.raises(Malformed) as caught:
        deliver(TNS, [payload])
    assert caught.value.payload.body == payload.body


@pytest.mark.parametrize(
    ("name", "asked"),
    [("SN 2021rf", "2021rf"), ("AT2021RF", "2021rf"), ("2021rf", "2021rf"), ("SN1987a", "1987A"), ("TDE 2019abc", "2019abc")],
)
def test_a_name_is_asked_for_without_its_prefix_and_without_a_search(name, asked):
    http = Scripted(answered(THING))
    list(TNS.fetch(Query((Target("x", 1.0, 2.0, aliases=(name,)),), 3.0), http))
    assert http.asked == [("api/get/object", {"objname": asked, "photometry": "1"})]


@pytest.mark.parametrize("name", ["RR Lyr", "Gaia21sim", "SN SIM 2021a", "2MASS J1234", "NGC 2021"])
def test_other_targets_are_searched_for_by_their_place(name):
    http = Scripted(answered([{"objname": "2021rf", "prefix": "SN", "objid": 5}]), answered(THING))
    objects, light = TNS.fetch(Query((Target(name, 1.0, 2.0),), 3.0), http)
    assert http.asked[0] == ("api/get/search", {"ra": "1.000000", "dec": "2.000000", "radius": "3.00", "units": "arcsec"})
    assert (objects.role, deliver(TNS, [objects, light]).rows.num_rows) == ("objects", 1)


def test_no_hit_is_nothing_and_costs_one_request():
    http = Scripted(answered([]))
    assert [payload.role for payload in TNS.fetch(Query((Target("x", 1.0, 2.0),), 3.0), http)] == ["objects"]


def test_its_ids_are_not_taken_for_those_of_the_surveys(harvest, emulator):
    assert harvest("fetch --source tns --target 'SN 2021sima'") == 0
    harvest("targets show --target 'SN 2021sima' --json")
    assert {name for name in harvest.objects[0] if name.startswith("id_")} == {"id_TNS"}


def test_a_survey_s_own_ids_do_not_keep_reported_points_out():
    target = Target("x", 150.0, 2.0, ids={"ZTF": ("ZTF21aaa",)})
    assert delivered(POINT).share(target, 3.0, windowed=True).rows.num_rows == 1


@pytest.mark.parametrize("target", ["SN 2021sima", "150.25 2.25"])
def test_the_stored_points_are_the_simulated_ones(harvest, emulator, tmp_path, target):
    assert harvest(f"fetch --source tns --target {target!r}") == 0
    assert harvest(f"export -o {tmp_path / 'out.parquet'} --quality all -q") == 0
    (star,) = emulator.sky.named("SN 2021sima")
    truth = service.points(emulator.sky.seed, star)
    found = pq.read_table(tmp_path / "out.parquet").sort_by("time")
    assert np.abs(found["bjd_tdb"].to_numpy() - truth["bjd_tdb"]).max() < 1e-3 / 86400
    assert found["upper_limit"].to_pylist() == (~truth["seen"]).tolist()
    assert np.nanmax(np.abs(found["mag"].to_numpy() - truth["mag"])) < 1e-9
    assert set(pc.unique(found["filter"]).to_pylist()) == {"g(ZTF)", "r(ZTF)", "G(GAIA_ALERTS)", "V(ASASSN)", "i(TNS)"}
    pulls = ((truth["mag"] - truth["true_mag"]) / truth["error"])[truth["seen"]]
    assert abs(pulls.mean()) < 5 / np.sqrt(len(pulls))


@pytest.mark.parametrize("shown", [{}, {"headers": {"User-Agent": MARKER}}, BOT | {"fields": {"api_key": "wrong"}}])
def test_who_says_not_who_it_is_or_shows_no_key_is_refused(running, shown):
    place = f"{running[1].url}/www.wis-tns.org/"
    with Client() as client:
        http = client.session(Service("tns", place, Pace(1000, 1), TNS.base_url, credentials=Credentials(**shown)))
        with pytest.raises(Refused):
            list(TNS.fetch(Query((Target("SN 2021sima", 1.0, 2.0),), 3.0), http))


def test_a_bot_is_shown_as_the_service_wants_to_see_it():
    secrets = {"bot_id": "48", "bot_name": "sim", "api_key": "secret-key"}
    shown = credentials("tns", TNS.credentials, secrets, simulated=False)
    assert shown.headers == {"User-Agent": 'tns_marker{"tns_id":48,"type":"bot","name":"sim"}'}
    assert (shown.fields, shown.params) == ({"api_key": "secret-key"}, {})


def test_a_bot_without_a_key_is_told_how_to_get_one():
    with pytest.raises(Refused, match="needs a api_key") as caught:
        credentials("tns", TNS.credentials, {"bot_id": "48", "bot_name": "sim"}, simulated=False)
    assert "Add a bot" in caught.value.why
    assert "HARVESTER_TNS_API_KEY" in caught.value.hint


def test_the_key_is_in_the_form_that_is_sent_and_nowhere_else():
    with Loopback() as server, Client() as client:
        server.script("/p", Reply(b"{}"))
        shown = Credentials({"User-Agent": MARKER}, fields={"api_key": "secret-key"})
        http = client.session(Service("tns", server.url, Pace(1000, 1), credentials=shown))
        payload = http.post("p", data={"data": "secret-key?"})
        http.post("p", json={"a": 1})
    assert server.seen[0].form == {"data": ["secret-key?"], "api_key": ["secret-key"]}
    assert server.seen[0].headers["user-agent"] == MARKER
    assert json.loads(server.seen[1].body) == {"a": 1}
    assert "secret-key" not in f"{payload.url} {payload.params} {shown!r}"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-rate-limit-remaining": "5", "x-rate-limit-reset": "20"}, None), ({"x-rate-limit-remaining": "0", "x-rate-limit-reset": "20"}, 21),
        ({"x-rate-limit-remaining": "Exceeded", "x-rate-limit-reset": "20"}, 21), ({}, None), ({"x-rate-limit-remaining": "0"}, None),
        ({"x-cone-rate-limit-remaining": "0", "x-cone-rate-limit-reset": "7"}, 8), ({"x-rate-limit-remaining": "0", "x-rate-limit-reset": "x"}, None),
    ],
)  # fmt: skip
def test_a_quota_that_is_used_up_is_waited_for(headers, seconds):
    assert quota_wait(headers) == seconds


def test_a_used_quota_holds_the_next_request_and_429_is_tried_again_after_the_reset():
    used = {"x-rate-limit-remaining": "0", "x-rate-limit-reset": "30"}
    waited = []

    class Hasty(Clock):
        at = 0.0

        def now(self):
            return self.at

        def sleep(self, seconds):
            waited.append(seconds)
            self.at += seconds

        def chance(self):
            return 0.5

    with Loopback() as server, Client(clock=Hasty()) as client:
        server.script("/p", Reply(b"{}", headers=used), Reply(b'{"id_code":429}', 429, used), Reply(b"{}"))
        http = client.session(Service("tns", server.url, Pace(1000, 1)))
        http.post("p", data={"a": "1"})
        http.post("p", data={"a": "2"})
    assert len(server.seen) == 3
    assert sum(waited) == pytest.approx(62, abs=0.1)


def test_the_emulator_counts_as_the_service_does(running):
    place = f"{running[1].url}/www.wis-tns.org/api/get/search"
    form = {"api_key": "k", "data": json.dumps({"ra": 10, "dec": 10, "radius": 3, "units": "arcsec"})}
    answers = [httpx.post(place, data=form, headers={"User-Agent": MARKER}) for _ in range(11)]
    assert answers[0].json()["data"] == []
    assert 429 in {answer.status_code for answer in answers}
    last = next(answer for answer in answers if answer.status_code == 429)
    assert last.headers["x-cone-rate-limit-remaining"] == "Exceeded"
    assert 0 <= int(last.headers["x-cone-rate-limit-reset"]) <= 60


@needs_recordings
def test_the_real_answer_has_its_golden_values(recorded):
    found = deliver(TNS, [Payload(recorded("tns/object_1999gy_old_reply_layer.json"), source="tns")])
    (row,) = found.rows.to_pylist()
    assert found.rejected.num_rows == 0
    assert (row["filter"], row["mag"], row["time"], row["object_id"]) == ("r(TNS)", 17.88, 2451258.977419, "1999gy")
    assert (row["ra"], row["dec"]) == (244.991894009, -1.174747776)


def test_a_name_that_it_does_not_know_is_nothing_and_believed():
    unknown = Payload(b'{"id_code":404,"id_message":"Not found"}', source="tns", doubt="HTTP 404")
    (answer,) = TNS.fetch(Query((Target("SN 2021zzzz", 1.0, 2.0),), 3.0), Scripted(unknown))
    assert (answer.role, answer.doubt) == ("objects", "")


def test_a_name_matched_before_is_asked_for_without_a_search():
    http = Scripted(answered(THING))
    list(TNS.fetch(Query((Target("x", 150.0, 2.0, ids={"TNS": ("2021rf",)}),), 3.0), http))
    assert [path for path, _ in http.asked] == ["api/get/object"]


def test_a_place_without_reports_is_an_honest_empty(harvest, emulator):
    assert harvest("fetch --source tns --target '10.0 -10.0' --json") == 0
    assert harvest.objects[0]["outcome"] == "empty"


def test_a_page_in_place_of_an_answer_is_malformed(harvest, emulator):
    from harvester.emulator.faults import Faults

    emulator.faults = Faults({"tns": ["html"]})
    assert harvest("fetch --source tns --target '10.0 -10.0' --json") == 1
    assert harvest.objects[0]["error"] == "malformed"
