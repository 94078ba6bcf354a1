"""ALeRCE: what is asked, what is believed of the answers, and the way from the simulated alerts into the store."""

import csv
import json
import re
import urllib.error
import urllib.request
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from test_sources import Scripted

from harvester.emulator import alerce as service
from harvester.emulator import lsst_stream, ztf_stream
from harvester.emulator.faults import Faults
from harvester.emulator.sky import Sky
from harvester.errors import Malformed
from harvester.payload import Payload
from harvester.source import Query, load
from harvester.target import Target

SKY = Sky()
W_VIR, SUPERNOVA, RR_LYR = (SKY.named(name)[0] for name in ("W Vir", "SN SIM 2026a", "RR Lyr"))
ITEM = {"oid": "ZTF18aaaaaaa", "meanra": 10.0, "meandec": 20.0, "firstmjd": 58300.0, "lastmjd": 60300.0}
PLACE = Target("x", 10.0, 20.0)
NOTHING = b'{"total": null, "items": []}'
MS = 1e-3 / 86400


def listing(*items):
    return json.dumps({"total": None, "has_next": False, "items": list(items)}).encode()


def fetched(*answers, target=PLACE):
    http = Scripted(*answers)
    return list(load("alerce").fetch(Query((target,), 1.5), http)), http.asked


def get(server, host, path):
    try:
        with urllib.request.urlopen(f"{server.url}/{host}{path}") as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def test_both_surveys_are_asked_around_the_place_and_each_object_for_all_its_photometry():
    lsst = {**ITEM, "oid": 170587116732416143}
    payloads, asked = fetched(listing(ITEM, ITEM), b"{}", b"[]", listing(lsst), b"[]", b"[]")
    assert [path for _, path, _ in asked] == [
        "ztf/v1/objects/",
        "ztf/v1/objects/ZTF18aaaaaaa/lightcurve?survey_id=ztf",
        "v2/lightcurve/forced-photometry/ZTF18aaaaaaa?survey_id=ztf",
        "https://api-lsst.alerce.online/object_api/list_objects",
        "https://api-lsst.alerce.online/lightcurve_api/detections?survey_id=lsst&oid=170587116732416143",
        "https://api-lsst.alerce.online/lightcurve_api/forced-photometry?survey_id=lsst&oid=170587116732416143",
    ]
    assert [(thing.object_id, thing.survey, thing.has_photometry) for thing in payloads[0].objects + payloads[3].objects] == [
        ("ZTF18aaaaaaa", "ZTF", True), ("ZTF18aaaaaaa", "ZTF_FP", None),
        ("170587116732416143", "LSST", True), ("170587116732416143", "LSST_FP", None),
    ]  # fmt: skip


def test_a_star_that_moves_is_looked_for_where_it_left_its_alerts():
    _, asked = fetched(NOTHING, NOTHING, target=Target("fast", 10.0, 20.0, pmra=1000.0, pmdec=0.0))
    where = asked[0][2]
    assert where["radius"] == pytest.approx(1.5 + 4.5, abs=1e-3)
    assert (where["ra"] - 10.0) * 3600 * np.cos(np.radians(20)) == pytest.approx(22.0, abs=0.01), "0.0 in 2000, 22 arcsec in 2022"


def test_pages_are_asked_for_until_one_is_not_full_whatever_has_next_says():
    full = listing(*({**ITEM, "oid": f"ZTF18{number:07}"} for number in range(100)))
    payloads, asked = fetched(full, NOTHING, *[b"[]"] * 200, NOTHING)
    assert [len(payload.objects) for payload in payloads if payload.role == "objects"] == [200, 0, 0]
    assert [params["page"] for _, _, params in asked if params] == [1, 2, 1]


@pytest.mark.parametrize("body", [b'{"message": "gone"}', b"[]", b"<html>busy</html>", b'{"items": [3]}', b'{"items": [{"oid": "Z"}]}'])
def test_a_list_that_is_none_is_malformed_and_kept(body):
    with pytest.raises(Malformed) as caught:
        fetched(body, NOTHING)
    assert caught.value.payload.body == body


def test_a_light_curve_without_its_object_s_name_is_malformed():
    with pytest.raises(Malformed, match="without its object"):
        load("alerce").normalise(Payload(b'{"detections": [], "non_detections": []}', source="alerce"))


def test_stars_and_supernovae_come_into_the_store_as_the_simulation_has_them(harvest, emulator):
    assert harvest("fetch --source alerce --target 'W Vir' --target 'SN SIM 2026a' --target 'RR Lyr' --json") == 0
    assert {outcome["outcome"] for outcome in harvest.objects} == {"new"}
    assert sum(outcome["quarantined"] for outcome in harvest.objects) == 0
    for star in (W_VIR, SUPERNOVA, RR_LYR):
        name = star.name.removeprefix("NAME ").removeprefix("V* ")
        assert harvest(f"export --target '{name}' --format csv --quality all -o light.csv") == 0
        compare(star, rows_of("light.csv"))


