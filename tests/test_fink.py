"""Fink: what is asked, what is believed of the answers, the way into the store, and one point for one alert whatever the road."""

import csv
import json
import urllib.error
import urllib.request
from pathlib import Path

import pyarrow.compute as pc
import pytest
from test_alerce import MS, SKY, SUPERNOVA, W_VIR
from test_sources import Scripted

from harvester.delivery import deliver
from harvester.emulator import lsst_stream, ztf_stream
from harvester.emulator.faults import Faults
from harvester.errors import Malformed
from harvester.payload import Payload
from harvester.source import Query, load
from harvester.target import Target

PLACE = Target("x", 10.0, 20.0)
ZTF, LSST = "https://api.ztf.fink-portal.org/api/v1", "https://api.lsst.fink-portal.org/api/v1"
OBJECT = {"i:objectId": "ZTF18aaaaaaa", "i:ra": 10.0, "i:dec": 20.0, "i:jd": 2459300.5}
THING = {"r:diaObjectId": 170657518965489670, "r:ra": 10.0, "r:dec": 20.0, "r:midpointMjdTai": 61235.4}
ALERT = {
    "i:objectId": "ZTF18aaaaaaa", "i:candid": 3072410265715010069, "i:jd": 2460826.9102662, "i:fid": 1, "i:isdiffpos": "f",
    "i:magpsf": 14.903686, "i:sigmapsf": 0.06423555, "i:magnr": 13.22, "i:distnr": 0.22444876, "i:rb": 0.9, "d:tag": "valid",
}  # fmt: skip


def fetched(*answers):
    http = Scripted(*(answer if isinstance(answer, Exception | bytes) else json.dumps(answer).encode() for answer in answers))
    return list(load("fink").fetch(Query((PLACE,), 1.5), http)), http.asked


def rows_of(*rows):
    return deliver(load("fink"), [Payload(json.dumps(rows).encode(), source="fink")])


def post(server, host, name, said, method="POST"):
    data = json.dumps(said).encode() if said is not None else None
    headers = {"Content-Type": "application/json"} if data else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{server.url}/{host}/api/v1/{name}", data, headers, method=method)) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_both_apis_are_asked_and_ids_go_as_text():
    payloads, asked = fetched([OBJECT], [], [THING], [], [])
    assert [path for _, path, _ in asked] == [
        f"{ZTF}/conesearch",
        f"{ZTF}/objects",
        *(f"{LSST}/{name}" for name in ("conesearch", "sources", "fp")),
    ]
    assert (asked[1][2]["objectId"], asked[1][2]["withupperlim"]) == ("ZTF18aaaaaaa", "True")
    assert asked[3][2]["diaObjectId"] == asked[4][2]["diaObjectId"] == "170657518965489670"
    assert [(thing.survey, thing.object_id) for thing in payloads[2].objects] == [
        ("LSST", "170657518965489670"),
        ("LSST_FP", "170657518965489670"),
    ]
    assert [thing.survey for thing in payloads[0].objects] == ["ZTF"], "Fink has no forced photometry of ZTF"


@pytest.mark.parametrize(
    "body", [b"{'status': 'error', 'text': 'x'}", b'{"message": "Internal Server Error"}', b"[3]", b'[{"i:objectId": "Z"}]']
)
def test_an_answer_that_is_no_list_of_rows_is_malformed_and_kept(body):
    with pytest.raises(Malformed) as caught:
        fetched(body, [])
    assert caught.value.payload.body == body


@pytest.mark.parametrize(("change", "why"), [
    ({"d:tag": "upper"}, "a tag that nobody documents"),
    ({"i:magpsf": ...}, "columns missing: magpsf"),
    ({"i:candid": ...}, "lack: candid"),
    ({"i:jd": ...}, "lack: jd"),
])  # fmt: skip
def test_what_is_believed_of_an_alert_fails_loudly_when_it_is_wrong(change, why):
    row = {key: value for key, value in (ALERT | change).items() if value is not ...}
    with pytest.raises(Malformed, match=why):
        rows_of(row)


