"""TNS: reports of the simulated transients, for bots that say who they are, as often as their quota allows.

Numbers are now and then text, and what is not known is null or an empty text, as in the real service; the layer that stood around an answer until
the end of 2024 is gone.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from harvester.emulator import almanac, tns_reports
from harvester.emulator.app import Request, Response
from harvester.emulator.sky import Sky
from harvester.emulator.transients import is_transient

if TYPE_CHECKING:
    from collections.abc import Callable

    from harvester.emulator.stars import Star

NAME = "tns"
HOSTS = ("www.wis-tns.org", "sandbox.wis-tns.org")
MARKER = re.compile(r'tns_marker\{"tns_id": ?"?[\w-]+"?, ?"type": ?"(bot|user)", ?"name": ?"[^"]+"\}')
WRONG_KEY = "wrong"
MINUTE = 60.0
QUOTAS = {"search": 100, "object": 60, "cone": 10, "file": 60}
UNITS = {"arcsec": 1 / 3600, "arcmin": 1 / 60, "deg": 1.0}
GAIA = 2  # its place among the cameras
DAYS = (-20.0, -16.0, -9.0, -4.0, -0.5, 3.0, 11.0)  # of the reports, from the brightest day
POINT = np.dtype([(name, "f8") for name in ("jd", "mag", "error", "limit", "bjd_tdb", "true_mag")] + [("camera", "i4"), ("seen", "?")])
Points = np.ndarray[tuple[int], np.dtype[np.void]]


@dataclass(frozen=True)
class Camera:
    """Who reports: numbers and names of instrument, telescope, filter and unit; the passband of the truth; depth and error (mag)."""

    instrument: tuple[int, str]
    telescope: tuple[int, str]
    filter: tuple[int, str]
    unit: tuple[int, str]
    passband: str
    deepest: float
    error: float


AB, VEGA = (1, "ABMag"), (3, "VegaMag")
CAMERAS = (
    Camera((196, "ZTF-Cam"), (1, "P48"), (110, "g"), AB, "g", 20.5, 0.05),
    Camera((196, "ZTF-Cam"), (1, "P48"), (111, "r"), AB, "r", 20.5, 0.05),
    Camera((163, "Gaia-photometric"), (75, "Gaia"), (75, "G"), VEGA, "G", 20.7, 0.02),
    Camera((195, "ASAS-SN"), (99, "ASAS-SN"), (12, "V-Johnson"), VEGA, "V", 17.5, 0.1),
    Camera((33, "SIM-Cam"), (12, "Sim 2 m"), (23, "i-Sloan"), AB, "i", 21.0, 0.03),
)


@lru_cache(maxsize=16)
def points(seed: int, star: Star) -> Points:
    """Return all that was reported of a transient with the truth beside it; a camera that did not see it reports a limit."""
    rows = np.zeros(len(DAYS) * len(CAMERAS), POINT)
    rows["camera"] = np.tile(np.arange(len(CAMERAS)), len(DAYS))
    rows["jd"] = np.round(star.epoch + np.repeat(DAYS, len(CAMERAS)) + 0.01 * rows["camera"] + 0.237, 6)
    seen = almanac.from_geocentre(rows["jd"] - 2_400_000.5)
    rows["bjd_tdb"] = almanac.julian_date(seen, "tdb") + almanac.light_time(seen, star.ra, star.dec, kind="barycentric")
    for number, camera in enumerate(CAMERAS):
        mine = rows["camera"] == number
        rows["true_mag"][mine] = Sky(seed).magnitude(star, camera.passband, rows["bjd_tdb"][mine])
        rows["error"][mine], rows["limit"][mine] = camera.error, camera.deepest
    rows["seen"] = rows["true_mag"] < rows["limit"]
    noise = Sky(seed).noise(star, "reported", np.arange(len(rows)))
    rows["mag"] = np.round(np.where(rows["seen"], np.minimum(rows["true_mag"], 30.0) + rows["error"] * noise, np.nan), 4)
    return rows


def _said(code: int, message: str, data: Any = None, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    body = {"id_code": code, "id_message": message} | ({"data": data} if code == 200 else {})
    return Response(json.dumps(body).encode(), "application/json", code, headers)


def _guarded(resource: str, answer: Callable[[Request, dict[str, Any]], Response]) -> Callable[[Request], Response]:
    """Refuse who says not who they are or shows no key, then count against the quota of a resource; a file is asked for without data."""

    def handler(request: Request) -> Response:
        if not MARKER.search(request.headers.get("User-Agent", "")):
            return Response(b"<html><body>403 Forbidden</body></html>", "text/html", 403)
        if request.first("api_key", WRONG_KEY) == WRONG_KEY:
            return _said(401, "Unauthorized")
        try:
            asked = json.loads(request.first("data", "{}" if resource == "file" else ""))
        except ValueError:
            return _said(400, "Bad request")
        what = "cone" if resource == "search" and asked.get("radius") else resource
        headers, exceeded = _counted(request, what)
        if exceeded:
            return _said(429, "Too Many Requests", headers=headers)
        response = answer(request, asked)
        return Response(response.body, response.content_type, response.status, headers)

    return handler


def _counted(request: Request, what: str) -> tuple[tuple[tuple[str, str], ...], bool]:
    """Count a request in its minute; return the headers that tell what is left, and whether it was one too many."""
    begun, used = request.memory.get(what, (request.now, 0))
    begun, used = (request.now, 0) if request.now - begun >= MINUTE else (begun, used)
    request.memory[what] = begun, used + 1
    limit, word = QUOTAS[what], "x-cone-rate-limit" if what == "cone" else "x-rate-limit"
    left = limit - used - 1
    told = {"limit": str(limit), "remaining": str(left) if left >= 0 else "Exceeded", "reset": str(int(begun + MINUTE - request.now))}
    return tuple((f"{word}-{name}", value) for name, value in told.items()), left < 0


def _search(request: Request, asked: dict[str, Any]) -> Response:
    """List the transients of a cone, of a name, or of a survey's own name; those that are public since a moment."""
    sky, name = request.sky, asked.get("objname")
    if asked.get("radius"):
        radius = float(asked["radius"]) * UNITS[asked.get("units") or "arcsec"]
        found = tns_reports.inside(sky, float(asked["ra"]), float(asked["dec"]), radius)
    elif name or asked.get("internal_name"):
        found = (
            [one for one in [tns_reports.by_name(sky, name)] if one] if name else tns_reports.by_internal_name(sky, asked["internal_name"])
        )
    else:
        found = tns_reports.changed(sky, 0.0, sky.now) if asked.get("public_timestamp") else []
    since = asked.get("public_timestamp") or ""
    hits = [one for one in found if tns_reports.date(one.changed) >= since]
    return _said(200, "OK", [{"objname": one.name, "prefix": one.prefix, "objid": one.number} for one in hits])


