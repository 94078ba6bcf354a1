"""Time systems of surveys: from any of them to BJD_TDB, and to UTC at the telescope.

A survey's stamp is a number in a format, of a scale, valid at a place, for the start or the middle of an exposure: its TimeSystem.
Everything here is an array function; nothing asks the network, and no table of Earth orientation is needed (UT1 from Delta T errs by
microseconds at most). The results agree with astropy's full path (ephemeris "builtin") to 3 us, at a thousandth of its cost or less.

Julian dates near now have a float64 quantum of 40 us, modified ones of 0.6 us. So results are days since JD 2400000.5: add 2400000.5 at
the border. Input of a survey that prints more digits than a float64 holds may be a tuple (whole days, fractions), in the survey's own
format.

Direction is that of the target at the epoch, proper motion applied: 1" is 2.4 ms. Left out, each below 1.2 ms: parallax, Shapiro delay.

Stamps outside 1850 to 2150, and NaN in anything that the result depends on, give NaN.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from math import hypot, sqrt
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harvester.ephemeris import AU_LS, LightTime, site_position
from harvester.scales import CIVIL, DAY, TT_MINUS_TAI, Days, Floats, split, to_dynamical, utc_from_tai, utc_second, warn_if_expired

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Stamps: TypeAlias = ArrayLike | tuple[ArrayLike, ArrayLike]
"""Times of a survey: an array, or a tuple of whole days and fractions of a day."""

SCALES = {"utc": "UTC", "ut": "UT", "tai": "TAI", "tt": "TT", "tdb": "TDB", "tcb": "TCB"}
PLACES = ("observatory", "geocentre", "heliocentre", "barycentre")
DELAYED = ("heliocentre", "barycentre")
"""Places away from the Earth: light time lies between them and the clock of an exposure."""
STAMPS = {"mid": "middle", "start": "start"}
FORMAT = re.compile(r"mjd|jd(?:-(\d+(?:\.\d+)?))?")

EARLIEST_MJD, LATEST_MJD = -3_242.0, 106_331.0
LONGEST_S = 1e9
"""An exposure beyond it is a mistake, and its middle NaN."""
SOME_DAY = 51_544
"""Stands in for a day that cannot be converted, until its NaN is put back."""
CHUNK = 16_384
"""Moments at a time: their arrays stay in the cache."""
STEPS = 3
"""Fixed-point steps from a barycentre back to the Earth: each shrinks 500 s of error by v/c = 1e-4, so three leave a nanosecond."""

BARYCENTRE_SIGMA_S = 0.00043
"""Difference of modern ephemerides about the barycentre (ERFA or DE421 against DE440)."""
SITE_SIGMA_S = 0.0213 / sqrt(3)
"""Light time from the Earth's centre to a telescope somewhere on it."""


@dataclass(frozen=True, slots=True)
class TimeSystem:
    """What a survey's time stamps mean.

    `format` is "jd", "mjd" or "jd-2455197.5" (JD less that number). `scale` is utc, ut, tai, tt, tdb or tcb; before 1960 utc and ut both
    mean universal time, and later both mean UTC. `place` is where the stamp is valid: observatory, geocentre, heliocentre or barycentre.
    `site` is a name of data/sites.toml, for an observatory, or for one whose stamps were reduced to the heliocentre; without it the
    geocentre serves, at a cost of 12 ms. `stamp` is "mid" or "start" of the exposure. `offset_s` seconds are added to every stamp (a
    known clock error). `sigma_s` is what the survey leaves open about its stamps, 1 sigma in seconds.

    Raises ValueError for anything else.
    """

    format: str
    scale: str
    place: str
    site: str | None = None
    stamp: str = "mid"
    offset_s: float = 0.0
    sigma_s: float = 0.0

    def __post_init__(self) -> None:
        if not FORMAT.fullmatch(self.format):
            raise ValueError(f"time format '{self.format}' is none of 'jd', 'mjd', 'jd-2455197.5' (JD less any number)")
        for what, value, known in (("scale", self.scale, SCALES), ("place", self.place, PLACES), ("stamp", self.stamp, STAMPS)):
            if value not in known:
                raise ValueError(f"time {what} '{value}' is none of {', '.join(known)}")
        if self.site is not None and self.place not in {"observatory", "heliocentre"}:
            raise ValueError(f"a stamp at the {self.place} has no site, but '{self.site}' is given")
        if self.site is not None:
            site_position(self.site)
        if not (np.isfinite(self.offset_s) and np.isfinite(self.sigma_s) and self.sigma_s >= 0):
            raise ValueError(f"offset_s = {self.offset_s} and sigma_s = {self.sigma_s} must be finite seconds, sigma_s not negative")

    @property
    def jd_offset(self) -> float:
        """Days to add to a stamp to have a JD."""
        return float(self._offset)

    @property
    def mjd_offset(self) -> tuple[int, float]:
        """Whole days and the rest of a day to add to a stamp to have an MJD."""
        offset = self._offset - Decimal("2400000.5")
        whole = offset.to_integral_value("ROUND_FLOOR")
        return int(whole), float(offset - whole)

    @property
    def _offset(self) -> Decimal:
        return Decimal("2400000.5") if self.format == "mjd" else Decimal(self.format[3:] or 0)

    @property
    def total_sigma_s(self) -> float:
        """The whole budget of BJD_TDB, 1 sigma in seconds: the survey's, the unknown site's, the ephemeris'."""
        site = SITE_SIGMA_S if self.place == "observatory" and self.site is None else 0.0
        return hypot(self.sigma_s, site, 0.0 if self.place == "barycentre" else BARYCENTRE_SIGMA_S)

    def describe(self) -> str:
        """Return it in words, on one line.

        >>> TimeSystem("mjd", "utc", "observatory", site="Palomar", stamp="start", sigma_s=0.5).describe()
        'MJD in UTC at the observatory (Palomar), start of the exposure; BJD_TDB good to 0.5 s'
        """
        site = f" ({self.site})" if self.site else ""
        offset = f", {self.offset_s:+g} s" if self.offset_s else ""
        words = f"{self.format.upper()} in {SCALES[self.scale]} at the {self.place}{site}, {STAMPS[self.stamp]} of the exposure{offset}"
        return f"{words}; BJD_TDB good to {float(f'{self.total_sigma_s:.2g}'):g} s"


