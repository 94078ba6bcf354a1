"""The survey's own client talks to the simulated Lasair as to the real one, and gets what we get."""

import importlib.util

import pytest
from test_alerce import SKY, W_VIR

from harvester.emulator import lasair as service
from harvester.emulator import lsst_stream, ztf_stream

pytestmark = pytest.mark.skipif(importlib.util.find_spec("lasair") is None, reason="lasair, the survey's own client, is not installed")


@pytest.fixture
def client_of(running):
    from lasair import lasair_client

    return lambda host, token="emulated": lasair_client(token, endpoint=f"{running[1].url}/{host}/api")


def test_a_cone_and_an_object_of_ztf_are_as_the_stream_has_them(client_of):
    client, stream = client_of(service.ZTF_HOST), ztf_stream.stream(SKY, W_VIR)
    assert [one["object"] for one in client.cone(stream.ra, stream.dec, radius=2.0)] == [stream.oid]
    told = client.object(stream.oid, lasair_added=False)
    seen = {row["candid"]: row for row in told["candidates"] if "candid" in row}
    assert sorted(seen) == sorted(stream.detections["candid"].tolist())
    assert [seen[row["candid"]]["magpsf"] for row in stream.detections] == stream.detections["magpsf"].tolist()
    assert len(told["forcedphot"]) == len(stream.forced)


def test_an_object_of_lsst_is_as_the_stream_has_it_bare_nan_included(client_of):
    client, stream = client_of(service.LSST_HOST), lsst_stream.stream(SKY, W_VIR)
    assert client.cone(stream.ra, stream.dec, radius=2.0)["nearest"]["object"] == stream.dia_object_id
    for lite in (True, False):
        told = client.object(str(stream.dia_object_id), lite=lite, lasair_added=False)
        assert [row["diaSourceId"] for row in told["diaSourcesList"]] == stream.detections["diaSourceId"].tolist()
        assert [row["psfFlux"] for row in told["diaForcedSourcesList"]] == stream.forced["psfFlux"].tolist()


def test_it_is_refused_and_put_off_as_we_are(client_of):
    from lasair import LasairError

    with pytest.raises(LasairError) as caught:
        client_of(service.ZTF_HOST, "wrong").cone(180.0, 45.0)
    assert caught.value.message == "Unauthorized"
    client = client_of(service.ZTF_HOST, "dummy-of-the-client")
    assert [client.cone(180.0, 45.0) for _ in range(10)] == [[]] * 10
    with pytest.raises(LasairError) as caught:
        client.cone(180.0, 45.0)
    assert caught.value.message.startswith("Request limit exceeded")
