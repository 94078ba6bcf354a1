"""What a store knows for an export: declared surveys, releases, what points are of; on both back ends, and after a copy."""

import doctest
import importlib

import pytest
from exported import RR

from harvester.errors import UsageError
from harvester.light_curves import about, knowledge, light_curves
from harvester.own import Declaration, time_system
from harvester.store import Cut, Store
from harvester.target import Target

MINE = Declaration("MY_OBS", time_system("hjd_utc"), {"V": "V(AAVSO)", "white": ""})


def test_a_declared_survey_is_known_by_its_label_here_and_in_a_copy(store, other_url):
    store.own.declare("MY_OBS", MINE.merged)
    store.own.declare("MY_OBS", Declaration("MY_OBS", time_system("hjd_utc"), {"R": "R(AAVSO)"}).merged)
    store.copy(other_url)
    with Store.open(other_url, simulated=None) as copied:
        for one in (store, copied):
            known = knowledge(one)
            assert known.time_system("own", "MY_OBS") == time_system("hjd_utc")
            assert (known.band("V(MY_OBS)").zeropoint_jy, known.band("R(MY_OBS)").zeropoint_jy) == (3636.0, 3064.0)
            assert known.band("white(MY_OBS)").zeropoint_jy is None
            assert known.band("nothing(MY_OBS)") is None
            assert all(finding.problems == 0 for finding in one.check())


def test_a_label_in_other_letters_is_another_s(store):
    store.own.declare("MY_OBS", MINE.merged)
    with pytest.raises(UsageError, match="other letters"):
        store.own.declare("My_Obs", MINE.merged)


def test_an_empty_store_has_nothing_behind_it(store):
    assert store.own.behind() == []
    assert store.own.releases() == {}
    found = light_curves(store, Cut(quality="all"))
    assert list(found.batches) == []
    assert (found.about["run"], found.about["as_of"], found.known.filters) == ("", "", ())


def test_an_address_of_a_server_is_told_without_its_password_and_a_file_without_its_folder(store):
    place = about(store)["store"]
    assert place == "store.db" or place.startswith("postgresql")
    assert "/tmp" not in place


def test_targets_are_read_when_they_are_first_wanted(store, monkeypatch):
    store.add_target(Target("RR Lyr", RR.ra, RR.dec))
    asked = []
    monkeypatch.setattr(Store, "targets", lambda _: asked.append(1) or [RR])
    known = knowledge(store)
    assert asked == []
    assert known.targets["RR Lyr"].ra == RR.ra
    assert len(known.targets) == 1
    assert asked == [1]


@pytest.mark.parametrize(
    "name", ["derive", "own", "cite", "healpix", "export.aavso", "export.sncosmo", "export.plain", "export.rtmodel", "export.dataset"]
)
def test_the_examples_in_docstrings_are_true(name):
    failed, _ = doctest.testmod(importlib.import_module(f"harvester.{name}"))
    assert failed == 0
