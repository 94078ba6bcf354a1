"""JPL Scout: some candidates of near-Earth objects, with scores, and where each is at a moment.

As the real one: numbers are text but for the scores, the list rounds places to a minute and a degree, an object that is not listed is an error
with status 200, and a parameter that is not known one with status 400. A new candidate comes every day and stays for nine; Scout runs
on each four times a day.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from harvester.emulator import chance
from harvester.emulator.app import Request, Response

if TYPE_CHECKING:
    from harvester.emulator.sky import Sky

NAME = "scout"
HOSTS = ("ssd-api.jpl.nasa.gov",)
SIGNATURE = {"source": "NASA/JPL Scout API", "version": "1.3"}
STAYS, RUNS_A_DAY = 9, 4
TAKEN = {"tdes", "orbits", "n-orbits", "eph-start", "eph-stop", "eph-step", "obs-code", "file", "plot"}
MJD_OF_UNIX = 40587
DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
Record = dict[str, Any]


@dataclass(frozen=True)
class Candidate:
    """One that was put on the confirmation page on a day (MJD); its place (deg) is that of the day's beginning, its pace deg a day."""

    name: str
    day: int
    ra: float
    dec: float
    pace: float
    draw: tuple[float, ...]

    def place(self, mjd: float) -> tuple[float, float]:
        """Return where it is at an MJD, deg."""
        return (self.ra + self.pace * (mjd - self.day)) % 360.0, self.dec + 0.1 * self.pace * (mjd - self.day)

    def row(self, mjd: float) -> Record:
        """Return what the list says of it at an MJD."""
        ra, dec = self.place(mjd)
        neo, pha, v, h, arc = self.draw
        run = int(mjd * RUNS_A_DAY) / RUNS_A_DAY
        minutes = round(ra / 15.0 * 60.0) % 1440
        told: Record = {"objectName": self.name, "ra": f"{minutes // 60:02d}:{minutes % 60:02d}", "dec": f"{round(dec):+03d}"}
        told |= {"neoScore": int(100 * neo), "phaScore": int(40 * pha * neo), "neo1kmScore": int(5 * pha), "ieoScore": int(10 * pha)}
        told |= {
            "geocentricScore": 0,
            "tisserandScore": int(100 - 70 * neo),
            "rating": None if neo < 0.2 else int(neo > 0.9) + int(pha > 0.8),
        }
        told |= {"H": f"{18.0 + 8.0 * h:.1f}", "Vmag": f"{18.5 + 3.0 * v:.1f}", "rate": f"{self.pace * 2.5:.1f}", "elong": "140"}
        told |= {
            "unc": f"{600 * arc:.0f}",
            "uncP1": f"{700 * arc:.0f}",
            "moid": f"{0.5 * pha:.1g}",
            "arc": f"{24 * (mjd - self.day) * arc:.2f}",
        }
        told |= {"caDist": None if neo < 0.7 else f"{10.0 * pha:.1f}", "vInf": None if neo < 0.7 else "14.2", "rmsN": "0.31"}
        return told | {"nObs": 4 + int(20 * arc), "lastRun": _date(run), "tEphem": _date(int(mjd * 96) / 96)}


def candidates(sky: Sky, mjd: float) -> list[Candidate]:
    """Return the candidates that are listed at an MJD, the newest first."""
    return [_candidate(sky.seed, day) for day in range(int(mjd), int(mjd) - STAYS, -1)]


def _candidate(seed: int, day: int) -> Candidate:
    name = "".join(DIGITS[int(36 * float(chance.uniform(seed, "scout name", day, place)))] for place in range(4))
    ra, dec, pace, *draw = (float(chance.uniform(seed, "scout", day, number)) for number in range(8))
    return Candidate(f"SM{name}{day % 10}", day, 360.0 * ra, 100.0 * dec - 50.0, 0.2 + 3.0 * pace, tuple(draw))


def api(request: Request) -> Response:
    """List the candidates, or tell of one, with its ephemeris where a moment is asked for."""
    unknown = next((name for name, _ in request.params if name not in TAKEN), None)
    if unknown:
        return _said({"code": "400", "message": f"one or more query parameter was not recognized: {unknown}"}, 400)
    mjd, name = request.now / 86400.0 + MJD_OF_UNIX, request.first("tdes")
    listed = candidates(request.sky, mjd)
    if not name:
        rows = [one.row(mjd) for one in listed]
        return _said({"signature": SIGNATURE, "count": str(len(rows)), "data": rows})
    found = next((one for one in listed if one.name == name), None)
    if found is None:
        return _said({"signature": SIGNATURE, "error": "specified object does not exist"})
    if any(key == "eph-start" for key, _ in request.params):
        return _said(_ephemeris(found, _moment(request.first("eph-start"), mjd), mjd))
    return _said({"signature": SIGNATURE} | found.row(mjd))


def _ephemeris(found: Candidate, at: float, now: float) -> Record:
    if abs(at - now) > 30.0:
        return {"signature": SIGNATURE, "error": "ephemeris time must be within 30 days of the current date"}
    ra, dec = found.place(at)
    median = {"ra": f"{ra:.4f}", "dec": f"{dec:.4f}", "dra": "1.2", "ddec": "0.1", "rate": f"{found.pace * 2.5:.1f}", "pa": "85"}
    median |= {"vmag": found.row(at)["Vmag"], "elong": "140", "moon": "88", "el": "33"}
    point = {
        "time": _date(at) + ":00",
        "median": median,
        "sigma-pos": found.row(at)["unc"],
        "sun-flag": None,
        "limits": {},
        "sigma-limits": {},
    }
    told: Record = {"signature": SIGNATURE, "count": "1", "object": found.row(now), "orbit-count": 2, "data-fields": ["ra", "dec"]}
    return told | {"eph": [point | {"data": [[median["ra"], median["dec"]]] * 2}]}


def _moment(text: str, now: float) -> float:
    """Read a moment; the word now, and nothing, are this one."""
    if text in {"", "now"}:
        return now
    read = datetime.fromisoformat(text.removesuffix("Z"))
    return read.replace(tzinfo=UTC).timestamp() / 86400.0 + MJD_OF_UNIX


def _date(mjd: float) -> str:
    return f"{datetime(1858, 11, 17, tzinfo=UTC) + timedelta(days=mjd):%Y-%m-%d %H:%M}"


def _said(what: Record, status: int = 200) -> Response:
    return Response(json.dumps(what).encode(), "application/json", status)


ROUTES = {"/scout.api": api}
METHODS = {"/scout.api": ("GET", "HEAD")}
