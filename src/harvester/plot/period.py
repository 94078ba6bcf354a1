"""The period of a light curve in several filters: Lomb-Scargle periodograms, and what noise alone would give.

The search runs on one periodogram over all filters, each reduced to mean 0 and scatter 1. The highest peaks are then weighed by a model that has a
sine wave and a mean of its own in every filter (VanderPlas and Ivezic 2015ApJ...812...18V): by u, the sum over filters of -(n - 3) ln(1 - z), with z
the filter's power (0 to 1) and n its points. For noise without memory, whatever its size in each filter, u follows chi-square with two degrees of
freedom per filter, so that its false-alarm level is known (see `false_alarm`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harvester.errors import ExportError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from harvester.plot.series import Series

    Floats = NDArray[np.float64]

FASTEST = 10.0
"""The highest frequency that is searched (cycles a day); the lowest has two cycles within the data."""
PER_PEAK = 5
PEAKS, BESIDE = 40, 9
LEAST_IN_FILTER, LEAST = 8, 20
WAVES = 6
"""Harmonics of the shape by which a period is told from its double."""
CLEARLY = 0.9
"""A double period is preferred where it leaves less than this part of the squares that the single one leaves."""
ENOUGH = 20_000
"""Points that a search hears: of more, a sample, drawn for ever the same."""
FAR = 1.0
"""Points farther outside the central 98 % than that is wide are not heard."""


@dataclass(frozen=True, slots=True)
class Period:
    """A period (days) that was found.

    `false_alarm` is its false-alarm level, `shortest` and `longest` the range that was searched (days), `epoch` (BJD_TDB) that of phase 0, and
    `sampled` how many points were heard, where not all were.
    """

    days: float
    epoch: float
    false_alarm: float
    shortest: float
    longest: float
    sampled: int = 0

    @property
    def words(self) -> str:
        """What the reader is told of it."""
        level = f"{self.false_alarm:.2g}" if self.false_alarm >= 1e-99 else "< 1e-99"
        doubt = "" if self.false_alarm < 0.01 else "NOT SIGNIFICANT: "
        among = f" on a sample of {self.sampled} points" if self.sampled else ""
        return f"{doubt}period searched from {self.shortest:.3g} to {self.longest:.4g} d{among}, false-alarm level {level}"


def find_period(series: Sequence[Series]) -> Period:
    """Return the most likely period of the good detections. Raises ExportError where they are too few, or do not last long enough."""
    heard = [points for one in series if (points := _heard(one)).shape[1] >= LEAST_IN_FILTER]
    count = sum(points.shape[1] for points in heard)
    if count < LEAST:
        needed = f"At least {LEAST} good points are needed, in filters with {LEAST_IN_FILTER} or more; there are {count}."
        raise ExportError("no period can be searched for.", needed, "Say one that you know: --fold DAYS")
    if count > ENOUGH:
        heard = [_sample(points, max(LEAST_IN_FILTER, points.shape[1] * ENOUGH // count)) for points in heard]
    together = np.concatenate([_standard(points) for points in heard], axis=1)
    span = float(np.ptp(together[0]))
    grid = np.arange(2 * PER_PEAK, FASTEST * span * PER_PEAK) / (span * PER_PEAK) if span else np.zeros(0)
    if grid.size < PER_PEAK:
        raise ExportError("no period can be searched for.", f"The points span {span:.3g} d.", "Say one that you know: --fold DAYS")
    candidates = _around(_peaks(grid, _power(together, grid)), grid[1] - grid[0])
    evidence = _evidence(heard, candidates)
    level = false_alarm(float(evidence.max()), len(heard), FASTEST * _spread(heard))
    frequency = _single_or_double(together, float(candidates[evidence.argmax()]), grid[1] - grid[0])
    days = _rounded(1 / frequency, span)
    return Period(days, _zero(together, days), level, 1 / FASTEST, span / 2, together.shape[1] if count > ENOUGH else 0)


def phase_zero(series: Sequence[Series], days: float) -> float:
    """Return an epoch (BJD_TDB) of greatest light, or of least where the light curve is one of eclipses, near the middle of the data."""
    heard = [points for one in series if (points := _heard(one)).shape[1] >= 2]
    if not heard:
        return float(series[0].bjd_tdb[0])
    together = np.concatenate([_standard(points) for points in heard], axis=1)
    return _zero(_sample(together, ENOUGH), days)


def false_alarm(u: float, filters: int, width: float) -> float:
    """Return how likely noise without memory reaches `u` anywhere: chance at one frequency plus the expected number of upcrossings.

    `width` is the highest frequency times the standard deviation of the epochs (both in days). After Davies (1987, Biometrika 74, 33), which for one
    filter is the bound of Baluev (2008MNRAS.385.1279B): an upper bound, near the truth where it is small. Noise with a memory, such as a slow
    drift, goes beyond it.

    >>> f"{false_alarm(60.0, 1, 10.0 * 300.0):.2g}"
    '5.5e-09'
    """
    half = u / 2
    at_once = sum(
        math.exp(power * math.log(half) - half - math.lgamma(power + 1)) if half else float(power == 0) for power in range(filters)
    )
    crossings = 2 * math.sqrt(math.pi) * width
    beyond = crossings * math.exp((filters - 0.5) * math.log(half) - half - math.lgamma(filters)) if half else 1.0
    return min(1.0, at_once + beyond)


def _heard(one: Series) -> Floats:
    """Return times, values and errors of the good detections; errors are at least the median, where there are any."""
    good = ~one.limit & ~one.doubtful
    value = one.value[good]
    low, high = np.quantile(value, [0.01, 0.99]) if value.size else (0.0, 0.0)
    near = (value >= low - FAR * (high - low)) & (value <= high + FAR * (high - low))
    error = one.error[good][near]
    known = error[np.isfinite(error) & (error > 0)]
    typical = float(np.median(known)) if known.size else 1.0
    return np.array([one.bjd_tdb[good][near], value[near], np.fmax(np.nan_to_num(error, posinf=typical), typical)])


def _sample(points: Floats, size: int) -> Floats:
    return points[:, np.sort(np.random.default_rng(size).choice(points.shape[1], min(size, points.shape[1]), replace=False))]


def _standard(points: Floats) -> Floats:
    """Return points with mean 0, scatter 1, and errors of median 1: what filters have in common is the phase."""
    time, value, error = points
    scatter = np.std(value) or 1.0
    return np.array([time, (value - np.average(value, weights=error**-2)) / scatter, error / np.median(error)])


def _power(points: Floats, frequencies: Floats, *, waves: int = 1, method: str = "fast") -> Floats:
    """Return the periodogram: the part (0 to 1) of the sum of squares that a wave takes away."""
    from astropy.timeseries import LombScargle

    time, value, error = points
    found = LombScargle(time - time[0], value, error, nterms=waves).power(frequencies, method=method)
    return np.clip(np.nan_to_num(np.asarray(found, np.float64)), 0.0, 1 - 1e-12)


def _peaks(grid: Floats, power: Floats) -> Floats:
    """Return the frequencies of the highest peaks."""
    inner = np.flatnonzero((power >= np.append(power[1:], -1.0)) & (power >= np.append(-1.0, power[:-1])))
    return grid[inner[np.argsort(power[inner])[::-1][:PEAKS]]]


def _around(peaks: Floats, step: float) -> Floats:
    near = peaks[:, None] + np.linspace(-1.0, 1.0, BESIDE) * step
    return np.unique(near[near > 0])


def _evidence(filters: Sequence[Floats], frequencies: Floats) -> Floats:
    """Return u (see the head of this module) at each frequency."""
    total = np.zeros(len(frequencies))
    for points in filters:
        total -= (points.shape[1] - 3) * np.log1p(-_power(points, frequencies, method="cython"))
    return total


def _spread(filters: Sequence[Floats]) -> float:
    """Return the standard deviation of the epochs within a filter, as a mean over filters (days)."""
    return math.sqrt(float(np.mean([np.var(points[0]) for points in filters])))


def _single_or_double(points: Floats, frequency: float, step: float) -> float:
    """Return the frequency, refined, or the half of it where only then the light curve is one line: unequal eclipses."""
    if points.shape[1] < 8 * WAVES:
        return frequency
    near = frequency + np.linspace(-0.5, 0.5, 41) * step
    try:
        doubled = _is_double(_sample(points, ENOUGH // 5), near[::2])
        finer = near / 2 if doubled else near
        return float(finer[_power(points, finer, waves=2 * WAVES if doubled else WAVES, method="chi2").argmax()])
    except np.linalg.LinAlgError:
        return frequency  # the points stand at a few phases only


def _is_double(points: Floats, frequencies: Floats) -> bool:
    left = 1 - _power(points, frequencies, waves=WAVES, method="chi2").max()
    half_left = 1 - _power(points, frequencies / 2, waves=2 * WAVES, method="chi2").max()
    more = 2 * WAVES * math.log(points.shape[1])
    return bool(half_left < CLEARLY * left and points.shape[1] * math.log(left / half_left) > more)


def _rounded(days: float, span: float) -> float:
    """Return a period without digits that would move no point by a thousandth of a cycle."""
    return round(days, max(0, math.ceil(-math.log10(0.001 * days**2 / span))))


def _zero(points: Floats, days: float) -> float:
    from astropy.timeseries import LombScargle

    time, value, error = points
    waves = min(points.shape[1] // 16, WAVES)
    start = float(np.median(time))
    moments = start + np.arange(400) / 400 * days
    try:
        model = np.asarray(LombScargle(time - start, value, error, nterms=waves).model(moments - start, 1 / days)) if waves else value[:0]
    except np.linalg.LinAlgError:
        model = value[:0]
    if not model.size:
        return float(time[0])
    return float(moments[model.argmax() if np.mean((model - model.mean()) ** 3) > 0 else model.argmin()])
