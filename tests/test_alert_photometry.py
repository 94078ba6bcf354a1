"""Alert photometry: golden values of the dossiers, and one number for one measurement, whatever the road."""

import json

import numpy as np
import pyarrow as pa
import pytest

from harvester.alert_photometry import LSST_TIME, ZTF_TIME, answered, lsst, records, ztf_alerts, ztf_forced, ztf_total
from harvester.errors import Malformed
from harvester.payload import Payload
from harvester.schema import conform
from harvester.source import load

DETECTION = {
    "object_id": "ZTF18abcgqmz", "mjd": 58288.37787039997, "fid": 1, "candid": 534377870115010099, "isdiffpos": "f", "magpsf": 18.770634,
    "sigmapsf": 0.19861613, "magnr": 15.4490, "distnr": 0.81930375, "rb": 0.9,
}  # fmt: skip
FORCED = {"object_id": "ZTF1", "mjd": 60300.0, "fid": 2, "forcediffimflux": 500.0, "forcediffimfluxunc": 20.0, "magzpsci": 26.4}
VISIT = {
    "object_id": "17", "diaSourceId": 170587116732416143, "midpointMjdTai": 61217.5, "band": "i", "psfFlux": -2615.273, "psfFluxErr": 216.23157,
    "scienceFlux": 6471.1646, "scienceFluxErr": 212.64682,
}  # fmt: skip


def table(*rows):
    return records(Payload(b"", source="test"), list(rows))


def detected(**changes):
    return ztf_alerts(table(DETECTION | changes)).to_pylist()[0]


def measured(**changes):
    return ztf_forced(table(FORCED | changes)).to_pylist()


def test_ids_of_64_bits_keep_every_digit():
    found = records(Payload(b'[{"candid": 3072410265715010069}]'), json.loads(b'[{"candid": 3072410265715010069}]'))
    assert found["candid"].to_pylist() == ["3072410265715010069"]


def test_a_measurement_that_lacks_what_it_needs_is_malformed():
    with pytest.raises(Malformed, match="lack: magpsf"):
        records(Payload(b"", source="test"), [{"mjd": 1.0}, {"mjd": 2.0}], "mjd", "magpsf")
    one_null = records(Payload(b""), [{"mjd": 1.0, "magpsf": 2.0}, {"mjd": 1.0}], "mjd", "magpsf")
    assert one_null["magpsf"].to_pylist() == ["2", None], "services leave out what is null"
    for wrong in ({"message": "x"}, ["x"], None, "x"):
        with pytest.raises(Malformed, match="list of measurements"):
            records(Payload(b"", source="test"), wrong)


def test_nothing_in_an_answer_is_null_not_a_word():
    found = records(Payload(b""), [{"a": None, "b": "nan", "c": float("nan"), "d": "", "e": {"f": 1}, "g": False}])
    assert found.to_pylist() == [{"a": None, "b": None, "c": None, "d": None, "f": "1", "g": "False"}]
    assert answered(Payload(b" ")) is None


def test_the_total_is_the_golden_one_of_the_dossier():
    """ZTF19aaosfcb at Fink, whose own DC magnitude for this alert is 13.478812562763736."""
    mag, err = ztf_total([14.903686], [0.06423555], [-1], magnr=[13.22], distnr=[0.22444876])
    assert mag[0] == pytest.approx(13.478812562763736, abs=1e-6)
    assert err[0] == pytest.approx(0.0172912, abs=1e-6)


@pytest.mark.parametrize(("sign", "magnr", "by_hand"), [(-1, 15.4490, 15.501175), (1, 15.4490, 15.399218), (-1, 15.4463, 15.498342)])
def test_the_total_is_the_sum_of_the_reference_and_the_signed_difference(sign, magnr, by_hand):
    """-2.5 log10(10^(-0.4 magnr) + sign 10^(-0.4 magpsf)), by a pocket calculator."""
    assert ztf_total([18.770634], [0.2], [sign], magnr=[magnr], distnr=[0.82])[0][0] == pytest.approx(by_hand, abs=1e-6)


def test_the_error_is_that_of_the_difference_over_the_total_as_alerce_has_it():
    row = detected()
    assert row["mag"] == pytest.approx(15.501175, abs=1e-4)
    assert row["mag_err"] == pytest.approx(0.009777568, rel=1e-3)
    assert row["flags"].startswith("total ")


def test_a_total_that_a_broker_made_gives_the_same_row_as_our_own():
    made = detected(magnr=None, total=detected()["mag"], corrected=True)
    assert {name: made[name] for name in ("mag", "mag_err", "quality")} == pytest.approx(
        {name: detected()[name] for name in ("mag", "mag_err", "quality")}, rel=1e-12
    )
    assert detected(magnr=None, total=15.5, corrected=False)["mag"] is None, "what the broker did not correct is no total"