def test_an_answer_that_was_cut_is_malformed():
    with pytest.raises(Malformed, match="cut at 10000 rows"):
        load("fink").normalise(Payload(json.dumps([{"i:objectId": "Z"}] * 10_000).encode(), source="fink"))


def test_tags_part_detections_from_limits():
    poor = {
        "i:objectId": "ZTF18aaaaaaa",
        "i:jd": 2460641.6,
        "i:fid": "1",
        "i:isdiffpos": "f",
        "i:magpsf": "16.394012",
        "i:sigmapsf": "0.08",
        "i:magnr": "13.22",
        "i:distnr": "0.49",
    }
    assert rows_of(poor | {"i:candid": -1, "i:rb": 0.99, "d:tag": "badquality"}).rows["quality"].to_pylist() == [1], (
        "whatever else is said of it"
    )
    limit = {"i:objectId": "ZTF18aaaaaaa", "i:candid": -1, "i:jd": 2460640.7, "i:fid": "2", "i:diffmaglim": "20.4739", "d:tag": "upperlim"}
    rows = rows_of(ALERT, poor | {"i:candid": -1, "d:tag": "badquality"}, limit).rows.to_pylist()
    assert [(row["filter"], row["upper_limit"], row["quality"]) for row in rows] == [
        ("g(ZTF)", False, 0),
        ("g(ZTF)", False, 1),
        ("r(ZTF)", True, 1),
    ]
    assert [row["observation_id"] for row in rows] == ["3072410265715010069", "ZTF18aaaaaaa:5239391040", "ZTF18aaaaaaa:5239313280"]
    assert rows[0]["time"] == 2460826.9102662 - 2400000.5


def test_a_column_that_is_null_in_every_row_may_be_left_out():
    row = {"r:diaObjectId": 1, "r:diaSourceId": 2, "r:midpointMjdTai": 61235.4, "r:band": "g", "r:psfFlux": -30.0, "r:psfFluxErr": 2.0}
    (found,) = rows_of(row).rows.to_pylist()
    assert (found["filter"], found["mag"], found["flux"]) == ("g(LSST)", None, pytest.approx(-0.03))
    with pytest.raises(Malformed, match="lack: psfFluxErr"):
        rows_of({key: value for key, value in row.items() if key != "r:psfFluxErr"})


def test_stars_and_supernovae_come_into_the_store_as_the_simulation_has_them(harvest, emulator):
    assert harvest("fetch --source fink --target 'W Vir' --target 'SN SIM 2026a' --json") == 0
    assert [(outcome["outcome"], outcome["quarantined"]) for outcome in harvest.objects] == [("new", 0)] * 2
    for star, name in ((W_VIR, "W Vir"), (SUPERNOVA, "SN SIM 2026a")):
        assert harvest(f"export --target '{name}' --format csv --quality all -o light.csv") == 0
        with Path("light.csv").open(newline="") as file:
            rows = {row["observation_id"]: row for row in csv.DictReader(file)}
        ztf, lsst = ztf_stream.stream(SKY, star), lsst_stream.stream(SKY, star)
        good = ztf.detections[(ztf.detections["rb"] >= 0.55) & (ztf.detections["nbad"] == 0)]
        truth = {str(row["candid"]): row for row in good} | {str(row["diaSourceId"]): row for row in lsst.detections}
        truth |= {str(row["diaForcedSourceId"]): row for row in lsst.forced}
        assert truth.keys() <= rows.keys()
        assert len(rows) == len(ztf.detections) + len(ztf.limits) + len(lsst.detections) + len(lsst.forced)
        assert max(abs(float(rows[key]["bjd_tdb"]) - row["bjd_tdb"]) for key, row in truth.items()) < MS
        sure = {key: row for key, row in truth.items() if rows[key]["mag"] and rows[key]["quality"] == "0" and row["true_mag"] < 25}
        off = [(float(rows[key]["mag"]) - row["true_mag"]) / float(rows[key]["mag_err"]) for key, row in sure.items()]
        assert len(off) > 20
        assert max(map(abs, off)) < 5


