"""Lasair: the API of its ZTF instance and that of its LSST instance, over the simulated alert streams.

Both want a token, and count the calls of each: 10 an hour for the token that is everybody's, 100 for an account, 10,000 for a power user. Here
every token is a power user's but "wrong" and those that begin with "dummy" or "account".

As the real ones: a candidate without candid is a limit, to which `lasair_added` gives its depth as magpsf; candidates are in no order; ZTF answers
an unknown object with empty lists, or with an error of the server where `lasair_added` is asked; LSST writes bare NaN, which is no JSON, and
the object's number as text at the top and as a number below.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from harvester.emulator import lasair_query, lsst_stream, ztf_stream
from harvester.emulator.app import Request, Response
from harvester.emulator.stars import separation

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = "lasair"
ZTF_HOST, LSST_HOST = "lasair-ztf.lsst.ac.uk", "api.lasair.lsst.ac.uk"
HOSTS = (ZTF_HOST, LSST_HOST)
WRONG = "wrong"
RATES = {"dummy": 10, "account": 100}
POWER_RATE, HOUR = 10_000, 3600.0
WIDEST = 1000.0
TRUE = {"true", "1", "on", "t", "yes", "y"}
DETECTED = ("jd", "ra", "dec", "magpsf", "sigmapsf", "magnr", "sigmagnr", "magzpsci", "drb")
FORCED = ("jd", "ranr", "decnr", "forcediffimflux", "forcediffimfluxunc", "magzpsci")
VISIT = ("midpointMjdTai", "psfFlux", "psfFluxErr")
SOURCE = ("ra", "scienceFlux", "scienceFluxErr", "templateFlux", "templateFluxErr", "snr", "reliability", "extendedness")
FORCED_SOURCE = ("ra", "scienceFlux", "scienceFluxErr")
TOO_MANY = "Request limit exceeded. Either wait an hour, or see API documentation to increase your limits."
CRASH = b"<!doctype html>\n<html lang=en><head><title>Server Error (500)</title></head><body><h1>Server Error (500)</h1></body></html>"
JD_OF_MJD = 2_400_000.5
Record = dict[str, Any]


def _said(what: Any, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    return Response(json.dumps(what).encode(), "application/json", status, headers)


def _guarded(answer: Callable[[Request], Response]) -> Callable[[Request], Response]:
    """Refuse who shows no token, then count the call."""

    def handler(request: Request) -> Response:
        shown = request.headers.get("Authorization", "").removeprefix("Token ") or request.first("token")
        if not shown:
            return _said({"detail": "Authentication credentials were not provided."}, 401, (("WWW-Authenticate", "Token"),))
        if shown == WRONG:
            return _said({"detail": "Invalid token."}, 401, (("WWW-Authenticate", "Token"),))
        wait = _counted(request, shown)
        if wait:
            return _said({"message": TOO_MANY}, 429, (("Retry-After", str(int(np.ceil(wait)))),))
        return answer(request)

    return handler


def _counted(request: Request, token: str) -> float:
    """Count a call; return the seconds until the next is allowed, 0 where this one was."""
    most = next((rate for word, rate in RATES.items() if token.startswith(word)), POWER_RATE)
    calls: list[float] = request.memory.setdefault(f"{request.host} {token}", [])
    calls[:] = [call for call in calls if request.now - call < HOUR]
    if len(calls) >= most:
        return calls[0] + HOUR - request.now
    calls.append(request.now)
    return 0.0


def cone(request: Request) -> Response:
    """List the objects of a cone with their distances, or count them, or name the nearest."""
    numbers, wrong = {}, {}
    for name in ("ra", "dec", "radius"):
        try:
            numbers[name] = float(request.first(name))
        except ValueError:
            wrong[name] = ["A valid number is required." if request.first(name) else "This field is required."]
    kind = request.first("requestType")
    if kind not in {"all", "nearest", "count"}:
        wrong["requestType"] = [f'"{kind}" is not a valid choice.' if kind else "This field is required."]
    if wrong:
        return _said(wrong, 400)
    if numbers["radius"] > WIDEST:
        return _said({"error": "Max radius is 1000 arcsec."}, 400)
    found = _near(request, **numbers)
    return _said(_lsst_cone(found, kind) if request.host == LSST_HOST else _ztf_cone(found, kind))


def _near(request: Request, *, ra: float, dec: float, radius: float) -> list[Record]:
    """Return objects and distances (arcsec), the farthest first: the real lists are in no order."""
    streams: list[Any] = (lsst_stream if request.host == LSST_HOST else ztf_stream).near(request.sky, ra, dec, radius / 3600.0)
    names = [one.dia_object_id if request.host == LSST_HOST else one.oid for one in streams]
    apart = [float(separation(one.ra, one.dec, ra, dec)) * 3600.0 for one in streams]
    return [{"object": name, "separation": distance} for name, distance in zip(names, apart, strict=True)][::-1]


def _ztf_cone(found: list[Record], kind: str) -> Any:
    if kind == "count":
        return {"count": len(found)}
    return found if kind == "all" else next(iter(found[::-1]), {})


def _lsst_cone(found: list[Record], kind: str) -> Any:
    nearest = next(iter(found[::-1]), {})
    if kind == "count":
        return {"count": len(found)}
    if kind == "nearest":
        return {"nearest": nearest} if found else {}
    return {"objects": found, "count": len(found), "nearest": nearest}


def thing(request: Request) -> Response:
    """Tell of one object, as either instance does."""
    if not request.first("objectId"):
        forgotten = request.method == "POST" and request.host == ZTF_HOST  # the real view returns nothing at all
        return Response(CRASH, "text/html", 500) if forgotten else _said({"objectId": ["This field is required."]}, 400)
    return _lsst_object(request) if request.host == LSST_HOST else _ztf_object(request)


def _ztf_object(request: Request) -> Response:
    oid, added = request.first("objectId"), request.first("lasair_added").lower() in TRUE
    found = ztf_stream.by_id(request.sky, oid)
    if found is None:
        nothing = {"objectId": oid, "candidates": [], "forcedphot": []}
        return Response(CRASH, "text/html", 500) if added else _said(nothing)
    seen = [_candidate(row) for row in found.detections][::-1]
    candidates = [
        *seen,
        *({"jd": float(row["jd"]), "fid": int(row["fid"]), "diffmaglim": float(row["diffmaglim"])} for row in found.limits),
    ]
    forced: list[Record] = [{"objectid": oid, "fid": int(row["fid"])} | {name: float(row[name]) for name in FORCED} for row in found.forced]
    if not added:
        return _said({"objectId": oid, "candidates": candidates, "forcedphot": forced})
    candidates = [candidate | _added(candidate) for candidate in candidates]
    forced = [row | {"mjd": row["jd"] - JD_OF_MJD} for row in forced]
    jd = found.detections["jd"]
    data = {"ncand": len(jd), "ramean": found.ra, "decmean": found.dec, "jdmin": float(jd[0]), "jdmax": float(jd[-1])}
    parts: Record = {"candidates": candidates, "forcedphot": forced, "sherlock": {}, "TNS": {}, "annotations": []}
    return _said({"objectId": oid, "objectData": data, **parts, "count_all_candidates": len(jd), "count_noncandidate": len(found.limits)})


def _candidate(row: Any) -> Record:
    whole = {"candid": int(row["candid"]), "fid": int(row["fid"]), "nid": int(row["nid"]), "isdiffpos": "t" if row["positive"] else "f"}
    return whole | {name: float(row[name]) for name in DETECTED} | {"ssdistnr": -999.0, "ssnamenr": "null"}


def _added(candidate: Record) -> Record:
    mjd = candidate["jd"] - JD_OF_MJD
    utc = datetime(1858, 11, 17, tzinfo=UTC) + timedelta(days=mjd)
    return {"mjd": mjd, "utc": f"{utc:%Y-%m-%d %H:%M:%S}"} | ({} if "candid" in candidate else {"magpsf": candidate["diffmaglim"]})


def _lsst_object(request: Request) -> Response:
    oid, lite = request.first("objectId"), request.first("lite").lower() in TRUE
    found = lsst_stream.by_id(request.sky, int(oid)) if oid.isdecimal() else None
    if found is None and request.first("lasair_added", "true").lower() in TRUE:
        return _said({"detail": "Not found."}, 404)
    rows, forced = (found.detections, found.forced) if found else ((), ())
    lists = {
        "diaSourcesList": [_source(found, row, lite=lite) for row in rows],
        "diaForcedSourcesList": [_forced_source(found, row, lite=lite) for row in forced],
    }
    return _said({"diaObjectId": oid} | ({} if lite else {"diaObject": _dia_object(found)}) | lists)


def _dia_object(found: lsst_stream.Stream | None) -> Record | None:
    if found is None:
        return None
    mjd = found.detections["midpointMjdTai"]
    known = {"diaObjectId": found.dia_object_id, "ra": found.ra, "decl": found.dec, "nDiaSources": len(mjd), "u_psfFluxMean": float("nan")}
    return known | {"firstDiaSourceMjdTai": float(mjd[0]), "lastDiaSourceMjdTai": float(mjd[-1])}


def _visit(row: Any) -> Record:
    return {"band": str(row["band"])} | {name: float(row[name]) for name in VISIT}


def _source(found: Any, row: Any, *, lite: bool) -> Record:
    record = {"diaSourceId": int(row["diaSourceId"])} | _visit(row) | {"reliability": float(row["reliability"])}
    if lite:
        return record
    record |= {name: float(row[name]) for name in SOURCE} | {"decl": float(row["dec"]), "diaObjectId": found.dia_object_id}
    flags = {"psfFlux_flag": False, "isDipole": False, "pixelFlags_cr": bool(row["pixelFlags_cr"]), "isNegative": bool(row["isNegative"])}
    return record | flags | {"visit": int(row["visit"]), "detector": int(row["detector"]), "dipoleAngle": float("nan")}


def _forced_source(found: Any, row: Any, *, lite: bool) -> Record:
    if lite:
        return _visit(row)
    record = _visit(row) | {name: float(row[name]) for name in FORCED_SOURCE} | {"decl": float(row["dec"])}
    numbers = {"diaForcedSourceId": int(row["diaForcedSourceId"]), "visit": int(row["visit"]), "detector": int(row["detector"])}
    return record | numbers | {"diaObjectId": found.dia_object_id}


def query(request: Request) -> Response:
    """Answer SQL over the table of objects of either instance."""
    return lasair_query.query(request, is_lsst=request.host == LSST_HOST)


ROUTES = {"/api/cone": _guarded(cone), "/api/object": _guarded(thing), "/api/query": _guarded(query)}
