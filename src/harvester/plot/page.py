"""Light curves as one web page that needs no network: zoom, choose filters, and see of every point where it comes from.

The page holds the points as JSON, `page.css` and `page.js`; its Content-Security-Policy forbids every request. What names and messages of
surveys say is never read as markup.
"""

from __future__ import annotations

import json
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from harvester.plot.timeline import MJD_ZERO, Timeline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harvester.plot.picture import Line, Picture

POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
TOLD = {
    "time": "survey's time",
    "flags": "flags",
    "object_id": "object",
    "observation_id": "observation",
    "facility": "facility",
    "observer": "observer",
    "source": "source",
    "revisions": "revisions",
    "run": "run",
    "received": "run began",
    "sha256": "payload",
    "url": "request",
}
"""Columns of a light curve that a point tells of itself, where the picture has them, and their names."""
LIMIT, SUSPECT, BAD, REVISED = 1, 2, 4, 8
DAY_DIGITS, VALUE_DIGITS = 7, 8


def page(pictures: Sequence[Picture]) -> str:
    """Return the text of a page with one or more pictures, one below the other."""
    style, script = (files("harvester.plot").joinpath(name).read_text("utf-8") for name in ("page.css", "page.js"))
    titles = ", ".join(one.title for one in pictures[:3]) + (" and others" if len(pictures) > 3 else "")
    data = json.dumps([_told(one) for one in pictures], ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<link rel="icon" href="data:,">\n'
        f"<title>{escape(titles)}: light curve{' (SIMULATED)' if any(one.simulated for one in pictures) else ''}</title>\n"
        f"<style>\n{style}</style>\n</head>\n<body>\n<main></main>\n<noscript>The points are drawn by a script in this page.</noscript>\n"
        f'<script id="data" type="application/json">{_harmless(data)}</script>\n<script>\n{script}</script>\n</body>\n</html>\n'
    )


def _harmless(text: str) -> str:
    """Return JSON that cannot end the script element which it stands in."""
    return (
        text.replace("<", "\\u003c")
        .replace(">", "\\u003e")
        .replace("&", "\\u0026")
        .replace("\u2028", "\\u2028")
        .replace("\u2029", "\\u2029")
    )


def _told(one: Picture) -> dict[str, Any]:
    axis = one.axis
    first, last = min(line.series.bjd_tdb.min() for line in one.lines), max(line.series.bjd_tdb.max() for line in one.lines)
    timeline = axis if isinstance(axis, Timeline) else Timeline(((float(first), float(last)),))
    pieces = [
        [start - MJD_ZERO, end - MJD_ZERO, float(moved)] for (start, end), moved in zip(timeline.pieces, timeline.removed, strict=True)
    ]
    phase = None if isinstance(axis, Timeline) else {"period": axis.period, "epoch": axis.epoch - MJD_ZERO, "label": axis.label}
    return {
        "title": one.title,
        "unit": one.unit,
        "quantity": "flux" if one.wishes.flux else "magnitude",
        "up": one.wishes.flux,
        "simulated": one.simulated,
        "ring": one.wishes.mark_revised,
        "notes": [", ".join(one.surveys), *one.notes],
        "label": timeline.label,
        "range": list(one.range),
        "pieces": pieces,
        "phase": phase,
        "lines": [_line(one, line) for line in one.lines],
    }


def _line(one: Picture, line: Line) -> dict[str, Any]:
    """Return the points of a filter, each once; a folded picture has them twice."""
    series = line.series.take(np.arange(len(line.x) // (1 if isinstance(one.axis, Timeline) else 2)))
    kinds = LIMIT * series.limit + SUSPECT * series.doubtful + BAD * series.bad + REVISED * series.revised
    system = series.system if series.system in ("AB", "Vega") else ""
    return {
        "name": line.name,
        "filter": series.filter,
        "tally": line.tally,
        "unit": one.flux_unit if one.wishes.flux else f"mag {system}".strip(),
        "marker": line.style.marker,
        "day": line.style.by_day,
        "night": line.style.by_night,
        "shift": line.shift,
        "t": np.round(series.bjd_tdb - MJD_ZERO, DAY_DIGITS).tolist(),
        "v": _short(series.value),
        "e": _short(series.error),
        "k": kinds.tolist(),
        "columns": {TOLD[name]: _column(one.light_curve[name].take(series.row)) for name in TOLD if name in one.light_curve.column_names},
    }


def _short(values: np.ndarray) -> list[float | None]:
    """Return numbers to VALUE_DIGITS digits, null for those that are none."""
    return [float(f"{value:.{VALUE_DIGITS}g}") if np.isfinite(value) else None for value in values.tolist()]


def _column(column: Any) -> dict[str, Any] | None:
    """Return words and, for each row, the place of its word; without places where all rows have one word, or each its own."""
    coded = column.combine_chunks().dictionary_encode(null_encoding="encode")
    words = [word or "" for word in coded.dictionary.to_pylist()]
    if words == [""]:
        return None
    if len(words) == 1 or len(words) == len(column):
        return {"words": words}
    return {"words": words, "at": coded.indices.to_pylist()}
