"""One exposure, one row: a detection takes the place of the limit that was told for it, whoever told it, and for good."""

import io
import json

import fastavro
import pyarrow as pa
import pytest
from made_packets import JD, of_object, template

from harvester.intake import intake
from harvester.packets import ztf_rows
from harvester.payload import Payload
from harvester.sky import Sky

EPOCH = JD - 3.0
"""The moment of which one packet tells a limit, and a later one a detection."""


def packet(number, history, *, name="ZTF26aaaaaaa"):
    """Return a packet of one object with a history of (jd, candid or None for a limit)."""
    record, schema = template()
    own = of_object(record, 0, number)
    first = own["prv_candidates"][0] | {name: own["candidate"][name] for name in ("ra", "dec")}
    limit = first | dict.fromkeys(("candid", "magpsf", "sigmapsf", "isdiffpos", "rb", "drb"))
    before = [(first | {"candid": candid} if candid else limit) | {"jd": jd, "diffmaglim": 20.1} for jd, candid in history]
    body = io.BytesIO()
    fastavro.writer(body, fastavro.parse_schema(json.loads(schema)), [own | {"objectId": name, "prv_candidates": before}])
    return body.getvalue()


def told(body, *, source="ztf_alerts"):
    rows = ztf_rows([body]).rows
    payloads = [Payload(body, url="x", time="2026-01-01T00:00:00.000Z", source=source)]
    return intake(source, rows, payloads, Sky(), add=sorted(set(rows["object_id"].to_pylist())))


def take(store, body, *, at_once=True, source="ztf_alerts"):
    many = told(body, source=source)
    with store.run("x", "1") as run:
        return run.batch([many]) if at_once else [run.visit(visit) for visit in many.visits()]


def at_epoch(store):
    (name,) = store.points()
    rows = store.light_curve(name).to_pylist()
    return [row for row in rows if abs(row["time"] + 2_400_000.5 - EPOCH) < 1e-6]


LIMIT = packet(1, [(EPOCH, None), (EPOCH - 1, None)])
DETECTION = packet(2, [(EPOCH, 77), (EPOCH - 1, None)])


def nothing_wrong(store):
    return [str(finding) for finding in store.check() if finding.problems] == []


@pytest.mark.parametrize("at_once", [True, False])
def test_a_limit_goes_when_a_later_packet_tells_a_detection_of_its_exposure(store, at_once):
    take(store, LIMIT, at_once=at_once)
    assert [row["upper_limit"] for row in at_epoch(store)] == [True]
    (counts,) = take(store, DETECTION, at_once=at_once)
    (row,) = at_epoch(store)
    assert (row["upper_limit"], row["observation_id"]) == (False, "77")
    assert (counts.new, counts.revised, counts.known) == (2, 0, 1)
    assert nothing_wrong(store)


@pytest.mark.parametrize("at_once", [True, False])
def test_the_limit_does_not_come_back_with_an_older_packet(store, at_once):
    for body in (LIMIT, DETECTION, LIMIT):
        (counts,) = take(store, body, at_once=at_once)
    assert [row["observation_id"] for row in at_epoch(store)] == ["77"]
    assert (counts.new, counts.known) == (0, 3)
    assert nothing_wrong(store)


def test_a_detection_that_is_there_keeps_the_limit_out(store):
    take(store, DETECTION)
    take(store, LIMIT)
    assert [row["upper_limit"] for row in at_epoch(store)] == [False]
    assert nothing_wrong(store)


def test_the_limit_that_another_source_told_goes_as_well(store):
    take(store, LIMIT, source="alerce")
    take(store, DETECTION)
    (row,) = at_epoch(store)
    assert (row["source"], row["upper_limit"]) == ("ztf_alerts", False)
    take(store, LIMIT, source="alerce")
    assert len(at_epoch(store)) == 1
    assert nothing_wrong(store)


def test_limits_of_other_exposures_stay(store):
    take(store, LIMIT)
    take(store, DETECTION)
    (name,) = store.points()
    assert [row["upper_limit"] for row in store.light_curve(name).to_pylist()].count(True) == 1


def test_one_answer_that_tells_both_keeps_the_detection(store):
    both = packet(1, [(EPOCH, None)]), packet(2, [(EPOCH, 77)])
    rows = [ztf_rows([body]).rows for body in both]

    payloads = [Payload(both[0], url="x", time="2026-01-01T00:00:00.000Z", source="ztf_alerts")]
    many = intake("ztf_alerts", pa.concat_tables(rows), payloads, Sky(), add=["ZTF26aaaaaaa"])
    with store.run("x", "1") as run:
        run.batch([many])
    assert [row["observation_id"] for row in at_epoch(store)] == ["77"]
    assert nothing_wrong(store)


def test_history_knows_the_limit_as_it_was_and_that_it_was_withdrawn(store):
    take(store, LIMIT)
    take(store, DETECTION)
    first, second = (store.past.state(word) for word in ("1", "2"))
    found = {(row["change"], row["observation_id"]) for row in store.past.changes(first, second)}
    assert {("withdrawn", f"ZTF26aaaaaaa:{round((EPOCH - 2_400_000.5) * 86_400)}"), ("added", "77")} <= found
    later = {row["observation_id"] for row in store.past.changes(second, second)}
    assert later == set()
