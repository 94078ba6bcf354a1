"""New transients: supernovae that nobody knew before, one every third night, for as long as the surveys of alerts go on.

Where and when they happen follows from the seed. Nothing tells of one before its first light, and of its light curve only what has been
observed by now: `so_far` cuts the streams of alerts there.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from harvester.emulator import chance
from harvester.emulator.stars import LEVEL, Star, magnitudes, separation
from harvester.emulator.variability import SUPERNOVA_RISE
from harvester.healpix import centre_of, pixel_at

NIGHTS = (61000, 62200)  # MJD of the first lights: November 2025 to March 2029
EVERY = 3
NUMBER = 3  # in the low bits of a Gaia id (see `sky`)
LOWEST, HIGHEST = -24.0, 60.0  # declinations: in reach of Palomar
BRIGHTEST, SPREAD = 15.5, 2.5  # G at peak
SEEN_DAYS = 100.0  # from first light until the last survey has lost it
BEFORE_DAYS = 40.0
CLEAR_DEG = 10.0 / 3600.0
JD_OF_MJD = 2400000.5


@lru_cache(maxsize=8)
def transients(seed: int) -> tuple[Star, ...]:
    """Return the transients of a sky, by first light."""
    nights = np.arange(*NIGHTS, EVERY)
    draw = {word: chance.uniform(seed, "transient", word, nights) for word in ("ra", "dec", "moment", "bright", "colour")}
    ra = 360.0 * draw["ra"]
    low, high = np.sin(np.radians([LOWEST, HIGHEST]))
    dec = np.degrees(np.arcsin(low + (high - low) * draw["dec"]))
    pixels = np.unique(pixel_at(LEVEL, ra, dec), return_index=True)[1]
    return tuple(_supernova(int(row), nights, (ra, dec), draw) for row in np.sort(pixels))


def is_transient(star: Star) -> bool:
    """Whether a star is one of these."""
    return star.gaia_id & ((1 << 23) - 1) == NUMBER


def first_light(star: Star) -> float:
    """Return when (MJD) a transient began to shine."""
    return star.epoch - SUPERNOVA_RISE - JD_OF_MJD


def near(seed: int, ra: float, dec: float, radius_deg: float) -> list[Star]:
    """Return the transients of a cone (deg)."""
    stars = transients(seed)
    return [stars[row] for row in np.flatnonzero(separation(*_places(seed), ra, dec) <= radius_deg).tolist()]


def shining(seed: int, since: float, until: float) -> list[Star]:
    """Return the transients that some survey may have seen from one MJD to another, the newest first."""
    return [star for star in transients(seed)[::-1] if first_light(star) <= until and first_light(star) + SEEN_DAYS >= since]


def seen_from(star: Star, nights: tuple[int, int]) -> tuple[int, int]:
    """Return the nights (MJD) in which a survey of alerts looks at a star: the survey's own, or those of a transient."""
    if not is_transient(star):
        return nights
    first = int(first_light(star))
    return max(nights[0], first - int(BEFORE_DAYS)), first + int(SEEN_DAYS)


@lru_cache(maxsize=8)
def _places(seed: int) -> tuple[np.ndarray, np.ndarray]:
    stars = transients(seed)
    return np.array([star.ra for star in stars]), np.array([star.dec for star in stars])


def _supernova(row: int, nights: np.ndarray, places: tuple[np.ndarray, np.ndarray], draw: dict[str, np.ndarray]) -> Star:
    pixel = int(pixel_at(LEVEL, *(float(angles[row]) for angles in places)))
    ra0, dec0 = (float(angle) for angle in centre_of(LEVEL, pixel))
    peak = float(nights[row] + draw["moment"][row]) + SUPERNOVA_RISE + JD_OF_MJD
    mean = magnitudes(BRIGHTEST + SPREAD * float(draw["bright"][row]), 0.2 + 0.5 * float(draw["colour"][row]))
    return Star("", (), ra0, dec0, 0.0, 0.0, 0.0, pixel << 23 | NUMBER, "SN*", "supernova", None, peak, 0.0, mean)
