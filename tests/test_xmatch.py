"""Matches on this machine: every pair within the radius and no other, anywhere on the sky, from files of every kind."""

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Table
from pyarrow import parquet

from harvester.errors import UsageError
from harvester.healpix import pixel_at
from harvester.xmatch.files import TableFile
from harvester.xmatch.grid import Grid, nearest
from harvester.xmatch.healpix import nested
from harvester.xmatch.local import local_matches

SIZE = 400


def patch(where, radius, seed):
    """Two lists of positions, some radii apart, at a place that is hard on coordinates."""
    random = np.random.default_rng(seed)
    width = 6.0 * radius / 3600.0
    turn, out, east, north = random.uniform(0, 360, SIZE), np.sqrt(random.uniform(0, 1, SIZE)), *random.uniform(-1, 1, (2, SIZE))
    return {
        "north pole": (turn, 90.0 - width * out),
        "south pole": (turn, width * out - 90.0),
        "RA 0": ((width * east) % 360.0, width * north),
        "dec 60": (200.0 + 2.0 * width * east, 60.0 + width * north),
    }[where]


def separations_of_astropy(own, other):
    mine, theirs = (SkyCoord(*place, unit="deg") for place in (own, other))
    return mine[:, None].separation(theirs[None, :]).arcsec


@pytest.mark.parametrize("radius", [0.05, 2.0, 180.0, 3600.0])
@pytest.mark.parametrize("where", ["north pole", "south pole", "RA 0", "dec 60"])
def test_all_pairs_are_those_of_astropy(where, radius):
    own, other = patch(where, radius, 1), patch(where, radius, 2)
    found = Grid(*own, radius).pairs(*other)
    wanted = separations_of_astropy(own, other)
    assert np.count_nonzero(wanted <= radius) > SIZE
    assert list(zip(found.other, found.own, strict=True)) == list(zip(*np.nonzero(radius >= wanted.T), strict=True))
    assert np.abs(found.separation - wanted[found.own, found.other]).max() < 2e-9


def test_the_best_match_is_the_nearest():
    own, other = patch("RA 0", 2.0, 3), patch("RA 0", 2.0, 4)
    best = nearest(Grid(*own, 2.0).pairs(*other))
    wanted = separations_of_astropy(own, other)
    inside = np.flatnonzero(wanted.min(axis=1) <= 2.0)
    assert 0 < len(inside) < SIZE
    assert best.own.tolist() == inside.tolist()
    assert best.other.tolist() == wanted[inside].argmin(axis=1).tolist()


def test_positions_that_are_none_have_no_pairs():
    own, other = np.array([np.nan, 10.0]), np.array([10.0, np.inf, np.nan, 370.0, 10.0, 10.0])
    found = Grid(own, np.array([0.0, 0.0]), 1.0).pairs(other, np.array([0.0, 0.0, 0.0, 0.0, np.nan, -99.0]))
    assert list(zip(found.own.tolist(), found.other.tolist(), strict=True)) == [(1, 0), (1, 3)]


def test_nothing_matches_nothing():
    assert not len(Grid(np.array([]), np.array([]), 1.0).pairs(np.array([1.0]), np.array([1.0])).own)


def test_pixels_are_those_of_the_emulator():
    random = np.random.default_rng(5)
    ra, dec = random.uniform(0, 360, 5000), np.degrees(np.arcsin(random.uniform(-1, 1, 5000)))
    assert (nested(ra, dec) == pixel_at(13, ra, dec)).all()


def written(folder, kind, table):
    path = folder / f"catalogue.{kind}"
    if kind == "parquet":
        parquet.write_table(table, path)
    elif kind == "csv":
        pa_csv.write_csv(table, path)
    else:
        Table({name: np.array(table[name].to_pylist()) for name in table.column_names}).write(
            path, format={"vot": "votable", "fits": "fits"}[kind]
        )
    return path


@pytest.mark.parametrize("kind", ["parquet", "csv", "vot", "fits"])
def test_a_file_of_any_kind_gives_the_same_matches(tmp_path, kind):
    catalogue = {"name": ["near", "nearer", "far"], "RAJ2000": [10.0002, 10.0001, 11.0], "DEJ2000": [0.0, 0.0, 0.0], "id": [1 << 60, 7, 8]}
    file = TableFile(written(tmp_path, kind, pa.table(catalogue)))
    ra, dec = np.array([200.0, 10.0]), np.array([0.0, 0.0])
    found = local_matches(ra, dec, file, 2.0, best=False, columns=["name", "id"]).to_pylist()
    assert [(row["own"], row["name"], row["id"], round(row["separation"], 3)) for row in found] == [
        (1, "nearer", 7, 0.36),
        (1, "near", 1 << 60, 0.72),
    ]
    assert [row["name"] for row in local_matches(ra, dec, file, 2.0, best=True).to_pylist()] == ["nearer"]


def test_the_best_of_a_file_of_many_pieces_is_the_best_of_all(tmp_path):
    rows = 300_000
    ra = np.linspace(20.0, 50.0, rows)
    ra[[5, rows - 5]] = 10.0 + np.array([1.0, 0.5]) / 3600.0
    parquet.write_table(pa.table({"ra": ra, "dec": np.zeros(rows), "row": np.arange(rows)}), tmp_path / "many.parquet")
    found = local_matches(np.array([10.0]), np.array([0.0]), TableFile(tmp_path / "many.parquet"), 2.0, best=True)
    assert found["row"].to_pylist() == [rows - 5]


@pytest.mark.parametrize("radius", [0.0, -1.0, float("nan"), 3601.0])
def test_a_radius_that_cannot_be_is_refused(tmp_path, radius):
    file = TableFile(written(tmp_path, "csv", pa.table({"ra": [1.0], "dec": [1.0]})))
    with pytest.raises(UsageError, match="radius"):
        local_matches(np.array([1.0]), np.array([1.0]), file, radius, best=True)


@pytest.mark.parametrize(("content", "words"), [("a,b\n1,2\n", "right ascension"), ("ra,dec\n1,x\n", "no number"), ("", "cannot be read")])
def test_a_file_that_is_no_table_of_positions_is_refused_in_words(tmp_path, content, words):
    path = tmp_path / "odd.csv"
    path.write_text(content, "utf-8")
    with pytest.raises(UsageError, match=words):
        list(TableFile(path).pieces())
