"""What Gaia saw of a star: its transits over the field of view, as DR3 serves them, together with the truth behind them.

The times of the transits follow the nominal scanning law (Gaia Collaboration 2016A&A...595A...1G, section 5.2: 45 degrees from the
Sun, 5.8 precessions a year, a spin of 6 h, two fields of view 106.5 degrees apart) with phases of our own, so that pairs, clumps and
gaps look like Gaia's, but are not Gaia's. The law gives times on board; the light travel time to the barycentre and the change to TCB
are astropy's.
Simplified: Gaia stands at 1.01 times the Earth's distance from the Sun, stars of any brightness are measured, and the gaps of the mission are
single transits lost at random.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from harvester.emulator.almanac import offline
from harvester.emulator.stars import position

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harvester.emulator.sky import Sky, Star

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]

ZERO = 2455197.5  # JD from which DR3's times count, TCB
START, END = 2456863.94, 2457901.87  # JD: 2014-07-25 and 2017-05-28
END_DR2, END_DR4, END_MISSION = 2457531.98, 2458868.5, 2460690.5  # JD: 2016-05-23, 2020-01-20 and 2025-01-15
SUN_ANGLE, PRECESSIONS, SPIN_D = np.radians(45.0), 5.8, 360 / 59.9605 / 24
BASIC_ANGLE, HALF_WIDTH = np.radians(106.5), np.radians(0.35)
AXIS_PER_SPIN, LEAST_GAP_D = np.radians(2.0), 0.01  # more than the axis moves in a spin; less than from one field of view to the other
FIRST_PRECESSION, FIRST_SPIN = 2.1, 0.7  # radians at START, chosen freely
OBLIQUITY = np.radians(23.4392911)
LOST = 0.08  # share of transits without data
G_AFTER_AF1, AFTER_G = 18.2, {"G": 0.0, "BP": 27.2, "RP": 34.9}  # s
REVOLUTION_2015, JD_2015, REVOLUTION_S, TICK_S = 1717.6256, 2457023.75, 21600.0, 204.8e-6
ZEROPOINT = {"G": 25.6873668671, "BP": 25.3385422158, "RP": 24.7478955012}  # Vega magnitude of 1 e-/s
EXPOSURE_S = {"G": 9 * 4.42, "BP": 4.42, "RP": 4.42}
BACKGROUND = {"G": 60.0, "BP": 110.0, "RP": 110.0}  # noise of sky and read-out, electrons
FLOOR = {"G": 0.0009, "BP": 0.0020, "RP": 0.0020}  # least relative error
FAINTEST = 20.9
G_FLAGS = np.array([1, 5, 4097, 4099, 4161, 69641, 4198401])  # as seen in DR3
BP_REJECTED, RP_REJECTED, RP_REJECTED_TWICE = 1024, 2048, 16779264


@dataclass(frozen=True)
class Band:
    """One band of all transits, arrays of one length: the true BJD_TDB (full JD), and what is served (NaN is null).

    `time` is the served BJD_TCB - 2455197.5; flux and its error are e-/s, `mag` Vega.
    """

    bjd_tdb: Floats
    time: Floats
    flux: Floats
    flux_error: Floats
    mag: Floats
    variability_reject: Flags
    other_flags: NDArray[np.int64]


@dataclass(frozen=True)
class Transits:
    """All transits of a star, in order of time: ids, bands by name (G, BP, RP), and the flag that DR3 never sets in such a table."""

    transit_id: NDArray[np.int64]
    bands: dict[str, Band]
    rejected_by_photometry: Flags

    def __len__(self) -> int:
        return len(self.transit_id)


@lru_cache(maxsize=4096)
def transits(sky: Sky, star: Star, until: float = END) -> Transits:
    """Return what Gaia DR3, or a release until another JD, has of a star: served values and true times.

    It depends on the sky's seed, the star and `until` alone; which transits there are until a day does not depend on what comes after.
    """
    aboard = scan_times(star, until)
    second = np.rint((aboard - START) * 86400.0).astype(np.int64)
    aboard = aboard[sky.chance(star, "gaia lost", second) >= LOST]
    bjd = aboard + light_time(star, aboard)
    bright = sky.magnitude(star, "G", bjd) <= FAINTEST
    aboard, bjd = aboard[bright], bjd[bright]
    key = np.rint((aboard - START) * 86400.0).astype(np.int64)
    bands = {name: _measured(sky, star, name, g_bjd=bjd, key=key) for name in ZEROPOINT}
    return Transits(_transit_ids(aboard, key), _flagged(sky, star, bands, key), np.zeros(len(bjd), np.bool_))


def scan_times(star: Star, until: float = END) -> Floats:
    """Return the JD (TDB, on board) at which a star crosses the middle of either field of view, in order."""
    direction = _direction(star, np.array([(START + END) / 2]))[:, 0]
    starts = np.asarray(START + np.arange(int((until - START) / SPIN_D)) * SPIN_D, np.float64)
    along, across = _scan_angles(direction, starts)
    near = np.abs(across) < HALF_WIDTH + AXIS_PER_SPIN
    times = np.sort(np.concatenate([_crossings(direction, starts[near], along[near] + behind) for behind in (0.0, BASIC_ANGLE)]))
    return times[np.diff(times, prepend=-np.inf) > LEAST_GAP_D]


def _crossings(direction: Floats, starts: Floats, along: Floats) -> Floats:
    """Return the times within spins at which a field of view meets a star, given the star's angle along the scan when each spin starts."""
    offset = along - _scan_angles(direction, starts)[0]
    times = starts
    for _ in range(2):
        times = np.asarray(starts + ((along - FIRST_SPIN) / (2 * np.pi)) % 1.0 * SPIN_D, np.float64)
        along = _scan_angles(direction, times)[0] + offset
    met: Floats = times[np.abs(_scan_angles(direction, times)[1]) < HALF_WIDTH]
    return met


