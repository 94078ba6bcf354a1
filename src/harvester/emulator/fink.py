"""Fink: the API of ZTF and that of LSST, over the simulated alert streams.

As the real ones: GET and POST are equal, errors are Python dictionaries as text, limits are cells of text without a candid, detections that fail
Fink's cuts are tagged and have lost theirs and much else, a column that is null in every row is left out, and a number where text is due breaks
the service.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from harvester.emulator import asteroids, fink_search, lsst_stream, ztf_stream
from harvester.emulator.app import Request, Response
from harvester.emulator.stars import separation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAME = "fink"
ZTF_HOST, LSST_HOST = "api.ztf.fink-portal.org", "api.lsst.fink-portal.org"
HOSTS = (ZTF_HOST, LSST_HOST)
MOST_ROWS = 10_000
WIDEST_ARCSEC = 18_000.0
LEAST_RB = 0.55
LIMIT = ("diffmaglim",)
POOR = (*LIMIT, "magpsf", "sigmapsf", "magnr", "sigmagnr", "distnr")
Record = dict[str, Any]
Arguments = dict[str, Any]


def objects(request: Request) -> Response:
    """Give the alerts of objects of ZTF, newest first; with limits and poor detections if they are asked for."""
    return _answer(request, ("objectId",), _objects)


def conesearch(request: Request) -> Response:
    """List the objects of a cone, a row for each: its latest alert."""
    return _answer(request, ("ra", "dec", "radius"), _cone)


def sources(request: Request) -> Response:
    """Give the detections of an object of LSST, newest first."""
    return _answer(request, ("diaObjectId",), lambda request, said: _lsst_rows(request, said, "sources"))


def forced(request: Request) -> Response:
    """Give the forced photometry of an object of LSST, newest first."""
    return _answer(request, ("diaObjectId",), lambda request, said: _lsst_rows(request, said, "fp"))


def latests(request: Request) -> Response:
    """Give the latest alerts of a class of ZTF."""
    return _answer(request, ("class",), lambda request, said: (_latest(*pair) for pair in fink_search.latest(request, said)))


def tags(request: Request) -> Response:
    """Give the latest detections of LSST with a tag, or, asked for nothing, list the tags."""
    if not _arguments(request):
        known = {name: {"description": name.replace("_", " "), "API support": there} for name, there in fink_search.TAGS.items()}
        return Response(json.dumps(known).encode(), "application/json")
    try:
        return _answer(request, ("tag",), lambda request, said: (_tagged(*pair) for pair in fink_search.tagged(request, said)))
    except LookupError as error:
        return Response(str(error.args[0]).encode(), "text/html; charset=utf-8", 400)


def sso(request: Request) -> Response:
    """Give the detections of bodies of the solar system, by number or name."""
    told = _body_of_lsst if request.host == LSST_HOST else _body
    try:
        return _answer(request, ("n_or_d",), lambda request, said: (told(*pair) for pair in fink_search.bodies(request, said)))
    except LookupError as error:
        return _refused(str(error.args[0]))


def _answer(request: Request, needed: tuple[str, ...], rows: Callable[[Request, Arguments], Iterator[Record]]) -> Response:
    said = _arguments(request)
    if not said:
        return Response(b"Retrieve data from Fink. Give arguments.\n", "text/html; charset=utf-8")
    missing = next((name for name in needed if name not in said), None)
    if missing:
        return _refused(f"A value for `{missing}` is required. Use GET to check arguments.\n")
    if "," in str(said.get("diaObjectId", "")) or isinstance(said.get("diaObjectId"), int):
        return Response(b'{"message": "Internal Server Error"}', "application/json", 500)
    try:
        if float(said.get("radius", 0)) > WIDEST_ARCSEC:
            return _refused("`radius` cannot be bigger than 18,000 arcseconds (5 degrees).\n")
        found = [_kept(row, said) for row in rows(request, said)][:MOST_ROWS]
    except ValueError as error:
        return _refused(str(error))
    whole = [name for name in dict.fromkeys(name for row in found for name in row) if any(row.get(name) is not None for row in found)]
    return Response(json.dumps([{name: row.get(name) for name in whole} for row in found]).encode(), "application/json")


def _arguments(request: Request) -> Arguments:
    """Read the query string, or, without one, a body in JSON."""
    if request.params:
        return dict(request.params)
    try:
        said = json.loads(request.body or b"{}")
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _refused(why: str) -> Response:
    return Response(str({"status": "error", "text": why}).encode(), "text/html; charset=utf-8", 400)


def _kept(row: Record, said: Arguments) -> Record:
    """Return the columns that were asked for; what the service computes itself vanishes with the others, but for the tag."""
    wanted = {name.strip() for name in str(said.get("columns", "")).split(",")} - {""}
    return {name: value for name, value in row.items() if not wanted or name in wanted or name == "d:tag"}


def _objects(request: Request, said: Arguments) -> Iterator[Record]:
    rows: list[Record] = []
    for name in str(said["objectId"]).split(","):
        found = ztf_stream.by_id(request.sky, name.strip())
        if found:
            rows += _alerts(found, everything=str(said.get("withupperlim")) == "True")
    return iter(sorted(rows, key=lambda row: float(row["i:jd"]), reverse=True))


def _alerts(found: ztf_stream.Stream, *, everything: bool) -> list[Record]:
    good = (found.detections["rb"] >= LEAST_RB) & (found.detections["nbad"] == 0)
    rows = [_latest(found, row) | ({"d:tag": "valid"} if everything else {}) for row in found.detections[good]]
    if not everything:
        return rows
    rows += [_as_text(found, row, POOR) | {"i:candid": -1, "d:tag": "badquality"} for row in found.detections[~good]]
    return rows + [_as_text(found, row, LIMIT) | {"i:candid": -1, "d:tag": "upperlim"} for row in found.limits]


def _alert(found: ztf_stream.Stream, row: Any) -> Record:
    record: Record = {"i:objectId": found.oid, "i:candid": int(row["candid"]), "i:isdiffpos": "t" if row["positive"] else "f"}
    record |= {
        f"i:{name}": float(row[name]) for name in ("jd", "magpsf", "sigmapsf", "diffmaglim", "magnr", "sigmagnr", "distnr", "ra", "dec")
    }
    record |= {f"i:{name}": float(row[name]) for name in ("rb", "drb", "fwhm", "elong", "magdiff", "exptime", "ranr", "decnr", "magzpsci")}
    record |= {f"i:{name}": int(row[name]) for name in ("fid", "pid", "nid", "rcid", "nbad")}
    first = float(found.detections["jd"][0])
    return record | {
        "i:jdstarthist": first,
        "i:ssdistnr": -999.0,
        "i:ssnamenr": "null",
        "d:cdsxmatch": "Unknown",
        "d:tns": "",
        "d:Plx": None,
    }


def _as_text(found: ztf_stream.Stream, row: Any, kept: tuple[str, ...]) -> Record:
    """Return a row of a table without types, which keeps few fields: numbers are text there, but the epoch is made one."""
    record = {"i:objectId": found.oid, "i:jd": float(row["jd"]), "i:fid": str(row["fid"])}
    record |= {f"i:{name}": str(float(row[name])) for name in kept}
    return record | ({"i:isdiffpos": "t" if row["positive"] else "f"} if kept is POOR else {})


def _cone(request: Request, said: Arguments) -> Iterator[Record]:
    ra, dec, radius = (float(said[name]) for name in ("ra", "dec", "radius"))
    rows = _lsst_cone(request, ra, dec, radius) if request.host == LSST_HOST else _ztf_cone(request, ra, dec, radius)
    return iter(rows[: int(said.get("n", 1000))])


def _ztf_cone(request: Request, ra: float, dec: float, radius: float) -> list[Record]:
    found = [_latest(one, one.detections[-1]) for one in ztf_stream.near(request.sky, ra, dec, radius / 3600.0)]
    return [row | {"v:separation_degree": float(separation(row["i:ra"], row["i:dec"], ra, dec))} for row in found]


def _lsst_cone(request: Request, ra: float, dec: float, radius: float) -> list[Record]:
    found = [_measurement(one, one.detections[-1], "sources") for one in lsst_stream.near(request.sky, ra, dec, radius / 3600.0)]
    return [row | {"v:separation_degree": float(separation(row["r:ra"], row["r:dec"], ra, dec))} for row in found]


def _lsst_rows(request: Request, said: Arguments, kind: str) -> Iterator[Record]:
    name = str(said["diaObjectId"])
    found = lsst_stream.by_id(request.sky, int(name)) if name.isdecimal() else None
    if found is None:
        return iter(())
    rows = found.detections if kind == "sources" else found.forced
    return iter([_measurement(found, row, kind) for row in rows[::-1]])


def _measurement(found: lsst_stream.Stream, row: Any, kind: str) -> Record:
    own = "diaSourceId" if kind == "sources" else "diaForcedSourceId"
    record: Record = {"r:diaObjectId": found.dia_object_id, f"r:{own}": int(row[own]), "r:band": str(row["band"])}
    record |= {f"r:{name}": int(row[name]) for name in ("visit", "detector")}
    fluxes = ("psfFlux", "psfFluxErr", "scienceFlux", "scienceFluxErr")
    record |= {f"r:{name}": float(row[name]) for name in ("midpointMjdTai", "ra", "dec", *fluxes)}
    if kind == "fp":
        return record
    record |= {f"r:{name}": float(row[name]) for name in ("templateFlux", "snr", "reliability", "extendedness")}
    record |= {f"r:{name}": bool(np.bool_(row[name])) for name in ("isNegative", "isDipole", "pixelFlags_cr")}
    return record | {"r:timeWithdrawnMjdTai": None, "r:ssObjectId": None, "f:xm_tns_fullname": "nan", "f:clf_earlySNIa_score": -1.0}


def _latest(found: ztf_stream.Stream, row: Any) -> Record:
    new = found.star.kind == "supernova"
    scores = {"d:snn_sn_vs_all": 0.86 if new else 0.11, "d:rf_snia_vs_nonia": 0.74 if new else 0.0, "d:snn_snia_vs_nonia": 0.8}
    return _alert(found, row) | scores | {"v:classification": fink_search.label(found, row["jd"])}


def _tagged(found: lsst_stream.Stream, row: Any) -> Record:
    return _measurement(found, row, "sources") | {"f:clf_snnSnVsOthers_score": 0.93 if found.star.kind == "supernova" else -1.0}


def _body(name: str, met: asteroids.Meeting) -> Record:
    record = {"i:objectId": met.object_id, "i:candid": met.candid, "i:ssnamenr": name, "i:jd": met.mjd + 2400000.5, "d:roid": 3}
    return record | {"i:fid": 1 + met.number % 2, "i:magpsf": met.mag, "i:sigmapsf": 0.05, "i:ra": met.ra, "i:dec": met.dec}


def _body_of_lsst(name: str, met: asteroids.Meeting) -> Record:
    flux = round(10.0 ** (-0.4 * (met.mag - 31.4)), 3)
    record = {"r:designation": name, "r:diaSourceId": met.candid, "r:ssObjectId": 10**15 + met.number, "r:band": "gri"[met.number % 3]}
    times = {"r:midpointMjdTai": round(met.mjd + lsst_stream.TAI_MINUS_UTC_D, 10), "r:timeWithdrawnMjdTai": None}
    return record | times | {"r:ra": met.ra, "r:dec": met.dec, "r:psfFlux": flux, "r:psfFluxErr": round(flux / 50.0, 3)}


ROUTES = {
    "/api/v1/objects": objects,
    "/api/v1/conesearch": conesearch,
    "/api/v1/sources": sources,
    "/api/v1/fp": forced,
    "/api/v1/latests": latests,
    "/api/v1/tags": tags,
    "/api/v1/sso": sso,
}
