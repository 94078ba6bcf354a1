"""Real answers of ALeRCE and Fink become rows, none of the good ones refused, with the numbers that the services print themselves."""

import csv
import json

import numpy as np
import pytest
import yaml
from conftest import FIXTURES, needs_recordings

from harvester.alert_photometry import records, ztf_alerts
from harvester.delivery import deliver, with_bjd_tdb
from harvester.errors import Malformed
from harvester.payload import Payload
from harvester.source import load
from harvester.target import Target

pytestmark = needs_recordings
ALERCE, LSST = "https://api.alerce.online", "https://api-lsst.alerce.online"
VARIABLE = f"{ALERCE}/ztf/v1/objects/ZTF20aaelulu/lightcurve?survey_id=ztf"
FORCED = f"{ALERCE}/v2/lightcurve/forced-photometry/ZTF18aaueixg?survey_id=ztf"
DETECTED = f"{LSST}/lightcurve_api/detections?survey_id=lsst&oid=170587116732416143"


def delivered(source, body, url=""):
    delivery = deliver(load(source), [Payload(body, url=url, source=source)])
    assert delivery.rejected.num_rows == 0
    return delivery.rows.to_pylist()


def test_a_real_light_curve_of_alerce_has_its_golden_numbers(recorded):
    rows = delivered("alerce", recorded("alerce/bhtom2_lightcurve_2det_1nondet.json"), VARIABLE)
    assert [(row["filter"], row["mag"], row["observation_id"]) for row in rows[:2]] == [
        ("g(ZTF)", 18.492537, "1796284252615015007"), ("r(ZTF)", 18.522156, "1796381872615015011"),
    ]  # fmt: skip
    assert [row["mag_err"] for row in rows[:2]] == pytest.approx([0.07618386, 0.06272002], rel=1e-5), "sigmapsf_corr_ext"
    assert (rows[2]["upper_limit"], rows[2]["limiting_mag"], rows[2]["mag"]) == (True, 20.4739, None), (
        "tom_base #1193: a limit is no magnitude"
    )


def test_a_real_point_is_not_off_by_its_reference(recorded):
    """The difference is 20.15, the star 18.01: 2.1 mag apart."""
    first = delivered("alerce", recorded("alerce/tom_base_lightcurve_1det_1nondet.json"), VARIABLE)[0]
    assert (first["mag"], first["mag_err"]) == (18.00878, pytest.approx(0.026005577, rel=1e-5))


def test_a_real_light_curve_with_nulls_is_read(recorded):
    rows = delivered("alerce", recorded("alerce/bhtom2_lightcurve_nones.json"), VARIABLE)
    assert [row["flags"].split()[0] for row in rows] == ["difference", "total"]


@pytest.mark.parametrize("name", ["ztf_v1_detections_ZTF18abcgqmz", "ztf_v1_detections_ZTF26abxsxww_uncorrected"])
def test_real_detections_of_alerce_lack_keys_and_are_read(recorded, name):
    listed = json.loads(recorded(f"alerce/{name}.json"))
    rows = delivered("alerce", json.dumps({"detections": listed, "non_detections": []}).encode(), VARIABLE)
    for row, own in zip(rows, listed, strict=True):
        assert row["mag"] == own.get("magpsf_corr", own["magpsf"])
        assert row["mag_err"] == pytest.approx(own.get("sigmapsf_corr_ext", own["sigmapsf"]), rel=1e-5)
        assert row["observation_id"] == own["candid"]
        assert row["flags"].split()[0] == ("total" if own["corrected"] else "difference")


@pytest.mark.parametrize("name", ["ZTF18aasycma_20231012", "ZTF19aawgxdn_20231025", "ZTF18abbuive_20240325"])
def test_every_real_detection_of_a_download_has_alerce_s_own_magnitude_and_error(name):
    detections, limits = (table(f"{name}_{kind}.csv") for kind in ("detections", "non_detections"))
    rows = ztf_alerts(detections, limits).to_pylist()
    served = detections.to_pylist()
    corrected = [(row, own) for row, own in zip(rows, served, strict=False) if own["corrected"].lower() == "true" and own["total"]]
    assert all(row["flags"].startswith("total") for row, _ in corrected)
    off = [abs(row["mag_err"] / float(own["sigmapsf_corr_ext"]) - 1) for row, own in corrected if float(own["sigmapsf_corr_ext"]) < 99]
    assert max(off, default=0) < 1e-3
    assert sum(row["upper_limit"] is True for row in rows) == limits.num_rows
    assert len({row["observation_id"] for row in rows}) == len(rows)


def table(name):
    with (FIXTURES / "alerce" / name).open(newline="") as file:
        rows = [{key: value or None for key, value in row.items()} | {"object_id": "Z"} for row in csv.DictReader(file)]
    return records(Payload(b""), rows, names={"magpsf_corr": "total"})


