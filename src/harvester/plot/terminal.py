"""A light curve as lines of text: for a terminal, a log, or a mail."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np

from harvester.plot import canvas
from harvester.plot.dates import round_ticks
from harvester.plot.timeline import MJD_ZERO, Timeline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from harvester.plot.picture import Line, Picture
    from harvester.plot.timeline import Tick

LEAST_WIDTH, LEAST_ROWS, FRAME_LINES = 40, 10, 3
ROWS_PER_TICK, LEAST_DATE = 3, 6
ONE_COLUMN = 6
"""Filters that the legend has one below the other; more stand in two columns where they fit."""
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
    cut: str
    minus: str
    dot: str


UNICODE = Signs(SHAPES, "↓", "└", "│", "─", "┤", "┬", "╱", "−", " · ")
ASCII = Signs(PLAIN, "v", "+", "|", "-", "+", "+", "/", "-", ", ")


def draw(picture: Picture, *, width: int = 80, height: int = 24, colour: bool = False, unicode: bool = True) -> list[str]:
    """Return a light curve as lines, no wider than `width` characters, and no more than `height` if that leaves room to draw.

    Without `colour` each filter has a character of its own. With it (ANSI escapes of the terminal's own palette) points are braille dots,
    unless there are more filters than colours. `unicode=False` keeps to ASCII. Doubtful and revised points look as any others. A window is taken
    to have at least 40 columns.
    """
    signs = UNICODE if unicode else ASCII
    codes = _codes(picture.lines) if colour else [""] * len(picture.lines)
    dots = colour and unicode and len(set(codes)) == len(codes)
    width = max(width, LEAST_WIDTH)
    legend = _legend(picture, signs, codes, width=width, dots=dots)
    plot = _Plot.of(picture, width=width, rows=max(height - FRAME_LINES - len(legend), LEAST_ROWS))
    cells = plot.dots(signs, codes) if dots else plot.shapes(signs, codes)
    return [_heading(picture, signs, width), *plot.framed(cells, signs), *legend]


@dataclass(frozen=True, slots=True)
class _Plot:
    """Where each point of a picture falls in an area of `rows` by `columns` characters."""

    picture: Picture
    width: int
    rows: int
    ticks: tuple[float, ...]
    labels: tuple[str, ...]

    @classmethod
    def of(cls, picture: Picture, *, width: int, rows: int) -> _Plot:
        ticks = tuple(round_ticks(*picture.range, max(3, rows // ROWS_PER_TICK)))
        decimals = next(digits for digits in range(13) if all(abs(round(tick, digits) - tick) < 1e-9 for tick in ticks))
        return cls(picture, width, rows, ticks, tuple(f"{tick:.{decimals}f}" for tick in ticks))

    @property
    def gutter(self) -> int:
        """The characters left of the axis."""
        return max(len(label) for label in self.labels) + 1

    @property
    def columns(self) -> int:
        return self.width - self.gutter - 1

    def down(self, value: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how far down a value is: 0 at the top, 1 at the bottom."""
        low, high = self.picture.range
        fraction = (value - low) / (high - low)
        return 1 - fraction if self.picture.wishes.flux else fraction

    def right(self, place: NDArray[np.float64]) -> NDArray[np.float64]:
        first, last = self.picture.axis.span
        return (place - first) / (last - first)

    def _spots(self, *, limits: bool) -> tuple[list[canvas.Indices], list[canvas.Indices]]:
        """Return columns and rows of the points of each series on the grid of braille dots, which is that of characters times 2 and 4."""
        chosen = [(line, line.series.limit if limits else ~line.series.limit) for line in self.picture.lines]
        columns = [canvas.places(self.right(line.x[mask]), self.columns * 2) for line, mask in chosen]
        return columns, [canvas.places(self.down(line.series.value[mask]), self.rows * 4) for line, mask in chosen]

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
        """Return the area with its axes: values on the left, calendar dates or phases below."""
        at = dict(zip(canvas.places(self.down(np.array(self.ticks)), self.rows).tolist(), self.labels, strict=True))
        lines = [
            f"{at.get(row, ''):>{self.gutter - 1}} {signs.tick_left if row in at else signs.left}{''.join(line)}".rstrip()
            for row, line in enumerate(cells)
        ]
        return [*lines, *self._bottom_axis(signs)]

    def _bottom_axis(self, signs: Signs) -> list[str]:
        axis, words = [signs.bottom] * self.columns, [" "] * self.columns
        for place, start, label in self._labels():
            axis[place] = signs.tick_bottom
            words[start : start + len(label)] = label
        for place in canvas.places(self.right(np.array(self.picture.axis.cuts)), self.columns):
            axis[place] = signs.cut
        indent = " " * self.gutter
        return [indent + signs.corner + "".join(axis), f"{indent} {''.join(words)}".rstrip()]

    def _labels(self) -> list[tuple[int, int, str]]:
        """Return the column of each tick, that of its label, and the label: as many as stand clear of each other."""
        for most in range(self.columns // LEAST_DATE, 0, -1):
            ticks = _ticks(self.picture, most)
            at = canvas.places(self.right(np.array([place for place, _ in ticks])), self.columns).tolist()
            labels = [label for _, label in ticks]
            starts = [min(max(place - len(label) // 2, 0), self.columns - len(label)) for place, label in zip(at, labels, strict=True)]
            ends = [start + len(label) + 1 for start, label in zip(starts, labels, strict=True)]
            if all(start > end for start, end in zip(starts[1:], ends, strict=False)):
                return list(zip(at, starts, labels, strict=True))
        return []


def _ticks(picture: Picture, most: int) -> list[Tick]:
    axis = picture.axis
    return axis.date_ticks(most) if isinstance(axis, Timeline) else axis.ticks()


def _heading(picture: Picture, signs: Signs, width: int) -> str:
    """Return unit, name and, where there is room, MJDs or the period; that the data are simulated always."""
    axis = picture.axis
    unit = picture.unit.split(" (")[0] if not picture.wishes.flux else picture.unit
    left = f"{unit}  {picture.title}"
    if isinstance(axis, Timeline):
        first, last = axis.pieces[0][0] - MJD_ZERO, axis.pieces[-1][1] - MJD_ZERO
        right = f"MJD {first:.1f} to {last:.1f}"
    else:
        right = f"period {axis.period:.9g} d"
    mark = "  SIMULATED" if picture.simulated else ""
    room = width - len(left) - len(mark)
    text = f"{left}{right:>{room}}" if room > len(right) + 1 else left[: width - len(mark)].rstrip()
    text += mark
    return text if signs is UNICODE else text.replace("µ", "u")


def _legend(picture: Picture, signs: Signs, codes: Sequence[str], *, width: int, dots: bool) -> list[str]:
    lines = picture.lines
    name, tally = max(len(line.name) for line in lines), max(len(line.tally) for line in lines)
    words = [f"{line.name:<{name}}  {line.tally:>{tally}}{_median(line, flux=picture.wishes.flux)}" for line in lines]
    words = words if signs is UNICODE else [text.replace("−", signs.minus) for text in words]
    marks = [_painted("⣿" if dots else _shape(signs, number), code) for number, code in enumerate(codes)]
    wide, half = max(map(len, words)) + 2, (len(words) + 1) // 2
    entries = [f"{mark} {text}" for mark, text in zip(marks, words, strict=True)]
    if len(words) > ONE_COLUMN and 2 * wide + 2 <= width:
        padded = [entry + " " * (wide - 2 - len(text)) for entry, text in zip(entries, words, strict=True)]
        entries = [f"{left}  {right}".rstrip() for left, right in zip_longest(padded[:half], entries[half:], fillvalue="")]
    notes = [f"{signs.limit} upper limit"] if any(line.series.limit.any() for line in lines) else []
    notes += [f"{picture.beyond} bad or limits beyond the rim, on it"] if picture.beyond else []
    notes += [f"{picture.omitted} without a {'flux' if picture.wishes.flux else 'magnitude'} or time not drawn"] if picture.omitted else []
    told = [picture.period.words] if picture.period else []
    return [*entries, *([signs.dot.join(notes)] if notes else []), *told]


def _median(line: Line, *, flux: bool) -> str:
    one, median = line.series, line.series.median - line.shift
    if np.isnan(median):
        return ""
    return f"  median {median:.4g}" if flux else f"  median {median:.3f}{f' {one.system}' if one.system in ('AB', 'Vega') else ''}"


def _shape(signs: Signs, number: int) -> str:
    return signs.points[number % len(signs.points)]


def _painted(text: str, code: str) -> str:
    return f"{code}{text}{FOREGROUND}" if code else text


def _codes(lines: Sequence[Line]) -> list[str]:
    """Return an escape for each line: the terminal's colour of its hue, in another shade if that is taken; none for greys.

    What has no escape is drawn in the terminal's foreground: black would not show on black.
    """
    taken: set[str] = set()
    found = []
    for line in lines:
        band = line.series.passband
        base = _terminal_colour(band.colour) if band else ""
        code = OTHER_SHADE[base[0]] + base[1] if base and base in taken else base
        taken.add(code)
        found.append(f"\x1b[{code}m" if code else "")
    return found


def _terminal_colour(hex_colour: str) -> str:
    hue, lightness, saturation = colorsys.rgb_to_hls(*(int(hex_colour[at : at + 2], 16) / 255 for at in (1, 3, 5)))
    if saturation < 0.15 or lightness < 0.12:
        return ""
    return next(code for end, code in HUES if hue <= end)
