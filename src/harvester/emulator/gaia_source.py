"""The tables of Gaia DR3 that the simulated sky fills: gaia_source (the columns that people ask for) and the results for variables."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from harvester.emulator.adql import Column, Table
from harvester.emulator.gaia_transits import FAINTEST, ZEROPOINT, transits
from harvester.emulator.stars import position
from harvester.emulator.tokens import AdqlError, Constants

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from harvester.emulator.sky import Sky, Star

SOLUTION = 1636148068921376768
EPOCH = 2016.0
WIDEST_DEG = 0.5
SMALLEST_ID = 1 << 30
DESIGNATION = re.compile(r"Gaia DR3 (\d+)")
FLUX, SPEED = "'electron'.s**-1", "mas.yr**-1"
# What becomes of the equatorial unit vector in galactic coordinates (Hipparcos catalogue, ESA SP-1200, vol. 1, eq. 1.5.11).
GALACTIC = np.array([
    [-0.0548755604, -0.8734370902, -0.4838350155],
    [0.4941094279, -0.4448296300, 0.7469822445],
    [-0.8676661490, -0.1980763734, 0.4559837762],
])  # fmt: skip
SHARE_OF_CONSTANTS = 0.3  # of anonymous constant stars: those with epoch photometry all the same
CLASSES = {
    "rrlyr": "RR",
    "cepheid": "CEP",
    "mira": "LPV",
    "eclipsing": "ECL",
    "contact": "ECL",
    "supernova": "SN",
    "microlensing": "MICROLENSING",
}

SOURCE_COLUMNS = (
    Column("solution_id", "long", "", "meta.version", "Solution Identifier"),
    Column("designation", "char", "", "meta.id;meta.main", "Source designation, unique over all releases"),
    Column("source_id", "long", "", "meta.id", "Source identifier, unique within a release"),
    Column("random_index", "long", "", "meta.code", "Random index, to select subsets"),
    Column("ref_epoch", "double", "yr", "meta.ref;time.epoch", "Reference epoch"),
    Column("ra", "double", "deg", "pos.eq.ra;meta.main", "Right ascension at the reference epoch"),
    Column("ra_error", "float", "mas", "stat.error;pos.eq.ra", "Standard error of right ascension"),
    Column("dec", "double", "deg", "pos.eq.dec;meta.main", "Declination at the reference epoch"),
    Column("dec_error", "float", "mas", "stat.error;pos.eq.dec", "Standard error of declination"),
    Column("parallax", "double", "mas", "pos.parallax.trig", "Parallax"),
    Column("parallax_error", "float", "mas", "stat.error;pos.parallax.trig", "Standard error of parallax"),
    Column("parallax_over_error", "float", "", "stat.snr;pos.parallax.trig", "Parallax divided by its standard error"),
    Column("pm", "float", SPEED, "pos.pm;pos.eq", "Total proper motion"),
    Column("pmra", "double", SPEED, "pos.pm;pos.eq.ra", "Proper motion in right ascension"),
    Column("pmra_error", "float", SPEED, "stat.error;pos.pm;pos.eq.ra", "Standard error of proper motion in right ascension"),
    Column("pmdec", "double", SPEED, "pos.pm;pos.eq.dec", "Proper motion in declination"),
    Column("pmdec_error", "float", SPEED, "stat.error;pos.pm;pos.eq.dec", "Standard error of proper motion in declination"),
    Column("astrometric_params_solved", "short", "", "meta.number", "Which parameters have been solved for"),
    Column("matched_transits", "short", "", "meta.number", "Transits matched to this source"),
    Column("ruwe", "float", "", "stat.error", "Renormalised unit weight error"),
    Column("duplicated_source", "boolean", "", "meta.code.status", "Source with several source identifiers"),
    *(
        Column(f"phot_{band}_{name}", kind, unit, f"{ucd}phot.{what};em.opt{end}", f"{text}, {band.upper()} band")
        for band, end in (("g", ""), ("bp", ".B"), ("rp", ".R"))
        for name, kind, unit, ucd, what, text in (
            ("n_obs", "short", "", "meta.number;", "flux", "Observations behind the mean"),
            ("mean_flux", "double", FLUX, "", "flux", "Mean flux"),
            ("mean_flux_error", "float", FLUX, "stat.error;", "flux", "Error of the mean flux"),
            ("mean_flux_over_error", "float", "", "stat.snr;", "flux", "Mean flux divided by its error"),
            ("mean_mag", "float", "mag", "", "mag", "Mean magnitude (Vega)"),
        )
    ),
    Column("phot_bp_rp_excess_factor", "float", "", "arith.factor;phot.flux;em.opt", "Flux in BP and RP over that in G"),
    Column("bp_rp", "float", "mag", "phot.color;em.opt.B;em.opt.R", "BP - RP"),
    Column("bp_g", "float", "mag", "phot.color;em.opt.B;em.opt", "BP - G"),
    Column("g_rp", "float", "mag", "phot.color;em.opt;em.opt.R", "G - RP"),
    Column("radial_velocity", "float", "km.s**-1", "spect.dopplerVeloc.opt;em.opt.I", "Radial velocity (not simulated: null)"),
    Column("phot_variable_flag", "char", "", "meta.code;src.var", "Photometric variability"),
    Column("l", "double", "deg", "pos.galactic.lon", "Galactic longitude"),
    Column("b", "double", "deg", "pos.galactic.lat", "Galactic latitude"),
    Column("non_single_star", "short", "", "meta.code.status", "In the tables of non-single stars"),
    Column("has_xp_continuous", "boolean", "", "meta.code.status", "Has BP/RP spectra (none are simulated)"),
    Column("has_rvs", "boolean", "", "meta.code.status", "Has an RVS spectrum (none are simulated)"),
    Column("has_epoch_photometry", "boolean", "", "meta.code.status", "Has epoch photometry"),
    Column("has_epoch_rv", "boolean", "", "meta.code.status", "Has epoch radial velocities (none are simulated)"),
)
CLASS_COLUMNS = (
    Column("solution_id", "long", "", "meta.version", "Solution Identifier"),
    Column("source_id", "long", "", "meta.id;meta.main", "Source identifier"),
    Column("classifier_name", "char", "", "meta.id", "Classifier"),
    Column("best_class_name", "char", "", "meta.code.class", "Best class"),
    Column("best_class_score", "float", "", "stat.probability", "Score of the best class"),
)


def tables(sky: Sky, asked: Constants) -> list[Table]:
    """Return DR3's tables with the stars that a query bounds: those of its cones, and those that it names by id or designation.

    A query that does neither sees the famous stars alone. Raises AdqlError for a cone wider than WIDEST_DEG.
    """
    stars = bounded(sky, asked)

    def seen(row: Callable[[Sky, Star], tuple[Any, ...] | None]) -> Callable[[], Iterable[tuple[Any, ...]]]:
        return lambda: filter(None, (row(sky, star) for star in stars))

    return [
        Table("gaiadr3.gaia_source", SOURCE_COLUMNS, seen(source_row), "Main catalogue of Gaia DR3, simulated"),
        Table("gaiadr3.vari_classifier_result", CLASS_COLUMNS, seen(class_row), "Classes of variables, simulated"),
    ]


def bounded(sky: Sky, asked: Constants, epoch: float = EPOCH) -> Sequence[Star]:
    """Return the stars that the constants of a query bound at an epoch (Julian year), each once."""
    named = (DESIGNATION.fullmatch(text) for text in asked.texts)
    ids = [number for number in (*asked.numbers, *(int(name[1]) for name in named if name)) if number >= SMALLEST_ID]
    if not ids and not asked.cones:
        return sky.famous()
    found = {number: star for number in ids if (star := sky.by_gaia_id(number))}
    for ra, dec, radius in asked.cones:
        if radius > WIDEST_DEG:
            raise AdqlError(f"The simulated archive serves cones up to {WIDEST_DEG} deg; this query asks for {radius:g} deg.")
        found |= {star.gaia_id: star for star in sky.stars_near(ra, dec, radius, epoch=epoch)}
    return list(found.values())


def has_epoch_photometry(sky: Sky, star: Star) -> bool:
    """Tell whether DR3 serves transits: of every variable and named star that Gaia saw, and of some constant ones."""
    wanted = star.kind != "constant" or bool(star.name) or sky.chance(star, "gaia epoch photometry", 0) < SHARE_OF_CONSTANTS
    return bool(wanted) and len(transits(sky, star)) > 0


def is_catalogued(sky: Sky, star: Star) -> bool:
    """Tell whether Gaia saw a star: one that is bright only at times must have been so in a transit."""
    return star.mean["G"] <= FAINTEST and (star.kind != "supernova" or len(transits(sky, star)) > 0)


def class_row(sky: Sky, star: Star) -> tuple[Any, ...] | None:
    """Return a variable's row of vari_classifier_result, None for a star that has none."""
    if star.kind not in CLASSES or not is_catalogued(sky, star):
        return None
    return SOLUTION, star.gaia_id, "n_transits:5+", CLASSES[star.kind], 1.0


