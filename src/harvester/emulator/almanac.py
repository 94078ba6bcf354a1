"""Clocks and light travel times by astropy's own full path, with no network and no lasting change to astropy's settings."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

# astropy's settings are one per process: whoever borrows them holds this lock.
_BORROWED = RLock()


@contextmanager
def offline() -> Iterator[None]:
    """Let astropy convert times from its packaged tables alone, for as long as the block lasts."""
    from astropy.utils import data, iers

    with _BORROWED, ExitStack() as stack:
        stack.enter_context(iers.conf.set_temp("auto_download", value=False))
        stack.enter_context(iers.conf.set_temp("auto_max_age", value=None))
        stack.enter_context(iers.conf.set_temp("iers_degraded_accuracy", value="ignore"))
        stack.enter_context(data.conf.set_temp("allow_internet", value=False))
        yield


def light_time(times: Any, ra: ArrayLike, dec: ArrayLike, *, kind: str) -> NDArray[np.float64]:
    """Return the days by which light meets the Sun ("heliocentric") or the barycentre later than the observer.

    `times` is an astropy Time with a location; positions are ICRS deg, one or one per time.
    """
    from astropy import units
    from astropy.coordinates import SkyCoord

    with offline():
        where = SkyCoord(np.asarray(ra, np.float64) * units.deg, np.asarray(dec, np.float64) * units.deg)
        delay = times.light_travel_time(where, kind=kind, ephemeris="builtin")
        return np.asarray(delay.to_value("day"), np.float64)


def from_site(mjd_utc: ArrayLike, site: tuple[float, float, float]) -> Any:
    """Return an astropy Time of MJD(UTC) at a site (east longitude deg, latitude deg, height m)."""
    from astropy import units
    from astropy.coordinates import EarthLocation
    from astropy.time import Time

    east, north, height = site
    place = EarthLocation.from_geodetic(east * units.deg, north * units.deg, height * units.m)
    return Time(np.asarray(mjd_utc, np.float64), format="mjd", scale="utc", location=place)


def from_geocentre(mjd_utc: ArrayLike) -> Any:
    """Return an astropy Time of MJD(UTC) at the centre of the Earth."""
    from astropy import units
    from astropy.coordinates import EarthLocation
    from astropy.time import Time

    centre = EarthLocation.from_geocentric(0.0, 0.0, 0.0, unit=units.m)
    return Time(np.asarray(mjd_utc, np.float64), format="mjd", scale="utc", location=centre)


def julian_date(times: Any, scale: str) -> NDArray[np.float64]:
    """Return the full Julian date of an astropy Time in `scale` ("tdb", "utc", "tcb" ...)."""
    with offline():
        return np.asarray(getattr(times, scale).jd, np.float64)
