"""What a picture shows of a light curve: one series of points per filter, in the order of the legend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harvester import brightness
from harvester.errors import ExportError
from harvester.passbands import Passband, passbands
from harvester.schema import BAD, GOOD

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Truths = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """The points of one filter that can be drawn, in time order; all arrays have one element per point.

    `bjd_tdb` is the full Julian date (days); `value` and `error` are magnitudes or uJy, `error` NaN where there is none; `limit`
    marks upper limits, whose `value` is that of the limit, and `doubtful` points of a quality below good. `passband` is None for an
    unknown filter.
    """

    filter: str
    passband: Passband | None
    bjd_tdb: Floats
    value: Floats
    error: Floats
    limit: Truths
    doubtful: Truths

    @property
    def survey(self) -> str:
        """The word in parentheses of the filter."""
        return split(self.filter)[1]

    @property
    def system(self) -> str:
        """AB, Vega or other; nothing for an unknown filter."""
        return self.passband.system if self.passband else ""

    @property
    def median(self) -> float:
        """The median of the detections; NaN where all points are limits."""
        detections = self.value[~self.limit]
        return float(np.median(detections)) if detections.size else float("nan")

    @property
    def tally(self) -> str:
        """How many detections and limits there are, in words short enough for a legend."""
        limits = int(self.limit.sum())
        detections = self.limit.size - limits
        words = [f"{detections}"] if detections else []
        return " + ".join([*words, f"{limits} limit{'s' if limits > 1 else ''}"] if limits else words)


@dataclass(frozen=True, slots=True)
class Sketch:
    """All that a picture shows: at least one series of at least one point, and how many points have no place in it."""

    series: tuple[Series, ...]
    omitted: int

    @property
    def surveys(self) -> tuple[str, ...]:
        """The surveys that appear, in the legend's order."""
        return tuple(dict.fromkeys(one.survey for one in self.series))

    @property
    def span(self) -> tuple[float, float]:
        """First and last BJD_TDB (days)."""
        times = np.concatenate([one.bjd_tdb for one in self.series])
        return float(times.min()), float(times.max())

    @property
    def range(self) -> tuple[float, float]:
        """Least and greatest value with its error bar; a bar far longer than usual (3 medians) does not count in full."""
        low, high = zip(*(_reach(one) for one in self.series), strict=True)
        return min(low), max(high)


def sketch(light_curve: pa.Table, *, flux: bool = False, worst_quality: int = BAD) -> Sketch:
    """Read what can be drawn from a stored light curve (the columns of `schema.SCHEMA`).

    A limit is drawn at its limiting magnitude; in flux (uJy) at its measured flux, as any other measurement, or where there is none
    at the flux of its limiting magnitude. Points worse than `worst_quality` are left out; points without a time or a value in the
    chosen unit are left out and counted. Raises ExportError where no point remains.
    """
    quality = pc.fill_null(pc.cast(light_curve["quality"], pa.int64()), GOOD)
    rows = light_curve.filter(pc.less_equal(quality, worst_quality))
    names, number = np.unique(rows["filter"].cast(pa.string()).to_numpy(zero_copy_only=False).astype(str), return_inverse=True)
    found = [_series(str(name), rows.filter(pa.array(number == index)), flux=flux) for index, name in enumerate(names)]
    drawn = tuple(sorted((one for one in found if one.value.size), key=_place_in_legend))
    if not drawn:
        raise ExportError("there is nothing to draw.", _why_nothing(light_curve, rows, flux=flux), "What is stored: harvest status")
    return Sketch(drawn, rows.num_rows - sum(one.value.size for one in drawn))


def split(name: str) -> tuple[str, str]:
    """Return passband and survey of a filter.

    >>> split("Ks(2MASS)")
    ('Ks', '2MASS')
    """
    passband, _, survey = name.rpartition("(")
    return passband, survey.removesuffix(")")


def _series(name: str, rows: pa.Table, *, flux: bool) -> Series:
    known = passbands(split(name)[1]).get(split(name)[0])
    time = _floats(rows, "bjd_tdb")
    limit = np.asarray(pc.fill_null(rows["upper_limit"], False).to_numpy(), bool)
    value, error, limit = _fluxes(rows, limit, known) if flux else _magnitudes(rows, limit)
    doubtful = np.asarray(pc.fill_null(rows["quality"], GOOD).to_numpy()) > GOOD
    order = np.argsort(time, kind="stable")
    kept = order[(np.isfinite(time) & np.isfinite(value))[order]]
    return Series(name, known, time[kept], value[kept], error[kept], limit[kept], doubtful[kept])


def _magnitudes(rows: pa.Table, limit: Truths) -> tuple[Floats, Floats, Truths]:
    value = np.where(limit, _floats(rows, "limiting_mag"), _floats(rows, "mag"))
    return value, np.where(limit, np.nan, _floats(rows, "mag_err")), limit


def _fluxes(rows: pa.Table, limit: Truths, known: Passband | None) -> tuple[Floats, Floats, Truths]:
    value, error = _floats(rows, "flux"), _floats(rows, "flux_err")
    unmeasured = limit & np.isnan(value)
    if known and known.zeropoint_jy:
        value[unmeasured] = brightness.flux_from_mag(_floats(rows, "limiting_mag")[unmeasured], known.zeropoint_jy)
    return value, np.where(unmeasured, np.nan, error), unmeasured


def _floats(rows: pa.Table, name: str) -> Floats:
    return np.array(rows[name].cast(pa.float64()).to_numpy(), np.float64)


def _reach(one: Series) -> tuple[float, float]:
    bar = np.nan_to_num(one.error, nan=0.0, posinf=0.0)
    bar = np.minimum(bar, 3 * np.median(bar))
    return float((one.value - bar).min()), float((one.value + bar).max())


def _place_in_legend(one: Series) -> tuple[str, float, str]:
    pivot = one.passband.pivot_nm if one.passband else None
    return one.survey, pivot or np.inf, one.filter


def _why_nothing(light_curve: pa.Table, rows: pa.Table, *, flux: bool) -> str:
    if not light_curve.num_rows:
        return "No point of this target is stored, or none matches the choice."
    if not rows.num_rows:
        return f"All {light_curve.num_rows} points are of a quality that is left out."
    return f"None of {rows.num_rows} points has a time and a {'flux' if flux else 'magnitude'}."
