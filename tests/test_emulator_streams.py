"""The simulated alert streams: what every emulated broker hands on, against the simulated truth."""

import numpy as np
import pytest

from harvester.emulator import lsst_stream, ztf_stream
from harvester.emulator.sky import Sky

SKY = Sky()
W_VIR, SUPERNOVA, RR_LYR, BARNARD = (SKY.named(name)[0] for name in ("W Vir", "SN SIM 2026a", "RR Lyr", "Barnard's star"))
ZERO = 23.9


def ujy(mag):
    return 10.0 ** (-0.4 * (mag - ZERO))


def pulls(measured, true, errors):
    return np.std((measured - true) / errors)


@pytest.mark.parametrize("star", [W_VIR, RR_LYR])
def test_a_difference_and_its_reference_make_the_true_brightness(star):
    rows = ztf_stream.stream(SKY, star).detections
    sign = np.where(rows["positive"], 1.0, -1.0)
    total = ujy(rows["magnr"]) + sign * ujy(rows["magpsf"])
    error = rows["sigmapsf"] * np.log(10) / 2.5 * ujy(rows["magpsf"])
    assert len(rows) > 500
    assert 0.9 < pulls(total, ujy(rows["true_mag"]), error) < 1.1
    assert np.mean(rows["distnr"] < 1.4) > 0.95, "RR Lyr moves away from its place on the reference"
    assert 0.2 < np.mean(rows["positive"]) < 0.8


def test_a_supernova_is_not_on_the_reference_its_neighbour_is():
    rows = ztf_stream.stream(SKY, SUPERNOVA).detections
    assert rows["positive"].all()
    assert (rows["distnr"] > 3).all()
    assert 0.8 < pulls(ujy(rows["magpsf"]), ujy(rows["true_mag"]), rows["sigmapsf"] * np.log(10) / 2.5 * ujy(rows["magpsf"])) < 1.2


def test_an_alert_is_known_by_its_number_and_begins_at_a_whole_second():
    found = ztf_stream.stream(SKY, W_VIR)
    for rows in (found.detections, found.limits, found.forced):
        seconds = (rows["jd"] - 2400000.5) * 86400
        assert np.abs(seconds - np.round(seconds)).max() < 0.02
        assert len(set(rows["pid"].tolist())) == len(rows)
    candid = found.detections["candid"]
    assert len(set(candid.tolist())) == len(candid)
    assert (candid // 10**6 == found.detections["pid"]).all()
    assert candid.min() > 2**53 // 10**4


def test_limits_and_forced_photometry_stand_in_the_30_days_before_an_alert():
    found = ztf_stream.stream(SKY, W_VIR)
    alerts = found.detections["jd"]
    for rows in (found.limits, found.forced):
        following = alerts[np.searchsorted(alerts, rows["jd"], side="left")]
        assert (following - rows["jd"] <= 30.0).all()
    assert found.forced["jd"].min() > 2460200.5
    assert not set(found.limits["jd"].tolist()) & set(alerts.tolist())


def test_forced_photometry_is_that_of_the_alert_on_the_same_exposure():
    found = ztf_stream.stream(SKY, SUPERNOVA)
    _, forced, alerts = np.intersect1d(found.forced["jd"], found.detections["jd"], return_indices=True)
    assert len(forced) > 20
    rows, same = found.forced[forced], found.detections[alerts]
    mag = rows["magzpsci"] - 2.5 * np.log10(np.abs(rows["forcediffimflux"]))
    assert mag == pytest.approx(same["magpsf"], abs=1e-5)


def test_lsst_serves_total_template_and_difference_that_fit():
    rows = lsst_stream.stream(SKY, W_VIR).detections
    clean = rows[~rows["pixelFlags_cr"]]
    assert clean["scienceFlux"] - clean["templateFlux"] == pytest.approx(clean["psfFlux"], rel=1e-9, abs=1.0)
    true = 10.0 ** (-0.4 * (clean["true_mag"] - 31.4))
    assert 0.6 < pulls(clean["scienceFlux"], true, clean["scienceFluxErr"]) < 1.4
    assert lsst_stream.stream(SKY, W_VIR).dia_object_id == rows["diaSourceId"][0] > 2**53


def test_who_is_out_of_reach_or_never_changes_gives_no_alerts():
    assert lsst_stream.stream(SKY, RR_LYR) is None, "too far north"
    assert ztf_stream.stream(SKY, BARNARD) is None, "constant"
    assert ztf_stream.stream(SKY, SKY.named("R Hya")[0]) is not None
    assert ztf_stream.stream(SKY, SKY.named("Proxima Centauri")[0]) is None, "too far south"


def test_an_object_is_found_by_place_and_by_name():
    for module, name in ((ztf_stream, "oid"), (lsst_stream, "dia_object_id")):
        found = module.stream(SKY, W_VIR)
        assert module.by_id(SKY, getattr(found, name)) is found
        assert module.near(SKY, found.ra, found.dec, 1 / 3600)[0] is found
        assert module.near(SKY, found.ra, found.dec + 0.01, 1 / 3600) == []
    assert ztf_stream.by_id(SKY, "ZTF18aaaaaaa") is None
    assert lsst_stream.by_id(SKY, 170587116732416143) is None


def test_a_host_that_varies_has_its_object_under_the_name_it_was_found_by():
    places = [(150.0 + step / 50, 10.0) for step in range(40)]
    found = [one for place in places for one in ztf_stream.near(SKY, *place, 1.5 / 3600)]
    assert found
    assert all(ztf_stream.by_id(SKY, one.oid) is one for one in found)
