"""The survey's own client talks to the simulated Sky Patrol as to the real one, and gets what we get."""

import importlib.util
from multiprocessing.pool import ThreadPool

import numpy as np
import pytest
import requests

from harvester.emulator import asassn_cameras
from harvester.emulator.stars import position

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("pyasassn") is None, reason="skypatrol, the survey's own client, is not installed"),
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture
def client(running, monkeypatch):
    """The client, which knows one address only: every one of its hosts is the emulator's of that name."""
    import pyasassn.client as theirs

    class Here:
        @staticmethod
        def get(url, **said):
            return requests.get(url.replace("http://", f"{running[1].url}/"), timeout=30, **said)

        @staticmethod
        def post(url, **said):
            return requests.post(url.replace("http://", f"{running[1].url}/"), timeout=30, **said)

    monkeypatch.setattr(theirs, "requests", Here)
    monkeypatch.setattr(theirs.multiprocessing, "Pool", ThreadPool)
    return theirs.SkyPatrolClient(verbose=False)


def test_a_cone_gives_the_same_star_and_the_same_light_curve(client, running):
    app, _ = running
    (star,) = app.sky.named("RR Lyr")
    ra, dec = (float(angle) for angle in position(star, 2015.5))
    found = client.cone_search(ra_deg=ra, dec_deg=dec, radius=0.0003, catalog="master_list")
    assert found["asas_sn_id"].tolist() == [asassn_cameras.star_id(star)]
    curves = client.cone_search(ra_deg=ra, dec_deg=dec, radius=0.0003, catalog="master_list", download=True, threads=1)
    data = curves[asassn_cameras.star_id(star)].data.sort_values("image_id")
    truth = np.sort(asassn_cameras.epochs(app.sky.seed, star), order="image_id")
    assert data["image_id"].tolist() == truth["image_id"].tolist()
    assert np.abs(data["jd"].to_numpy() - truth["jd"]).max() == 0
    assert data["phot_filter"].tolist() == truth["filter"].tolist()


def test_nothing_in_the_cone_is_nothing_for_it_too(client):
    assert len(client.cone_search(ra_deg=180.0, dec_deg=45.0, radius=0.001, catalog="master_list")) == 0
