"""Gaia Photometric Science Alerts: the list of alerts, and the light curve of each as the on-the-fly calibration had it.

Alerted are the famous stars that brighten suddenly: supernovae, microlensing events, dwarf novae. Their transits are those of the other
releases, until the end of the mission; magnitudes have two digits and no errors, and some are withheld, as "untrusted" or "null".
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from harvester.emulator.app import Handler, Request, Response
from harvester.emulator.gaia_transits import END_MISSION, FAINTEST, ZERO, tcb_days, transits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from harvester.emulator.sky import Sky, Star

NAME = "gaia_alerts"
HOSTS = ("gsaweb.ast.cam.ac.uk",)
UNIX_JD = 2440587.5
CLASSES = {"supernova": "SN Ia", "microlensing": "unknown", "outburst": "CV"}
COMMENTS = {
    "supernova": "candidate SN near the nucleus, no historic source",
    "microlensing": "brightening of a red star, candidate microlensing event",
    "outburst": "outburst of a known CV, previous events seen",
}
HEADER = "#Name, Date, RaDeg, DecDeg, AlertMag, HistoricMag, HistoricStdDev, Class, Published, Comment, TNSid"
KEYS = "name obstime ra dec alertMag historicMag historicStdDev classification published comment tnsid".split()
BRIGHTENING = 0.8  # mag above the mean: an alert
ALERTED_FROM = 2456900.0  # JD: the first alerts of 2014
UNTRUSTED, NULL = 0.05, 0.12  # share of transits withheld; up to this share, those without a magnitude
PAGE = "<!DOCTYPE html><html><head><title>404 Not Found</title></head><body><h1>Not Found</h1><p>No such alert.</p></body></html>\n"


@dataclass(frozen=True)
class LightCurve:
    """The transits of a star: the true BJD_TDB (full JD) and G magnitude, and what is served of each: JD (TCB) and the word for the magnitude."""

    bjd_tdb: NDArray[np.float64]
    true_mag: NDArray[np.float64]
    jd: NDArray[np.float64]
    words: tuple[str, ...]


@dataclass(frozen=True)
class Alert:
    """A line of the list."""

    name: str
    in_tns: str
    star: Star
    jd: float
    mag: str


@lru_cache(maxsize=256)
def light_curve(sky: Sky, star: Star) -> LightCurve:
    """Return all that is served of an alerted star."""
    found = transits(sky, star, END_MISSION)
    bjd = found.bands["G"].bjd_tdb
    key = found.transit_id >> 17
    true = sky.magnitude(star, "G", bjd)
    error = np.where(true < 13.0, 0.01, 0.01 + 0.02 * (true - 13.0) / 6.0)  # Hodgkin et al. 2021: 1 % at 13, 3 % at 19
    mag = true + error * sky.noise(star, "gaia alerts", key)
    chance = sky.chance(star, "gaia alerts withheld", key)
    words = tuple("untrusted" if c < UNTRUSTED else "null" if c < NULL else f"{m:.2f}" for c, m in zip(chance, mag, strict=True))
    return LightCurve(bjd, true, tcb_days(bjd) + ZERO, words)


@lru_cache(maxsize=8)
def alerts(sky: Sky) -> tuple[Alert, ...]:
    """Return the alerts, the newest first: each star at the first transit in which it was seen to have brightened."""
    found = [(jd, mag, star) for star in sky.famous() if star.kind in CLASSES for jd, mag in _first_bright(sky, star)]
    made, years = [], dict.fromkeys(range(2014, 2026), 0)
    for jd, mag, star in sorted(found, key=lambda item: item[0]):
        year = int(_date(jd)[:4])
        letters = _letters(29 * years[year] + 4)
        years[year] += 1
        in_tns = "" if star.kind == "microlensing" else f"{'SN' if star.kind == 'supernova' else 'AT'}{year}{letters}"
        made.append(Alert(f"Gaia{year % 100}{letters}", in_tns, star, jd, mag))
    return tuple(reversed(made))


def _first_bright(sky: Sky, star: Star) -> list[tuple[float, str]]:
    curve = light_curve(sky, star)
    bright = curve.true_mag < (FAINTEST if star.kind == "supernova" else star.mean["G"] - BRIGHTENING)
    told = np.array([word[:1].isdigit() for word in curve.words], np.bool_)
    first = np.flatnonzero(bright & told & (curve.bjd_tdb > ALERTED_FROM))[:1]
    return [(float(curve.jd[number]), curve.words[number]) for number in first]


def _letters(number: int) -> str:
    return "".join(chr(ord("a") + number // 26**power % 26) for power in (2, 1, 0))


def _date(jd: float) -> str:
    """Return a JD as a date, both of one scale, to the second."""
    return str(np.datetime64(round((jd - UNIX_JD) * 86400.0), "s")).replace("T", " ")


def _line(alert: Alert) -> dict[str, str]:
    star = alert.star
    new = star.kind == "supernova"
    values = (
        *(alert.name, _date(alert.jd), f"{star.ra:.5f}", f"{star.dec:.5f}", alert.mag),
        *("" if new else f"{star.mean['G']:.2f}", "" if new else "0.25", CLASSES[star.kind], _date(alert.jd + 2.25)),
        *(COMMENTS[star.kind], alert.in_tns),
    )
    return dict(zip(KEYS, values, strict=True))


def csv_list(request: Request) -> Response:
    """Answer alerts.csv: names with blanks after the commas, texts in quotes."""
    quoted = {"classification", "comment"}
    lines = [",".join(f'"{v}"' if k in quoted else v for k, v in _line(alert).items()) for alert in alerts(request.sky)]
    return Response("\n".join([HEADER, *lines, ""]).encode(), "text/csv; charset=utf-8")


def html_list(request: Request) -> Response:
    """Answer alertsindex: a page whose script holds the list."""
    rows = [{**_line(a), "per_alert": {"link": f"/alerts/alert/{a.name}/", "name": a.name}, "rvs": False} for a in alerts(request.sky)]
    page = f'<html>\n<script charset="utf-8" type="text/javascript">\nvar alerts = {json.dumps(rows)};\n</script>\n</html>\n'
    return Response(page.encode(), "text/html; charset=utf-8")


def of_one(request: Request) -> Response:
    """Answer an alert's page or its light curve; a name that is not in the list has neither."""
    name, _, rest = request.tail.partition("/")
    alert = next((alert for alert in alerts(request.sky) if alert.name == name), None)
    if alert is None or rest not in {"", "lightcurve.csv"}:
        return Response(PAGE.encode(), "text/html; charset=utf-8", status=404)
    if not rest:
        return Response(f"<html><head><title>{name}</title></head><body><h1>{name}</h1></body></html>\n".encode(), "text/html")
    curve = light_curve(request.sky, alert.star)
    lines = [f"{_date(jd)},{jd:.5f},{word}" for jd, word in zip(curve.jd.tolist(), curve.words, strict=True)]
    return Response("\n".join([name, "#Date,JD(TCB),averagemag", *lines, "", ""]).encode(), "text/csv; charset=utf-8")


ROUTES: Mapping[str, Handler] = {
    "/alerts/alerts.csv": csv_list,
    "/alerts/alertsindex": html_list,
    "/alerts/alert/*": of_one,
}
