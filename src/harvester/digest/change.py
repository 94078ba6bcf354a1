"""How much a target has changed against its own history: robust numbers for each filter, limits and variability taken into account.

Only points that the survey calls good take part. Where all of them have a flux they are compared in asinh magnitudes, which are magnitudes for
what is bright and signal to noise for what is faint, so that negative fluxes and limits with a measured flux count as what they are; else in
magnitudes. What is new is compared night by night with the median of what was known, in units of the spread on that side of the median.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from harvester.brightness import MAG_PER_RELATIVE_FLUX
from harvester.schema import GOOD
from harvester.store.news import ADDED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]

BRIGHTER, FAINTER, APPEARED, VANISHED, SHORT, FIRST = "brighter", "fainter", "appeared", "not detected", "short history", "first points"
LEAST_HISTORY = 8
"""Detections from which on a spread means something: of a constant star without error bars one night in 190 seems 5 sigma off, with 5 one in 55."""
SIGMA_OF_MAD = 1.482602218505602
EXTREME, SIGMA_OF_EXTREME = 0.05, 1.6448536269514722
"""The outer part of a history on either side that counts as usual, and where a normal distribution has it, in standard deviations."""
NUMBERS = ("bjd_tdb", "mag", "mag_err", "flux", "flux_err", "upper_limit", "limiting_mag", "limit_sigma")
FLOOR_MAG = 0.005
"""Calibrations agree no better than this."""
MEDIAN_SCATTER = 1.2533141373155003
"""The error of a median in units of that of a mean (the square root of pi/2)."""
NIGHT_BEGINS = 0.25
"""Days before the hour of the first new point at which a new night begins."""
USUAL_LIMIT_SIGMA = 5.0


@dataclass(frozen=True, slots=True)
class Change:
    """What the new points of one filter say.

    `sigma` is positive for what is brighter, and NaN where nothing can be said: `kind` tells why. `before` is the magnitude of the history's
    median (of APPEARED that of its limits), `now` that of the night (`bjd_tdb`) with the greatest change (of VANISHED its limit); NaN where a
    flux is not positive. `points` are the new detections of that night.
    """

    filter: str
    kind: str
    sigma: float = float("nan")
    before: float = float("nan")
    now: float = float("nan")
    bjd_tdb: float = float("nan")
    points: int = 0


def changes(light_curve: pa.Table) -> tuple[Change, ...]:
    """Return a Change for each filter of a light curve (`store.news.WITH_NEWS`) that has new good points, the greatest first."""
    names = light_curve["filter"].combine_chunks().dictionary_encode()
    code, good, added = names.indices.to_numpy(), light_curve["quality"].to_numpy() == GOOD, light_curve["news"].to_numpy() == ADDED
    fresh = np.unique(code[good & added]).tolist()
    if not fresh:
        return ()
    numbers = {name: light_curve[name].cast(pa.float64()).to_numpy() for name in NUMBERS}
    found = []
    for number in fresh:
        here = (code == number) & good
        points = _Points.of({name: column[here] for name, column in numbers.items()}, added[here])
        found.append(_change(names.dictionary[number].as_py(), points))
    return tuple(sorted(found, key=lambda change: (-abs(np.nan_to_num(change.sigma)), change.filter)))


@dataclass(frozen=True, slots=True)
class _Points:
    """The good points of one filter, brighter is greater; `limit` marks those without a measured brightness, whose `value` is unknown (NaN)."""

    bjd_tdb: Floats
    mag: Floats
    value: Floats
    error: Floats
    limit: Flags
    limiting_mag: Floats
    limit_sigma: Floats
    new: Flags
    softening: float
    """Of the asinh magnitudes, in the unit of the flux; 0 where values are negative magnitudes."""
    flux_of_mag_0: float

    @classmethod
    def of(cls, columns: Mapping[str, Floats], new: Flags) -> _Points:
        """Return the points of columns (NUMBERS)."""
        limit, mag, flux = columns["upper_limit"] > 0, columns["mag"], columns["flux"]
        linear = bool(np.isfinite(flux[~limit]).all()) and bool(np.isfinite(flux).any())
        zero = _median((flux * 10 ** (0.4 * mag))[np.isfinite(flux * mag)])
        known = np.isfinite(flux) if linear else np.isfinite(mag) & ~limit
        softening = _softening(flux[known & ~new], columns["flux_err"][known & ~new]) if linear else 0.0
        value = _asinh(flux, softening) if linear else -mag
        slope = MAG_PER_RELATIVE_FLUX / np.hypot(flux, 2 * softening) if linear else 1.0
        error = np.nan_to_num((columns["flux_err"] if linear else columns["mag_err"]) * slope)
        depths = columns["limiting_mag"], np.nan_to_num(columns["limit_sigma"], nan=USUAL_LIMIT_SIGMA)
        return cls(columns["bjd_tdb"], mag, np.where(known, value, np.nan), error, limit & ~known, *depths, new, softening, zero)

    def magnitude(self, value: float) -> float:
        """Return the magnitude of a value; NaN of a flux that is not positive, or in a filter without magnitudes."""
        if not self.softening:
            return -value
        flux = 2 * self.softening * float(np.sinh(value / MAG_PER_RELATIVE_FLUX))
        return float(-2.5 * np.log10(flux / self.flux_of_mag_0)) if flux > 0 and self.flux_of_mag_0 > 0 else float("nan")

    def value_of(self, mag: Floats) -> Floats:
        """Return the values of magnitudes; NaN where they cannot be told."""
        return _asinh(self.flux_of_mag_0 * 10 ** (-0.4 * mag), self.softening) if self.softening else -mag


def _change(name: str, points: _Points) -> Change:
    measured = np.isfinite(points.value)
    history = int((measured & ~points.new).sum())
    if history >= LEAST_HISTORY:
        return _against_history(name, points, measured)
    detected = measured & points.new
    if not history and (points.limit & ~points.new).any() and np.isfinite(points.mag[detected]).any():
        return _against_limits(name, points)
    before = points.magnitude(_median(points.value[measured & ~points.new])) if history else float("nan")
    kind = SHORT if (~points.new).any() else FIRST
    now = points.magnitude(_median(points.value[detected])) if detected.any() else float("nan")
    return Change(name, kind, before=before, now=now, bjd_tdb=_median(points.bjd_tdb[points.new]), points=int(detected.sum()))


def _against_history(name: str, points: _Points, measured: Flags) -> Change:
    """Compare each new night's median with the median of the history; the night that differs most counts."""
    old = points.value[measured & ~points.new]
    centre, noise = _median(old), _median(points.error[measured & ~points.new])
    values, new = np.where(points.limit, points.value_of(points.limiting_mag), points.value), points.new & np.isfinite(points.bjd_tdb)
    spread = np.where(values > centre, _spread(old, noise, upwards=True), _spread(old, noise, upwards=False))
    excess = np.maximum(points.error**2 - noise**2, 0) + (MEDIAN_SCATTER * spread) ** 2 / len(old)
    sigma = (values - centre) / np.hypot(spread, np.sqrt(excess))
    sigma = np.where(points.limit, np.minimum(sigma, 0), sigma)  # a limit above the usual brightness says nothing
    nights = _nights(points.bjd_tdb, new & np.isfinite(sigma), points.limit)
    if not nights:
        return Change(name, SHORT, before=points.magnitude(centre))
    night = max(nights, key=lambda here: abs(_median(sigma[here])))
    change, vanished = _median(sigma[night]), bool(points.limit[night].all())
    now = _median(points.limiting_mag[night]) if vanished else points.magnitude(_median(values[night]))
    kind = BRIGHTER if change > 0 else VANISHED if vanished and change < 0 else FAINTER
    return Change(name, kind, change, points.magnitude(centre), now, _median(points.bjd_tdb[night]), 0 if vanished else len(night))