def test_one_alert_is_one_point_with_one_brightness_whatever_the_road(harvest, emulator):
    """Fink first, then ALeRCE: what both have is known already, and what ALeRCE says of it alone agrees with what is stored."""
    points = {}
    for order in (("fink", "alerce"), ("alerce", "fink")):
        harvest.store = Path(f"{order[0]}.db").resolve()
        for source in order:
            assert harvest(f"fetch --source {source} --target 'W Vir' --json") == 0
        (second,) = harvest.objects
        assert second["known_elsewhere"] > 800
        assert second["revised"] == 0
        assert harvest("export --target 'W Vir' --format csv --quality all -o light.csv") == 0
        with Path("light.csv").open(newline="") as file:
            points[order[0]] = {(row["filter"], row["observation_id"]): row for row in csv.DictReader(file)}
    assert points["fink"].keys() == points["alerce"].keys()
    for key, row in points["fink"].items():
        other = points["alerce"][key]
        assert row["upper_limit"] == other["upper_limit"]
        for name in ("mag", "mag_err", "limiting_mag", "flux"):
            assert (row[name] == "") == (other[name] == "")
            assert float(row[name] or 0) == pytest.approx(float(other[name] or 0), abs=1e-3, rel=1e-3 if name == "flux" else 0)
        assert abs(float(row["bjd_tdb"]) - float(other["bjd_tdb"])) < MS


@pytest.mark.parametrize("fault", ["html", "500", "truncated"])
def test_a_service_that_fails_is_told_as_failing(harvest, emulator, fault):
    emulator.faults = Faults({"fink": [fault]})
    assert harvest("fetch --source fink --target 'W Vir' --json") != 0
    assert harvest.objects[0]["outcome"] == "failed"


def test_nothing_there_is_empty(harvest, emulator):
    assert harvest("fetch --source fink --target '180.0 45.0' --json") == 0
    assert [outcome["outcome"] for outcome in harvest.objects] == ["empty"]


def test_the_service_answers_as_the_dossier_says(running):
    _, server = running
    ztf, lsst = "api.ztf.fink-portal.org", "api.lsst.fink-portal.org"
    oid, dia = ztf_stream.stream(SKY, W_VIR).oid, lsst_stream.stream(SKY, W_VIR).dia_object_id
    assert post(server, ztf, "objects", None, "GET")[0] == 200, "a description"
    status, said = post(server, ztf, "objects", {"columns": "i:jd"})
    assert (status, said[:19]) == (400, "{'status': 'error',"), "a Python dictionary, no JSON"
    assert post(server, ztf, "objects", {"objectId": "ZTF00nothere"}) == (200, "[]")
    assert post(server, lsst, "sources", {"diaObjectId": dia})[0] == 500, "a number where text is due"
    rows = json.loads(post(server, lsst, "sources", {"diaObjectId": str(dia), "columns": "r:diaSourceId,r:ssObjectId"})[1])
    assert set(rows[0]) == {"r:diaSourceId"}, "what is null in every row is left out"
    plain, everything = (json.loads(post(server, ztf, "objects", {"objectId": oid, "withupperlim": limits})[1]) for limits in (False, True))
    assert {row.get("d:tag") for row in plain} == {None}
    assert {row["d:tag"] for row in everything} == {"valid", "badquality", "upperlim"}
    lost = [row for row in everything if row["d:tag"] == "badquality"]
    assert all(row["i:candid"] == -1 and isinstance(row["i:magpsf"], str) and row["i:rb"] is None for row in lost)
    assert [row["i:jd"] for row in everything] == sorted((row["i:jd"] for row in everything), reverse=True)
    cone = {"ra": 0, "dec": 0, "radius": 18_001}
    assert post(server, ztf, "conesearch", cone)[0] == 400


def test_the_expected_quarantine_of_a_strange_band():
    row = {"r:diaObjectId": 1, "r:diaSourceId": 2, "r:midpointMjdTai": 61235.4, "r:band": "N540", "r:psfFlux": 3.0, "r:psfFluxErr": 2.0}
    delivery = rows_of(row)
    assert delivery.rejected["reason"].to_pylist() == ["unknown passband"]
    assert pc.sum(delivery.rows["payload"]).as_py() is None
