"""ALeRCE's own client against the emulator: what it finds is what `harvest alerts query` finds."""

import importlib.util
import json
import time

import pytest

from harvester.emulator import ztf_stream
from harvester.emulator.sky import Sky
from harvester.emulator.transients import shining

pytestmark = pytest.mark.skipif(importlib.util.find_spec("alerce") is None, reason="alerce, the broker's own client, is not installed")
SKY = Sky(clock=time)


@pytest.fixture
def client(running, tmp_path, monkeypatch):
    """The client, told by its own means to ask the emulator."""
    import alerce
    from alerce.core import Alerce

    config = json.loads((importlib.resources.files(alerce) / "default_config.json").read_text())
    config["ztf"]["ZTF_API_URL"] = f"{running[1].url}/api.alerce.online"
    config["multisurvey"]["URL_MS"] = f"{running[1].url}/api-lsst.alerce.online/"
    (tmp_path / "alerce.json").write_text(json.dumps(config))
    monkeypatch.setenv("ALERCE_CONFIG_PATH", str(tmp_path / "alerce.json"))
    return Alerce()


def test_the_client_finds_the_same_objects_of_a_class(client, harvest):
    since = SKY.now - 20
    asked = {"classifier": "stamp_classifier", "class_name": "SN", "ranking": 1, "lastmjd": [since, 100_000], "page_size": 100}
    found = client.query_objects(survey="ztf", format="json", order_by="lastmjd", order_mode="DESC", **asked)
    assert harvest(f"alerts query --broker alerce --class SN --since {since}") == 0
    assert [row["object_id"] for row in harvest.rows] == [item["oid"] for item in found["items"]]


def test_the_client_finds_the_same_detections_of_a_transient(client, harvest):
    new = next(one for star in shining(SKY.seed, SKY.now - 60, SKY.now - 20) if (one := ztf_stream.stream(SKY, star)))
    found = client.query_detections(new.oid, survey="ztf", format="json")
    assert harvest(f"alerts query --broker alerce --object {new.oid}") == 0
    assert sorted(row["alert_id"] for row in harvest.rows) == sorted(item["candid"] for item in found)


def test_the_client_finds_the_same_objects_of_lsst(client, harvest):
    found = client.query_objects(survey="lsst", format="json", class_name="SN", page_size=1000)
    assert harvest("alerts query --broker alerce --survey lsst --class SN") == 0
    assert {row["object_id"] for row in harvest.rows} == {str(item["oid"]) for item in found}
