"""A picture before it is drawn: which points stand where, in which look, with which words; the same for every format."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from harvester.errors import UsageError
from harvester.plot.period import Period, find_period, phase_zero
from harvester.plot.series import Series, Sketch, room, sketch
from harvester.plot.style import Style, styles
from harvester.plot.timeline import Phases, Timeline
from harvester.schema import BAD

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

OWN_SYSTEM = {"other": "own system"}
FLUX_UNITS = ((1.0, "µJy"), (1e-3, "mJy"), (1e-6, "Jy"))
"""Units of flux, as parts of 1 / µJy: the first in which the greatest flux has no more than five digits is chosen."""
CLEAR = 0.06
"""The least distance of filters drawn apart, as a part of the height of the picture: markers have a size."""
RIM = 0.012
"""How far from the edge of the picture what lies beyond it is drawn, as a part of the range."""
CROWD, STRIPS = 0.02, 40
"""Filters are drawn apart in so many strips of the picture; there they may share this part of the points at either end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the reader may choose.

    `flux` draws flux (uJy) in place of magnitudes; `worst_quality` is the worst quality drawn (0 good, 1 suspect, 2 bad); `mark_revised` marks
    points of which the store has older versions. `fold` is a period (days) or "auto", with phase 0 at `epoch` (BJD_TDB, full Julian date) or,
    for None, at an extreme of light. `compress_gaps` leaves out long times without any point; `offset_filters` shifts filters apart, by amounts
    that the legend tells.
    """

    flux: bool = False
    worst_quality: int = BAD
    mark_revised: bool = False
    fold: float | Literal["auto"] | None = None
    epoch: float | None = None
    compress_gaps: bool = False
    offset_filters: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.fold, float) and not (math.isfinite(self.fold) and self.fold > 0):
            raise UsageError(f"a period of {self.fold:g} days is none.", hint="Write a number of days, or auto:  --fold 0.5668")
        if self.fold is not None and self.compress_gaps:
            raise UsageError("a folded light curve has no gaps.", hint="Leave one out: the period, or the compressing of gaps.")


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """The points of one filter as they are drawn: at places `x` of the axis, shifted by `shift` of the value's unit."""

    series: Series
    style: Style
    x: Floats
    shift: float
    tally: str

    @property
    def name(self) -> str:
        """The filter, and by how much it was shifted."""
        return f"{self.series.filter} {'+' if self.shift > 0 else '−'} {abs(self.shift):g}" if self.shift else self.series.filter


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """The light curve of one target, ready to be drawn: at least one line of at least one point, and the rows that it was read from."""

    title: str
    light_curve: pa.Table
    lines: tuple[Line, ...]
    axis: Timeline | Phases
    wishes: Wishes
    omitted: int
    period: Period | None = None
    simulated: bool = False
    flux_unit: str = FLUX_UNITS[0][1]

    @property
    def range(self) -> tuple[float, float]:
        """The least and greatest value that the picture has room for."""
        low, high = room([line.series for line in self.lines])
        margin = 0.06 * (high - low) or (abs(high) * 0.05 if self.wishes.flux else 0.5) or 1.0
        return low - margin, high + margin

    @property
    def beyond(self) -> int:
        """How many points, bad ones and limits, lie outside the range; they are drawn on the rim."""
        low, high = self.range
        repeated = 2 if isinstance(self.axis, Phases) else 1
        return sum(int(((line.series.value < low) | (line.series.value > high)).sum()) for line in self.lines) // repeated

    def within(self, value: Floats) -> Floats:
        """Return values with those beyond the range put on its rim."""
        low, high = self.range
        return np.clip(value, low + RIM * (high - low), high - RIM * (high - low))

    @property
    def unit(self) -> str:
        """What the value axis says."""
        offset = " + offset" if any(line.shift for line in self.lines) else ""
        if self.wishes.flux:
            return f"flux{offset} ({self.flux_unit})"
        systems = ", ".join(sorted({system_of(line.series) for line in self.lines} - {""}))
        return f"magnitude{offset} ({systems})" if systems else f"magnitude{offset}"

    @property
    def surveys(self) -> tuple[str, ...]:
        """The surveys that appear, in the legend's order."""
        return tuple(dict.fromkeys(line.series.survey for line in self.lines))

    @property
    def notes(self) -> list[str]:
        """What a reader must know of the picture, in a few words each."""
        every = [line.series for line in self.lines]
        seen = {
            "arrows: upper limits": any(one.limit.any() for one in every),
            "hollow: doubtful quality": any((one.doubtful & ~one.bad & ~one.limit).any() for one in every),
            "crossed out: bad quality": any((one.bad & ~one.limit).any() for one in every),
            "ringed: revised by the survey": self.wishes.mark_revised and any(one.revised.any() for one in every),
            "on the rim: what lies beyond it": self.beyond > 0,
            "broken axis: times without a point are left out": bool(self.axis.cuts),
            "each point is drawn twice": isinstance(self.axis, Phases),
        }
        found = [words for words, so in seen.items() if so]
        found += [self.period.words] if self.period else []
        unit = "in this unit" if self.wishes.flux else "as a magnitude"
        found = [f"{words} ({self.beyond})" if words.startswith("on the rim") else words for words in found]
        left_out = f"{self.omitted} point{'s' if self.omitted > 1 else ''} without a time or a value {unit} not drawn"
        return [*found, left_out] if self.omitted else found


