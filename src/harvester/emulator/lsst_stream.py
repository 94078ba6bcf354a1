"""The simulated alert stream of LSST: what every broker of it knows of one star, whatever they make of it.

An alert comes of a visit on which the star differs from the template by five sigma; from 30 days before the first of them on, every visit
measures it by force as well. Times are MJD in TAI of the middle of a visit, fluxes nJy. The template holds the star at its mean magnitude; a
supernova is not on it. As in the real stream, the object has the number of its first detection.

Simplifications: visits in g, r and i only, of the first season (24 February to 14 July 2026); bright stars do not saturate, constant stars
give no alerts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from harvester.emulator import almanac, chance
from harvester.emulator.palomar import TURN_DEG, TWILIGHT_DEG
from harvester.emulator.palomar import sun as sun_at
from harvester.emulator.sky import Sky
from harvester.emulator.stars import Star, famous, position, separation
from harvester.emulator.transients import shining
from harvester.healpix import pixel_at

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SITE = (-70.7494, -30.2446, 2663.0)  # east longitude and latitude (deg), height (m) of Cerro Pachon
NIGHTS = (61095, 61236)  # MJD: the nights with alerts in 2026
LOWEST_DEG, CLEAR_NIGHTS, VISITED = 35.0, 0.75, 0.5
PAIR_DAYS = 33.0 / 1440.0  # a field is taken twice in a night, in two bands
BANDS, DEPTH = ("g", "r", "i"), {"g": 24.5, "r": 24.0, "i": 23.4}  # 5 sigma in 30 s
TAI_MINUS_UTC_D = 37.0 / 86400.0
SIGMA, PHOTON_FLOOR, TEMPLATE_FLOOR = 5.0, 0.005, 0.002
HISTORY_DAYS, YEAR = 30.0, 2026.3
SCATTER_DEG, DIGITS = 0.03 / 3600.0, 10
ZERO = 31.4  # magnitude of 1 nJy
FIELD_LEVEL = 4
FIRST_ID, IDS = 170_000_000_000_000_000, 90_000_000_000_000_000
WORDS = """diaSourceId:i8 diaForcedSourceId:i8 visit:i8 detector:i4 midpointMjdTai:f8 band:U1 ra:f8 dec:f8 psfFlux:f8 psfFluxErr:f8
    scienceFlux:f8 scienceFluxErr:f8 templateFlux:f8 templateFluxErr:f8 snr:f8 isNegative:? reliability:f8 extendedness:f8 isDipole:?
    pixelFlags_cr:? bjd_tdb:f8 true_mag:f8"""
EPOCH = np.dtype([(name, kind) for name, _, kind in (word.partition(":") for word in WORDS.split())])
Epochs = np.ndarray[tuple[int], np.dtype[np.void]]


@dataclass(frozen=True)
class Stream:
    """What LSST's alerts tell of one star: `detections` and `forced` are arrays of EPOCH in order of time, the truth beside each row."""

    dia_object_id: int
    star: Star
    ra: float
    dec: float
    detections: Epochs
    forced: Epochs


def near(sky: Sky, ra: float, dec: float, radius_deg: float) -> list[Stream]:
    """Return the streams of the objects in a cone (deg), nearest first."""
    found = [one for star in sky.stars_near(ra, dec, radius_deg + 1.0 / 3600.0, epoch=YEAR) if (one := stream(sky, star))]
    apart = {one.dia_object_id: float(separation(one.ra, one.dec, ra, dec)) for one in found}
    return sorted((one for one in found if apart[one.dia_object_id] <= radius_deg), key=lambda one: apart[one.dia_object_id])


def by_id(sky: Sky, dia_object_id: int) -> Stream | None:
    """Return the stream of an object that is famous, or was found in a cone before."""
    star = _known(sky.seed).get(dia_object_id)
    if star is not None:
        return stream(sky, star)
    return next(
        (one for star in (*famous(), *shining(sky.seed, *NIGHTS)) if (one := stream(sky, star)) and one.dia_object_id == dia_object_id),
        None,
    )


def stream(sky: Sky, star: Star) -> Stream | None:
    """Return the alerts of a star, None where it never gave one."""
    found = _stream(sky.seed, star)
    if found:
        _known(sky.seed)[found.dia_object_id] = star
    return found


@lru_cache(maxsize=8)
def _known(_seed: int) -> dict[int, Star]:
    """Return the stars whose objects were handed out, by the objects' numbers: a number cannot be turned back into a place."""
    return {}


@lru_cache(maxsize=1024)
def _stream(seed: int, star: Star) -> Stream | None:
    if star.kind == "constant":
        return None
    sky = Sky(seed)
    rows = _measured(sky, star)
    detected = np.abs(rows["psfFlux"]) > SIGMA * rows["psfFluxErr"]
    if not detected.any():
        return None
    found = rows[detected]
    forced = rows[rows["midpointMjdTai"] > found["midpointMjdTai"][0] - HISTORY_DAYS]
    forced["scienceFlux"] = np.round(forced["psfFlux"] + forced["templateFlux"], 4)  # without the cosmic rays, which it has no flags for
    ra, dec = (float(np.median(found[name])) for name in ("ra", "dec"))
    return Stream(int(found["diaSourceId"][0]), star, ra, dec, found, forced)


