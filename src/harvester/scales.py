"""Formats and scales of time, and civil against atomic time: leap seconds, the drifting UTC of the sixties, universal time before it.

Every civil day from 1850 to 2150 has the TAI - UTC of its 0h and therefore its length in SI seconds; within a day both run evenly. That is
ERFA's convention: the day of a leap second has 86401 s, and a fraction of that day is a fraction of 86401 s. Before 1960 there was no UTC;
the civil time of that age is universal time, TT = UT + Delta T.

Moments are pairs: an integer day (MJD) and the fraction of it, which may run a little over its ends. Pairs keep nanoseconds where one
float64 keeps 0.6 us.
"""

from __future__ import annotations

import tomllib
import warnings
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import astropy_iers_data
import erfa
import numpy as np
from numpy.typing import NDArray

FIRST_DAY, LAST_DAY = -3250, 106_340
"""First and last MJD of every table of days: 1850 to 2150 and some days on either side."""
UTC_BEGINS, LEAP_SECONDS_BEGIN = 36_934, 41_317
DAY = 86_400.0
TT_MINUS_TAI = 32.184
MJD0 = 2_400_000.5
CIVIL = ("utc", "ut")
J1850_MJD, JULIAN_YEAR = -3_242.5, 365.25
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December")

DRIFT_FROM = (UTC_BEGINS, 37_665, 38_395, 39_126, LEAP_SECONDS_BEGIN)
DRIFT_S_PER_DAY = (0.0, 0.001296, 0.0011232, 0.001296, 0.002592, 0.0)
"""By how much a day of UTC was longer than 86400 SI seconds: before the first MJD of DRIFT_FROM, from each on (USNO, tai-utc.dat)."""

MIDNIGHT = 1e-9
"""Part of a day by which rounding may move a stamp of 0h to the day before."""

Days = NDArray[np.int64]
Floats = NDArray[np.float64]


class LeapSecondsExpired(UserWarning):
    """A UTC lies later than anybody knows the leap seconds of; it was converted as if none were to come."""


def split(stamps: list[Floats], offset: tuple[int, float]) -> tuple[Floats, Floats]:
    """Return MJDs as whole days and fractions in [0, 1), so that nothing of what the input holds is lost.

    `stamps` is one array of times, or two: whole days and fractions. `offset` is the pair to add for an MJD. Raises ValueError for a pair
    without whole days.
    """
    day = np.floor(stamps[0])
    with np.errstate(invalid="ignore"):  # infinite stamps become NaN
        rest = stamps[0] - day
    if len(stamps) > 1:
        if (rest > 0).any():
            raise ValueError("a tuple of times is (whole days, fractions); times as such are given as an array or a list")
        rest = stamps[1]
    rest = rest + offset[1]
    carry = np.floor(rest)
    return day + (offset[0] + carry), rest - carry


def to_dynamical(day: Days, fraction: Floats, scale: str) -> Floats:
    """Return the fraction of the same day in TT; in TDB, if `scale` is tdb or tcb.

    TCB by ERFA's `tcbtdb` (IAU 2006 resolution B3).
    """
    if scale in CIVIL:
        return tai_from_utc(day, fraction) + TT_MINUS_TAI / DAY
    if scale == "tai":
        return fraction + TT_MINUS_TAI / DAY
    if scale == "tcb":
        return np.asarray(erfa.tcbtdb(MJD0 + day, fraction)[1])
    return fraction


def tai_from_utc(day: Days, fraction: Floats) -> Floats:
    """Return the fraction of the same day (MJD) in TAI, for moments in UTC (universal time before 1960)."""
    offset, length = _civil_days()
    row = day - FIRST_DAY
    return (offset.take(row) + fraction * length.take(row)) / DAY


def utc_second(day: Days, fraction: Floats) -> Floats:
    """Return the length of a second of UTC in SI seconds, which drifted from 1960 to 1971, for moments in TT."""
    civil_day, civil = utc_from_tai(day, fraction - TT_MINUS_TAI / DAY)
    begun = np.searchsorted(DRIFT_FROM, civil_day + (civil > 1 - MIDNIGHT), side="right")
    return 1.0 + np.array(DRIFT_S_PER_DAY)[begun] / DAY


def utc_from_tai(day: Days, fraction: Floats) -> tuple[Days, Floats]:
    """Return day (MJD) and fraction in UTC (universal time before 1960), for moments in TAI; the fraction lies in [0, 1]."""
    offset, length = _civil_days()
    carry = np.nan_to_num(np.floor(fraction))
    day, seconds = day + carry.astype(np.int64), (fraction - carry) * DAY
    since = seconds - offset[day - FIRST_DAY]
    step = (since >= length[day - FIRST_DAY]).astype(np.int64) - (since < 0)
    row = day + step - FIRST_DAY
    return day + step, (seconds - step * DAY - offset[row]) / length[row]


def delta_t(day: Days) -> Floats:
    """Return TT - UT1 in seconds. Constant outside the table's years."""
    first_year, seconds = _delta_t()
    return np.asarray(np.interp((day - J1850_MJD) / JULIAN_YEAR + 1850.0, first_year + np.arange(seconds.size), seconds))


def warn_if_expired(mjd: Days | Floats) -> None:
    """Warn (LeapSecondsExpired) the caller's caller when a UTC lies beyond the known leap seconds."""
    expiry = leap_seconds()[2]
    if np.any(mjd > expiry):
        message = (
            f"UTC after MJD {expiry}: leap seconds are not known that far, taken as none. Newer list: pip install -U astropy-iers-data"
        )
        warnings.warn(message, LeapSecondsExpired, stacklevel=3)


@lru_cache(maxsize=1)
def leap_seconds() -> tuple[Days, Floats, int]:
    """Return MJD and TAI - UTC (s) of each leap second since 1972, and the MJD at which the list expires.

    The list is the file of the package astropy-iers-data; pyerfa's own ends in 2017.
    """
    text = Path(astropy_iers_data.IERS_LEAP_SECOND_FILE).read_text("utf-8")
    day, month, year = text.partition("File expires on ")[2].split(maxsplit=3)[:3]
    expiry = erfa.cal2jd(int(year), MONTHS.index(month) + 1, int(day))[1]
    steps = np.loadtxt(text.splitlines(), comments="#", usecols=(0, 4))
    return steps[:, 0].astype(np.int64), steps[:, 1], int(expiry)


@lru_cache(maxsize=1)
def _civil_days() -> tuple[Floats, Floats]:
    """Return TAI - UTC (s) at 0h, and the length (s), of every day."""
    days = np.arange(FIRST_DAY, LAST_DAY + 2)
    offset = delta_t(days) - TT_MINUS_TAI
    drifting = days[(days >= UTC_BEGINS) & (days < LEAP_SECONDS_BEGIN)]
    year, month, day, _ = erfa.jd2cal(MJD0, drifting)
    offset[drifting - FIRST_DAY] = erfa.dat(year, month, day, 0.0)
    starts, steps, _ = leap_seconds()
    leaping = days >= LEAP_SECONDS_BEGIN
    offset[leaping] = steps[np.searchsorted(starts, days[leaping], side="right") - 1]
    length = DAY + np.diff(offset)
    length[UTC_BEGINS - 1 - FIRST_DAY] = DAY  # UTC began 0.06 s off universal time: no reason to stretch the day before
    return offset, length


@lru_cache(maxsize=1)
def _delta_t() -> tuple[int, Floats]:
    table = tomllib.loads((files("harvester") / "data" / "delta_t.toml").read_text("utf-8"))
    return int(table["first_year"]), np.array(table["seconds"], np.float64)