def picture(light_curve: pa.Table, wishes: Wishes | None = None, *, title: str = "", simulated: bool = False) -> Picture:
    """Return what is to be drawn of a stored light curve (see `sketch`).

    `simulated` marks a picture of simulated data as such. Raises ExportError where there is nothing to draw, or no period can be found.
    """
    wishes = wishes or Wishes()
    drawn = sketch(light_curve, flux=wishes.flux, worst_quality=wishes.worst_quality)
    drawn, unit = _in_unit(drawn) if wishes.flux else (drawn, "")
    axis, period = _axis(drawn, wishes)
    shifts = _shifts(drawn.series, axis, flux=wishes.flux) if wishes.offset_filters else [0.0] * len(drawn.series)
    looks = zip(drawn.series, styles(drawn.series), shifts, strict=True)
    lines = tuple(_line(one, style, shift, axis) for one, style, shift in looks)
    return Picture(title, light_curve, lines, axis, wishes, drawn.omitted, period, simulated, unit)


def system_of(one: Series) -> str:
    """Return the magnitude system of a filter in words; nothing for an unknown one."""
    return OWN_SYSTEM.get(one.system, one.system)


def _in_unit(drawn: Sketch) -> tuple[Sketch, str]:
    """Return the fluxes in a unit that keeps their numbers short, and its name."""
    greatest = max(abs(end) for end in drawn.range)
    factor, name = next((unit for unit in FLUX_UNITS if greatest * unit[0] < 1e5), FLUX_UNITS[-1])
    series = tuple(replace(one, value=one.value * factor, error=one.error * factor) for one in drawn.series)
    return replace(drawn, series=series), name


def _axis(drawn: Sketch, wishes: Wishes) -> tuple[Timeline | Phases, Period | None]:
    times = np.concatenate([one.bjd_tdb for one in drawn.series])
    if wishes.fold is None:
        return (Timeline.without_gaps(times) if wishes.compress_gaps else Timeline.whole(times)), None
    if wishes.fold == "auto":
        found = find_period(drawn.series)
        return Phases(found.days, found.epoch if wishes.epoch is None else wishes.epoch), found
    return Phases(wishes.fold, phase_zero(drawn.series, wishes.fold) if wishes.epoch is None else wishes.epoch), None


def _line(one: Series, style: Style, shift: float, axis: Timeline | Phases) -> Line:
    x = axis.place(one.bjd_tdb)
    shown = one.take(np.arange(len(x)) % len(one.value)) if len(x) > len(one.value) else one
    return Line(replace(shown, value=shown.value + shift), style, x, shift, one.tally)


def _shifts(series: Sequence[Series], axis: Timeline | Phases, *, flux: bool) -> list[float]:
    """Return how far each filter is moved so that none lies upon another at the same time or phase: the brightest stays, fainter ones go down."""
    down = -1.0 if flux else 1.0
    ends = [_strips(axis.place(one.bjd_tdb)[: one.value.size], down * one.value, axis.span) for one in series]
    heights = np.concatenate([(high - low)[np.isfinite(low)] for low, high in ends])
    whole = float(max(one.value.max() for one in series) - min(one.value.min() for one in series))
    step = _step(max(float(np.median(heights)), CLEAR * whole))
    shifts, edge = [0.0] * len(series), np.full(STRIPS, -math.inf)
    for index in sorted(range(len(series)), key=lambda at: float(np.median(down * series[at].value))):
        low, high = ends[index]
        lacking = max(0.0, float((edge - low)[np.isfinite(low)].max()))
        moved = step * math.ceil(lacking / step) if math.isfinite(lacking) else 0.0
        shifts[index] = down * moved
        edge = np.fmax(edge, high + moved + CLEAR * whole)
    return shifts


def _strips(x: Floats, value: Floats, span: tuple[float, float]) -> tuple[Floats, Floats]:
    """Return the ends of the values in each of STRIPS upright strips of the picture, without the few at either end; NaN where there are none."""
    strip = np.clip(((x - span[0]) / (span[1] - span[0]) * STRIPS).astype(np.intp), 0, STRIPS - 1)
    low, high = np.full(STRIPS, np.nan), np.full(STRIPS, np.nan)
    for index in np.unique(strip):
        low[index], high[index] = np.quantile(value[strip == index], [CROWD, 1 - CROWD])
    return low, high


def _step(usual: float) -> float:
    """Return a round step (1, 2 or 5 times a power of ten) not far below the usual height of a filter; 0.1 where it has none."""
    if not usual > 0:
        return 0.1
    power = 10.0 ** math.floor(math.log10(usual))
    return next(factor * power for factor in (5.0, 2.0, 1.0) if factor * power <= usual)