def rows_of(path):
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def compare(star, rows):
    """Every detection is there under its own id; times are right to a millisecond, totals to their errors."""
    ztf, lsst = ztf_stream.stream(SKY, star), lsst_stream.stream(SKY, star)
    truth = {str(row["candid"]): row for row in ztf.detections} | {
        str(row["diaSourceId"]): row for row in (lsst.detections if lsst else ())
    }
    found = {row["observation_id"]: row for row in rows if row["filter"].endswith(("(ZTF)", "(LSST)")) and row["upper_limit"] == "false"}
    assert found.keys() == truth.keys()
    assert max(abs(float(row["bjd_tdb"]) - truth[key]["bjd_tdb"]) for key, row in found.items()) < MS
    pulls = [
        (float(row["mag"]) - truth[key]["true_mag"]) / float(row["mag_err"])
        for key, row in found.items()
        if row["mag"] and row["quality"] == "0"
    ]
    assert len(pulls) > 20
    assert abs(np.mean(pulls)) < 0.3
    assert 0.7 < np.std(pulls) < 1.3
    limits = [row for row in rows if row["upper_limit"] == "true" and row["filter"].endswith("(ZTF)")]
    assert len(limits) == len(ztf.limits)
    weak = {row["observation_id"]: float(row["flux"]) <= 3 * float(row["flux_err"]) for row in rows if "_FP)" in row["filter"]}
    assert weak == {row["observation_id"]: row["upper_limit"] == "true" for row in rows if "_FP)" in row["filter"]}
    forced = [row for row in rows if row["filter"].endswith("(ZTF_FP)")]
    assert len(forced) == len(ztf.forced)
    assert len([row for row in rows if row["filter"].endswith("(LSST_FP)")]) == (len(lsst.forced) if lsst else 0)


def test_nothing_there_is_empty(harvest, emulator):
    assert harvest("fetch --source alerce --target '180.0 45.0' --json") == 0
    assert [outcome["outcome"] for outcome in harvest.objects] == ["empty"]


@pytest.mark.parametrize("fault", ["html", "500", "truncated"])
def test_a_service_that_fails_is_told_as_failing(harvest, emulator, fault):
    emulator.faults = Faults({"alerce": [fault]})
    assert harvest("fetch --source alerce --target 'W Vir' --json") != 0
    assert harvest.objects[0]["outcome"] == "failed"
    assert harvest.objects[0]["error"] == {"html": "malformed", "500": "unreachable"}.get(fault, fault)


def test_the_service_answers_as_the_dossier_says(running):
    _, server = running
    oid = ztf_stream.stream(SKY, W_VIR).oid
    status, told = get(server, "api.alerce.online", f"/ztf/v1/objects/?oid={oid}&page_size=1")
    assert (status, told["total"], told["has_next"], len(told["items"])) == (200, None, False, 1), "there are two, and nobody says so"
    status, told = get(server, "api.alerce.online", f"/ztf/v1/objects/?oid={oid}&page_size=1&count=true")
    assert (told["total"], told["has_next"]) == (2, True)
    assert isinstance(told["items"][0]["ndethist"], str)
    assert get(server, "api.alerce.online", "/ztf/v1/objects/ZTF00nothere/lightcurve")[0] == 404
    assert get(server, "api.alerce.online", f"/ztf/v1/objects/{oid}/lightcurve?survey_id=nix")[0] == 400
    assert get(server, "api.alerce.online", "/v2/lightcurve/forced-photometry/ZTF00nothere") == (200, [])
    assert get(server, "api-lsst.alerce.online", "/object_api/object?survey_id=lsst&oid=1")[0] == 500
    assert get(server, "api-lsst.alerce.online", "/lightcurve_api/detections?survey_id=lsst&oid=1") == (200, [])
    rows = get(server, "api.alerce.online", f"/ztf/v1/objects/{ztf_stream.stream(SKY, SUPERNOVA).oid}/detections")[1]
    assert all("magpsf_corr" not in row for row in rows), "what is not corrected has no such key"
    assert all(isinstance(row["candid"], str) for row in rows)


def test_the_service_s_own_client_reads_it(running, tmp_path, monkeypatch):
    pytest.importorskip("alerce", reason="the client of ALeRCE is not installed")
    _, server = running
    import alerce.core

    config = json.loads(next(path for path in files("alerce").iterdir() if path.name == "default_config.json").read_text())
    text = re.sub(r"https://(api(?:-lsst)?\.alerce\.online)", rf"{server.url}/\1", json.dumps(config))
    (tmp_path / "config.json").write_text(text)
    monkeypatch.setenv("ALERCE_CONFIG_PATH", str(tmp_path / "config.json"))
    client = alerce.core.Alerce()
    found = ztf_stream.stream(SKY, W_VIR)
    detections = client.query_detections(found.oid, format="json", survey="ztf")
    assert {row["candid"] for row in detections} == {str(row["candid"]) for row in found.detections}
    lsst = lsst_stream.stream(SKY, W_VIR)
    told = client.query_detections(str(lsst.dia_object_id), format="json", survey="lsst")
    assert {row["measurement_id"] for row in told} == {int(row["diaSourceId"]) for row in lsst.detections}


def test_the_service_corrects_as_the_pipeline_does():
    """ALeRCE's own number for a real alert (ZTF18abcgqmz): 15.501175 +- 0.009777568, and no error where the root is negative."""
    row = {"magnr": 15.4490, "sigmagnr": 0.2, "magpsf": 18.770634, "sigmapsf": 0.19861613, "positive": False}
    mag, error, error_ext = service._total(row)
    assert (mag, error_ext) == pytest.approx((15.501175, 0.009777568), rel=1e-5)
    assert error == 100.0