def _visits(seed: int, star: Star) -> tuple[Floats, NDArray[np.str_]]:
    """Return when (MJD UTC, middle) the star's field was taken, and in which band."""
    field, nights = int(pixel_at(FIELD_LEVEL, star.ra, star.dec)), np.arange(*NIGHTS)
    midnight = nights - SITE[0] / 360.0 + 1.0
    moments = midnight + 0.7 * (chance.uniform(seed, "LSST moment", field, nights) - 0.5)
    lucky = (chance.uniform(seed, "LSST weather", nights) < CLEAR_NIGHTS) & (chance.uniform(seed, "LSST visit", field, nights) < VISITED)
    dark = _altitude(moments, *sun_at(moments)) < TWILIGHT_DEG
    taken = lucky & dark & (_altitude(moments, star.ra, star.dec) > LOWEST_DEG)
    first = moments[taken]
    band = (chance.uniform(seed, "LSST band", field, nights[taken]) * 3).astype(np.int64)
    names = np.array(BANDS)
    return np.concatenate([first, first + PAIR_DAYS]), np.concatenate([names[band], names[(band + 1) % 3]])


def _altitude(mjd: Floats, ra: Floats | float, dec: Floats | float) -> Floats:
    hour_angle = np.radians(280.46061837 + TURN_DEG * (mjd - 51544.5) + SITE[0] - ra)
    north, up = np.radians(dec), np.radians(SITE[1])
    return np.asarray(np.degrees(np.arcsin(np.sin(up) * np.sin(north) + np.cos(up) * np.cos(north) * np.cos(hour_angle))), np.float64)


def _measured(sky: Sky, star: Star) -> Epochs:
    mjd, band = _visits(sky.seed, star)
    order = np.argsort(mjd)
    mjd, band = mjd[order], band[order]
    rows = np.zeros(len(mjd), EPOCH)
    if not len(rows):
        return rows
    rows["band"] = band
    rows["midpointMjdTai"] = np.round(mjd + TAI_MINUS_UTC_D, DIGITS)
    moments = almanac.from_site(rows["midpointMjdTai"] - TAI_MINUS_UTC_D, SITE)
    places = position(star, 2000.0 + (mjd - 51544.5) / 365.25)
    rows["bjd_tdb"] = almanac.julian_date(moments, "tdb") + almanac.light_time(moments, *places, kind="barycentric")
    visit = np.floor(mjd * 1e4).astype(np.int64)
    rows["visit"], rows["detector"] = 2_026_000_000_000 + visit % 10**9, int(float(sky.chance(star, "detector", 0)) * 189)
    for name in ("diaSourceId", "diaForcedSourceId"):
        rows[name] = FIRST_ID + (sky.chance(star, name, visit) * IDS).astype(np.int64)
    for name, angle in zip(("ra", "dec"), places, strict=True):
        rows[name] = np.round(angle + SCATTER_DEG * sky.noise(star, f"LSST {name}", visit), DIGITS)
    for name in BANDS:
        here = band == name
        rows["true_mag"][here] = sky.magnitude(star, name, rows["bjd_tdb"][here])
    _photometry(sky, star, visit, rows)
    return rows


def _photometry(sky: Sky, star: Star, visit: NDArray[np.int64], rows: Epochs) -> None:
    """Fill in total, template and difference: noise of exactly the quoted errors; in three of a hundred a cosmic ray, flagged."""
    total = 10.0 ** (-0.4 * (rows["true_mag"] - ZERO))
    mean = np.array([star.mean[name] for name in rows["band"].tolist()])
    template = np.zeros(len(rows)) if star.kind == "supernova" else 10.0 ** (-0.4 * (mean - ZERO))
    depth = np.array([DEPTH[name] for name in rows["band"].tolist()])
    error = np.hypot(10.0 ** (-0.4 * (depth - ZERO)) / SIGMA, PHOTON_FLOOR * total)
    rows["scienceFlux"], rows["scienceFluxErr"] = total + error * sky.noise(star, "LSST", visit), error
    rows["templateFlux"], rows["templateFluxErr"] = template, TEMPLATE_FLOOR * template + 10.0
    rows["psfFlux"], rows["psfFluxErr"] = rows["scienceFlux"] - template, error * 1.05
    hit = sky.chance(star, "LSST cosmic ray", visit) < 0.03
    rows["scienceFlux"], rows["pixelFlags_cr"] = np.where(hit, rows["scienceFlux"] + 8.0 * error, rows["scienceFlux"]), hit
    rows["snr"], rows["isNegative"] = np.round(np.abs(rows["psfFlux"]) / rows["psfFluxErr"], 4), rows["psfFlux"] < 0
    rows["reliability"] = np.round(0.6 + 0.4 * sky.chance(star, "reliability", visit), 7)
    rows["extendedness"] = np.round(0.1 * sky.chance(star, "extendedness", visit), 7)
    for name in ("psfFlux", "psfFluxErr", "scienceFlux", "scienceFluxErr", "templateFlux", "templateFluxErr"):
        rows[name] = np.round(rows[name], 4)
