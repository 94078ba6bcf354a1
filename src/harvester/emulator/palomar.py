"""When and how the simulated ZTF observed a field: nights, twilight, weather, a public survey's cadence.

Sun and stars stand where textbook formulae put them, to about a minute of arc: that decides whether a field was up, and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from harvester.emulator import chance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SITE = (-116.8630, 33.3560, 1706.0)  # east longitude and latitude (deg), height (m) of the 48-inch Samuel Oschin telescope
NIGHTS = (58194, 60861)  # MJD: 2018-03-17 to 2025-07-04, as in DR24
TWILIGHT_DEG = -12.0
LOWEST_DEG = 30.0  # a field that never climbs so high is taken within REACH_DEG of its best
REACH_DEG = 6.0
CLEAR_NIGHTS = 0.7
VISITS = {"g": 0.42, "r": 0.48, "i": 0.10}  # per clear night on which the field is up
DEPTH = {"g": 20.9, "r": 20.7, "i": 20.0}  # 5 sigma in 30 s
ZERO_POINT = {"g": 26.3, "r": 26.3, "i": 25.8}
LONGER_EXPOSURES = (60.0, 90.0, 180.0, 300.0)
PLAIN_EXPOSURES = 0.96  # the part of all exposures that takes 30 s
TURN_DEG = 360.98564736629  # of the Earth in a day of UT
EXPOSURE_ORIGIN, EXPOSURES_PER_DAY = 57754.0, 1e5  # expid counts 0.864 s from 2017-01-01, as the real ones do
MJD_DIGITS = 7


@dataclass(frozen=True)
class Exposures:
    """The exposures of one field in one filter, in order of time; `mjd` is UTC at the start, exactly as served."""

    mjd: Floats
    exptime: Floats
    number: NDArray[np.int64]
    limit: Floats
    airmass: Floats
    program: NDArray[np.int64]
    zero_point: Floats


@lru_cache(maxsize=256)
def exposures(
    seed: int, field: int, filter_: str, centre: tuple[float, float], *, thinned: float = 1.0, span: tuple[int, int] = NIGHTS
) -> Exposures:
    """Return all exposures of a field (`centre` in deg) in g, r or i.

    `thinned` is the part of the usual visits that it gets, `span` the nights (MJD) from and to which.
    """
    nights = np.arange(*span)
    first, last = _window(nights, *centre)
    clear = chance.uniform(seed, "weather", nights) < CLEAR_NIGHTS
    visited = chance.uniform(seed, "visit", field, filter_, nights) < VISITS[filter_] * thinned
    taken = (last - first > 0.02) & clear & visited
    moment = chance.uniform(seed, "moment", field, filter_, nights[taken])
    start = first[taken] + moment * (last[taken] - first[taken])
    mjd = np.round(np.round(start * 86400.0) / 86400.0, MJD_DIGITS)
    number = np.floor((mjd - EXPOSURE_ORIGIN) * EXPOSURES_PER_DAY).astype(np.int64)
    exptime = _exptimes(chance.uniform(seed, "exptime", number))
    deeper = DEPTH[filter_] + 1.25 * np.log10(exptime / 30.0) + np.clip(0.3 * chance.normal(seed, "depth", number), -1.0, 0.6)
    return Exposures(
        mjd=mjd,
        exptime=exptime,
        number=number,
        limit=np.round(deeper, 2),
        airmass=np.round(1.0 / np.sin(np.radians(_altitude(_hour_angle(mjd, centre[0]), centre[1]))), 3),
        program=np.searchsorted([0.75, 0.93], chance.uniform(seed, "program", number), side="right") + 1,
        zero_point=ZERO_POINT[filter_] + 0.1 * chance.normal(seed, "zero point", number),
    )


def _exptimes(deviate: Floats) -> Floats:
    longer = np.clip((deviate - PLAIN_EXPOSURES) / (1.0 - PLAIN_EXPOSURES), 0.0, 0.999) * len(LONGER_EXPOSURES)
    return np.where(deviate < PLAIN_EXPOSURES, 30.0, np.array(LONGER_EXPOSURES)[longer.astype(np.int64)])


def _window(nights: NDArray[np.int64], ra: float, dec: float) -> tuple[Floats, Floats]:
    """Return MJD from and to when a field is up in the dark; the second is the smaller where it is not."""
    middle = nights.astype(np.float64) - SITE[0] / 360.0
    sun_ra, sun_dec = sun(middle)
    middle = middle + (180.0 - _hour_angle(middle, sun_ra) % 360.0) / TURN_DEG
    dark = (180.0 - _reach(TWILIGHT_DEG, sun_dec)) / TURN_DEG
    highest = 90.0 - abs(SITE[1] - dec)
    up = float(_reach(min(LOWEST_DEG, highest - REACH_DEG), dec))
    now = (_hour_angle(middle, ra) + 180.0) % 360.0 - 180.0
    first = middle + np.maximum(-dark, (-up - now) / TURN_DEG)
    return first, middle + np.minimum(dark, (up - now) / TURN_DEG)


def sun(mjd: Floats) -> tuple[Floats, Floats]:
    """Right ascension and declination (deg) of the Sun (Astronomical Almanac, low precision: 0.01 deg)."""
    days = mjd - 51544.5
    anomaly = np.radians(357.528 + 0.9856003 * days)
    longitude = np.radians(280.460 + 0.9856474 * days + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2.0 * anomaly))
    tilt = np.radians(23.439)
    ra = np.degrees(np.arctan2(np.cos(tilt) * np.sin(longitude), np.cos(longitude)))
    return ra, np.degrees(np.arcsin(np.sin(tilt) * np.sin(longitude)))


def _hour_angle(mjd: Floats, ra: Floats | float) -> Floats:
    return 280.46061837 + TURN_DEG * (mjd - 51544.5) + SITE[0] - ra


def _altitude(hour_angle: Floats, dec: float) -> Floats:
    north, up = np.radians(dec), np.radians(SITE[1])
    sine = np.sin(up) * np.sin(north) + np.cos(up) * np.cos(north) * np.cos(np.radians(hour_angle))
    return np.asarray(np.degrees(np.arcsin(sine)), np.float64)


def _reach(altitude: float, dec: Floats | float) -> Floats:
    """Return the hour angle (deg) up to which a declination stands above an altitude."""
    up, north = np.radians(SITE[1]), np.radians(dec)
    cosine = (np.sin(np.radians(altitude)) - np.sin(up) * np.sin(north)) / (np.cos(up) * np.cos(north))
    return np.asarray(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))), np.float64)
