"""Packets of LSST in folders, tars and files; their limits; and schemas that nobody knows yet."""

import io
import json
import shutil
import tarfile
from pathlib import Path

import fastavro
import pytest
from conftest import FIXTURES, needs_recordings

from harvester.alerts.archive.places import packets_in
from harvester.alerts.archive.tar import NightError
from harvester.nights import ALL, FOLLOWED, Wanted, in_file, ingest
from harvester.packets import lsst_rows
from harvester.packets.layouts import own_place, schema_of
from harvester.store import Store
from harvester.target import Target

WIRE = Path(__file__).parent / "recordings/lsst_alerts/wire_1100.avro"


def record(number=1100):
    """Return the packet of our recording, as a record."""
    return fastavro.schemaless_reader(io.BytesIO(WIRE.read_bytes()[5:]), fastavro.parse_schema(json.loads(schema_of(number))))


def wire(number, said, schema=None):
    body = io.BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(json.loads(schema or schema_of(number))), said)
    return b"\x00" + number.to_bytes(4, "big") + body.getvalue()


def packet(ra, *, thing, visit=1, moving=False):
    said = record()
    own = said["diaSource"] | {"ra": ra, "diaSourceId": thing * 100 + visit, "diaObjectId": None if moving else thing}
    own |= {"ssObjectId": thing if moving else None, "midpointMjdTai": said["diaSource"]["midpointMjdTai"] + visit}
    return wire(1100, said | {"diaSource": own, "prvDiaSources": None, "prvDiaForcedSources": None})


def with_limit(*, detected=False):
    """Return a packet of schema 7.1 with a limit, or, later, a detection of the limit's visit."""
    fields = json.loads(schema_of(701))["fields"][1]["type"]["fields"]
    plain = {"long": 0, "int": 0, "float": 0.0, "double": 0.0, "string": "", "boolean": False}
    own = {field["name"]: None if isinstance(field["type"], list) else plain[field["type"]] for field in fields}
    kept = ("diaSourceId", "midpointMjdTai", "ra", "dec", "band", "psfFlux", "psfFluxErr", "visit", "detector")
    own |= {name: record()["diaSource"][name] for name in kept} | {"diaObjectId": 17}
    limit = {"ccdVisitId": 5, "midpointMjdTai": 60_900.25, "band": own["band"], "diaNoise": 200.0}
    seen = own | {"diaSourceId": 777, "midpointMjdTai": 60_900.25}
    said = {"alertId": 9, "diaSource": own, "prvDiaSources": [seen] if detected else None, "prvDiaForcedSources": None}
    said |= {"prvDiaNondetectionLimits": None if detected else [limit], "diaObject": None, "ssObject": None}
    return wire(701, said | dict.fromkeys(("cutoutDifference", "cutoutScience", "cutoutTemplate")))


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "store.db", simulated=True) as opened:
        yield opened


@pytest.fixture
def folder(tmp_path):
    """Two objects with two visits each, a moving thing, and a packet that is cut off."""
    place = tmp_path / "packets"
    (place / "deeper").mkdir(parents=True)
    for thing in (11, 12):
        for visit in (1, 2):
            (place / "deeper" / f"{thing}_{visit}.avro").write_bytes(packet(thing * 1.0, thing=thing, visit=visit))
    (place / "moving.avro").write_bytes(packet(50.0, thing=13, moving=True))
    (place / "cut.avro").write_bytes(packet(12.0, thing=12, visit=3)[:100])
    return place


def tarred(folder, mode):
    place = folder.parent / f"lsst.{'tar.gz' if mode else 'tar'}"
    with tarfile.open(place, f"w:{mode}", format=tarfile.USTAR_FORMAT) as tar:
        tar.add(folder, arcname="packets")
    return place


@pytest.mark.parametrize("how", ["folder", "tar", "tar.gz"])
def test_packets_of_lsst_go_into_the_store_however_they_lie(store, folder, how):
    place = folder if how == "folder" else tarred(folder, "gz" if how == "tar.gz" else "")
    done = ingest(store, in_file(place), ALL)
    assert (done.alerts, done.refused) == (6, 1)
    assert sorted(store.points().values()) == [2, 2]
    assert {target.name for target in store.targets()} == {"LSST 11", "LSST 12"}, "what moves becomes no target"
    assert [row["reason"] for row in store.streams.letters()] == ["its data were cut off or damaged (EOFError)"]
    assert ingest(store, in_file(place), ALL).points == 0
    assert not [finding for finding in store.check() if finding.problems]


def test_of_packets_of_lsst_the_wanted_ones_are_taken(store, folder):
    dec = record()["diaSource"]["dec"]
    store.add_target(Target("mine", 11.0, dec))
    assert ingest(store, in_file(folder), FOLLOWED).used == 2
    assert list(store.points()) == ["mine"]
    assert ingest(store, in_file(folder), Wanted.in_cone(12.0, dec, 5.0)).used == 2
    assert sorted(store.points()) == ["LSST 12", "mine"]


