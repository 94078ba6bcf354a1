"""How every point of a light curve came, on both back ends."""

import hashlib
from dataclasses import replace

import pyarrow as pa
import pytest
from answers import STAR, answered, body
from stores import postgres_url, store, store_url
from test_store import rows, visit

from harvester.errors import StoreError
from harvester.store.origins import ORIGINS

__all__ = ["postgres_url", "store", "store_url"]


def traced(store, **cut):
    light_curve = store.light_curve(STAR.name, **cut)
    found = store.past.origins(STAR.name, light_curve)
    assert found.schema == ORIGINS
    return dict(zip(light_curve["mag"].to_pylist(), found.to_pylist(), strict=True))


def test_every_point_has_the_run_and_the_payload_that_brought_it(store):
    first, second = body({1: 12.5, 2: 12.6}), body({1: 12.5, 2: 12.7, 3: 12.8})
    answered(store, first)
    answered(store, second)
    found = traced(store)
    assert {mag: origin["run"] for mag, origin in found.items()} == {12.5: 1, 12.7: 2, 12.8: 2}
    assert found[12.5]["sha256"] == hashlib.sha256(first).hexdigest()
    assert found[12.8]["sha256"] == hashlib.sha256(second).hexdigest()
    assert all(origin["url"].startswith("http") for origin in found.values())
    assert found[12.8]["received"] == store.runs()[0]["started"]


def test_revisions_are_counted_point_by_point(store):
    for mag in (12.5, 12.6, 12.7):
        answered(store, body({1: 12.4, 2: mag}))
    assert {mag: origin["revisions"] for mag, origin in traced(store).items()} == {12.4: 0, 12.7: 2}


def test_a_cut_light_curve_is_traced_alike(store):
    answered(store, body({1: 12.5, 2: 12.6, 3: 12.7}))
    whole = traced(store)
    assert traced(store, since=58001.5) == {mag: whole[mag] for mag in traced(store, since=58001.5)}
    assert 0 < len(traced(store, since=58001.5)) < 3
    empty = store.light_curve(STAR.name, filters=[])
    assert store.past.origins(STAR.name, empty).num_rows == 0


def test_what_came_without_a_payload_has_none_on_record(store):
    with store.run("import", "0.1.0") as run:
        run.visit(replace(visit(rows("o1", "o2", payload=None), source="other"), payloads=[]))
    found = store.past.origins(STAR.name, store.light_curve(STAR.name, quality="all"))
    assert found["sha256"].null_count == found["url"].null_count == found.num_rows == 2
    assert found["run"].to_pylist() == [1, 1]


def test_an_unknown_target_is_an_error(store):
    with pytest.raises(StoreError):
        store.past.origins("nobody", pa.table({"filter": pa.array([], pa.string()), "observation_id": pa.array([], pa.string())}))
