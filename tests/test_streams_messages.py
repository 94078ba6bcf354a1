"""Messages of streams: every format to alerts, what is broken to a reason, and the conditions for new targets."""

import io
import json
import struct
import zlib
from datetime import UTC, datetime

import fastavro
import pytest
from conftest import FIXTURES, needs_recordings
from made_packets import container, packets

from harvester.alerts.streams import bson
from harvester.alerts.streams.decoding import contained
from harvester.alerts.streams.hearing import hear
from harvester.alerts.streams.message import Message, Place, Unreadable
from harvester.alerts.streams.quick import hear_all
from harvester.alerts.streams.where import wanted
from harvester.errors import BadQuestion
from harvester.payload import Payload
from harvester.source import load


def message(value, key=b"", **headers):
    return Message(Place("topic", 0), 7, value, key, headers, "2026-11-21T00:00:00.000Z")


def heard(value, key=b"", *, broker="fink", **headers):
    return hear(message(value, key, **headers), broker)


def bson_of(value):
    """BSON, written for these tests from its specification."""
    body = b"".join(_element(name.encode() + b"\0", part) for name, part in value.items())
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def _element(name, value):
    if value is None:
        return b"\x0a" + name
    if isinstance(value, bool):
        return b"\x08" + name + bytes([value])
    if isinstance(value, int):
        return b"\x12" + name + struct.pack("<q", value)
    if isinstance(value, float):
        return b"\x01" + name + struct.pack("<d", value)
    if isinstance(value, str):
        return b"\x02" + name + struct.pack("<i", len(value.encode()) + 1) + value.encode() + b"\0"
    if isinstance(value, bytes):
        return b"\x05" + name + struct.pack("<i", len(value)) + b"\0" + value
    if isinstance(value, datetime):
        return b"\x09" + name + struct.pack("<q", round(value.timestamp() * 1000))
    if isinstance(value, list):
        return b"\x04" + name + bson_of({str(at): part for at, part in enumerate(value)})
    return b"\x03" + name + bson_of(value)


LOCUS = {
    "id": "ANT2020j7wo4",
    "ra": 10.5,
    "dec": -20.25,
    "properties": {
        "newest_alert_observation_time": 61365.25,
        "newest_alert_magnitude": 18.5,
        "newest_alert_id": "ztf_candidate:2400000000000000100",
        "ztf_object_id": "ZTF20abcdefg",
        "survey": {"ztf": {"id": ["ZTF20abcdefg"]}, "lsst": {"dia_object_id": ["313761043604045880"]}},
    },
    "tags": ["high_snr", "refitt"],
    "catalogs": [],
}


def test_a_packet_of_fink_without_its_schema_is_read_by_the_schema_in_its_key():
    ((name, value, key),) = packets(1, 1)
    (one,) = heard(value, key)
    assert (one.alert.object_id, one.alert.survey, one.source) == (name, "ZTF", "ztf_alerts")
    assert one.alert.alert_id == "2400000000000000000"
    assert one.alert.filter == "g(ZTF)"
    assert one.scores == {"rb": pytest.approx(0.9), "drb": pytest.approx(0.95)}


def test_the_packet_that_is_kept_can_be_read_without_the_message():
    ((name, value, key),) = packets(1, 1)
    (one,) = heard(value, key)
    (record,) = fastavro.reader(io.BytesIO(one.packet))
    assert record["objectId"] == name
    rows = load("ztf_alerts").normalise(Payload(one.packet, source="ztf_alerts"))
    assert set(rows["object_id"].to_pylist()) == {name}
    assert contained(value, key) == one.packet == contained(value, key)


def test_an_avro_container_is_read_by_its_own_schema():
    (packet,) = container(1, 1)
    (one,) = heard(packet, broker="alerce")
    assert one.source == "ztf_alerts"
    assert one.packet == packet


def test_many_packets_read_at_once_say_what_each_says_alone():
    messages = [message(value, key) for _, value, key in packets(80, 7)] + [message(packet) for packet in container(5, 2, first=200)]
    found, dead = hear_all(messages, "fink")
    assert not dead
    assert found == [one for single in messages for one in hear(single, "fink")]