def _scan_angles(direction: Floats, time: Floats) -> tuple[Floats, Floats]:
    """Return the angles of a direction along the scan (from the Sun's side) and across it, for each time."""
    days = time - 2451545.0
    anomaly = np.radians(357.529 + 0.98560028 * days)
    longitude = np.radians(280.459 + 0.98564736 * days + 1.915 * np.sin(anomaly) + 0.02 * np.sin(2 * anomaly))
    phase = FIRST_PRECESSION + 2 * np.pi * PRECESSIONS * (time - START) / 365.25
    zero = np.zeros_like(time)
    sun = np.stack([np.cos(longitude), np.sin(longitude), zero])
    ahead = np.stack([-np.sin(longitude), np.cos(longitude), zero])
    pole = np.stack([zero, zero, zero + 1.0])
    axis = np.cos(SUN_ANGLE) * sun + np.sin(SUN_ANGLE) * (np.cos(phase) * ahead + np.sin(phase) * pole)
    first = (sun - np.cos(SUN_ANGLE) * axis) / np.sin(SUN_ANGLE)
    second = np.cross(axis, first, axis=0)
    return np.arctan2(direction @ second, direction @ first), np.arcsin(direction @ axis)


def _direction(star: Star, jd: Floats) -> Floats:
    """Return ecliptic unit vectors towards a star, of shape (3, n)."""
    x, y, z = _equatorial(star, jd)
    return np.stack([x, y * np.cos(OBLIQUITY) + z * np.sin(OBLIQUITY), z * np.cos(OBLIQUITY) - y * np.sin(OBLIQUITY)])


def _equatorial(star: Star, jd: Floats) -> Floats:
    ra, dec = map(np.radians, position(star, 2000.0 + (jd - 2451545.0) / 365.25))
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])


def light_time(star: Star, jd_tdb: Floats) -> Floats:
    """Return the days by which light of a star reaches the barycentre later than it reaches Gaia."""
    from astropy.coordinates import get_body_barycentric
    from astropy.time import Time

    with offline():
        time = Time(jd_tdb, format="jd", scale="tdb")
        earth, sun = (get_body_barycentric(body, time, ephemeris="builtin").xyz.to_value("AU") for body in ("earth", "sun"))
    gaia = earth + 0.01 * (earth - sun)
    return np.asarray((_equatorial(star, jd_tdb) * gaia).sum(axis=0) * (499.004783836 / 86400.0), np.float64)


