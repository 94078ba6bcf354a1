"""Where the Earth, the Sun and an observatory are, as light times: one cubic a day.

Positions and velocities at 0h TDB of each day come from ERFA's `epv00`, the ephemeris that astropy calls "builtin" (11 km, 39 us, from
JPL's DE421; the barycentre of DE440 lies another 0.4 ms away). Between them a cubic Hermite errs by 0.33 us at most. The years 1990 to
2040 are shipped as a table, because `epv00` and `dtdb` take 60 us a day; the days of other years are computed when they first occur, and
kept.

Units: light-seconds, ICRS axes, origin at the barycentre of the solar system. Moments are pairs of MJD and fraction of the day in TDB; the
fraction may run over the ends of the day by minutes without loss.
"""

from __future__ import annotations

import io
import tomllib
from difflib import get_close_matches
from functools import cached_property, lru_cache
from importlib.resources import files
from threading import Lock
from typing import TYPE_CHECKING

import erfa
import numpy as np
from erfa import ufunc

from harvester.scales import DAY, FIRST_DAY, LAST_DAY, MJD0, Days, Floats, delta_t

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

AU_LS = erfa.DAU / erfa.CMPS
EARTH, SUN, CLOCK = slice(0, 3), slice(3, 6), slice(6, 7)
"""Columns of a day's node: Earth's and Sun's position (light-seconds), TDB - TT at the geocentre (s)."""
COLUMNS = 7
ROTATION_STEP = 8
"""Days between nodes of precession-nutation: it moves 0.4" in half of them, 0.04 us on the Earth's surface."""
ERA_AT_J2000, ERA_RATE, J2000_MJD = 0.7790572732640, 1.00273781191135448, 51_544.5
"""Earth rotation angle in turns, and turns a day of UT1 (IAU 2000)."""

TABLE = "ephemeris.npz"
TABLE_FROM, TABLE_TO = 47_892, 66_154
"""1990-01-01 and 2040-01-01: the days that the shipped table covers."""
TABLE_UNIT_S = 1e-9
TABLE_ORDER = 5
"""The table holds differences of this order, in nanoseconds: exact, and small enough to compress."""
SLOPE = np.array([4 / 5, -1 / 5, 4 / 105, -1 / 280])
"""Central difference over nine points: the derivative by the spacing (Fornberg 1988)."""


