"""ALeRCE's lists of objects: by class, by dates, in order, page by page.

As the real ones: an object has a row for every classifier unless one is named, a range of dates has two ends, and a page is as long as was asked
for, whether or not there are more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harvester.emulator import lsst_stream, ztf_stream
from harvester.emulator.stars import famous
from harvester.emulator.transients import NIGHTS, SEEN_DAYS, shining

if TYPE_CHECKING:
    from harvester.emulator.app import Request

STAMPS, CURVES = "stamp_classifier", "lc_classifier"
CURVE_CLASSES = {
    "supernova": "SNIa",
    "rrlyr": "RRL",
    "cepheid": "CEP",
    "mira": "LPV",
    "eclipsing": "E",
    "contact": "E",
    "outburst": "CV/Nova",
}
EARLY = 5
"""Alerts without which a light curve is not classified."""
DATES = ("firstmjd", "lastmjd")
Record = dict[str, Any]


def classes(kind: str, alerts: int) -> list[Record]:
    """Return the rows that an object's classifiers add: one for each that has said something."""
    stamps = {"class": "SN" if kind == "supernova" else "VS", "classifier": STAMPS, "probability": 0.61}
    curves = {"class": CURVE_CLASSES.get(kind, "Periodic-Other"), "classifier": CURVES, "probability": 0.87}
    return [stamps, curves] if alerts >= EARLY else [stamps]


def everything(request: Request) -> list[ztf_stream.Stream]:
    """Return the objects of ZTF that were seen in the dates asked for: those that anybody knows of."""
    wanted = request.first("class")
    kinds = {kind for kind, name in CURVE_CLASSES.items() if name == wanted} | ({"supernova"} if wanted == "SN" else set())
    stars = [star for star in (*famous(), *shining(request.sky.seed, *_reach(request))) if star.kind in kinds or not kinds]
    return [one for star in stars if (one := ztf_stream.stream(request.sky, star))]


def everything_of_lsst(request: Request) -> list[lsst_stream.Stream]:
    """Return the objects of LSST that anybody knows of."""
    stars = [*famous(), *shining(request.sky.seed, *lsst_stream.NIGHTS)]
    return [one for star in stars if (one := lsst_stream.stream(request.sky, star))]


def chosen(request: Request, rows: Sequence[Record], class_param: str = "class") -> list[Record]:
    """Return the rows that are meant, in the order asked for."""
    named = {key: wanted for param, key in ((class_param, "class"), ("classifier", "classifier")) if (wanted := request.first(param))}
    least = float(request.first("probability", "0"))
    ranges = {date: [*ends, float("inf")][:2] for date in DATES if (ends := [float(text) for text in request.every(date)])}

    def is_meant(row: Record) -> bool:
        inside = all(first <= row[date] <= last for date, (first, last) in ranges.items())
        return inside and row.get("probability", 1.0) >= least and all(row.get(key) == wanted for key, wanted in named.items())

    found = [row for row in rows if is_meant(row)]
    if by := request.first("order_by"):
        found.sort(key=lambda row: row.get(by) or 0.0, reverse=request.first("order_mode", "ASC") == "DESC")
    return found


def _reach(request: Request) -> tuple[float, float]:
    """Return from and to when (MJD) a transient has to shine to be listed."""
    since, until = float(NIGHTS[0]), min(request.sky.now, float(NIGHTS[1]))
    for date in DATES:
        ends = [float(text) for text in request.every(date)]
        since, until = max(since, ends[0] - (SEEN_DAYS if date == "firstmjd" else 0.0)) if ends else since, min([until, *ends[1:]])
    return since, until