def test_one_folder_may_hold_packets_of_both_surveys(store, folder):
    from harvester.emulator.sky import Sky
    from harvester.emulator.ztf_archive import packets

    candid, body = packets(Sky().seed, "20240412")[0]
    (folder / f"{candid}.avro").write_bytes(body)
    ingest(store, in_file(folder), ALL)
    assert set(store.sources()) == {"lsst_alerts", "ztf_alerts"}


def test_what_holds_no_packets_is_said_so(store, tmp_path):
    (tmp_path / "nothing").mkdir()
    with pytest.raises(NightError, match="begins with b'<html>'"):
        packets_in([b"<html>"], "x")
    with pytest.raises(Exception, match="there is no packet"):
        ingest(store, in_file(tmp_path / "nothing"), ALL)


def test_limits_of_schema_7_become_limits_of_five_times_the_noise():
    found = lsst_rows([with_limit()])
    assert not found.refused
    (row,) = [row for row in found.rows.to_pylist() if row["upper_limit"]]
    assert (row["observation_id"], row["time"], row["object_id"]) == (f"17:{round(60_900.25 * 86_400)}", 60_900.25, "17")
    assert row["limiting_mag"] == pytest.approx(31.4 - 2.5 * 3.0, abs=1e-4)
    assert found.rows.equals(lsst_rows([with_limit()], fast=True).rows)


def test_a_limit_of_lsst_goes_when_a_later_packet_tells_a_detection_of_the_visit(store, tmp_path):
    for name, detected, seen in (("first", False, 1), ("second", True, 0)):
        (tmp_path / f"{name}.avro").write_bytes(with_limit(detected=detected))
        ingest(store, in_file(tmp_path / f"{name}.avro"), ALL)
        rows = store.light_curve("LSST 17", quality="all").to_pylist()
        assert [row["time"] for row in rows].count(60_900.25) == 1
        assert sum(row["upper_limit"] for row in rows) == seen


def test_a_packet_of_an_unknown_schema_can_be_read_once_its_schema_is_there(store, tmp_path):
    new = json.loads(schema_of(1100))
    new["fields"].insert(0, {"name": "newField", "type": "long"})
    body = wire(1207, record() | {"newField": 5}, json.dumps(new))
    (reason,) = [why for _, why in lsst_rows([body]).refused]
    assert "number 1207; known are 700" in reason
    assert "1207.avsc" in reason
    own_place(1207).parent.mkdir(parents=True)
    for text in ("no JSON", "[]"):
        own_place(1207).write_text(text)
        assert lsst_rows([body]).refused, text
    for text in (json.dumps(new), json.dumps({"schema": json.dumps(new)})):
        own_place(1207).write_text(text)
        assert lsst_rows([body]).rows.equals(lsst_rows([WIRE.read_bytes()]).rows), text


def test_dead_letters_of_an_unknown_schema_are_read_by_retry(harvest, tmp_path):
    new = json.loads(schema_of(1100))
    new["fields"].insert(0, {"name": "newField", "type": "long"})
    (tmp_path / "new.avro").write_bytes(wire(1208, record() | {"newField": 5}, json.dumps(new)))
    own = record()["diaSource"]
    assert harvest(f"targets add -t {own['ra']},{own['dec']:+} --name mine", emulate=False) == 0
    assert harvest(f"alerts archive ingest {tmp_path / 'new.avro'}", emulate=False) == 0
    assert harvest("alerts dead retry", emulate=False) == 3
    assert "number 1208" in harvest.out
    own_place(1208).parent.mkdir(parents=True)
    own_place(1208).write_text(json.dumps(new))
    assert harvest("alerts dead retry", emulate=False) == 0
    assert "1 of 1 could be read now" in harvest.err
    assert harvest("--json targets list", emulate=False) == 0
    assert harvest.objects[0]["points"] > 0


@needs_recordings
def test_the_files_of_finks_data_transfer_are_read_as_they_come(store, tmp_path):
    shutil.copytree(FIXTURES / "lsst_alerts/fink_client", tmp_path / "transfer")
    done = ingest(store, in_file(tmp_path / "transfer"), ALL)
    assert (done.alerts, done.refused) == (1, 0)
    (path,) = (FIXTURES / "lsst_alerts/fink_client").glob("*.avro")
    with path.open("rb") as file:
        objects = {f"LSST {one['diaSource']['diaObjectId']}" for one in fastavro.reader(file) if one["diaSource"]["diaObjectId"]}
    assert set(store.points()) == objects
    assert not [finding for finding in store.check() if finding.problems]


def test_a_folder_to_be_imported_is_told_where_it_is_read(harvest, folder):
    assert harvest(f"import {folder} --format lsst_alerts --target 11.0,5.0", emulate=False) == 2
    assert "harvest alerts archive ingest" in harvest.err


def test_packets_that_are_not_simulated_are_kept_out_of_a_simulated_store(harvest, folder):
    for place in (folder, folder / "cut.avro"):
        assert harvest(f"alerts archive ingest {place} --all") == 2
        assert "is not simulated" in harvest.err
    assert harvest(f"alerts archive count {folder}") == 2
    assert "alerts archive ingest" in harvest.err