@pytest.mark.parametrize("far", [{"distnr": 1.4}, {"distnr": None}, {"magnr": -999.0}, {"magnr": None}, {"distnr": -99999.0}])
def test_without_the_object_on_the_reference_the_difference_stays_and_keeps_its_sign(far):
    faded, risen = detected(**far), detected(**far, isdiffpos="t")
    flux = 3630.780547701e6 * 10 ** (-0.4 * 18.770634)
    assert (faded["mag"], faded["mag_err"]) == (None, None)
    assert faded["flux"] == pytest.approx(-flux, rel=1e-9)
    assert faded["flux_err"] == pytest.approx(flux * 0.19861613 * np.log(10) / 2.5, rel=1e-9)
    assert (risen["mag"], risen["mag_err"], risen["flux"]) == (18.770634, 0.19861613, None)
    assert faded["flags"].startswith("difference ")
    assert (faded["quality"], risen["quality"]) == (1, 0)


def test_a_loss_that_outweighs_the_reference_is_no_total():
    row = detected(magpsf=15.0)
    assert row["mag"] is None
    assert row["flux"] < 0


@pytest.mark.parametrize(("word", "sign"), [("t", 1), ("1", 1), (1, 1), (True, 1), ("f", -1), ("0", -1), (-1, -1), (0, -1), (False, -1)])
def test_every_spelling_of_the_sign_is_read(word, sign):
    risen = detected(isdiffpos=word, distnr=9.0)
    assert (risen["mag"] is not None) == (sign > 0)


@pytest.mark.parametrize("word", ["x", "2", None])
def test_a_sign_that_nobody_documents_is_quarantined(word):
    rows = ztf_alerts(table(DETECTION | {"isdiffpos": word})).drop_columns("survey")
    source = load("fink")
    found = conform(rows, survey="ZTF", time_system=source.time_system)
    assert found.rejected["reason"].to_pylist() == ["a number that cannot be read"]


@pytest.mark.parametrize(
    "poor", [{"rb": 0.64}, {"nbad": 1}, {"fwhm": 5.1}, {"elong": 1.21}, {"magdiff": -0.11}, {"rb": None, "drb": 0.4}, {"rb": None}]
)
def test_what_fails_the_survey_s_own_cuts_is_suspect(poor):
    assert detected(nbad=0, fwhm=5.0, elong=1.2, magdiff=0.1)["quality"] == 0
    assert detected(**poor)["quality"] == 1
    assert detected(rb=None, drb=0.5)["quality"] == 0


def test_totals_and_differences_do_not_mix_in_one_light_curve():
    first, later = DETECTION, DETECTION | {"mjd": 58290.5, "candid": 2, "isdiffpos": "t", "distnr": 2.0}
    limit = {"object_id": "ZTF18abcgqmz", "mjd": 58291.5, "fid": 1, "diffmaglim": 20.5}
    rows = ztf_alerts(table(later, first), table(limit)).to_pylist()
    assert [row["quality"] for row in rows] == [1, 0, 1]
    assert "mixed" in rows[0]["flags"]
    assert ztf_alerts(table(later), table(limit))["quality"].to_pylist() == [0, 0], "differences alone are a light curve too"


def test_a_limit_is_five_sigma_and_known_by_object_and_second_on_every_road():
    roads = [58290.5000000004, 2458291.0000000003 - 2400000.5, 58290.5]
    found = [
        ztf_alerts(table(DETECTION), table({"object_id": "Z", "mjd": mjd, "fid": "2", "diffmaglim": "20.5"})).to_pylist()[1]
        for mjd in roads
    ]
    assert {row["observation_id"] for row in found} == {"Z:5036299200"}
    assert [(row["upper_limit"], row["limiting_mag"], row["limit_sigma"], row["mag"]) for row in found] == [(True, 20.5, 5.0, None)] * 3
    absurd = ztf_alerts(table(DETECTION), table({"object_id": "Z", "mjd": 58290.5, "fid": 2, "diffmaglim": 7.1})).to_pylist()[1]
    assert absurd["quality"] == 2


def test_a_detection_without_its_candid_is_known_by_object_and_second():
    assert detected()["observation_id"] == "534377870115010099"
    assert detected(candid=-1)["observation_id"] == detected(candid=None)["observation_id"] == "ZTF18abcgqmz:5036115848"


def test_counts_become_microjanskys_by_the_zero_point_of_their_own_epoch():
    (row,) = measured()
    assert row["mag"] == pytest.approx(26.4 - 2.5 * np.log10(500.0), abs=1e-9)
    (faded,) = measured(forcediffimflux=-500.0)
    assert faded["flux"] == pytest.approx(-500.0 * 10 ** (-0.4 * (26.4 - 23.9)), rel=1e-6)
    assert faded["flux_err"] == pytest.approx(20.0 * 10 ** (-0.4 * (26.4 - 23.9)), rel=1e-6)
    assert faded["limiting_mag"] == pytest.approx(23.9 - 2.5 * np.log10(5 * faded["flux_err"]), abs=1e-6)


