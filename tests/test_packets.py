import io
import json
from pathlib import Path

import fastavro
import pyarrow.compute as pc
import pytest
from conftest import FIXTURES, needs_recordings

from harvester.emulator.sky import Sky
from harvester.emulator.ztf_archive import packets
from harvester.packets import PacketError, lsst_rows, ztf_rows
from harvester.packets.container import read_blocks
from harvester.packets.decode import decode
from harvester.packets.layouts import numbers, schema_of
from harvester.packets.whole import facts_of, read_packet
from harvester.packets.ztf import HEAD_BYTES, PHOTOMETRY, ztf_headlines

ZTF = sorted([*FIXTURES.glob("ztf_alerts/**/*.avro"), *FIXTURES.glob("ztf_avro/*.avro")])
LSST = sorted(path for path in FIXTURES.glob("lsst_alerts/*/*.avro") if path.parent.name != "alerce")
SEED = Sky().seed
FOREIGN = {"DC21baaa.570349.decat_20210414_2021A-0113.avro", "skyportal_87704463155000.avro"}


def bodies(night):
    return [body for _, body in packets(SEED, night)]


def repacked(body, **changes):
    """The same packet with other values in its candidate."""
    read = fastavro.reader(io.BytesIO(body))
    schema, said = json.loads(read.metadata["avro.schema"]), next(read)
    said["candidate"] |= changes
    out = io.BytesIO()
    fastavro.writer(out, fastavro.parse_schema(schema), [said], sync_marker=b"0123456789abcdef")
    return out.getvalue()


@pytest.mark.parametrize("night", ["20180604", "20190403", "20201008", "20240412"])
def test_both_decoders_give_the_same_rows_for_every_schema(night):
    fast, slow = ztf_rows(bodies(night), fast=True), ztf_rows(bodies(night), fast=False)
    assert fast.rows.num_rows > len(bodies(night))
    assert fast.rows.equals(slow.rows)
    assert fast.refused == slow.refused == []


def test_the_own_candidate_wins_over_its_rounded_history():
    early, late = bodies("20240329"), bodies("20240412")
    both = ztf_rows([*late, *early]).rows
    own = {str(candid) for candid, _ in packets(SEED, "20240329")}
    told = both.filter(pc.is_in(both["observation_id"], value_set=pc.unique(ztf_rows(early).rows["observation_id"])))
    mine = [row for row in told.to_pylist() if row["observation_id"] in own]
    assert len(mine) == len(own)
    assert not [row for row in mine if "history" in row["flags"].split()]


def test_a_repeated_packet_adds_nothing():
    once = ztf_rows(bodies("20201008")).rows
    twice = ztf_rows(bodies("20201008") * 2).rows
    assert sorted(once["observation_id"].to_pylist()) == sorted(twice["observation_id"].to_pylist())


def test_a_corrupt_packet_in_the_middle_is_refused_and_the_rest_goes_on():
    good = bodies("20201008")
    whole = good[1]
    cut, flipped = whole[:-40], whole[:9000] + whole[9001:]
    found = ztf_rows([good[0], cut, flipped, b"<html></html>", b"", good[2]])
    assert [index for index, _ in found.refused] == [1, 2, 3, 4]
    assert all(why for _, why in found.refused)
    assert set(found.rows["payload"].to_pylist()) == {0, 5}


def test_a_negative_difference_stays_negative_and_an_absurd_limit_is_not_hidden():
    body = repacked(bodies("20201008")[0], isdiffpos="f", magnr=-999.0, distnr=-999.0)
    (own,) = [row for row in ztf_rows([body]).rows.to_pylist() if "history" not in row["flags"]]
    assert own["mag"] is None
    assert own["flux"] < 0
    assert "magnr" not in own["flags"]


def test_headlines_need_only_the_first_bytes():
    found = bodies("20240412")
    heads = ztf_headlines([body[:HEAD_BYTES] for body in found])
    assert heads.refused == []
    assert heads.rows.equals(ztf_headlines([body[:HEAD_BYTES] for body in found], fast=True).rows)
    assert heads.rows["candid"].to_pylist() == [str(candid) for candid, _ in packets(SEED, "20240412")]


def test_bytes_behind_the_last_sound_record_are_said():
    body = bodies("20201008")[0]
    found = ztf_rows([body + b"garbage"])
    assert found.rows.num_rows
    assert "follows" in found.refused[0][1]


