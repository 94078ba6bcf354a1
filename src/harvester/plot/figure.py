"""Pictures for papers and screens, by matplotlib without any of its global state or the user's settings.

The same light curve gives the same bytes, on any day.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.path import Path
from matplotlib.ticker import AutoMinorLocator, FixedFormatter, FixedLocator, NullLocator
from matplotlib.transforms import ScaledTranslation

from harvester.plot.picture import Line, Picture, system_of
from harvester.plot.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from harvester.plot.style import Style
    from harvester.plot.timeline import Tick

SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.linewidth": 0.7,
    "axes.axisbelow": True,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "ytick.right": True,
    "agg.path.chunksize": 20_000,
    "svg.hashsalt": "harvester",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}
MANY = 2000
"""Points of a filter from which on they are drawn as an image, in SVG and PDF as well."""
ROOMY, MOST_LINES = 10, 24
CHARACTERS_PER_INCH, CHARACTERS_IN_LEGEND, CHARACTERS_IN_TITLE = 21, 18, 8
GREY, RED = "#6B7280", "#DC2626"
LIMIT_ARROW = Path([(-0.5, 0.0), (0.5, 0.0), (0.0, 0.0), (0.0, -1.0), (-0.3, -0.6), (0.0, -1.0), (0.3, -0.6)], [1, 2, 1, 2, 1, 2, 2])


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height of one light curve (inches), and resolution (dots per inch) of what is no vector.

    A narrow one, or one among others, has its legend below, a wide one beside the points.
    """

    width: float
    height: float
    dpi: int = 200

    @property
    def narrow(self) -> bool:
        """Whether there is no room for a legend beside the points."""
        return self.width < 5.0


SIZES = {"page": Size(7.2, 4.3), "column": Size(3.5, 2.7, 300), "slide": Size(10.0, 5.6, 160)}


