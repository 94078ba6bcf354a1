"""A light curve as a picture file: PNG, SVG or PDF, by matplotlib without any of its global state or the user's settings.

The same light curve gives the same bytes, on any day.
"""

from __future__ import annotations

import os
import warnings
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path as File
from textwrap import fill
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.path import Path
from matplotlib.ticker import AutoMinorLocator, FixedFormatter, FixedLocator, NullLocator

from harvester.errors import ExportError, UsageError
from harvester.plot.dates import date_ticks
from harvester.plot.series import Series, Sketch, sketch
from harvester.plot.style import Style, styles
from harvester.schema import BAD

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from matplotlib.axes import Axes

NO_DATES: dict[str, dict[str, str | None]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.linewidth": 0.7,
    "axes.axisbelow": True,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "ytick.right": True,
    "svg.hashsalt": "harvester",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}
EARLY, LATE = 2_400_000.0, 2_450_000.0
MANY = 2000
TOO_MANY_FOR_BARS = 5000
ROOMY, MOST_LINES = 10, 24
CHARACTERS_PER_INCH = 19
OWN_SYSTEM = {"other": "own system"}
LIMIT_ARROW = Path([(-0.5, 0.0), (0.5, 0.0), (0.0, 0.0), (0.0, -1.0), (-0.3, -0.6), (0.0, -1.0), (0.3, -0.6)], [1, 2, 1, 2, 1, 2, 2])


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureOptions:
    """What the reader may choose of a picture.

    `flux` draws flux (uJy) in place of magnitudes; `worst_quality` is the worst quality drawn (0 good, 1 suspect, 2 bad), and what
    is not good is hollow; `simulated` marks a picture of simulated data as such. `width` and `height` in inches, `dpi` for PNG.
    """

    title: str = ""
    flux: bool = False
    simulated: bool = False
    worst_quality: int = BAD
    width: float = 9.0
    height: float = 5.2
    dpi: int = 160


def save_figure(light_curve: pa.Table, path: str | os.PathLike[str], options: FigureOptions | None = None) -> None:
    """Draw a stored light curve into a file whose suffix says the format.

    The file appears whole or not at all. Raises UsageError for a suffix that is no picture, ExportError where nothing can be drawn or the
    file cannot be written.
    """
    options = options or FigureOptions()
    file = File(path)
    suffix = file.suffix.lower()
    if suffix not in NO_DATES:
        raise UsageError(
            f"'{file.name}' is no picture that can be made.", f"Known suffixes: {', '.join(NO_DATES)}.", "A table: harvest export -o FILE"
        )
    with _quiet_settings():
        figure = draw_figure(sketch(light_curve, flux=options.flux, worst_quality=options.worst_quality), options)
        with _whole_file(file) as handle:
            figure.savefig(handle, format=suffix[1:], dpi=options.dpi, metadata=NO_DATES[suffix])


