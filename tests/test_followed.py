"""Targets that are kept and not followed: those of a whole night, until somebody wants them."""

from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from harvester.alert_targets import Followed
from harvester.alerts.alert import Alert
from harvester.emulator.sky import Sky
from harvester.emulator.ztf_archive import tarball
from harvester.nights import ALL, FOLLOWED, Source, Wanted, ingest
from harvester.store.tables import metadata
from harvester.store.visit import Rhythm
from harvester.target import Target

NIGHT, OTHER = "20240412", "20240329"
MINE = Target("mine", 10.0, 20.0)
NIGHTLY = Rhythm(1.0, "")


def read(store, wanted=ALL, night=NIGHT):
    body = tarball(Sky().seed, night)
    return ingest(store, Source(f"ztf_public_{night}.tar.gz", [body], url="https://archive/night"), wanted)


def due(store):
    return len(store.timetable.waiting("alerce", NIGHTLY, datetime.now(UTC)).target_ids)


def test_the_targets_of_a_whole_night_are_kept_and_not_due_anywhere(store):
    store.add_target(MINE)
    read(store)
    everyone = {target.name for target in store.targets()}
    assert len(everyone) > 5
    assert store.timetable.unfollowed() == everyone - {"mine"}
    assert due(store) == 1
    assert [target.name for target in store.targets(followed=True)] == ["mine"]
    assert store.streams.everyone()[1].size == 1
    assert not [finding for finding in store.check() if finding.problems]


def test_a_second_whole_night_lets_followed_targets_be_followed(store):
    read(store)
    (name, *_) = sorted(store.points())
    store.timetable.heed([name], followed=True)
    read(store, night=OTHER)
    assert name not in store.timetable.unfollowed()
    assert due(store) == 1


def test_only_followed_targets_get_the_alerts_of_a_night_for_followed_ones(store):
    read(store)
    before = store.points()
    assert read(store, FOLLOWED, OTHER).used == 0
    store.timetable.heed(sorted(before), followed=True)
    assert read(store, FOLLOWED, OTHER).used > 0


def test_the_targets_of_a_cone_are_followed_unless_it_is_said_otherwise(store):
    read(store)
    some = store.target(min(store.points()))
    for name in store.points():
        store.remove_target(name, force=True)
    read(store, Wanted.in_cone(some.ra, some.dec, 5.0, follow=False))
    assert (len(store.targets()), due(store)) == (1, 0)
    store.remove_target(some.name, force=True)
    read(store, Wanted.in_cone(some.ra, some.dec, 5.0))
    assert (len(store.targets()), due(store)) == (1, 1)


def test_an_alert_that_is_to_make_a_target_lets_a_kept_one_be_followed(store):
    read(store)
    (name, *_) = sorted(store.points())
    some = store.target(name)
    assert Followed(store).add(Alert("fink", name, ra=some.ra, dec=some.dec, survey="ZTF")) == (name, False)
    assert due(store) == 1


def test_targets_of_older_stores_are_followed(store):
    with store._database.reading() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(metadata.tables["target"])).scalar() == 0
    store.add_target(MINE)
    assert store.timetable.unfollowed() == set()


@pytest.fixture
def whole_night(harvest):
    assert harvest(f"alerts archive ingest {NIGHT} --all") == 0
    assert harvest("--json targets list") == 0
    return sorted(row["name"] for row in harvest.objects)


def test_update_leaves_a_whole_night_alone_until_targets_are_followed(harvest, whole_night, emulator):
    emulator.requests.clear()
    assert harvest("update -s alerce") == 0
    assert "Nothing is due" in harvest.err
    assert not emulator.requests
    assert harvest(f"targets follow -t {whole_night[0]}") == 0
    assert harvest("--json targets list --followed") == 0
    assert [row["name"] for row in harvest.objects] == whole_night[:1]
    assert harvest("--json update -s alerce") == 0
    assert {row["target"] for row in harvest.objects} == {whole_night[0]}
    assert harvest(f"targets unfollow -t {whole_night[0]}") == 0
    assert harvest("--json targets list --followed") == 0
    assert harvest.out == ""


def test_what_is_fetched_is_followed_from_then_on(harvest, whole_night):
    assert harvest(f"update -t {whole_night[0]} -s alerce") == 2
    assert "harvest targets follow" in harvest.err
    assert harvest(f"fetch -s alerce -t {whole_night[0]}") == 0
    assert harvest("--json targets list --followed") == 0
    assert [row["name"] for row in harvest.objects] == whole_night[:1]


def test_following_goes_with_what_makes_targets_alone(harvest):
    assert harvest(f"alerts archive ingest {NIGHT} --no-follow") == 2
    assert "--all or --cone" in harvest.err