def tcb_days(bjd_tdb: Floats) -> Floats:
    """Return BJD_TDB as DR3 writes it: BJD_TCB - 2455197.5."""
    from astropy.time import Time

    with offline():
        tcb: Any = Time(bjd_tdb, format="jd", scale="tdb").tcb
        return np.asarray((tcb.jd1 - ZERO) + tcb.jd2, np.float64)


def on_board_seconds(jd_tcb: Floats) -> Floats:
    """Return seconds of on-board mission time for JD (TCB, at Gaia): 1717.6256 revolutions of 6 h at 2015.0."""
    return (REVOLUTION_2015 + (jd_tcb - JD_2015) * (86400.0 / REVOLUTION_S)) * REVOLUTION_S


def _transit_ids(aboard: Floats, key: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return ids whose bits from the 18th up count ticks of on-board time at the first astrometric CCD."""
    seconds = on_board_seconds(tcb_days(aboard) + ZERO) - G_AFTER_AF1
    ticks = np.rint(seconds / TICK_S).astype(np.int64)
    return (ticks << 17) | (key & 0x1FFFF)


def _measured(sky: Sky, star: Star, name: str, *, g_bjd: Floats, key: NDArray[np.int64]) -> Band:
    bjd = g_bjd + AFTER_G[name] / 86400.0
    true = 10.0 ** (0.4 * (ZEROPOINT[name] - sky.magnitude(star, name, bjd)))
    floor = FLOOR[name] * (1.0 + 2.0 * sky.chance(star, f"gaia floor {name}", key))
    electrons = true * EXPOSURE_S[name]
    error = true * np.sqrt(floor**2 + 1.0 / electrons + (BACKGROUND[name] / electrons) ** 2)
    flux = true + error * sky.noise(star, f"gaia {name}", key)
    nothing = np.zeros(len(bjd), np.int64)
    return Band(bjd, tcb_days(bjd), flux, error, magnitude(name, flux), nothing.astype(np.bool_), nothing)


def magnitude(band: str, flux: Floats) -> Floats:
    """Return Vega magnitudes of fluxes (e-/s); NaN where there is none."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(flux > 0, ZEROPOINT[band] - 2.5 * np.log10(flux), np.nan)


def _flagged(sky: Sky, star: Star, bands: dict[str, Band], key: NDArray[np.int64]) -> dict[str, Band]:
    """Spoil a few measurements in the ways in which DR3's are spoiled, with the flags that DR3 gives them."""
    odd, dark, bad = (sky.chance(star, f"gaia {word}", key) for word in ("odd", "dark", "bad"))
    rejected, missing = odd < 0.03, dark < 0.02
    outlier = (bad < 0.02) & ~missing
    if len(key) >= 3 and not missing[len(key) // 3]:
        outlier[len(key) // 3] = True  # at least one bad RP that only its bit of other_flags betrays
    g_flags = np.where(odd < 0.25, G_FLAGS[(odd * 1e4).astype(np.int64) % len(G_FLAGS)], 0)
    blank = np.where(missing, np.nan, 1.0)
    rp_flags = np.where(missing, RP_REJECTED_TWICE, np.where(outlier, RP_REJECTED, 0))
    return {
        "G": _spoiled(bands["G"], "G", np.where(rejected, 0.94, 1.0), rejected, g_flags),
        "BP": _spoiled(bands["BP"], "BP", blank, missing, np.where(missing, BP_REJECTED, 0)),
        "RP": _spoiled(bands["RP"], "RP", np.where(outlier, 0.9, blank), missing, rp_flags),
    }


def _spoiled(band: Band, name: str, factor: Floats, *marks: Any) -> Band:
    flux, known = band.flux * factor, np.where(np.isnan(factor), np.nan, 1.0)
    return Band(band.bjd_tdb, band.time * known, flux, band.flux_error * known, magnitude(name, flux), *marks)
