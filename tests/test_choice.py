"""Which sources a command asks: those named, or all that can be asked; what is left out is said."""

import pytest

from harvester.source import load, registered

GUARDED = [name for name in registered() if load(name).credentials]
RETIRED = [name for name in registered() if load(name).retired]


def test_what_has_no_credentials_or_is_retired_is_left_out_with_a_line(harvest):
    assert harvest("fetch -n --target '10 10'", emulate=False) == 0
    assert f"Left out, without credentials: {', '.join(GUARDED)}." in harvest.err
    assert f"Left out, retired: {', '.join(RETIRED)}." in harvest.err
    assert "wis-tns" not in harvest.out
    assert "irsa.ipac" in harvest.out


def test_all_means_every_source_as_if_none_were_named(harvest):
    harvest("fetch -n --target '10 10'", emulate=False)
    unnamed = harvest.out, harvest.err
    harvest("fetch -n --source all --target '10 10'", emulate=False)
    assert (harvest.out, harvest.err) == unnamed


def test_with_credentials_it_is_asked(harvest, monkeypatch):
    monkeypatch.setenv("HARVESTER_LASAIR_TOKEN", "abcd1234")
    assert harvest("fetch -n --target '10 10'", emulate=False) == 0
    assert "https://lasair-ztf.lsst.ac.uk/api/cone/" in harvest.out
    assert f"Left out, without credentials: {', '.join(name for name in GUARDED if name != 'lasair')}." in harvest.err


@pytest.mark.parametrize("name", GUARDED)
def test_asked_by_name_without_credentials_it_is_refused_with_how_to_get_them(harvest, name):
    assert harvest(f"fetch --source {name} --target '10 10' --json", emulate=False) == 4
    assert (harvest.objects[0]["outcome"], harvest.objects[0]["error"]) == ("failed", "refused")
    assert load(name).credentials[0].how in harvest.objects[0]["message"]


@pytest.mark.parametrize("name", RETIRED)
def test_asked_by_name_a_retired_source_is_refused_with_its_successors(harvest, name):
    assert harvest(f"fetch --source {name} --target '10 10'") == 2
    assert load(name).retired in harvest.err


def test_a_simulation_leaves_out_the_retired_alone_and_quietly_says_nothing(harvest):
    harvest("fetch -n --target '10 10'")
    assert "without credentials" not in harvest.err
    assert "wis-tns" in harvest.out
    harvest("fetch -n -q --target '10 10'")
    assert "Left out" not in harvest.err
