"""The write path against a reference model that is a dict: whatever comes in whatever order, both end in the same state."""

from contextlib import suppress
from dataclasses import dataclass, field, replace
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from stores import postgres_url, store, store_url
from test_store import PAYLOAD

from harvester.schema import SCHEMA
from harvester.store import Visit, series
from harvester.store import write as writing
from harvester.store.tables import passband, superseded
from harvester.store.tables import target as targets
from harvester.target import Target

__all__ = ["postgres_url", "store", "store_url"]

SOURCES = ("ztf_dr", "alerce")
VALUES = ("mag", "flux", "flags", "object_id", "observer", "quality")
TEXTS = st.text(st.sampled_from("+=a1.- é"), min_size=1, max_size=9)
FLOATS = st.sampled_from([None, 0.0, -0.0, 12.5, 0.1 + 0.2, -3e-310])
ROWS = st.fixed_dictionaries({
    "filter": st.sampled_from(["g(ZTF)", "r(ZTF)"]),
    "observation_id": st.sampled_from(["7", "7-1", "+1", "=1", "78:g", "x"]),
    "mag": FLOATS,
    "flux": FLOATS,
    "flags": st.sampled_from([None, "", "catflags=0", "a=1 b=0.5", "0.5", "id 12345678 x"]),
    "object_id": st.sampled_from(["7", "78", "+", "x"]),
    "observer": st.sampled_from([None, "", "ABC"]),
    "quality": st.sampled_from([0, 2]),
})  # fmt: skip
DELIVERIES = st.lists(
    st.fixed_dictionaries({
        "source": st.sampled_from(SOURCES),
        "rows": st.lists(ROWS, max_size=5),
        "again": st.booleans(),
        "turned": st.booleans(),
        "interrupted": st.booleans(),
    }),
    max_size=6,
)  # fmt: skip


@dataclass
class Model:
    """What a store must hold: of every measurement its source and values, and all that it ever was."""

    now: dict = field(default_factory=dict)
    before: list = field(default_factory=list)

    def take(self, source, rows):
        """Take a delivery; return the counts new, revised, known, known_elsewhere, quarantined."""
        counts = dict.fromkeys(("new", "revised", "known", "known_elsewhere", "quarantined"), 0)
        seen = {}
        for row in rows:
            key, values = (row["filter"], row["observation_id"]), tuple(as_stored(row[name]) for name in VALUES)
            if key in seen:
                counts["known" if seen[key] == values else "quarantined"] += 1
                continue
            seen[key] = values
            counts[self._settle(key, source, values)] += 1
        return counts

    def _settle(self, key, source, values):
        if key not in self.now:
            self.now[key] = (source, values)
            return "new"
        owner, old = self.now[key]
        if owner != source:
            return "known_elsewhere"
        if old == values:
            return "known"
        self.before.append((*key, old))
        self.now[key] = (source, values)
        return "revised"


def as_stored(value):
    """SQLite knows no negative zero, so no store has one."""
    return value + 0.0 if isinstance(value, float) else value


def delivered(number, target, source, rows):
    """Return a visit; a repeated delivery has the same `number`, so the same payload."""
    fixed = {"time": 59_000.0, "bjd_tdb": 2_459_000.5, "upper_limit": False}
    table = pa.Table.from_pylist([fixed | row for row in rows], schema=SCHEMA)
    with_payload = table.append_column("payload", pa.array(np.zeros(len(rows), np.int32)))
    return Visit(target, source, "ZTF", with_payload, [replace(PAYLOAD, body=b"%d" % number)])


def interrupted(run, visit):
    """Write a visit until its last statement, which fails."""
    with patch.object(writing, "_reschedule", side_effect=InterruptedError), suppress(InterruptedError):
        run.visit(visit)


def held(store, name):
    """Return what the store holds of a target, as the model has it."""
    rows = store.light_curve(name, quality="all").to_pylist()
    return {(row["filter"], row["observation_id"]): (row["source"], tuple(row[column] for column in VALUES)) for row in rows}


