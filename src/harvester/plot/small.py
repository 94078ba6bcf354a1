"""A light curve as a small piece of SVG, to stand among text in a web page: one per target of a digest."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from harvester.plot.dates import date_ticks
from harvester.plot.series import Series, Sketch, sketch
from harvester.plot.style import Style, styles
from harvester.schema import BAD

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MOST_SPOTS, LEAST_SPOTS = 500, 16
"""Spots of one picture, and of one filter in it; where there are more points, one is drawn of those that lie close together."""
LETTER_HEIGHT, LETTER_WIDTH, FOOT, HEAD = 9, 5.2, 13, 6
SHAPES = (
    "h0",
    "m-1.6-1.6h3.2v3.2h-3.2z",
    "m0-2.2l2.2 2.2-2.2 2.2-2.2-2.2z",
    "m0-2l2 3.6h-4z",
    "m0 2l2-3.6h-4z",
    "m-2 0h4m-2-2v4",
    "m-1.6-1.6l3.2 3.2m0-3.2l-3.2 3.2",
)
"""Outlines of spots around where the pen stands; the first is a round dot."""
ARROW = "v5m-1.8-2l1.8 2 1.8-2"
STYLE = (
    ".hlc{font:9px system-ui,sans-serif;color:inherit}"
    ".hlc path{stroke:var(--day);stroke-width:1;fill:var(--day);stroke-linejoin:round}.hlc .d{stroke-width:3.2;stroke-linecap:round}"
    ".hlc .n{fill:none;stroke-width:1.1}.hlc text{fill:currentColor;opacity:.75}"
    ".hlc .a{stroke:currentColor;fill:none;opacity:.35}"
    "@media(prefers-color-scheme:dark){.hlc path{stroke:var(--night);fill:var(--night)}.hlc .n{fill:none}.hlc .a{stroke:currentColor;fill:none}}"
)


def small(
    light_curve: pa.Table, width: int, height: int, *, flux: bool = False, worst_quality: int = BAD, new_since: float | None = None
) -> str:
    """Return a light curve (the columns of `schema.SCHEMA`) as the text of one `<svg>` element of `width` by `height` pixels.

    It stands inside an HTML page, takes its text colour from there, follows the reader's choice of a dark page, and loads nothing. Brightness
    runs upwards; the least and greatest value and the first and last date are written at the axes, and everything in words in its `<title>`.
    What was measured from `new_since` (BJD_TDB, full Julian date) on stands on a tinted ground. At most about MOST_SPOTS spots are drawn, however
    many points there are: some 10 kB. Raises ExportError where there is nothing to draw.
    """
    drawn = sketch(light_curve, flux=flux, worst_quality=worst_quality)
    area = _Area.of(drawn, width, height, flux=flux)
    most = max(LEAST_SPOTS, MOST_SPOTS // len(drawn.series))
    looks = zip(drawn.series, styles(drawn.series), SHAPES * (1 + len(drawn.series) // len(SHAPES)), strict=False)
    marks = [_marks(one, style, shape, area=area, most=most) for one, style, shape in looks]
    title = escape(_in_words(drawn, flux=flux))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="hlc" role="img" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f"<title>{title}</title><style>{STYLE}</style>{area.frame(new_since)}{''.join(marks)}</svg>"
    )


class _Area:
    """Where times and values fall on the picture (pixels)."""

    def __init__(self, drawn: Sketch, box: tuple[float, float, float, float], *, flux: bool) -> None:
        self.left, self.right, self.top, self.bottom = box
        self.first, self.last = drawn.span
        self.bright, self.faint = drawn.range[::-1] if flux else drawn.range
        self.labels = _labels(self.bright, self.faint)

    @classmethod
    def of(cls, drawn: Sketch, width: int, height: int, *, flux: bool) -> _Area:
        """Leave room at the left for the longer of the two labels, and below for the dates."""
        bright, faint = drawn.range[::-1] if flux else drawn.range
        gutter = max(map(len, _labels(bright, faint))) * LETTER_WIDTH + 6
        return cls(drawn, (gutter, width - 4.0, float(HEAD), float(height - FOOT)), flux=flux)

    def x(self, bjd_tdb: Floats) -> Floats:
        """Return pixels from the left, with a little room at both ends."""
        span = self.last - self.first
        part = (bjd_tdb - self.first) / span if span else np.full(np.shape(bjd_tdb), 0.5)
        return self.left + 4 + part * (self.right - self.left - 8)

    def y(self, value: Floats) -> Floats:
        """Return pixels from the top; what lies outside (an arrow of a far limit) is put on the rim."""
        span = self.faint - self.bright
        part = (value - self.bright) / span if span else np.full(np.shape(value), 0.5)
        return np.clip(self.top + 3 + part * (self.bottom - self.top - 6), self.top, self.bottom)

    def frame(self, new_since: float | None) -> str:
        """Return the axes with their words, and the ground of what is new."""
        first, last = _date(self.first), _date(self.last)
        words = [
            f'<text x="{self.left - 3:.0f}" y="{self.top + 6:.0f}" text-anchor="end">{self.labels[0]}</text>',
            f'<text x="{self.left - 3:.0f}" y="{self.bottom:.0f}" text-anchor="end">{self.labels[1]}</text>',
            f'<text x="{self.left:.0f}" y="{self.bottom + LETTER_HEIGHT + 2:.0f}">{first}</text>',
            f'<text x="{self.right:.0f}" y="{self.bottom + LETTER_HEIGHT + 2:.0f}" text-anchor="end">{last}</text>'
            if last != first
            else "",
        ]
        axes = f'<path class="a" d="M{self.left:.0f} {self.top:.0f}V{self.bottom:.0f}H{self.right:.0f}"/>'
        return self._tint(new_since) + axes + "".join(words)

    def _tint(self, new_since: float | None) -> str:
        if new_since is None or new_since > self.last:
            return ""
        start = max(self.left, min(float(self.x(np.array(max(new_since, self.first)))) - 4, self.right - 4))
        size = f'x="{start:.1f}" y="{self.top:.0f}" width="{self.right - start:.1f}" height="{self.bottom - self.top:.0f}"'
        return f'<rect {size} fill="currentColor" opacity=".1"/>'


def _marks(one: Series, style: Style, shape: str, *, area: _Area, most: int) -> str:
    kind = ' class="d"' if shape == "h0" else ' class="n"' if "z" not in shape else ""
    x, y = area.x(one.bjd_tdb), area.y(one.value)
    spots = "".join(f"M{a:g} {b:g}{shape}" for a, b in _net(x[~one.limit], y[~one.limit], most))
    arrows = "".join(f"M{a:g} {b:g}{ARROW}" for a, b in _net(x[one.limit], np.minimum(y[one.limit], area.bottom - 5), most))
    paths = (f'<path class="n" d="{arrows}"/>' if arrows else "") + (f'<path{kind} d="{spots}"/>' if spots else "")
    return f'<g style="--day:{style.by_day};--night:{style.by_night}"><title>{escape(one.filter)}: {one.tally}</title>{paths}</g>'


def _net(x: Floats, y: Floats, most: int) -> list[tuple[float, float]]:
    """Return where spots go, to half a pixel: the first point of each mesh of a net that is made coarser until no more than `most` are left."""
    places, step = np.column_stack([x, y]), 0.5
    _, first = np.unique(np.round(places / step), axis=0, return_index=True)
    while len(first) > most:
        step *= 1.25
        _, first = np.unique(np.round(places / step), axis=0, return_index=True)
    return [(float(a), float(b)) for a, b in np.round(places[np.sort(first)] * 2) / 2]


def _labels(bright: float, faint: float) -> tuple[str, str]:
    decimals = int(np.clip(1 - np.floor(np.log10(abs(bright - faint) or 0.1)), 0, 3)) if max(abs(bright), abs(faint)) < 1e4 else 0
    return f"{bright:.{decimals}f}", f"{faint:.{decimals}f}"


def _date(bjd_tdb: float) -> str:
    return date_ticks(bjd_tdb - 1.0, bjd_tdb + 1e-6, 2)[-1][1][:10]


def _in_words(drawn: Sketch, *, flux: bool) -> str:
    unit = "flux in µJy" if flux else "magnitudes"
    counts = "; ".join(f"{one.filter} {one.tally}" for one in drawn.series)
    return f"Light curve in {unit}, {_date(drawn.span[0])} to {_date(drawn.span[1])}: {counts}"
