"""What a picture shows of a light curve: one series of points per filter, in the order of the legend."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harvester import brightness
from harvester.errors import ExportError
from harvester.passbands import Passband, passbands
from harvester.schema import BAD, GOOD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Truths = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """The points of one filter that can be drawn, in time order; all arrays have one element per point.

    `bjd_tdb` is the full Julian date (days); `value` and `error` are magnitudes or uJy, `error` NaN where there is none; `limit`
    marks upper limits, whose `value` is that of the limit, `doubtful` points of a quality below good, `bad` the worst of these, and
    `revised` points of which the store has an older version. `row` is each point's row in the light curve. `passband` is None for an unknown
    filter.
    """

    filter: str
    passband: Passband | None
    bjd_tdb: Floats
    value: Floats
    error: Floats
    limit: Truths
    doubtful: Truths
    bad: Truths
    revised: Truths
    row: NDArray[np.intp]

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

    def take(self, which: NDArray[np.intp] | Truths) -> Series:
        """Return some of the points, in the order given."""
        points = {name: getattr(self, name)[which] for name in PER_POINT}
        return replace(self, **points)


PER_POINT = ("bjd_tdb", "value", "error", "limit", "doubtful", "bad", "revised", "row")
LIMITS_BEYOND, LEAST_BEYOND = 0.5, 0.12
"""How far limits widen a picture to either side, in units of the range of what was detected, and at least in units of the value itself."""
REVISIONS = "revisions"
"""A column that a light curve may have besides those of the schema: how many older versions of the point the store has."""


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
        """What a picture of these series has room for (see `room`)."""
        return room(self.series)


def sketch(light_curve: pa.Table, *, flux: bool = False, worst_quality: int = BAD) -> Sketch:
    """Read what can be drawn from a stored light curve (the columns of `schema.SCHEMA`, and REVISIONS if it is known).

    A limit is drawn at its limiting magnitude; in flux (uJy) at its measured flux, as any other measurement, or where there is none
    at the flux of its limiting magnitude. Points worse than `worst_quality` are left out; points without a time or a value in the
    chosen unit are left out and counted. Raises ExportError where no point remains.
    """
    quality = pc.fill_null(pc.cast(light_curve["quality"], pa.int64()), GOOD)
    kept = np.flatnonzero(quality.to_numpy() <= worst_quality)
    rows = light_curve if len(kept) == light_curve.num_rows else light_curve.take(kept)
    coded = rows["filter"].cast(pa.string()).combine_chunks().dictionary_encode()
    number = coded.indices.to_numpy()
    found = [_series(name, rows, np.flatnonzero(number == index), flux=flux) for index, name in enumerate(coded.dictionary.to_pylist())]
    found = [replace(one, row=kept[one.row]) for one in found]
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


def _series(name: str, table: pa.Table, here: NDArray[np.intp], *, flux: bool) -> Series:
    known, rows = passbands(split(name)[1]).get(split(name)[0]), table.take(here)
    time = _floats(rows, "bjd_tdb")
    limit = np.asarray(pc.fill_null(rows["upper_limit"], False).to_numpy(), bool)
    value, error, limit = _fluxes(rows, limit, known) if flux else _magnitudes(rows, limit)
    quality = np.asarray(pc.fill_null(rows["quality"], GOOD).to_numpy())
    revised = rows[REVISIONS].to_numpy() > 0 if REVISIONS in rows.column_names else np.zeros(len(time), bool)
    order = np.argsort(time, kind="stable")
    whole = Series(name, known, time, value, error, limit, quality > GOOD, quality >= BAD, revised, here)
    return whole.take(order[(np.isfinite(time) & np.isfinite(value))[order]])


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


def room(series: Sequence[Series]) -> tuple[float, float]:
    """Return the least and greatest value that a picture must have room for.

    That is every detection that is not bad, with its error bar, of which one far longer than usual (3 medians) does not count in full; limits make
    it at most so much wider as LIMITS_BEYOND says. Bad points do not count unless there is nothing else.
    """
    usable = [one.take(~one.limit & ~one.bad) for one in series]
    reaches = [_reach(one) for one in usable if one.value.size]
    if not reaches:
        values = np.concatenate([one.value for one in series])
        return float(values.min()), float(values.max())
    low, high = min(low for low, _ in reaches), max(high for _, high in reaches)
    limits = np.concatenate([one.value[one.limit & ~one.bad] for one in series])
    reach = max(LIMITS_BEYOND * (high - low), LEAST_BEYOND * abs(high))
    beyond = np.clip(limits, low - reach, high + reach)
    return min(low, float(beyond.min(initial=low))), max(high, float(beyond.max(initial=high)))


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