def test_a_message_of_lasair_is_an_alert_whose_light_curve_lasair_has():
    said = {"diaObjectId": 313637935709683761, "ra": 61.6, "decl": -49.3, "lastDiaSourceMjdTai": 60985.25, "classification": "SN"}
    (one,) = heard(json.dumps(said | {"UTC": "2026-02-14 13:41:02"}).encode(), broker="lasair")
    assert one.alert.object_id == "313637935709683761"
    assert (one.alert.ra, one.alert.dec, one.alert.classification, one.alert.survey) == (61.6, -49.3, "SN", "LSST")
    assert one.alert.mjd == pytest.approx(60985.25 - 37 / 86400, abs=1e-9)
    assert (one.source, one.asks) == ("", "lasair_lsst")


def test_a_locus_of_antares_is_read_out_of_bson_and_zlib():
    for value in (LOCUS, {"data": {"id": LOCUS["id"], "attributes": {name: LOCUS[name] for name in LOCUS if name != "id"}}}):
        (one,) = heard(zlib.compress(bson_of(value)), broker="antares")
        assert (one.alert.object_id, one.alert.ra, one.alert.dec, one.alert.mjd) == ("ANT2020j7wo4", 10.5, -20.25, 61365.25)
        assert one.alert.names == ("ZTF20abcdefg", "313761043604045880")
        assert (one.alert.mag, one.asks) == (18.5, "antares")


def test_bson_keeps_every_kind_of_value():
    value = {
        "a": 2**62 + 1,
        "b": 0.1,
        "c": "ü",
        "d": None,
        "e": True,
        "f": [1, "x"],
        "g": {"h": b"\0\1"},
        "i": datetime(2026, 1, 2, tzinfo=UTC),
    }
    assert bson.loads(bson_of(value)) == value


def test_messages_of_hop_are_told_by_their_header():
    circular = json.dumps({"header": {"title": "GRB"}, "body": "text"}).encode()
    assert heard(circular, broker="hop", _format="circular") == []
    assert heard(b"{}", broker="hop", _test="true", _format="json") == []
    with pytest.raises(Unreadable, match="offloaded"):
        heard(b"anything", broker="hop", _format="external")
    old = json.dumps({"format": "json", "content": {"objectId": "ZTF18abc", "ra": 1.0, "dec": 2.0}}).encode()
    assert heard(old, broker="hop")[0].alert.object_id == "ZTF18abc"


@pytest.mark.parametrize(
    ("value", "key", "why"),
    [
        (b"Obj\x01rubbish", b"", "Avro packet is broken"),
        (b"{'no': json", b"", "JSON is broken"),
        (b"\x78\x9cnothing", b"", "no BSON"),
        (zlib.compress(b"\5\0\0"), b"", "no BSON"),
        (zlib.compress(bson_of(LOCUS))[:40], b"", "cut off"),
        (b"plain text", b"", "no alert format"),
        (b"abc", b'{"type": "record", "name": "a", "fields": [{"name": "x", "type": "double"}]}', "not a record of the schema"),
        (b"abc", b'{"type": "reco', "not a record of the schema"),
        (b"\x00\x00\x00\x99\x99abcdef", b"", "not a packet of Rubin's"),
        (b"<html><body>503</body></html>", b"", "expected a VOEvent"),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", b"", "definitions of its own"),
        (b"[1, 2]", b"", "expected a record"),
    ],
)
def test_what_cannot_be_read_says_why(value, key, why):
    with pytest.raises(Unreadable, match=why):
        heard(value, key)


def test_a_message_that_unpacks_to_far_too_much_is_refused():
    with pytest.raises(Unreadable, match="more than 64 MiB"):
        heard(zlib.compress(b"\0" * (65 << 20)))


@pytest.fixture(scope="module")
def supernova():
    said = {"objectId": "ZTF24aaaaaaa", "ra": 10.0, "dec": 20.0, "mag": 18.2, "classification": "SN candidate", "drb": 0.95, "rb": 0.7}
    (one,) = heard(json.dumps(said | {"rf_snia_vs_nonia": 0.6, "host": {"z": 0.03}}).encode())
    return one


