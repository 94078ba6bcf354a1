"""CPCS: what telescopes all over the world followed up of the simulated alerts, for who shows an observer's key as a cookie.

Every telescope calibrates to a catalogue: its magnitudes have an error of their own and one of the calibration. Where it saw nothing, the
magnitude is what it could have seen, and its error is -1.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING

import numpy as np

from harvester.emulator import almanac, chance
from harvester.emulator.app import Request, Response
from harvester.emulator.names import fold
from harvester.emulator.sky import Sky
from harvester.emulator.stars import famous

if TYPE_CHECKING:
    from harvester.emulator.stars import Star

NAME = "cpcs"
HOSTS = ("gsaweb.ast.cam.ac.uk",)
SCHEME = "ivo://"
DAYS = np.arange(-30, 200)  # around the alert's brightest day
OFTEN = 0.12
LIMIT = -1.0
POINT = np.dtype(
    [(name, "f8") for name in ("mjd", "mag", "magerr", "caliberr", "bjd_tdb", "true_mag")] + [("id", "i8"), ("telescope", "i4")]
)
Points = np.ndarray[tuple[int], np.dtype[np.void]]
REFUSED = b"<html><head><title>Login</title></head><body>You are not logged in</body></html>"


@dataclass(frozen=True)
class Telescope:
    """One telescope and filter: what it is calibrated to, how deep it sees, and the error of its calibration (mag)."""

    observatory: str
    number: int
    filter: str
    catalog: str
    deepest: float
    calibration: float


TELESCOPES = (
    Telescope("Sim 0.5 m", 59, "V", "APASS", 19.0, 0.03),
    Telescope("Sim 0.5 m", 59, "I", "APASS", 18.5, 0.04),
    Telescope("Sim 1.0 m", 61, "g", "SDSS", 20.5, 0.02),
    Telescope("Sim 1.0 m", 61, "r", "PS1", 20.5, 0.02),
    Telescope("Sim 1.0 m", 61, "i", "PS1", 20.0, 0.02),
)


@lru_cache(maxsize=16)
def points(seed: int, star: Star) -> Points:
    """Return all follow-up of a star, telescope by telescope, with the truth beside it; times are UTC at the centre of the Earth."""
    return np.concatenate([_points(seed, star, number) for number in range(len(TELESCOPES))])


def _points(seed: int, star: Star, number: int) -> Points:
    scope, sky = TELESCOPES[number], Sky(seed)
    days = DAYS[chance.uniform(seed, "followed", star.gaia_id, number, DAYS) < OFTEN]
    rows = np.zeros(len(days), POINT)
    hour = chance.uniform(seed, "hour of follow-up", star.gaia_id, number, days)
    rows["mjd"] = np.round(star.epoch - 2_400_000.5 + days + hour, 6)
    seen = almanac.from_geocentre(rows["mjd"])
    rows["bjd_tdb"] = almanac.julian_date(seen, "tdb") + almanac.light_time(seen, star.ra, star.dec, kind="barycentric")
    rows["true_mag"] = sky.magnitude(star, scope.filter, rows["bjd_tdb"])
    rows["id"] = 160_000 + famous().index(star) * 10_000 + number * 1000 + days - DAYS[0]
    rows["telescope"], rows["caliberr"] = number, scope.calibration
    limit = rows["true_mag"] > scope.deepest
    faint = np.minimum(rows["true_mag"], scope.deepest)
    error = np.hypot(0.01, 0.2 * 10.0 ** (0.4 * (faint - scope.deepest)))
    total = np.hypot(error, scope.calibration)
    rows["mag"] = np.where(limit, scope.deepest, faint + total * sky.noise(star, f"follow-up {number}", days))
    rows["magerr"] = np.where(limit, LIMIT, error)
    return rows


def light_curve(request: Request) -> Response:
    """Answer with an array per column; a page to who is not known, and an answer without arrays for an alert that nobody followed."""
    if "hashtag" not in SimpleCookie(request.headers.get("Cookie", "")):
        return Response(REFUSED, "text/html; charset=utf-8", 403)
    name = request.first("alert_name").removeprefix(SCHEME)
    star = _alert(name)
    if star is None:
        return Response(b"<html><body>No such alert</body></html>", "text/html; charset=utf-8", 404)
    rows = points(request.sky.seed, star)
    scopes = [TELESCOPES[number] for number in rows["telescope"].tolist()]
    said = {word: rows[word].tolist() for word in ("mjd", "mag", "magerr", "caliberr", "id")}
    said |= {word: [getattr(scope, word) for scope in scopes] for word in ("filter", "catalog", "observatory")}
    said |= {"observatory_id": [scope.number for scope in scopes], "hashtag": ["SIM_0"] * len(scopes)}
    return Response(json.dumps(said | {"alert_name": f"{SCHEME}{name}"}).encode(), "application/json")


def _alert(name: str) -> Star | None:
    """Return the star of an alert by its name, such as Gaia21sim."""
    return next((star for star in famous() for alias in star.aliases if alias.startswith("Gaia") and fold(alias) == fold(name)), None)


ROUTES = {"/followup/get_alert_lc_data": light_curve}