def draw(pictures: Sequence[Picture], size: Size) -> Figure:
    """Return one figure, not yet written anywhere: the picture, or a grid of several."""
    columns = min(len(pictures), max(1, round(len(pictures) ** 0.5)))
    rows = -(-len(pictures) // columns)
    panel = Size(size.width * (0.75 if columns > 1 else 1.0), size.height, size.dpi)
    heights = [
        max(_height(one, panel, several=columns > 1) for one in pictures[start : start + columns])
        for start in range(0, len(pictures), columns)
    ]
    figure = Figure(figsize=(panel.width * columns, sum(heights)), layout="constrained")
    FigureCanvasAgg(figure)
    frames = figure.subfigures(rows, columns, squeeze=False, height_ratios=heights).ravel() if len(pictures) > 1 else [figure]
    for one, frame in zip(pictures, frames, strict=False):
        _draw_one(frame, one, panel, below=panel.narrow or columns > 1)
    return figure


@contextmanager
def quiet_settings() -> Iterator[None]:
    """Draw by our settings alone, and accept that a title may need letters that the font has not."""
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams.update(SETTINGS)
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def _draw_one(frame: Figure | SubFigure, one: Picture, size: Size, *, below: bool) -> None:
    axes = frame.add_subplot()
    for line in sorted(one.lines, key=lambda line: -line.x.size):
        _draw_line(axes, line, one)
    _value_axis(axes, one)
    _bottom_axis(axes, one, size)
    if isinstance(one.axis, Timeline):
        _top_axis(axes, one.axis.date_ticks(max(2, int(size.width * 0.95))))
    _legend(frame, axes, one, size, below=below)
    title = fill(one.title, int(CHARACTERS_IN_TITLE * size.width))
    frame.suptitle(title, fontsize=10 if below else 12, fontweight="bold", parse_math=False)
    words = fill("  ·  ".join(_notes(one)), int(CHARACTERS_PER_INCH * size.width))
    frame.supxlabel(words, fontsize=6, color=GREY, x=0.01, ha="left", parse_math=False)
    if one.simulated:
        _mark_simulated(axes, small=below)


def _height(one: Picture, size: Size, *, several: bool) -> float:
    """Return the height that a picture needs: that of its size, and room for a legend below."""
    if not (several or size.narrow):
        return size.height
    return size.height + 0.16 * -(-len(one.lines) // _columns(one, size)) + 0.1 * (len(_notes(one)) > 3)


def _columns(one: Picture, size: Size) -> int:
    longest = max(len(_entry(one, line)) for line in one.lines)
    return max(1, int(size.width * CHARACTERS_IN_LEGEND / (longest + 5)))


def _draw_line(axes: Axes, line: Line, picture: Picture) -> None:
    one, style, value = line.series, line.style, picture.within(line.series.value)
    size = float(np.clip(6.0 - np.log10(value.size), 2.0, 4.6))
    many = value.size > MANY
    common: dict[str, Any] = {"linestyle": "none", "rasterized": many, "zorder": 3}
    _error_bars(axes, line, rasterized=many)

    def points(which: NDArray[np.bool_], **look: Any) -> None:
        if which.any():
            axes.plot(
                line.x[which], value[which], **common | {"marker": style.marker, "ms": size, "mfc": "none", "color": style.edge} | look
            )

    rim = 0.0 if style.hollow and many else _rim(style)
    points(~one.limit & ~one.doubtful, mfc=style.colour, mec=style.edge, mew=rim, alpha=0.9)
    points(~one.limit & one.doubtful & ~one.bad, mec=style.colour, mew=0.8, alpha=0.8)
    points(~one.limit & one.bad, mec=style.colour, mew=0.5, alpha=0.6)
    points(~one.limit & one.bad, marker="x", ms=size * 1.3, mec=style.edge, mew=0.8)
    points(one.limit, marker=LIMIT_ARROW, ms=7, mec=style.colour, mew=0.8, alpha=0.7)
    if picture.wishes.mark_revised:
        points(one.revised, marker="o", ms=size + 3.5, mec="#111827", mew=0.7)


def _error_bars(axes: Axes, line: Line, *, rasterized: bool) -> None:
    """Draw all bars as one line with interruptions: a bar each would take most of the time."""
    here = ~line.series.limit & np.isfinite(line.series.error)
    x, value, error = line.x[here], line.series.value[here], line.series.error[here]
    nothing = np.full(x.shape, np.nan)
    ends = np.column_stack([value - error, value + error, nothing]).ravel()
    look: dict[str, Any] = {"color": line.style.edge, "linewidth": 0.6, "alpha": 0.4, "zorder": 2, "rasterized": rasterized}
    axes.plot(np.repeat(x, 3), ends, gid="errors", **look)


def _rim(style: Style) -> float:
    return 0.4 if style.hollow else 1.0


def _value_axis(axes: Axes, one: Picture) -> None:
    low, high = one.range
    axes.set_ylim(*((low, high) if one.wishes.flux else (high, low)))
    axes.set_ylabel(one.unit)
    axes.yaxis.set_minor_locator(AutoMinorLocator())
    axes.grid(visible=True, color="#E5E7EB", linewidth=0.6)
    if one.wishes.flux and low < 0 < high:
        axes.axhline(0.0, color="#9CA3AF", linewidth=0.8, zorder=1)


def _bottom_axis(axes: Axes, one: Picture, size: Size) -> None:
    axis = one.axis
    ticks = axis.mjd_ticks(max(3, int(size.width))) if isinstance(axis, Timeline) else axis.ticks()
    axes.set_xlim(*axis.span)
    axes.set_xlabel(axis.label.replace("  (", "\n(") if size.narrow else axis.label)
    axes.xaxis.set_major_locator(FixedLocator([place for place, _ in ticks]))
    axes.xaxis.set_major_formatter(FixedFormatter([label for _, label in ticks]))
    if not axis.cuts:
        axes.xaxis.set_minor_locator(AutoMinorLocator())
    for cut in axis.cuts:
        axes.axvline(cut, color="#9CA3AF", linewidth=0.7, linestyle=(0, (1.5, 2.5)), zorder=1)
        axes.plot(
            [cut, cut],
            [0, 1],
            marker=[(-1, -2), (1, 2)],
            ms=7,
            mec="#374151",
            linestyle="none",
            clip_on=False,
            transform=axes.get_xaxis_transform(),
            gid="cut",
        )


def _top_axis(axes: Axes, ticks: Sequence[Tick]) -> None:
    top = axes.secondary_xaxis("top")
    top.xaxis.set_major_locator(FixedLocator([place for place, _ in ticks]))
    top.xaxis.set_major_formatter(FixedFormatter([label for _, label in ticks]))
    top.xaxis.set_minor_locator(NullLocator())


def _legend(frame: Figure | SubFigure, axes: Axes, one: Picture, size: Size, *, below: bool) -> None:
    crowded = below or len(one.lines) > ROOMY
    looks = [line.style for line in one.lines]
    handles = [Line2D([], [], linestyle="none", marker=look.marker, ms=5, mfc=look.colour, mec=look.edge, mew=_rim(look)) for look in looks]
    words = [_entry(one, line, between="  " if crowded else "\n").replace("$", r"\$") for line in one.lines]
    columns = _columns(one, size) if below else 1 + (len(words) - 1) // MOST_LINES
    spacing: dict[str, Any] = {"labelspacing": 0.35 if crowded else 0.8, "columnspacing": 1.0, "handletextpad": 0.2}
    drop = ScaledTranslation(0.0, -0.14 * (2 + len(axes.get_xlabel().splitlines())), frame.dpi_scale_trans)
    under: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, 0.0), "bbox_transform": axes.transAxes + drop}
    beside: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "borderaxespad": 0.0}
    axes.legend(handles, words, ncols=columns, frameon=False, fontsize=6.5 if crowded else 7.5, **(under if below else beside), **spacing)


def _entry(one: Picture, line: Line, between: str = "  ") -> str:
    several = not one.wishes.flux and len({other.series.system for other in one.lines}) > 1
    system = system_of(line.series)
    return f"{line.name}{between}{line.tally}{f', {system}' if several and system else ''}"


def _notes(one: Picture) -> list[str]:
    image = f"filters with more than {MANY} points are an image" if any(line.x.size > MANY for line in one.lines) else ""
    return [", ".join(one.surveys), *one.notes, *([image] if image else [])]


def _mark_simulated(axes: Axes, *, small: bool) -> None:
    """Say it twice: in the corner, and across the picture behind the points."""
    look: dict[str, Any] = {"fontweight": "bold", "color": RED, "in_layout": False}
    across: dict[str, Any] = {"rotation": 22, "ha": "center", "va": "center", "zorder": 0, "transform": axes.transAxes}
    axes.text(0.5, 0.5, "SIMULATED", fontsize=26 if small else 52, alpha=0.06, **across, **look)
    axes.set_title("SIMULATED DATA", loc="right", fontsize=5.5 if small else 7, fontweight="bold", color=RED, pad=3)