def source_row(sky: Sky, star: Star) -> tuple[Any, ...] | None:
    """Return a star's row of gaia_source, None for a star that Gaia did not see. The mean magnitudes are the sky's own."""
    if not is_catalogued(sky, star):
        return None
    (ra, dec), error = (float(angle) for angle in position(star, EPOCH)), _single(0.02 * 10 ** (0.2 * max(star.mean["G"] - 14.0, 0.0)))
    variable, epochs = star.kind != "constant", has_epoch_photometry(sky, star)
    bp, g, rp = (star.mean[band] for band in ("BP", "G", "RP"))
    longitude, latitude = galactic(ra, dec)
    seen = len(transits(sky, star)) if epochs else 30
    photometry = {band: _mean(star, band, seen) for band in ("G", "BP", "RP")}
    return (
        *(SOLUTION, f"Gaia DR3 {star.gaia_id}", star.gaia_id, star.gaia_id % 1811709771, EPOCH, ra, error, dec, error),
        *(star.parallax, error, _single(star.parallax / error), _single(float(np.hypot(star.pmra, star.pmdec)))),
        *(star.pmra, error, star.pmdec, error, 31, seen, 1.02, False),
        *(value for band in ("G", "BP", "RP") for value in photometry[band]),
        *(_single((photometry["BP"][1] + photometry["RP"][1]) / photometry["G"][1]), _single(bp - rp), _single(bp - g), _single(g - rp)),
        *(None, "VARIABLE" if variable else "NOT_AVAILABLE", longitude, latitude, 0, False, False, epochs, False),
    )


def _mean(star: Star, band: str, seen: int) -> tuple[Any, ...]:
    flux = float(10 ** (0.4 * (ZEROPOINT[band] - star.mean[band])))
    error = flux * 0.002 / seen**0.5
    return seen * (9 if band == "G" else 1), flux, _single(error), _single(flux / error), _single(star.mean[band])


def _single(value: float) -> float:
    """Return the shortest decimal number that is the same float32: what the archive prints."""
    return float(str(np.float32(value)))


def galactic(ra: float, dec: float) -> tuple[float, float]:
    """Return galactic longitude and latitude, deg in and out.

    >>> [round(angle, 3) for angle in galactic(266.40499, -28.93617)]
    [0.0, 0.0]
    """
    a, d = np.radians(ra), np.radians(dec)
    x, y, z = GALACTIC @ _unit(a, d)
    return round(float(np.degrees(np.arctan2(y, x)) % 360.0), 9), round(float(np.degrees(np.arcsin(z))), 9)


def _unit(a: float, d: float) -> NDArray[np.float64]:
    return np.array([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)])
