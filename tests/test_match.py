import numpy as np
import pyarrow as pa
import pytest

from harvester.match import match, select
from harvester.payload import SkyObject
from harvester.schema import SCHEMA
from harvester.target import Target

STAR = Target("star", 150.0, 2.0)
ARCSEC = 1 / 3600


def rows_at(*places):
    """Rows (object_id, ra, dec), all at MJD 51544.5, which is J2000."""
    table = SCHEMA.empty_table().to_pylist() + [{"object_id": name, "ra": ra, "dec": dec, "time": 51544.5} for name, ra, dec in places]
    return pa.Table.from_pylist(table, schema=SCHEMA)


def matched(target, rows, objects=(), *, radius=1.5, mjd=51544.5, **more):
    return match(target, rows, objects, mjd=np.full(rows.num_rows, mjd), radius=radius, **more)


def test_the_nearest_thing_is_the_match_and_others_are_neighbours():
    rows = rows_at(("far", 150.0, 2.0 + 1.2 * ARCSEC), ("near", 150.0, 2.0 + 0.1 * ARCSEC))
    found = matched(STAR, rows)
    assert found.object_ids == ("near",)
    assert found.separation == pytest.approx(0.1, abs=1e-6)
    assert found.neighbours == 1
    assert not found.ambiguous
    assert select(rows, found)["object_id"].to_pylist() == ["near"]


def test_a_runner_up_nearly_as_near_is_ambiguous():
    found = matched(STAR, rows_at(("a", 150.0, 2.0 + 0.3 * ARCSEC), ("b", 150.0, 2.0 - 0.7 * ARCSEC)))
    assert found.ambiguous
    assert found.runner_up == pytest.approx(0.7, abs=1e-6)


def test_ids_of_one_star_within_the_scatter_are_matched_together():
    rows = rows_at(("g", 150.0, 2.0 + 0.1 * ARCSEC), ("r", 150.0, 2.0 - 0.2 * ARCSEC), ("other", 150.0, 2.0 + 1.4 * ARCSEC))
    assert set(matched(STAR, rows, scatter=0.7).object_ids) == {"g", "r"}


def test_nothing_inside_the_radius_is_no_match():
    assert matched(STAR, rows_at(("x", 150.0, 2.0 + 2 * ARCSEC))).object_ids == ()
    assert matched(STAR, rows_at()).object_ids == ()


def test_the_target_moves_to_the_epoch_of_the_catalogue():
    star = Target("fast", 150.0, 2.0, pmdec=10_000.0)
    objects = (SkyObject("there", 150.0, 2.0 + 160 * ARCSEC, 2016.0), SkyObject("where it was", 150.0, 2.0, 2016.0))
    assert matched(star, rows_at(), objects).object_ids == ("there",)


def test_the_target_moves_to_the_epoch_of_each_row():
    star = Target("fast", 150.0, 2.0, pmdec=10_000.0)
    later = 51544.5 + 20 * 365.25
    rows = rows_at(("follows", 150.0, 2.0 + 200 * ARCSEC), ("stays", 150.0, 2.0))
    assert matched(star, rows, mjd=later).object_ids == ("follows",)


def test_a_catalogue_object_without_photometry_may_be_the_match():
    objects = (SkyObject("dark", 150.0, 2.0), SkyObject("bright neighbour", 150.0, 2.0 + ARCSEC))
    found = matched(STAR, rows_at(("bright neighbour", None, None)), objects)
    assert found.object_ids == ("dark",)
    assert found.neighbours == 1


def test_the_antipode_is_not_near():
    assert matched(STAR, rows_at(), (SkyObject("antipode", 330.0, -2.0),)).object_ids == ()


def test_right_ascension_wraps_and_poles_are_places():
    assert matched(Target("zero", 0.0, 0.0), rows_at(("x", 360.0 - 0.3 * ARCSEC, 0.0))).object_ids == ("x",)
    assert matched(Target("pole", 10.0, 90.0), rows_at(("x", 190.0, 90.0 - ARCSEC))).separation == pytest.approx(1.0, abs=1e-6)


def test_ids_without_a_position_match_only_when_already_known():
    rows = rows_at(("known", None, None), ("stranger", None, None))
    assert matched(STAR, rows, known=("known",)).object_ids == ("known",)
    assert matched(STAR, rows).object_ids == ()


def test_a_window_without_the_known_thing_does_not_make_its_neighbour_the_target():
    rows = rows_at(("neighbour", 150.0, 2.0 + 1.2 * ARCSEC))
    assert matched(STAR, rows, known=("mine",), windowed=True).object_ids == ()
    assert matched(STAR, rows, known=("mine",), windowed=True).neighbours == 1
    assert matched(STAR, rows, known=(), windowed=True).object_ids == ("neighbour",)


def test_what_was_the_target_before_is_it_again():
    rows = rows_at(("known", 150.0, 2.0 + 0.4 * ARCSEC), ("nearer", 150.0, 2.0 + 0.2 * ARCSEC))
    assert matched(STAR, rows, known=("known",)).object_ids == ("known",)


def test_a_row_without_a_time_still_has_a_place():
    rows = rows_at(("x", 150.0, 2.0), ("far", 150.0, 2.0 + 1.4 * ARCSEC))
    assert match(Target("s", 150.0, 2.0, pmra=5.0), rows, (), mjd=np.array([np.nan, 51544.5]), radius=1.5).object_ids == ("x",)