def draw_figure(drawn: Sketch, options: FigureOptions) -> Figure:
    """Return the picture of what was read, not yet written anywhere."""
    figure = Figure(figsize=(options.width, options.height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    offset = LATE if drawn.span[0] >= LATE else EARLY
    looks = styles(drawn.series)
    for order in np.argsort([-one.value.size for one in drawn.series], kind="stable"):
        _draw_series(axes, drawn.series[order], looks[order], offset)
    _frame(axes, drawn, flux=options.flux)
    _time_axes(axes, drawn, offset)
    _legend(axes, drawn, looks, flux=options.flux)
    figure.suptitle(options.title, fontsize=13, fontweight="bold", parse_math=False)
    _footer(figure, drawn)
    if options.simulated:
        _mark_simulated(axes)
    return figure


def _draw_series(axes: Axes, one: Series, style: Style, offset: float) -> None:
    size = float(np.clip(6.5 - np.log10(one.value.size), 2.2, 5.5))
    common: dict[str, Any] = {"linestyle": "none", "rasterized": one.value.size > MANY, "color": style.edge, "zorder": 3}
    time, good = one.bjd_tdb - offset, ~one.limit & ~one.doubtful
    rim = 0.0 if style.hollow and one.value.size > MANY else _edge_width(style)
    bars = ~one.limit & np.isfinite(one.error) & (one.value.size <= TOO_MANY_FOR_BARS)
    axes.errorbar(time[bars], one.value[bars], one.error[bars], fmt="none", ecolor=style.edge, elinewidth=0.6, alpha=0.45, zorder=2)
    axes.plot(time[good], one.value[good], marker=style.marker, ms=size, mfc=style.colour, mec=style.edge, mew=rim, alpha=0.9, **common)
    doubtful = ~one.limit & one.doubtful
    axes.plot(time[doubtful], one.value[doubtful], marker=style.marker, ms=size, mfc="none", mec=style.colour, mew=0.8, alpha=0.6, **common)
    axes.plot(time[one.limit], one.value[one.limit], marker=LIMIT_ARROW, ms=9, mfc="none", mec=style.colour, mew=0.9, alpha=0.7, **common)


def _edge_width(style: Style) -> float:
    return 0.4 if style.hollow else 1.2


def _frame(axes: Axes, drawn: Sketch, *, flux: bool) -> None:
    low, high = drawn.range
    margin = 0.07 * (high - low) or 0.5 * (abs(high) * 0.1 if flux else 1.0) or 1.0
    axes.set_ylim(*((low - margin, high + margin) if flux else (high + margin, low - margin)))
    systems = ", ".join(sorted({OWN_SYSTEM.get(one.system, one.system) for one in drawn.series if one.system}))
    axes.set_ylabel("flux (µJy)" if flux else f"magnitude ({systems})" if systems else "magnitude")
    axes.yaxis.set_minor_locator(AutoMinorLocator())
    axes.grid(visible=True, color="#E5E7EB", linewidth=0.6)
    if flux and low < 0 < high:
        axes.axhline(0.0, color="#9CA3AF", linewidth=0.8, zorder=1)


def _time_axes(axes: Axes, drawn: Sketch, offset: float) -> None:
    first, last = drawn.span
    margin = 0.03 * (last - first) or 0.5
    axes.set_xlim(first - margin - offset, last + margin - offset)
    axes.set_xlabel(f"BJD$_{{\\rm TDB}}$ \u2212 {offset:.0f} (d)")
    axes.ticklabel_format(axis="x", useOffset=False, style="plain")
    axes.xaxis.set_minor_locator(AutoMinorLocator())
    ticks = date_ticks(first - margin, last + margin, 7)
    top = axes.secondary_xaxis("top")
    top.xaxis.set_major_locator(FixedLocator([jd - offset for jd, _ in ticks]))
    top.xaxis.set_major_formatter(FixedFormatter([label for _, label in ticks]))
    top.xaxis.set_minor_locator(NullLocator())


def _legend(axes: Axes, drawn: Sketch, looks: list[Style], *, flux: bool) -> None:
    several, crowded = not flux and len({one.system for one in drawn.series}) > 1, len(drawn.series) > ROOMY
    handles = [
        Line2D([], [], linestyle="none", marker=look.marker, ms=5.5, mfc=look.colour, mec=look.edge, mew=_edge_width(look))
        for look in looks
    ]
    words = [_entry(one, system=several, between="  " if crowded else "\n") for one in drawn.series]
    columns = 1 + (len(words) - 1) // MOST_LINES
    spacing = {
        "fontsize": 7 if crowded else 8,
        "labelspacing": 0.5 if crowded else 0.9,
        "ncols": columns,
        "columnspacing": 1.0,
        "handletextpad": 0.3,
    }
    axes.legend(handles, words, loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0, frameon=False, **spacing)


def _entry(one: Series, *, system: bool, between: str) -> str:
    name = one.filter.replace("$", r"\$")
    return f"{name}{between}{one.tally}{f', {OWN_SYSTEM.get(one.system, one.system)}' if system and one.system else ''}"


def _footer(figure: Figure, drawn: Sketch) -> None:
    notes = [", ".join(drawn.surveys), "time: barycentric (TDB)"]
    if any(one.limit.any() for one in drawn.series):
        notes.append("arrows: upper limits")
    if any((one.doubtful & ~one.limit).any() for one in drawn.series):
        notes.append("hollow: doubtful quality")
    if any(one.value.size > TOO_MANY_FOR_BARS for one in drawn.series):
        notes.append(f"no error bars for more than {TOO_MANY_FOR_BARS} points")
    if drawn.omitted:
        notes.append(f"{drawn.omitted} point{'s' if drawn.omitted > 1 else ''} without a time or a value in this unit not drawn")
    text = fill("  ·  ".join(notes), int(CHARACTERS_PER_INCH * figure.get_figwidth()))
    figure.supxlabel(text, fontsize=6.5, color="#6B7280", x=0.01, ha="left", parse_math=False)


def _mark_simulated(axes: Axes) -> None:
    place: dict[str, Any] = {"transform": axes.transAxes, "fontweight": "bold"}
    axes.text(0.5, 0.5, "SIMULATED", fontsize=56, color="#DC2626", alpha=0.1, rotation=22, ha="center", va="center", zorder=0, **place)
    box = {"boxstyle": "round,pad=0.3", "facecolor": "#DC2626", "edgecolor": "none"}
    axes.text(0.988, 0.028, "SIMULATED DATA", fontsize=7, color="white", ha="right", va="bottom", bbox=box, zorder=9, **place)


@contextmanager
def _quiet_settings() -> Iterator[None]:
    """Draw by our settings alone, and accept that a title may need letters that the font has not."""
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams.update(SETTINGS)
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


@contextmanager
def _whole_file(file: File) -> Iterator[Any]:
    """Give a new file beside the wanted one, which takes its place only if all went well. Raises ExportError."""
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as handle:
            yield handle
        part.replace(file)
    except OSError as error:
        raise ExportError(
            f"'{file}' cannot be written.", f"{error.strerror or error}.", "Name a place with -o where you may write."
        ) from error
    finally:
        with suppress(OSError):
            part.unlink()