def test_forced_photometry_that_failed_is_no_row_and_doubtful_one_is_told():
    assert measured(forcediffimflux=-99999.0, forcediffimfluxunc=-99999.0, magpsf=100.0, sigmapsf=100.0, isdiffpos=1) == []
    grades = {word: measured(procstatus=word)[0]["quality"] for word in ("0", "56", "0,57", "61", "56,61")}
    assert grades == {"0": 0, "56": 1, "0,57": 1, "61": 2, "56,61": 2}
    assert measured()[0]["quality"] == 0, "a road that tells of no status"


def test_lsst_gives_the_total_in_nanojansky_and_tells_the_difference():
    (row,) = lsst(table(VISIT)).to_pylist()
    assert 31.4 - 2.5 * np.log10(row["flux"] * 1000) == pytest.approx(21.87254, abs=1e-5)
    assert (row["flux"], row["flux_err"]) == pytest.approx((6.4711646, 0.21264682))
    assert row["flags"].startswith("total psfFlux=-2615.273")
    assert row["limiting_mag"] == pytest.approx(31.4 - 2.5 * np.log10(5 * 212.64682), abs=1e-5)


def test_lsst_without_a_total_keeps_the_signed_difference():
    for missing in (
        {"scienceFlux": None, "scienceFluxErr": None},
        {"scienceFlux": 0.0, "scienceFluxErr": 0.0},
        {"scienceFlux": float("nan")},
    ):
        (row,) = lsst(table(VISIT | missing)).to_pylist()
        assert row["flux"] == pytest.approx(-2.615273)
        assert row["flags"].startswith("difference ")


@pytest.mark.parametrize(("flag", "quality"), [
    ({}, 0), ({"isDipole": True}, 1), ({"pixelFlags_cr": 1}, 1), ({"psfFlux_flag": "true"}, 1), ({"centroid_flag": 0}, 0),
    ({"timeWithdrawnMjdTai": 61218.5, "isDipole": True}, 2), ({"timeWithdrawnMjdTai": None}, 0),
])  # fmt: skip
def test_rubin_s_flags_grade_and_what_was_withdrawn_is_bad(flag, quality):
    assert lsst(table(VISIT | flag))["quality"].to_pylist() == [quality]


def test_a_visit_without_an_id_is_known_by_object_and_second():
    (row,) = lsst(table(VISIT), forced=True).to_pylist()
    assert (row["survey"], row["observation_id"]) == ("LSST_FP", "17:5289192000")


def test_no_rows_are_no_rows():
    empty = pa.table({name: pa.array([], pa.string()) for name in (*DETECTION, *FORCED, *VISIT)})
    assert [ztf_alerts(empty).num_rows, ztf_forced(empty).num_rows, lsst(empty).num_rows] == [0, 0, 0]


@pytest.mark.parametrize(("counts", "limit"), [(30.0, False), (29.9, True), (-500.0, True)])
def test_forced_flux_of_ztf_below_three_sigma_is_a_limit_that_keeps_its_signed_flux(counts, limit):
    """A magnitude of 23.5 +- 18 is no detection."""
    row = {"object_id": "Z", "mjd": "60252.1", "fid": "1", "forcediffimflux": str(counts), "forcediffimfluxunc": "10.0", "magzpsci": "26.2"}
    (found,) = conform(ztf_forced(table(row)).drop_columns(["survey"]), survey="ZTF_FP", time_system=ZTF_TIME).rows.to_pylist()
    assert (found["upper_limit"], found["mag"] is None) == (limit, limit)
    assert found["flux"] == pytest.approx(counts * 10 ** (0.4 * (23.9 - 26.2)), rel=1e-6)
    assert found["flux_err"] == pytest.approx(10.0 * 10 ** (0.4 * (23.9 - 26.2)), rel=1e-6)
    assert found["limiting_mag"] == pytest.approx(26.2 - 2.5 * np.log10(50.0), abs=1e-6)


@pytest.mark.parametrize(
    ("flux", "forced", "limit"), [(601.0, True, False), (599.0, True, True), (-5000.0, True, True), (599.0, False, False)]
)
def test_forced_flux_of_lsst_below_three_sigma_is_a_limit_and_an_alert_never_is(flux, forced, limit):
    row = {"object_id": "7", "midpointMjdTai": "61235.4", "band": "g", "psfFlux": str(flux), "psfFluxErr": "200.0"}
    row |= {"diaSourceId": "1", "diaForcedSourceId": "2"}
    survey = "LSST_FP" if forced else "LSST"
    (found,) = conform(lsst(table(row), forced=forced).drop_columns(["survey"]), survey=survey, time_system=LSST_TIME).rows.to_pylist()
    assert (found["upper_limit"], found["flux"]) == (limit, pytest.approx(flux / 1000))
    assert (found["mag"] is None) == limit