@pytest.mark.parametrize(("name", "count"), [("v2_forced_photometry_ZTF18aaueixg", 15), ("v2_forced_photometry_mongo", 8)])
def test_real_forced_photometry_of_alerce_has_its_own_totals(recorded, name, count):
    said = json.loads(recorded(f"alerce/{name}.json"))
    served = said["forced_photometry"] if isinstance(said, dict) else said
    rows = delivered("alerce", recorded(f"alerce/{name}.json"), FORCED)
    assert len(rows) == count == len({row["observation_id"] for row in rows})
    for row, own in zip(rows, served, strict=True):
        assert row["filter"][1:] == "(ZTF_FP)"
        if own["corrected"]:
            assert (row["mag"], row["mag_err"]) == (own["mag_corr"], pytest.approx(own["e_mag_corr_ext"], rel=1e-6))


def test_totals_that_alerce_made_with_the_reference_of_another_filter_are_suspect(recorded):
    """All 15 name the reference image of the alert that brought them, which is of g: so is the light that was added to those in r."""
    rows = delivered("alerce", recorded("alerce/v2_forced_photometry_ZTF18aaueixg.json"), FORCED)
    assert {(row["filter"], "foreign_reference" in row["flags"]) for row in rows} == {("g(ZTF_FP)", False), ("r(ZTF_FP)", True)}
    assert all(row["quality"] > 0 for row in rows if row["filter"] == "r(ZTF_FP)")


def test_real_detections_of_lsst_have_their_golden_numbers(recorded):
    rows = delivered("alerce", recorded("alerce/lsst_detections_170587116732416143.json"), DETECTED)
    first = rows[0]
    assert (first["filter"], first["object_id"], first["observation_id"]) == ("i(LSST)", "170587116732416143", "170587116732416143")
    assert first["mag"] == pytest.approx(31.4 - 2.5 * np.log10(6471.1646), abs=1e-4)
    assert "psfFlux=-2615.273" in first["flags"]
    assert [row["observation_id"] for row in rows[1:]] == ["170587117134545027", "170587117274005632"]


def test_a_real_answer_of_fink_has_its_own_dc_magnitude():
    (interaction,) = yaml.safe_load((FIXTURES / "fink/skyportal_cassette_fink_ztf_objects.yaml").read_text())["interactions"]
    body = interaction["response"]["body"]["string"].encode()
    rows = delivered("fink", body)
    assert [row["observation_id"] for row in rows] == ["3072410265715010069", "2889095235715010034", "2123204965715010022"]
    assert rows[0]["mag"] == pytest.approx(13.478812562763736, abs=1e-6), "the mean of its only point, in d:lc_features_g"
    (served, *_) = json.loads(body)
    bjd = with_bjd_tdb(deliver(load("fink"), [Payload(body, source="fink")]).rows, Target("x", 284.65, 29.09), load("fink").systems())[
        "bjd_tdb"
    ][0]
    assert abs((bjd.as_py() - served["i:jd"]) * 86400 - 15) < 500, "middle of the exposure, and up to 500 s of light time"


def test_real_lists_of_objects_are_read(recorded):
    from harvester.alert_photometry import things
    from harvester.sources.alerce import PLACE, items

    payload = Payload(recorded("alerce/ztf_v1_objects_stamp_SN_firstmjd.json"), source="alerce")
    assert len(things(payload, items(payload), "ZTF", PLACE)) == 8, "four objects, each with its forced photometry"
    lsst = Payload(recorded("alerce/lsst_object_170587116732416143.json"), source="alerce")
    assert things(lsst, [json.loads(lsst.body)], "LSST", PLACE)[0].object_id == "170587116732416143"
    assert items(Payload(recorded("alerce/ztf_v1_objects_empty.json"))) == []


def test_a_real_cone_of_fink_is_read(recorded):
    from harvester.alert_photometry import things
    from harvester.sources.fink import PLACE, rows_of

    payload = Payload(recorded("fink/ztf_conesearch_one_row.json"), source="fink")
    (thing, _) = things(payload, rows_of(payload), "ZTF", PLACE["ZTF"])
    assert (thing.object_id, thing.ra, thing.dec) == ("ZTF26aawdxet", 304.3485634, -13.3842553)
    assert thing.epoch == pytest.approx(2026.398, abs=0.001)


@pytest.mark.parametrize("name", ["lsst_tags_invalid_tag_400.txt", "lsst_sso_unresolved_400.txt"])
def test_real_complaints_of_fink_are_no_data(recorded, name):
    with pytest.raises(Malformed):
        load("fink").normalise(Payload(recorded(f"fink/{name}"), source="fink"))
