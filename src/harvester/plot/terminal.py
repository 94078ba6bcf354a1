"""A light curve as lines of text: for a terminal, a log, or a mail."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harvester.plot import canvas
from harvester.plot.dates import date_ticks, round_ticks
from harvester.plot.series import Series, Sketch, sketch
from harvester.schema import BAD

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

LEAST_WIDTH, LEAST_ROWS, FRAME_LINES = 40, 6, 3
ROWS_PER_TICK, LEAST_DATE = 3, 6
PLAIN = "ox+*#@%&$=ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SHAPES = "●▲■◆○△□◇✚✖★☆◐◑▶◀" + PLAIN
FOREGROUND = "\x1b[39m"
HUES = ((0.04, "31"), (0.19, "33"), (0.44, "32"), (0.54, "36"), (0.72, "94"), (0.93, "35"), (1.0, "31"))
"""The terminal's own colours by the upper end of their hues: red, yellow, green, cyan, (bright) blue, magenta, and red again."""
OTHER_SHADE = {"3": "9", "9": "3"}


@dataclass(frozen=True, slots=True)
class Signs:
    """The characters that a drawing is made of."""

    points: str
    limit: str
    corner: str
    left: str
    bottom: str
    tick_left: str
    tick_bottom: str
    micro: str
    dot: str


UNICODE = Signs(SHAPES, "↓", "└", "│", "─", "┤", "┬", "µ", " · ")
ASCII = Signs(PLAIN, "v", "+", "|", "-", "+", "+", "u", ", ")


def draw(
    light_curve: pa.Table,
    *,
    title: str = "",
    flux: bool = False,
    simulated: bool = False,
    worst_quality: int = BAD,
    width: int = 80,
    height: int = 24,
    colour: bool = False,
    unicode: bool = True,
) -> list[str]:
    """Return a stored light curve as lines, no wider than `width` characters, and no more than `height` if that leaves room to draw.

    Without `colour` each filter has a character of its own. With it (ANSI escapes of the terminal's own palette) points are braille dots,
    unless there are more filters than colours. `unicode=False` keeps to ASCII. A doubtful point looks as any other; leave it out by
    `worst_quality`. A window is taken to have at least 40 columns. Raises ExportError where there is nothing to draw.
    """
    signs = UNICODE if unicode else ASCII
    drawn = sketch(light_curve, flux=flux, worst_quality=worst_quality)
    codes = _codes(drawn.series) if colour else [""] * len(drawn.series)
    dots = colour and unicode and len(set(codes)) == len(codes)
    legend = _legend(drawn, signs, codes, flux=flux, dots=dots)
    plot = _Plot.of(drawn, flux=flux, width=max(width, LEAST_WIDTH), rows=max(height - FRAME_LINES - len(legend), LEAST_ROWS))
    cells = plot.dots(signs, codes) if dots else plot.shapes(signs, codes)
    return [_heading(title, signs, width=plot.width, flux=flux, simulated=simulated), *plot.framed(cells, signs), *legend]