class LightTime:
    """Light times from an observer on Earth for one set of moments and one or many directions.

    `day` (N,) are integer MJDs; `direction` is a unit vector (3,) for one position, which is fast, or (3, N). `site` names an
    observatory of sites.toml, None means the geocentre. `distance` (N,), in light-seconds from the observer, makes the wave front a
    sphere; without it, and at an infinite distance, it is a plane. The methods take a slice of the N moments, and the fractions of the
    day (TDB) of that slice.
    """

    def __init__(self, day: Days, direction: Floats, *, site: str | None = None, distance: Floats | None = None) -> None:
        self._days, self._row = _distinct(day)
        self._direction, self._distance = direction, distance
        self._site = None if site is None else site_position(site)
        self._one = direction.ndim == 1 and distance is None
        self._axes = direction[None, :] if self._one else np.eye(3)

    def tdb_minus_tt(self, part: slice, fraction: Floats) -> Floats:
        """Return TDB - TT (s) at the geocentre."""
        return np.asarray(_cubic(self._clock, self._row[part], fraction)[0])

    def to_barycentre(self, part: slice, fraction: Floats) -> Floats:
        """Return seconds from a moment at the observer until its light, or the wave front it belongs to, is at the barycentre."""
        return self._delay(part, fraction, _cubic(self._earth, self._row[part], fraction))

    def to_heliocentre(self, part: slice, fraction: Floats) -> Floats:
        """Return seconds from a moment at the observer until the wave front is at the Sun's centre."""
        return self._delay(part, fraction, _cubic(self._earth_from_sun, self._row[part], fraction))

    def _delay(self, part: slice, fraction: Floats, place: Floats) -> Floats:
        if self._site is None:
            return self._along(part, place)
        site, clock = self._turned(part, fraction)
        return self._along(part, place + site) + clock

    def _along(self, part: slice, place: Floats) -> Floats:
        """Project positions (3, M), or those projected already (1, M), on the direction.

        With a distance d: |r + d n| - d, rearranged so that nothing cancels and an infinite d gives n.r.
        """
        if self._one:
            return np.asarray(place[0])
        toward = self._direction[:, part] if self._direction.ndim > 1 else self._direction[:, None]
        plane = (place * toward).sum(axis=0)
        if self._distance is None:
            return np.asarray(plane)
        inverse = 1.0 / self._distance[part]
        stretched = np.linalg.norm(place * inverse + toward, axis=0)
        return np.asarray(((place * place).sum(axis=0) * inverse + 2.0 * plane) / (stretched + 1.0))

    def _turned(self, part: slice, fraction: Floats) -> tuple[Floats, Floats]:
        """Return the site's position, along the axes, and its part of TDB - TT (s): (velocity of the Earth).(site)/c^2, at most 2 us."""
        waves, phase = self._rotation
        row = self._row[part]
        angle = 2.0 * np.pi * (phase.take(row) + ERA_RATE * fraction)
        cosine, sine, constant = (wave.take(row, axis=1) for wave in waves)
        site = cosine * np.cos(angle) + sine * np.sin(angle) + constant
        return site[:-1], site[-1]

    @cached_property
    def _nodes(self) -> tuple[Floats, Floats]:
        return _solar_system().at(self._days), _solar_system().at(self._days + 1)

    @cached_property
    def _earth(self) -> Floats:
        return self._cubics(EARTH, self._axes)

    @cached_property
    def _earth_from_sun(self) -> Floats:
        return self._earth - self._cubics(SUN, self._axes)

    @cached_property
    def _clock(self) -> Floats:
        return self._cubics(CLOCK, np.eye(1))

    def _cubics(self, columns: slice, axes: Floats) -> Floats:
        """Return Hermite coefficients (4, axes, days) over the day, from value and daily rate at both its ends."""
        (p0, v0), (p1, v1) = (np.einsum("dkj,aj->kad", node[..., columns], axes) for node in self._nodes)
        return np.stack([p0, v0, 3.0 * (p1 - p0) - 2.0 * v0 - v1, 2.0 * (p0 - p1) + v0 + v1])

    @cached_property
    def _rotation(self) -> tuple[Floats, Floats]:
        """Return factors of cos and sin of the Earth rotation angle, and of 1 (3, axes + 1, days), and that angle at 0h (turns)."""
        assert self._site is not None
        x, y, z = self._site
        turning = np.array([[x, y, 0.0], [-y, x, 0.0], [0.0, 0.0, z]])
        celestial = turning @ _precession_nutation().at(self._days)
        place = np.einsum("dkj,aj->kad", celestial, self._axes)
        clock = np.einsum("dkj,dj->kd", celestial, self._nodes[0][:, 1, EARTH] / DAY)
        ut1 = self._days - J2000_MJD - delta_t(self._days) / DAY
        return np.concatenate([place, clock[:, None]], axis=1), (ERA_AT_J2000 + ERA_RATE * ut1) % 1.0


