import dataclasses

import pytest

from harvester.emulator.sky import Sky as Simulated
from harvester.emulator.ztf_archive import packets
from harvester.intake import intake
from harvester.packets import ztf_rows
from harvester.payload import Payload
from harvester.sky import Sky
from harvester.store import Store
from harvester.store.many import Many

NIGHTS = ("20240412", "20240329", "20201008", "20240412")


def batches(sky):
    for night in NIGHTS:
        bodies = [body for _, body in packets(Simulated().seed, night)]
        rows = ztf_rows(bodies).rows
        payloads = [Payload(body, url=night, time="2026-01-01T00:00:00.000Z", source="ztf_alerts") for body in bodies]
        yield intake("ztf_alerts", rows, payloads, sky, add=sorted(set(rows["object_id"].to_pylist())))


def told(store):
    curves = {name: store.light_curve(name).to_pylist() for name in sorted(store.points())}
    visits = [{key: row[key] for key in row if key not in {"run", "time", "seconds", "when"}} for row in store.status()]
    return curves, [{key: row[key] for key in row if not key.startswith(("last", "next"))} for row in visits]


@pytest.fixture
def two(store_url, tmp_path):
    """One store for visits one after the other, and one, on either back end, for many at once."""
    stores = [Store.open(place, simulated=True) for place in (tmp_path / "one_by_one.db", store_url)]
    yield stores
    for store in stores:
        store.close()


def test_many_visits_at_once_leave_what_one_after_the_other_leaves(two):
    counts = []
    for store, at_once in zip(two, (False, True), strict=True):
        with store.run("x", "1") as run:
            mine = []
            for many in batches(Sky.of(store.targets())):
                assert isinstance(many, Many)
                found = run.batch([many]) if at_once else [run.visit(visit) for visit in many.visits()]
                mine += [dataclasses.replace(one, by_filter={}) for one in found]
        counts.append(mine)
    assert counts[0] == counts[1]
    assert told(two[0]) == told(two[1])
    assert sum(one.new for one in counts[0]) > 100
    assert not [finding for finding in two[1].check() if finding.problems]


def test_a_row_from_memory_never_replaces_one_that_was_measured(two):
    store = two[1]
    with store.run("x", "1") as run:
        late, early, *_ = list(batches(Sky()))
        first, second = run.batch([late]), run.batch([early])
    assert sum(one.revised for one in second) == sum(str(one) != "" for one in early.payloads if own_was_history(one, late))
    assert sum(one.new for one in first) > 0


def own_was_history(payload, late):
    """Whether the candidate of a packet was told from memory by a later night."""
    (row,) = [row for row in ztf_rows([payload.body]).rows.to_pylist() if row["observation_id"].isdigit() and "history" not in row["flags"]]
    return row["observation_id"] in set(late.rows["observation_id"].to_pylist())
