"""The survey's own client talks to the simulated ANTARES as to the real one, and gets what we get."""

import importlib.util

import numpy as np
import pytest
from test_alerce import SKY, W_VIR

from harvester.emulator import lsst_stream, ztf_stream
from harvester.emulator.antares import LEAST_RB

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("antares_client") is None, reason="antares-client, the survey's own, is not installed"),
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture
def search(running, monkeypatch):
    """The client's search, which learns its address when it is imported: it is given another connection."""
    from antares_client import search as theirs

    connection = theirs.ANTARESAPIClient(base_url=f"{running[1].url}/api.antares.noirlab.edu/v2/", timeout=30)
    monkeypatch.setattr(theirs, "api_client", connection)
    yield theirs
    connection.client.close()


def test_a_cone_gives_the_locus_and_its_alerts_the_packets(search):
    from astropy.coordinates import Angle, SkyCoord

    ztf, lsst = ztf_stream.stream(SKY, W_VIR), lsst_stream.stream(SKY, W_VIR)
    (locus,) = search.cone_search(SkyCoord(ztf.ra, ztf.dec, unit="deg"), Angle(2.0, "arcsec"))
    alerts = {alert.alert_id: alert for alert in search.api_client.get_locus_alerts(locus.locus_id)}
    kept = ztf.detections[ztf.detections["rb"] >= LEAST_RB]
    assert {name for name in alerts if name.startswith("ztf_candidate")} == {f"ztf_candidate:{candid}" for candid in kept["candid"]}
    assert sum(name.startswith("lsst") for name in alerts) == len(lsst.detections)
    first = alerts[f"ztf_candidate:{kept['candid'][0]}"]
    assert (first.properties["ztf_magpsf"], first.mjd) == (kept["magpsf"][0], kept["jd"][0] - 2400000.5)


def test_an_id_of_either_survey_gives_the_locus_with_its_light_curve(search):
    ztf, lsst = ztf_stream.stream(SKY, W_VIR), lsst_stream.stream(SKY, W_VIR)
    locus = search.get_by_ztf_object_id(ztf.oid)
    assert search.get_by_lsst_dia_object_id(str(lsst.dia_object_id)).locus_id == locus.locus_id
    curve = locus.lightcurve
    seen = curve[(curve["ant_survey"] == 1)]
    kept = ztf.detections[ztf.detections["rb"] >= LEAST_RB]
    assert len(seen) == len(kept)
    error = np.hypot(seen["ant_magerr_corrected"], 0.01).to_numpy()
    assert np.abs((np.sort(seen["ant_mag_corrected"]) - np.sort(kept["true_mag"])) / error).mean() < 2, "total magnitudes"
    assert set(curve.loc[curve["ant_survey"] == 2, "ant_mag"].isna()) == {True}


def test_nothing_is_nothing_for_it_too(search):
    assert search.get_by_id("ANT2020nothing") is None
    assert search.get_by_ztf_object_id("ZTF00nothing") is None