class _Nodes:
    """Rows of numbers every `step` days, computed when they first occur and kept for the life of the process; threads may share them."""

    def __init__(self, step: int, shape: tuple[int, ...], compute: Callable[[Days], Floats]) -> None:
        count = (LAST_DAY + 1 - FIRST_DAY) // step + 1
        self._step, self._compute = step, compute
        self._rows, self._known = np.zeros((count, *shape)), np.zeros(count, bool)
        self._lock = Lock()

    def keep(self, first_day: int, rows: Floats) -> None:
        """Take rows from elsewhere."""
        here = slice((first_day - FIRST_DAY) // self._step, (first_day - FIRST_DAY) // self._step + len(rows))
        self._rows[here], self._known[here] = rows, True

    def at(self, day: Days) -> Floats:
        """Return the rows nearest to the days."""
        index = (day - FIRST_DAY + self._step // 2) // self._step
        if not self._known[index].all():
            with self._lock:
                missing = np.unique(index[~self._known[index]])
                self._rows[missing] = self._compute(FIRST_DAY + missing * self._step)
                self._known[missing] = True
        return self._rows[index]


@lru_cache(maxsize=1)
def _solar_system() -> _Nodes:
    nodes = _Nodes(1, (2, COLUMNS), computed)
    nodes.keep(TABLE_FROM, shipped())
    return nodes


@lru_cache(maxsize=1)
def _precession_nutation() -> _Nodes:
    return _Nodes(ROTATION_STEP, (3, 3), lambda day: np.asarray(erfa.c2i00b(MJD0, day.astype(np.float64)), np.float64))


def computed(day: Days) -> Floats:
    """Return nodes (days, 2, COLUMNS): values at 0h TDB, and their rates per day, by ERFA."""
    date = day.astype(np.float64)
    helio, bary, _ = ufunc.epv00(MJD0, date)  # not erfa.epv00: that one warns outside 1900-2100, where it is still good to 0.4 ms
    clock, before, after = (erfa.dtdb(MJD0, date + shift, 0.0, 0.0, 0.0, 0.0)[:, None] for shift in (0.0, -0.5, 0.5))
    values = [bary["p"] * AU_LS, (bary["p"] - helio["p"]) * AU_LS, clock]
    rates = [bary["v"] * AU_LS, (bary["v"] - helio["v"]) * AU_LS, after - before]
    return np.stack([np.concatenate(values, axis=1), np.concatenate(rates, axis=1)], axis=1)


def shipped() -> Floats:
    """Return nodes (days, 2, COLUMNS) of TABLE_FROM to TABLE_TO from the table in the package."""
    with np.load(io.BytesIO((files("harvester") / "data" / TABLE).read_bytes())) as table:
        values = table["differences"]
    for _ in range(TABLE_ORDER):
        values = np.cumsum(values, axis=0)
    reach = SLOPE.size
    inside = len(values) - 2 * reach
    rates = sum(slope * (values[reach + k :][:inside] - values[reach - k :][:inside]) for k, slope in enumerate(SLOPE, start=1))
    return np.stack([values[reach:-reach], rates], axis=1) * TABLE_UNIT_S


def write_table(path: Path) -> None:
    """Make the shipped table anew: this is how data/ephemeris.npz came about."""
    days = np.arange(TABLE_FROM - SLOPE.size, TABLE_TO + SLOPE.size + 1)
    values = np.rint(computed(days)[:, 0] / TABLE_UNIT_S).astype(np.int64)
    differences = np.diff(values, n=TABLE_ORDER, axis=0, prepend=np.zeros((TABLE_ORDER, COLUMNS), np.int64))
    np.savez_compressed(path, differences=differences)


@lru_cache(maxsize=1)
def sites() -> dict[str, dict[str, float | str]]:
    """Return the observatories of sites.toml: longitude (degrees East), latitude (degrees), height (m above WGS84)."""
    table: dict[str, dict[str, float | str]] = tomllib.loads((files("harvester") / "data" / "sites.toml").read_text("utf-8"))
    return table


def site_position(name: str) -> Floats:
    """Return the geocentric position (3,) of an observatory in light-seconds, terrestrial axes. Raises ValueError for an unknown name."""
    if name not in sites():
        near = get_close_matches(name, sites(), n=1)
        raise ValueError(f"no site named '{name}'" + (f"; did you mean '{near[0]}'?" if near else f"; known: {', '.join(sites())}"))
    site = sites()[name]
    longitude, latitude = np.radians([float(site["longitude"]), float(site["latitude"])])
    metres = erfa.gd2gc(erfa.WGS84, longitude, latitude, float(site["height"]))
    return np.asarray(metres / erfa.CMPS)


def _distinct(day: Days) -> tuple[Days, Days]:
    """Return the different days in order, and which of them each day is; like np.unique, without its sort."""
    if not day.size:
        return day, day
    first = day.min()
    present = np.zeros(day.max() - first + 1, bool)
    present[day - first] = True
    return np.flatnonzero(present) + first, (np.cumsum(present) - 1)[day - first]


def _cubic(coefficients: Floats, row: Days, fraction: Floats) -> Floats:
    """Evaluate (4, axes, days) cubics: (axes, M)."""
    c0, c1, c2, c3 = (power.take(row, axis=1) for power in coefficients)
    return np.asarray(c0 + fraction * (c1 + fraction * (c2 + fraction * c3)))