def test_layouts_are_known_from_7_to_11():
    assert numbers() == [700, 701, 702, 703, 704, 800, 900, 1000, 1100, 1101]
    assert all(json.loads(schema_of(number))["name"] == "alert" for number in numbers())
    assert schema_of(1200) is None


def test_an_unknown_schema_number_and_a_little_endian_one_are_refused():
    body = (Path(__file__).parent / "recordings/lsst_alerts/wire_1100.avro").read_bytes()
    other, swapped = b"\0" + (1200).to_bytes(4, "big") + body[5:], b"\0" + (1100).to_bytes(4, "little") + body[5:]
    found = lsst_rows([other, swapped, body])
    assert [index for index, _ in found.refused] == [0, 1]
    assert "1200" in found.refused[0][1]
    assert found.rows.num_rows == 4


def test_a_schema_that_somebody_brings_is_used():
    body = (Path(__file__).parent / "recordings/lsst_alerts/wire_1100.avro").read_bytes()
    new = b"\0" + (1200).to_bytes(4, "big") + body[5:]
    assert lsst_rows([new], {1200: schema_of(1100)}).rows.equals(lsst_rows([body]).rows)


def test_a_withdrawn_measurement_of_lsst_is_bad_and_forced_photometry_is_apart():
    body = (Path(__file__).parent / "recordings/lsst_alerts/wire_1100.avro").read_bytes()
    rows = {row["observation_id"]: row for row in lsst_rows([body]).rows.to_pylist()}
    assert rows["170000000000000002"]["quality"] == 2
    assert rows["5"]["survey"] == "LSST_FP"


def test_a_compressed_container_is_refused_with_its_codec():
    out = io.BytesIO()
    fastavro.writer(out, {"type": "record", "name": "a", "fields": [{"name": "b", "type": "int"}]}, [{"b": 1}], codec="deflate")
    with pytest.raises(PacketError, match="deflate"):
        list(read_blocks(out.getvalue()))


@needs_recordings
def test_every_real_packet_of_ztf_decodes_or_says_why_not():
    found = ztf_rows([path.read_bytes() for path in ZTF], fast=True)
    refused = {ZTF[index].name: why for index, why in found.refused}
    damaged = [name for name, why in refused.items() if "cut off or damaged" in why]
    assert len(ZTF) == 140
    assert len(damaged) == 7
    assert set(refused) == {*damaged, *FOREIGN, "schema_4.02.avro"}
    assert found.rows.equals(ztf_rows([path.read_bytes() for path in ZTF], fast=False).rows)


@needs_recordings
def test_successive_alerts_of_one_supernova_give_its_distinct_points_once():
    alerts = [path.read_bytes() for path in ZTF if path.name.startswith("ZTF21abiuvdk")]
    rows = ztf_rows(alerts).rows
    opened = [(index, body, block) for index, body in enumerate(alerts) for block in read_blocks(body)]
    told = decode(opened, PHOTOMETRY, many=len(alerts))
    assert len(told.kinds) > 300
    assert rows.num_rows == len(set(rows["observation_id"].to_pylist())) == 50


@needs_recordings
def test_every_real_packet_of_lsst_from_schema_7_on_decodes():
    refused = {}
    for path in LSST:
        found = lsst_rows([path.read_bytes()], fast=True)
        assert found.rows.equals(lsst_rows([path.read_bytes()], fast=False).rows), path.name
        refused |= {path.name: found.refused[0][1]} if found.refused else {}
    assert set(refused) == {"3_0_sample_data_fakeAlert.avro", "4_0_sample_data_fakeAlert.avro", "11290844.avro"}


@needs_recordings
def test_a_file_of_several_records_is_read_to_its_end():
    whole = lsst_rows([(FIXTURES / "lsst_alerts/fink_client/part-2-918301.avro").read_bytes()]).rows
    parts = [lsst_rows([path.read_bytes()]).rows for path in (FIXTURES / "lsst_alerts/fink_reencoded_v10_0").glob("*.avro")]
    ids = set(whole["observation_id"].to_pylist())
    assert all(set(part["observation_id"].to_pylist()) <= ids for part in parts)


def test_what_a_packet_says_is_told_whole():
    candid, body = packets(SEED, "20240412")[0]
    facts = facts_of(body)
    assert facts["candid"] == candid
    assert facts["stamps"] == "science, template, difference"
    assert read_packet(body).alert_id == str(candid)