def _object(request: Request, asked: dict[str, Any]) -> Response:
    """Tell all of one transient; 404 for a name that is unknown, one in capital letters included."""
    found = tns_reports.by_name(request.sky, asked.get("objname", ""))
    if found is None:
        return _said(404, "Not found")
    number, word = tns_reports.FILTERS[found.band]
    told = {
        "objname": found.name,
        "name_prefix": found.prefix,
        "objid": found.number,
        "object_type": {"id": 3, "name": found.kind} if found.kind else {"id": None, "name": None},
        "redshift": None,
        "radeg": found.star.ra,
        "decdeg": found.star.dec,
        "internal_names": found.internal,
        "discoverydate": f"{tns_reports.date(found.discovered)}.000",
        "discoverymag": found.mag,
        "discmagfilter": {"id": number, "name": word, "family": "ZTF"},
        "reporting_group": {"groupid": 48, "group_name": "SIM"},
        "public": 1,
    }
    wanted = str(asked.get("photometry", "0")) == "1"
    return _said(200, "OK", told | ({"photometry": [_point(row) for row in _reported(request, found.star)]} if wanted else {}))


def _reported(request: Request, star: Star) -> Points:
    """Return the points of a transient; of a new one those of by now, and none of a telescope that is gone."""
    rows = points(request.sky.seed, star)
    return rows[(rows["jd"] <= request.sky.now + 2_400_000.5) & (rows["camera"] != GAIA)] if is_transient(star) else rows


def _file(request: Request, _: dict[str, Any]) -> Response:
    """Hand out the public table, or a part of it."""
    name = re.fullmatch(r"tns_public_objects(|_\d+)\.csv\.zip", request.tail)
    body = tns_reports.table(request.sky, name[1]) if name else None
    return Response(b"<html><body>404 Not Found</body></html>", "text/html", 404) if body is None else Response(body, "application/zip")


def _point(row: np.void) -> dict[str, Any]:
    camera = CAMERAS[int(row["camera"])]
    words = {name: dict(zip(("id", "name"), getattr(camera, of), strict=True)) for name, of in PARTS.items()}
    begun = datetime(1858, 11, 17, tzinfo=UTC) + timedelta(days=float(row["jd"]) - 2_400_000.5)
    jd, mag, error, limit = (float(row[name]) for name in ("jd", "mag", "error", "limit"))
    as_text = camera.telescope[1] == "Gaia"
    return words | {
        "obsdate": begun.strftime("%Y-%m-%d %H:%M:%S"),
        "jd": jd,
        "flux": (str(mag) if as_text else mag) if row["seen"] else "",
        "fluxerr": error if row["seen"] else "",
        "limflux": "" if row["seen"] and as_text else limit,
        "exptime": None if as_text else 30,
        "observer": "Robot",
        "remarks": "",
    }


def _values(_: Request) -> Response:
    filters = {str(camera.filter[0]): camera.filter[1] for camera in CAMERAS}
    return _said(200, "OK", {"filters": filters, "units": {"1": "ABMag", "3": "VegaMag"}})


PARTS = {"instrument": "instrument", "telescope": "telescope", "filters": "filter", "flux_unit": "unit"}
FILES = "/system/files/tns_public_objects/*"
ROUTES = {
    "/api/get/search": _guarded("search", _search),
    "/api/get/object": _guarded("object", _object),
    "/api/values": _values,
    FILES: _guarded("file", _file),
}
METHODS = dict.fromkeys(("/api/get/search", "/api/get/object", FILES), ("POST",))
