"""One star through every survey: what is stored agrees with the simulated truth to each survey's own precision, on one time axis."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from test_gaia_releases import Day

from harvester.brightness import AB_ZEROPOINT_JY, baseline, flux_from_mag
from harvester.cli import status_of
from harvester.cli.options import App
from harvester.emulator import atlas_units
from harvester.emulator.app import Emulator
from harvester.emulator.gaia_releases import DR4_DAY
from harvester.emulator.server import serve
from harvester.emulator.sky import Sky
from harvester.plot.figure import SIZES, draw
from harvester.plot.picture import picture
from harvester.schema import parts
from harvester.source import load, registered
from harvester.store import Store

pytestmark = pytest.mark.slow

TARGETS = ("RR Lyr", "Gaia21sim", "SN SIM 2026a")
LEAST = dict(zip(TARGETS, (25, 20, 20), strict=True))
"""Filters that have seen it."""
BY_EYE, EYE_MAG = "Vis", 0.15
MEANT = {BY_EYE: "V", "SG": "g"}
"""What observers' words mean in the simulation; an estimate by eye comes without an error."""
SIGNED = {"ATLAS", "ZTF_FP", "LSST_FP"}
"""Surveys that serve signed flux, whatever its significance: compared as flux, detections and limits alike."""
QUIET_D = 100.0
MEDIAN_SIGMA = 1.2533
ROUNDING = 5e-4
"""Of magnitudes with three digits."""


@pytest.fixture(scope="module")
def fetched(tmp_path_factory):
    """Each target by every source, on the day after Gaia DR4 came out; the store, the exit status, and what became of each visit."""
    place = str(tmp_path_factory.mktemp("truth") / "store.db")
    with serve(Emulator(clock=Day(DR4_DAY + 86400))) as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr(App, "emulator", server)
        words = [word for target in TARGETS for word in ("--target", target)]
        status = status_of(["--store", place, "--emulate", "fetch", "--source", "all", *words, "-q"])
    with Store.open(place, simulated=True) as store:
        yield store, status, store.visits("last")[1]


def truth(star, label, bjd_tdb):
    band, survey = parts(label)
    if survey == "ATLAS":
        return atlas_units.brightness(Sky(), star, band, bjd_tdb)
    return Sky().magnitude(star, MEANT.get(band, band), bjd_tdb)


def column(rows, name):
    return np.array(rows[name].to_numpy(), np.float64)


def levels(rows, star):
    """Return the zero level of each row of forced photometry on difference images, where it can be known."""
    flags = rows["flags"].to_pylist()
    groups = [next((word for word in said.split() if word.startswith("rfid=")), "") for said in flags]
    alone = np.array([said.startswith("difference") and bool(group) for said, group in zip(flags, groups, strict=True)])
    quiet = alone & (np.abs(column(rows, "bjd_tdb") - star.epoch - QUIET_D) > 2 * QUIET_D)
    return np.where(alone, np.nan_to_num(baseline(column(rows, "flux"), groups, quiet)), 0.0)


def pulls(rows, star, label):
    """Return by how many of its own sigma each row lies off the truth, in flux or in magnitudes as the survey serves it; no limits of the latter."""
    band, survey = parts(label)
    if survey in SIGNED:
        bright = flux_from_mag(truth(star, label, column(rows, "bjd_tdb")), AB_ZEROPOINT_JY)
        return (column(rows, "flux") - levels(rows, star) - bright) / column(rows, "flux_err")
    seen = rows.filter(pc.is_valid(rows["mag"]))
    errors = np.hypot(EYE_MAG if band == BY_EYE else column(seen, "mag_err"), ROUNDING)
    return (column(seen, "mag") - truth(star, label, column(seen, "bjd_tdb"))) / errors


def test_every_source_that_is_not_retired_delivers_something_of_a_star_or_of_a_transient(fetched):
    _, status, visits = fetched
    assert status == 0
    delivered = {visit["source"] for visit in visits if visit["new"] + visit["known"] + visit["known_elsewhere"]}
    assert delivered == {name for name in registered() if load(name).takes} - {"mars"}
    assert {visit["quarantined"] for visit in visits} == {0}


@pytest.mark.parametrize("target", TARGETS)
def test_all_light_curves_of_one_star_agree_with_the_truth_to_each_survey_s_precision(fetched, target):
    (star,) = Sky().named(target)
    rows, compared = fetched[0].light_curve(target, quality="good"), 0
    labels = pc.cast(rows["filter"], pa.string())
    for label in pc.unique(labels).to_pylist():
        off = pulls(rows.filter(pc.equal(labels, label)), star, label)
        compared += len(off)
        assert not len(off) or np.abs(off).max() < 6, label
        assert not len(off) or abs(np.median(off)) < 4 * MEDIAN_SIGMA / np.sqrt(len(off)) + 0.05, label
        assert len(off) < 50 or 0.6 < np.std(off) < 1.4, label
    assert compared > 1000
    assert len(pc.unique(labels)) >= LEAST[target]


def test_times_that_were_not_brought_to_the_barycentre_would_be_seen(fetched):
    """What the comparison is worth: light needs 8.3 minutes from the Sun, and the star pulsates."""
    (star,) = Sky().named("RR Lyr")
    rows = fetched[0].light_curve("RR Lyr", quality="good")
    rows = rows.filter(pc.equal(pc.cast(rows["filter"], pa.string()), "o(ATLAS)"))
    late = rows.set_column(rows.column_names.index("bjd_tdb"), "bjd_tdb", pc.add(rows["bjd_tdb"], 8.3 / 1440))
    assert np.std(pulls(late, star, "o(ATLAS)")) > 1.4


@pytest.mark.parametrize("target", TARGETS)
def test_all_of_them_are_drawn_in_one_picture_on_one_time_axis(fetched, target):
    rows = fetched[0].light_curve(target, quality="good")
    drawn = picture(rows, title=target, simulated=True)
    figure = draw([drawn], SIZES["page"])
    (axes,) = [found for found in figure.axes if found.get_ylabel()]
    assert {line.series.filter for line in drawn.lines} == set(pc.unique(pc.cast(rows["filter"], pa.string())).to_pylist())
    assert "TDB" in axes.get_xlabel()