@pytest.mark.parametrize(
    ("condition", "passes"),
    [
        ("drb > 0.9 and mag < 19", True),
        ("drb > 0.96 or rb >= 0.7", True),
        ("drb > 0.9 and (mag < 18 or rb > 0.9)", False),
        ("class = 'sn candidate'", True),
        ('class in (AGN, "SN candidate")', True),
        ("not class = AGN", True),
        ("class != AGN", True),
        ("reliability > 0", False),
        ("not reliability > 0", True),
        ("reliability is missing", True),
        ("drb is not missing", True),
        ("packet.rf_snia_vs_nonia >= 0.5 and packet.host.z < 0.1", True),
        ("packet.nothing < 1", False),
        ("dec > -20.5 and dec < 2e1", False),
        ("survey = ZTF and object = ZTF24aaaaaaa", True),
    ],
)
def test_a_condition_says_what_passes(condition, passes, supernova):
    assert wanted(condition).passes(supernova) is passes


@pytest.mark.parametrize(
    ("condition", "why"),
    [
        ("magn < 19", "Did you mean 'mag'"),
        ("mag < bright", "is no number"),
        ("mag <", "ends where a value"),
        ("mag 19", "no comparison"),
        ("(mag < 19", "missing"),
        ("mag < 19 drb > 1", "does not fit here"),
        ("__import__('os')", "has no '__import__'"),
        ("mag < 19; drop", "cannot be read"),
        ("class > SN", "wants one"),
        ("(" * 60 + "mag < 1" + ")" * 60, "too deep"),
    ],
)
def test_a_condition_that_makes_no_sense_is_refused_before_anything_is_asked(condition, why):
    with pytest.raises(BadQuestion) as caught:
        wanted(condition)
    assert why in str(caught.value)


def test_cones_choose_by_place_and_an_alert_without_one_is_in_none(supernova):
    assert wanted("", ["10.0,20.0,5", "200,0,1"]).passes(supernova)
    assert not wanted("", ["10.1,20.0,5"]).passes(supernova)
    (nowhere,) = heard(b'{"objectId": "ZTF24aaaaaaa"}')
    assert not wanted("", ["10.0,20.0,5"]).passes(nowhere)


@needs_recordings
def test_every_real_packet_is_heard_the_same_alone_and_among_many():
    files = sorted({*FIXTURES.glob("ztf_alerts/*/*.avro"), *FIXTURES.glob("lsst_alerts/*/*.avro"), *FIXTURES.glob("fink/*.avro")})
    messages = [message(path.read_bytes()) for path in files]
    found, dead = hear_all(messages, "fink")
    placed = [one for one in found if one.source and one.placed]
    assert len(placed) > 140
    assert all(one.alert.alert_id and one.alert.mjd and one.alert.filter for one in placed if one.alert.survey == "ZTF")
    refused = [letter.message for letter in dead]
    for one in messages:
        among_many = [heard.alert for heard in found if heard.message is one]
        try:
            assert among_many == [heard.alert for heard in hear(one, "fink")]
        except Unreadable:  # a sound record may stand before the rubbish
            assert among_many or one in refused


@needs_recordings
def test_the_messages_that_lasair_printed_are_heard():
    text = (FIXTURES / "lasair" / "lsst_kafka_messages_printed.txt").read_text("utf-8")
    found, place, decoder = [], text.find("{"), json.JSONDecoder()
    while place >= 0:
        said, end = decoder.raw_decode(text, place)
        found += heard(json.dumps(said).encode(), broker="lasair")
        place = text.find("{", end)
    assert len(found) == 10
    assert {one.alert.classification for one in found} == {"SN", "VS"}
    assert all(one.placed and one.alert.object_id.isdigit() for one in found)


@needs_recordings
def test_the_examples_of_hop_are_read():
    folder = FIXTURES / "hop"
    (event,) = heard((folder / "example_voevent.xml").read_bytes(), broker="hop", _format="voevent")
    assert event.alert.object_id.endswith("S200302c-1-Preliminary")
    assert heard((folder / "example_avro.avro").read_bytes(), broker="hop", _format="avro") == []
    assert heard((folder / "example_json.json").read_bytes(), broker="hop", _format="json") == []