BJD_TDB = TimeSystem("mjd", "tdb", "barycentre")
"""What `to_bjd_tdb` returns."""


def to_bjd_tdb(
    time: Stamps,
    system: TimeSystem,
    ra: ArrayLike,
    dec: ArrayLike,
    *,
    exptime: ArrayLike | None = None,
    distance_au: ArrayLike | None = None,
) -> Floats:
    """Return BJD_TDB - 2400000.5 (days) of the middle of each exposure.

    `time` is in the survey's system; `ra`, `dec` are ICRS degrees, one position (fast) or arrays; `exptime` is in seconds and needed where
    the system's stamp is the start. All arguments broadcast. `distance_au` from the observer makes the wave front of a body of the solar
    system a sphere. The plane wave would be minutes wrong for such a body: where its distance is not known, pass NaN, which gives NaN.
    Infinity is a star.

    Warns LeapSecondsExpired for a UTC beyond the known leap seconds. Raises ValueError for a start without exptime.

    >>> ztf = TimeSystem("mjd", "utc", "observatory", site="Palomar", stamp="start")
    >>> print(to_bjd_tdb(58204.4210532, ztf, 226.1041029, 10.494273, exptime=30.0).round(7))
    58204.4262783
    """
    moments = _Moments(time, system, ra, dec, exptime=exptime, distance_au=distance_au)
    if system.scale in CIVIL:
        warn_if_expired(moments.usable_days)
    return moments.each(moments.bjd_tdb)


def to_mjd_utc(bjd_tdb: Stamps, ra: ArrayLike, dec: ArrayLike, *, site: str | None = None) -> Floats:
    """Return the MJD (UTC) at which the light of BJD_TDB - 2400000.5 (days) passes an observatory, or the geocentre.

    The inverse of `to_bjd_tdb` for stamps of the middle of an exposure. Universal time before 1960. Warns LeapSecondsExpired. Raises
    ValueError for an unknown site.
    """
    moments = _Moments(bjd_tdb, BJD_TDB, ra, dec, site=site)
    utc = moments.each(moments.mjd_utc)
    warn_if_expired(utc)
    return utc


def mjd_utc_mid(time: Stamps, system: TimeSystem, ra: ArrayLike, dec: ArrayLike, *, exptime: ArrayLike | None = None) -> Floats:
    """Return the MJD (UTC) of the middle of each exposure, at the observatory where the system knows it, otherwise at the geocentre.

    For stamps at the barycentre or heliocentre it is when the same light passes there. Arguments, warnings and errors as `to_bjd_tdb`.
    """
    moments = _Moments(time, system, ra, dec, exptime=exptime)
    utc = moments.each(moments.mjd_utc)
    warn_if_expired(utc)
    return utc