def replaced(store, name):
    wanted = (
        select(passband.c.label, superseded)
        .join_from(superseded, passband, passband.c.id == superseded.c.filter_id)
        .join(targets, targets.c.id == superseded.c.target_id)
        .where(targets.c.name == name)
    )
    with store._database.reading() as connection:
        found = connection.execute(wanted).mappings().all()
    return [(row["label"], row["observation_id"], tuple(row[column] for column in VALUES)) for row in found]


def ordered(rows):
    return sorted(rows, key=repr)


@pytest.fixture(scope="module")
def numbers():
    return iter(range(10**9))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(deliveries=DELIVERIES)
def test_any_sequence_of_deliveries_ends_as_the_model_says(store, numbers, deliveries):
    target, model = Target(f"star {next(numbers)}", 10.0, 20.0), Model()
    store.add_target(target)
    with store.run("fetch", "0.1.0") as run:
        for step in deliveries:
            rows = step["rows"][::-1] if step["turned"] else step["rows"]
            visit = delivered(next(numbers), target, step["source"], rows)
            if step["interrupted"]:
                interrupted(run, visit)
            counts, expected = run.visit(visit), model.take(step["source"], rows)
            assert {name: getattr(counts, name) for name in expected} == expected
            if step["again"]:
                repeated = run.visit(visit)
                assert (repeated.new, repeated.revised) == (0, 0)
                others = (
                    repeated.known_elsewhere + repeated.quarantined if repeated.outcome == "suspicious" else 0
                )  # compared anew, row by row
                assert repeated.known + others == len(rows)
    assert repr(ordered(held(store, target.name).items())) == repr(ordered(model.now.items()))
    assert repr(ordered(replaced(store, target.name))) == repr(ordered(model.before))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(chosen=st.lists(st.tuples(st.integers(0, 2), st.sampled_from(SOURCES), st.integers(0, 1)), max_size=12), size=st.integers(1, 5))
def test_visits_taken_together_end_as_those_taken_one_by_one(store, numbers, chosen, size):
    blank, start = dict.fromkeys(VALUES) | {"quality": 0, "filter": "g(ZTF)"}, next(numbers)
    ends = []
    for way, step in (("alone", 1), ("together", size)):
        stars = [Target(f"{way} {start} {number}", 10.0 + next(numbers) / 100, 20.0) for number in range(3)]
        for star in stars:
            store.add_target(star)
        answers = [[blank | {"observation_id": f"x{part}", "mag": 12.5 + part}] for part in range(2)]
        visits = [delivered(-part, stars[star], source, answers[part]) for star, source, part in chosen]
        with store.run(way, "0.1.0") as run:
            taken = [counts for first in range(0, len(visits), step) for counts in run.visits(visits[first : first + step])]
        told = [(counts.outcome, counts.known, counts.new, counts.revised) for counts in taken]
        assert len(told) == len(visits)
        ends.append((told, [held(store, star.name) for star in stars]))
    assert ends[0] == ends[1]


@settings(max_examples=200, deadline=None)
@given(pairs=st.lists(st.tuples(TEXTS, st.none() | TEXTS, st.none() | TEXTS), min_size=1, max_size=5))
def test_shortened_texts_are_read_back_as_they_were(pairs):
    observations, objects, words = (pa.chunked_array([pa.array(column, pa.string())]) for column in zip(*pairs, strict=True))
    written = series._shortened(observations, objects)
    assert series._lengthened(written, objects).to_pylist() == observations.to_pylist()
    assert series._joined(*series._split(words)).to_pylist() == words.to_pylist()


@settings(max_examples=200, deadline=None)
@given(texts=st.lists(TEXTS, min_size=2, max_size=2, unique=True), thing=TEXTS)
def test_two_observations_of_one_object_are_never_written_alike(texts, thing):
    first, second = series._shortened(pa.chunked_array([texts]), pa.chunked_array([[thing, thing]])).to_pylist()
    assert first != second
