"""Streams in the store: offsets move with the rows or not at all, packets of many objects become the visits that each alone would be."""

import pytest
from made_packets import container, packets
from stores import postgres_url, store, store_url

from harvester.alerts.streams.message import Message, Place
from harvester.alerts.streams.where import wanted
from harvester.delivery import deliver
from harvester.intake import intake
from harvester.packets import ztf_rows
from harvester.payload import Payload
from harvester.sky import Sky
from harvester.source import load
from harvester.store.streams import Letter, OutOfStep, Read, Step, note
from harvester.taking import Taking
from harvester.target import Target

__all__ = ["postgres_url", "store", "store_url"]


def step(known, after, *, partition=0, messages=1, lost=0):
    return Step("topic", partition, known, after, messages, lost)


def stored(store, read, parts=()):
    with store.run("listen", "0.1.0") as run:
        return run.batch(parts, note(read))


def test_an_offset_moves_from_where_the_reader_took_it_to_stand_and_from_nowhere_else(store):
    stored(store, Read("fink", [step(None, 5), step(None, 9, partition=1)]))
    stored(store, Read("fink", [step(5, 8, messages=3)]))
    assert store.streams.offsets("fink") == {("topic", 0): 8, ("topic", 1): 9}
    for late in (step(5, 8), step(None, 3), step(9, 10)):
        with pytest.raises(OutOfStep) as caught:
            stored(store, Read("fink", [step(9, 10, partition=1), late]))
        assert caught.value.overtaken
    assert store.streams.offsets("fink") == {("topic", 0): 8, ("topic", 1): 9}
    assert store.streams.offsets("lasair") == {}
    stored(store, Read("fink", [step(8, 20, lost=4)]))
    assert [(row["messages"], row["lost"]) for row in store.streams.progress()] == [(5, 4), (1, 0)]


def test_dead_letters_are_kept_once_as_they_came(store):
    letter = Letter("topic", 0, 7, "2026-11-21T00:00:00.000Z", "no\0 format", b"key\0", b"\x00\xffbody" * 50, {"_format": "json"})
    stored(store, Read("fink", [step(None, 8)], [letter, letter]))
    (row,) = store.streams.letters("fink")
    assert (row["offset"], row["reason"]) == (7, "no format")
    kept = store.streams.letter(row["id"])
    assert (kept.body, kept.key, kept.headers) == (letter.body, letter.key, letter.headers)
    assert store.streams.letters("lasair") == store.streams.letters("fink", ["other"]) == []
    assert store.streams.drop([row["id"]]) == 1
    assert store.streams.letter(row["id"]) is None


def test_nothing_is_stored_when_targets_came_or_went_meanwhile(store):
    store.add_target(Target("one", 10.0, 20.0))
    everyone, census = store.streams.everyone()
    assert [target.name for target in everyone] == ["one"]
    store.add_target(Target("two", 11.0, 20.0))
    with pytest.raises(OutOfStep):
        stored(store, Read("fink", [step(None, 8)], census=census))
    assert store.streams.offsets("fink") == {}
    new, census = store.streams.since(census)
    assert [target.name for target in new] == ["two"]
    stored(store, Read("fink", [step(None, 8)], census=census))
    store.remove_target("one")
    assert store.streams.since(census)[0] is None


def test_a_target_that_was_moved_meanwhile_stays_where_it_was_moved_to(store):
    store.add_target(Target("one", 10.0, 20.0))
    (before,), census = store.streams.everyone()
    store.move_target(Target("one", 10.5, 20.0))
    with pytest.raises(OutOfStep) as caught:
        stored(store, Read("fink", [step(None, 8)], census=census, matched=[before]))
    assert caught.value.moved
    assert store.target("one").ra == 10.5


def taken(store, messages, *, add=False, where=""):
    sky = Sky.of(store.targets())
    return Taking("fink", sky, wanted(where), add).take(messages)


def messages(count, objects, **options):
    return [Message(Place("topic", 0), at, value, key) for at, (_, value, key) in enumerate(packets(count, objects, **options))]