class _Moments:
    """Stamps on their way: flat arrays of day and fraction (TT or TDB, where the stamp is valid), and the light times from the Earth.

    At an observatory they are those of the middle of the exposure already; elsewhere half the exposure is added at the observer.
    """

    def __init__(
        self,
        time: Stamps,
        system: TimeSystem,
        ra: ArrayLike,
        dec: ArrayLike,
        *,
        exptime: ArrayLike | None = None,
        distance_au: ArrayLike | None = None,
        site: str | None = None,
    ) -> None:
        self._system = system
        stamps = [np.asarray(part, np.float64) for part in (time if isinstance(time, tuple) else (time,))]
        sky = [np.asarray(angle, np.float64) for angle in (ra, dec)]
        shift = _shift_s(system, exptime) / DAY
        distance = [] if distance_au is None else [np.asarray(distance_au, np.float64)]
        self._shape = np.broadcast_shapes(*(array.shape for array in (*stamps, *sky, shift, *distance)))
        self._shift = self._flat(shift)
        self._read([self._flat(part) for part in stamps])
        distance_ls = self._flat(np.where(distance[0] > 0, distance[0], np.nan) * AU_LS) if distance else None
        self._light = LightTime(self._day, self._direction(*sky), site=site or system.site, distance=distance_ls)

    def _read(self, stamps: list[Floats]) -> None:
        size = self._shift.size
        self._day, self._fraction, self._usable = np.empty(size, np.int64), np.empty(size), np.empty(size, bool)
        for part in _parts(size):
            day, fraction = split([array[part] for array in stamps], self._system.mjd_offset)
            usable = _possible(day + fraction)
            whole, fraction = _or(day, usable, SOME_DAY).astype(np.int64), _or(fraction, usable, 0.0)
            fraction = to_dynamical(whole, fraction, self._system.scale)
            middle = fraction + self._shift[part]
            carry = np.floor(middle)
            usable &= _possible(whole + carry)
            carry = _or(carry, usable, 0.0)
            fraction = (fraction if self._system.place in DELAYED else middle) - carry
            self._day[part], self._fraction[part], self._usable[part] = whole + carry.astype(np.int64), fraction, usable

    @property
    def usable_days(self) -> Days:
        """The days (TT or TDB) of the stamps that can be converted."""
        return self._day[self._usable]

    def each(self, convert: Callable[[slice], Floats]) -> Floats:
        """Convert all moments, a cacheful at a time."""
        out = np.empty(self._day.size)
        for part in _parts(out.size):
            out[part] = _or(convert(part), self._usable[part], np.nan)
        return out.reshape(self._shape)

    def bjd_tdb(self, part: slice) -> Floats:
        """Return BJD_TDB - 2400000.5 (days)."""
        if self._system.place == "barycentre" and not self._shift[part].any():
            return np.asarray(self._day[part] + self._tdb(part))
        fraction = self._at_observer(part)
        return np.asarray(self._day[part] + (fraction + self._light.to_barycentre(part, fraction) / DAY))

    def mjd_utc(self, part: slice) -> Floats:
        """Return MJD (UTC) at the observer."""
        fraction = self._at_observer(part)
        tai = fraction - (self._light.tdb_minus_tt(part, fraction) + TT_MINUS_TAI) / DAY
        day, civil = utc_from_tai(self._day[part], tai)
        return np.asarray(day + civil)

    def _tdb(self, part: slice) -> Floats:
        fraction = self._fraction[part]
        if self._system.scale in {"tdb", "tcb"}:
            return fraction
        return fraction + self._light.tdb_minus_tt(part, fraction) / DAY

    def _at_observer(self, part: slice) -> Floats:
        """Return the fraction of the day (TDB) of the middle of the exposure at the observer, by whose clock exposures are timed."""
        stamp = fraction = self._tdb(part)
        if self._system.place not in DELAYED:
            return stamp
        to_place = self._light.to_heliocentre if self._system.place == "heliocentre" else self._light.to_barycentre
        second = utc_second(self._day[part], self._fraction[part]) if self._system.scale in CIVIL else 1.0  # it was added to the number
        for _ in range(STEPS):
            fraction = stamp - to_place(part, fraction) * second / DAY
        return fraction + self._shift[part]

    def _flat(self, values: Floats) -> Floats:
        return np.broadcast_to(values, self._shape).reshape(-1)

    def _direction(self, ra: Floats, dec: Floats) -> Floats:
        """Return the unit vector (3,) of one position, or (3, N)."""
        with np.errstate(invalid="ignore"):  # infinite angles become NaN
            (sin_ra, cos_ra), (sin_dec, cos_dec) = ((np.sin(angle), np.cos(angle)) for angle in (np.radians(ra), np.radians(dec)))
        vector = (cos_dec * cos_ra, cos_dec * sin_ra, sin_dec)
        if ra.size == dec.size == 1:
            return np.array([component.item() for component in vector])
        return np.stack([self._flat(component) for component in vector])


def _parts(size: int) -> Iterator[slice]:
    return (slice(first, first + CHUNK) for first in range(0, size, CHUNK))


def _possible(mjd: Days | Floats) -> NDArray[np.bool_]:
    return (mjd >= EARLIEST_MJD) & (mjd < LATEST_MJD)


def _or(values: Floats, usable: NDArray[np.bool_], instead: float) -> Floats:
    return values if usable.all() else np.where(usable, values, instead)


def _shift_s(system: TimeSystem, exptime: ArrayLike | None) -> Floats:
    if system.stamp == "mid":
        return np.asarray(system.offset_s)
    if exptime is None:
        raise ValueError("the stamps are starts of exposures: their middle needs exptime")
    seconds = np.asarray(exptime, np.float64)
    return np.where(np.abs(seconds) < LONGEST_S, seconds, np.nan) / 2.0 + system.offset_s