def _against_limits(name: str, points: _Points) -> Change:
    """Compare new detections with the limits that were all there was: how far above zero they are, with the noise that the limits tell."""
    known = points.limit & ~points.new
    depth, factor = _median(points.limiting_mag[known]), _median(points.limit_sigma[known])
    detected = points.new & np.isfinite(points.value) & np.isfinite(points.mag)
    with np.errstate(over="ignore"):
        noise = np.hypot(points.error / MAG_PER_RELATIVE_FLUX, 10 ** (0.4 * (points.mag - depth)) / factor)
    nights = _nights(points.bjd_tdb, detected, points.limit)
    night = max(nights, key=lambda here: _median(1 / noise[here]))
    now = _median(points.mag[night])
    return Change(name, APPEARED, _median(1 / noise[night]), depth, now, _median(points.bjd_tdb[night]), len(night))


def _nights(bjd_tdb: Floats, here: Flags, limit: Flags) -> list[NDArray[np.intp]]:
    """Return the rows of each night; limits only of nights without a detection."""
    rows = np.flatnonzero(here)
    if not rows.size:
        return []
    number = np.floor(bjd_tdb[rows] - bjd_tdb[rows].min() + NIGHT_BEGINS)
    nights = [rows[number == night] for night in np.unique(number)]
    return [night if limit[night].all() else night[~limit[night]] for night in nights]


def _spread(old: Floats, noise: float, *, upwards: bool) -> float:
    """Return how far the history usually is from its median on one side, as a standard deviation: what it did often enough is no change."""
    centre = _median(old)
    outer = abs(float(np.quantile(old, 1 - EXTREME if upwards else EXTREME)) - centre) / SIGMA_OF_EXTREME
    return max(SIGMA_OF_MAD * _median(np.abs(old - centre)), outer, noise, FLOOR_MAG)


def _softening(flux: Floats, flux_err: Floats) -> float:
    """Return the flux below which asinh magnitudes are linear: the history's usual error; 1 % of its brightness where it tells none."""
    known = flux_err[np.isfinite(flux_err) & (flux_err > 0)]
    return _median(known) if known.size else max(0.01 * abs(_median(flux)), 1e-6) if flux.size else 1.0


def _asinh(flux: Floats, softening: float) -> Floats:
    """Return asinh magnitudes, brighter is greater; flux and softening are of one unit.

    >>> (_asinh(np.array([100.0, 10.0]), 1e-3) @ [1, -1]).round(6)  # a factor of 10
    2.5
    """
    return np.asarray(MAG_PER_RELATIVE_FLUX * np.arcsinh(flux / (2 * softening)))


def _median(values: Floats) -> float:
    return float(np.median(values)) if len(values) else float("nan")