def test_packets_of_many_objects_become_what_each_target_would_be_sent_alone():
    bodies = list(container(40, 8))
    payloads = [Payload(body, url=f"kafka:fink/topic/0/{at}") for at, body in enumerate(bodies)]
    rows = ztf_rows(bodies).rows
    names = sorted(set(rows["object_id"].to_pylist()))
    sky = Sky()
    many = intake("ztf_alerts", rows, payloads, sky, add=names)
    assert sorted(target.name for target in many.targets) == names
    whole = deliver(load("ztf_alerts"), payloads)
    for visit in many.visits():
        alone = whole.share(visit.target, 1.5, windowed=True)
        columns = ["filter", "observation_id", "bjd_tdb", "mag", "flux", "limiting_mag", "quality"]
        own = {row["observation_id"]: row for row in visit.rows.select(columns).to_pylist()}
        for row in alone.rows.select(columns).to_pylist():
            assert own[row["observation_id"]] | {"bjd_tdb": 0, "flux": 0} == row | {"bjd_tdb": 0, "flux": 0} or "history" in str(row)
            assert own[row["observation_id"]]["bjd_tdb"] == pytest.approx(row["bjd_tdb"], abs=2e-9, rel=0)
        assert set(own) == set(alone.rows["observation_id"].to_pylist())
        assert visit.since is not None
        assert {payload.url for payload in visit.payloads} <= {payload.url for payload in payloads}


def test_only_followed_targets_are_taken_whatever_else_is_heard(store):
    given = messages(20, 5)
    ((name, *_),) = packets(1, 5)
    assert taken(store, given).parts == ()
    place = next(one for one in Taking("fink", Sky(), add=True).take(given).new if one.name == name)
    store.add_target(Target("my supernova", place.ra, place.dec + 0.5 / 3600))
    found = taken(store, given)
    assert (found.alerts, found.followed, found.new) == (20, 4, ())
    assert [target.name for target in found.matched] == ["my supernova"]
    assert {one.target for one in found.told} == {"my supernova"}
    assert set(found.parts[0].rows["object_id"].to_pylist()) == {name}


def test_the_condition_decides_what_becomes_a_target(store):
    given = messages(10, 10)
    assert len(taken(store, given, add=True).new) == 10
    assert taken(store, given, add=True, where="drb > 0.96").new == ()
    assert len(taken(store, given, add=True, where="drb > 0.9 and mag < 19").new) == 10


def test_a_moving_star_is_found_where_it_is_by_now():
    given = messages(1, 1)
    (new,) = Taking("fink", Sky(), add=True).take(given).new
    mjd = Taking("fink", Sky(), add=True).take(given).told[0].heard.alert.mjd
    years = (mjd - 51544.5) / 365.25
    barnard = Target("fast", new.ra, new.dec - 10.0 * years / 3600, pmdec=10_000.0)
    assert Taking("fink", Sky.of([barnard])).take(given).followed == 1
    assert Taking("fink", Sky.of([Target("slow", barnard.ra, barnard.dec)])).take(given).followed == 0


def test_a_target_at_the_pole_and_one_at_zero_hours_are_found():
    for ra, dec in ((359.99999, 0.0), (120.0, 89.9999)):
        sky = Sky.of([Target("there", ra, dec), Target("elsewhere", 5.0, 5.0)])
        assert sky.match(things(ra + 1.0 / 3600 * (5 if dec > 80 else 1), dec), "ZTF", 1.5).targets.tolist() == [0]


def things(ra, dec):
    import numpy as np

    from harvester.sky import Things

    return Things(["ZTF1"], np.array([ra % 360.0]), np.array([dec]), np.array([60000.0]))


def test_a_message_that_our_own_code_trips_over_is_a_dead_letter_and_the_others_go_on(store, monkeypatch):
    given = messages(9, 3)
    poison = given[4].value
    from harvester import taking

    def trips(packets):
        if any(poison in packet for packet in packets):
            raise ZeroDivisionError("a bug")
        return ztf_rows(packets)

    monkeypatch.setattr(taking, "PACKETS", {"ztf_alerts": trips})
    found = taken(store, given, add=True)
    (dead,) = found.dead
    assert (dead.message.offset, "ZeroDivisionError: a bug" in dead.reason) == (4, True)
    assert (found.alerts, len(found.new)) == (8, 3)
    assert sum(len(part.targets) for part in found.parts) >= 3
