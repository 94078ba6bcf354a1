"""What the simulated ATLAS measured at a place: every exposure of four telescopes that holds it, with the truth beside it.

Each unit visits a field on some clear nights, four times within an hour, in c around new moon and in o otherwise. The flux is that of the nearest
star as a point source of 4 arcsec seen at the forced place, so that a place off the star loses light. What stands on the result line is written
there to the service's digits; the times and fluxes here are what the line says, and the true ones.

Simplifications: bright stars do not saturate, neighbours are not blended, c and o are means of g, r and i.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from harvester.emulator import almanac, chance
from harvester.emulator.sky import Sky
from harvester.emulator.stars import position, separation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harvester.emulator.stars import Star

    Floats = NDArray[np.float64]

# Number of the unit -> east longitude and latitude (deg), height (m), first night (MJD).
UNITS = {
    2: (-156.2570, 20.7075, 3055.0, 57230),
    1: (-155.5761, 19.5362, 3397.0, 57770),
    3: (20.8105, -32.3783, 1798.0, 59590),
    4: (-70.7631, -30.4711, 1575.0, 59600),
}
LAST_NIGHT = 61330  # MJD: 2026-10-17
VISITS = 0.2  # of all nights on which a field is up: weather and cadence
DARK_DAYS, HOUR_DAYS = 0.18, 0.17  # half a night, and half the time that a field is high enough
MOON_AT, MONTH, DARK_MOON = 51549.76, 29.530588, 0.2  # a new moon, and the part of a month around it that c has
IN_A_VISIT, APART_DAYS = 4, 0.0104
EXPTIME_DAYS, MJD_DIGITS = 30.0 / 86400.0, 6
DEPTH = {"c": 19.8, "o": 19.4}  # 5 sigma, AB
MIX = {"c": {"g": 0.49, "r": 0.51}, "o": {"r": 0.55, "i": 0.45}}
ZERO_POINT, FLOOR = 23.9, 7e-4  # magnitude of 1 uJy; of the flux, the least error: famous stars, saturated in truth, must pass the cuts
SIGMA_ARCSEC, REACH_DEG = 1.7, 4.0 / 3600.0
SPOILED = (0.96, 0.975, 0.99)  # beyond the first: a tphot error, an image without solution, a poor fit
REST_DEG = 70.0  # a field more than this from the zenith at its best is not taken
YEAR_2000, TURN_DEG, MIDDLE_YEAR = 51544.5, 360.98564736629, 2021.0
COLUMNS = "mjd:f8 unit:i4 band:U1 bjd_tdb:f8 true_mag:f8 true_ujy:f8 ujy:f8 dujy:f8 ra:f8 dec:f8 spoiled:i4 mag5sig:f8 key:i8"
EPOCH = np.dtype([(name, kind) for name, _, kind in (word.partition(":") for word in COLUMNS.split())])
Epochs = np.ndarray[tuple[int], np.dtype[np.void]]


@dataclass(frozen=True)
class Place:
    """Where to force: ICRS degrees at `epoch` (Julian year), proper motion in mas/yr (the first with cos dec)."""

    ra: float
    dec: float
    epoch: float = 2000.0
    pmra: float = 0.0
    pmdec: float = 0.0

    def at(self, years: Floats) -> tuple[Floats, Floats]:
        """Return the place at epochs in Julian years."""
        moved = np.multiply(years - self.epoch, 1.0 / 3.6e6)
        return (self.ra + self.pmra * moved / np.cos(np.radians(self.dec))) % 360.0, self.dec + self.pmdec * moved


@lru_cache(maxsize=64)
def epochs(seed: int, place: Place, *, reduced: bool) -> Epochs:
    """Return all that was measured at a place, in order of time; `reduced` for total fluxes, else those of the difference images."""
    sky = Sky(seed)
    rows = np.concatenate([np.empty(0, EPOCH), *(_exposures(seed, place, unit) for unit in UNITS)])
    rows = rows[np.argsort(rows["mjd"], kind="stable")]
    rows["ra"], rows["dec"] = place.at(_years(rows["mjd"]))
    ra, dec = (float(angle) for angle in place.at(np.array(MIDDLE_YEAR)))
    star = next(iter(sky.stars_near(ra, dec, REACH_DEG, epoch=MIDDLE_YEAR)), None)
    rows["true_mag"] = np.inf
    for unit in UNITS:
        _fill_truth(sky, star, rows, unit)
    _measure(sky, star, rows, reduced=reduced)
    return rows


def brightness(sky: Sky, star: Star, band: str, bjd_tdb: Floats) -> Floats:
    """Return the true magnitude in c or o; inf where there is no light."""
    mixed: Floats = np.sum([part * sky.magnitude(star, name, bjd_tdb) for name, part in MIX[band].items()], axis=0)
    return mixed


def _years(mjd: Floats) -> Floats:
    return np.asarray(2000.0 + (mjd - YEAR_2000) / 365.25, np.float64)


def _exposures(seed: int, place: Place, unit: int) -> Epochs:
    east, north, _, first = UNITS[unit]
    if abs(place.dec - north) > REST_DEG:
        return np.empty(0, EPOCH)
    nights = np.arange(first, LAST_NIGHT)
    begin, end = _windows(nights, east, place.ra)
    field = int(place.ra / 5.0) * 1000 + int((place.dec + 90.0) / 5.0)
    visited = (end - begin > 0.06) & (chance.uniform(seed, "atlas visit", unit, field, nights) < VISITS)
    moment = chance.uniform(seed, "atlas moment", unit, field, nights[visited])
    start = begin[visited] + moment * (end[visited] - begin[visited] - IN_A_VISIT * APART_DAYS)
    rows = np.zeros(len(start) * IN_A_VISIT, EPOCH)
    rows["mjd"] = np.round((start[:, None] + APART_DAYS * np.arange(IN_A_VISIT)).ravel(), MJD_DIGITS)
    moon = np.abs((rows["mjd"] - MOON_AT) / MONTH - np.round((rows["mjd"] - MOON_AT) / MONTH))
    rows["band"], rows["unit"] = np.where(moon < DARK_MOON / 2.0, "c", "o"), unit
    rows["key"] = np.floor(rows["mjd"] * 1e5).astype(np.int64) * 10 + unit
    return rows


def _windows(nights: NDArray[np.int64], east: float, ra: float) -> tuple[Floats, Floats]:
    """Return from when to when (MJD) a field is up in the dark of each night."""
    middle = nights + (1.0 - east / 360.0) % 1.0
    hour = (280.46061837 + TURN_DEG * (middle - YEAR_2000) + east - ra + 180.0) % 360.0 - 180.0
    transit = middle - hour / TURN_DEG
    return np.maximum(middle - DARK_DAYS, transit - HOUR_DAYS), np.minimum(middle + DARK_DAYS, transit + HOUR_DAYS)


def _fill_truth(sky: Sky, star: Star | None, rows: Epochs, unit: int) -> None:
    here = rows["unit"] == unit
    if star is None or not here.any():
        return
    middle = almanac.from_site(rows["mjd"][here] + EXPTIME_DAYS / 2.0, UNITS[unit][:3])
    place = position(star, _years(rows["mjd"][here]))
    bjd = almanac.julian_date(middle, "tdb") + almanac.light_time(middle, *place, kind="barycentric")
    rows["bjd_tdb"][here] = bjd
    for band in DEPTH:
        rows["true_mag"][here] = np.where(rows["band"][here] == band, brightness(sky, star, band, bjd), rows["true_mag"][here])


def _measure(sky: Sky, star: Star | None, rows: Epochs, *, reduced: bool) -> None:
    """Fill in fluxes: Gaussian noise of exactly the quoted error, but for lines that are spoiled."""
    total, reference = np.zeros(len(rows)), np.zeros(len(rows))
    if star is not None:
        off = separation(*position(star, _years(rows["mjd"])), rows["ra"], rows["dec"]) * 3600.0
        total = _flux(rows["true_mag"]) * np.exp(-((off / (2.0 * SIGMA_ARCSEC)) ** 2))
        mean = {band: sum(part * star.mean[name] for name, part in MIX[band].items()) for band in DEPTH}
        reference = _flux(np.where(rows["band"] == "c", mean["c"], mean["o"])) * (star.kind != "supernova")
    depth = np.where(rows["band"] == "c", DEPTH["c"], DEPTH["o"]) + 0.25 * chance.normal(sky.seed, "atlas depth", rows["key"])
    error = np.maximum(np.round(np.hypot(_flux(depth) / 5.0, FLOOR * total)), 1.0)
    rows["true_ujy"] = total if reduced else total - reference
    noise = chance.normal(sky.seed, "atlas noise", rows["key"], int(1e5 * rows["ra"][0]) if len(rows) else 0)
    rows["ujy"], rows["dujy"] = rows["true_ujy"] + error * noise, error
    rows["spoiled"] = np.searchsorted(SPOILED, chance.uniform(sky.seed, "atlas spoiled", rows["key"]), side="right")
    rows["mag5sig"] = np.where(rows["spoiled"] == 2, 6.5, np.round(depth, 2))
    rows["ujy"] *= np.where(rows["spoiled"] == 2, 3e5, 1.0)
    rows["dujy"] *= np.where(rows["spoiled"] == 2, 3e5, 1.0)


def _flux(mag: Floats) -> Floats:
    return np.asarray(10.0 ** (0.4 * (ZERO_POINT - mag)), np.float64)