@dataclass(frozen=True, slots=True)
class _Plot:
    """Where each point of a sketch falls in an area of `rows` by `columns` characters."""

    drawn: Sketch
    flux: bool
    width: int
    rows: int
    ticks: tuple[float, ...]
    labels: tuple[str, ...]
    low: float
    high: float

    @classmethod
    def of(cls, drawn: Sketch, *, flux: bool, width: int, rows: int) -> _Plot:
        low, high = drawn.range
        margin = 0.04 * (high - low) or (abs(high) * 0.05 if flux else 0.5) or 1.0
        ticks = tuple(round_ticks(low - margin, high + margin, max(3, rows // ROWS_PER_TICK)))
        decimals = max(0, -int(np.floor(np.log10(ticks[1] - ticks[0]) + 1e-6))) if len(ticks) > 1 else 2
        labels = tuple(f"{tick:.{decimals}f}" for tick in ticks)
        return cls(drawn, flux, width, rows, ticks, labels, low - margin, high + margin)

    @property
    def gutter(self) -> int:
        """The characters left of the axis."""
        return max(len(label) for label in self.labels) + 1

    @property
    def columns(self) -> int:
        return self.width - self.gutter - 1

    @property
    def span(self) -> tuple[float, float]:
        first, last = self.drawn.span
        margin = 0.01 * (last - first) or 0.5
        return first - margin, last + margin

    def down(self, value: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how far down a value is: 0 at the top, 1 at the bottom."""
        fraction = (value - self.low) / (self.high - self.low)
        return 1 - fraction if self.flux else fraction

    def right(self, bjd_tdb: NDArray[np.float64]) -> NDArray[np.float64]:
        first, last = self.span
        return (bjd_tdb - first) / (last - first)

    def _spots(self, *, limits: bool) -> tuple[list[canvas.Indices], list[canvas.Indices]]:
        """Return columns and rows of the points of each series on the grid of braille dots, which is that of characters times 2 and 4."""
        chosen = [(one, one.limit if limits else ~one.limit) for one in self.drawn.series]
        columns = [canvas.places(self.right(one.bjd_tdb[mask]), self.columns * 2) for one, mask in chosen]
        return columns, [canvas.places(self.down(one.value[mask]), self.rows * 4) for one, mask in chosen]

    def _owners(self, *, limits: bool) -> canvas.Indices:
        columns, rows = self._spots(limits=limits)
        return canvas.owners([column // 2 for column in columns], [row // 4 for row in rows], (self.rows, self.columns))

    def shapes(self, signs: Signs, codes: Sequence[str]) -> list[list[str]]:
        """Return the area in one character per filter; limits lie below detections."""
        detected = self._owners(limits=False)
        marks = [_painted(_shape(signs, number), code) for number, code in enumerate(codes)]
        return self._with_limits(
            [[marks[owner] for owner in line] for line in detected], detected, [_painted(signs.limit, code) for code in codes]
        )

    def dots(self, signs: Signs, codes: Sequence[str]) -> list[list[str]]:
        """Return the area in braille dots, each cell in the colour of the filter with most points in it."""
        detected = self._owners(limits=False)
        fine = canvas.braille(*self._spots(limits=False), (self.rows, self.columns))
        painted = [[_painted(dot, codes[owner]) for dot, owner in zip(*line, strict=True)] for line in zip(fine, detected, strict=True)]
        return self._with_limits(painted, detected, [_painted(signs.limit, code) for code in codes])

    def _with_limits(self, cells: list[list[str]], detected: canvas.Indices, arrows: list[str]) -> list[list[str]]:
        """Fill the cells without a detection: with the arrow of a limit or a blank."""
        limits = self._owners(limits=True)
        for row, column in np.argwhere(detected == canvas.EMPTY):
            cells[row][column] = arrows[limits[row, column]] if limits[row, column] != canvas.EMPTY else " "
        return cells

    def framed(self, cells: list[list[str]], signs: Signs) -> list[str]:
        """Return the area with its axes: values on the left, calendar dates below."""
        at = dict(zip(canvas.places(self.down(np.array(self.ticks)), self.rows).tolist(), self.labels, strict=True))
        lines = [
            f"{at.get(row, ''):>{self.gutter - 1}} {signs.tick_left if row in at else signs.left}{''.join(line)}".rstrip()
            for row, line in enumerate(cells)
        ]
        return [*lines, *self._date_axis(signs)]

    def _date_axis(self, signs: Signs) -> list[str]:
        axis, words = [signs.bottom] * self.columns, [" "] * self.columns
        for place, start, label in self._dates():
            axis[place] = signs.tick_bottom
            words[start : start + len(label)] = label
        indent = " " * self.gutter
        return [indent + signs.corner + "".join(axis), f"{indent} {''.join(words)}".rstrip()]

    def _dates(self) -> list[tuple[int, int, str]]:
        """Return the column of each tick, that of its label, and the label: as many as stand clear of each other."""
        for most in range(self.columns // LEAST_DATE, 0, -1):
            ticks = date_ticks(*self.span, most)
            at = canvas.places(self.right(np.array([jd for jd, _ in ticks])), self.columns).tolist()
            labels = [label for _, label in ticks]
            starts = [min(max(place - len(label) // 2, 0), self.columns - len(label)) for place, label in zip(at, labels, strict=True)]
            ends = [start + len(label) + 1 for start, label in zip(starts, labels, strict=True)]
            if all(start > end for start, end in zip(starts[1:], ends, strict=False)):
                return list(zip(at, starts, labels, strict=True))
        return []


def _heading(title: str, signs: Signs, *, width: int, flux: bool, simulated: bool) -> str:
    unit = f"flux ({signs.micro}Jy)" if flux else "magnitude"
    mark = "  SIMULATED" if simulated else ""
    return f"{unit}  {title}"[: width - len(mark)].rstrip() + mark


def _legend(drawn: Sketch, signs: Signs, codes: Sequence[str], *, flux: bool, dots: bool) -> list[str]:
    wide, tally = max(len(one.filter) for one in drawn.series), max(len(one.tally) for one in drawn.series)
    lines = [
        f"{_painted('⣿' if dots else _shape(signs, number), code)} {one.filter:<{wide}}  {one.tally:>{tally}}{_median(one, flux=flux)}"
        for number, (one, code) in enumerate(zip(drawn.series, codes, strict=True))
    ]
    notes = [f"{signs.limit} upper limit"] if any(one.limit.any() for one in drawn.series) else []
    notes += [f"{drawn.omitted} without a {'flux' if flux else 'magnitude'} or time not drawn"] if drawn.omitted else []
    return [*lines, signs.dot.join(notes)] if notes else lines


def _median(one: Series, *, flux: bool) -> str:
    if np.isnan(one.median):
        return ""
    return f"  median {one.median:.4g}" if flux else f"  median {one.median:.3f}{f' {one.system}' if one.system in ('AB', 'Vega') else ''}"


def _shape(signs: Signs, number: int) -> str:
    return signs.points[number % len(signs.points)]


def _painted(text: str, code: str) -> str:
    return f"{code}{text}{FOREGROUND}" if code else text


def _codes(series: Sequence[Series]) -> list[str]:
    """Return an escape for each series: the terminal's colour of its hue, in another shade if that is taken; none for greys.

    What has no escape is drawn in the terminal's foreground: black would not show on black.
    """
    taken: set[str] = set()
    found = []
    for one in series:
        base = _terminal_colour(one.passband.colour) if one.passband else ""
        code = OTHER_SHADE[base[0]] + base[1] if base and base in taken else base
        taken.add(code)
        found.append(f"\x1b[{code}m" if code else "")
    return found


def _terminal_colour(hex_colour: str) -> str:
    hue, lightness, saturation = colorsys.rgb_to_hls(*(int(hex_colour[at : at + 2], 16) / 255 for at in (1, 3, 5)))
    if saturation < 0.15 or lightness < 0.12:
        return ""
    return next(code for end, code in HUES if hue <= end)
