"""ALeRCE: the API of ZTF (v1, with v2 for forced photometry) and that of LSST, over the simulated alert streams.

As the real ones: an object is listed once for each classifier, nobody is told that there is a next page unless the rows were counted, a key that
has no value is left out (v1) or comes as 0 (LSST), and an unknown object is 404 in v1, an empty list in v2 and LSST, and 500 where LSST is asked
for the object itself.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from harvester.emulator import alerce_search, lsst_stream, ztf_stream
from harvester.emulator.app import Request, Response

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = "alerce"
ZTF_HOST, LSST_HOST = "api.alerce.online", "api-lsst.alerce.online"
HOSTS = (ZTF_HOST, LSST_HOST)
MATCH_PX, ZERO = 1.4, 23.9
BAND_MAP = {"6": "u", "1": "g", "2": "r", "3": "i", "4": "z", "5": "y"}
BAND_NUMBERS = {name: int(number) for number, name in BAND_MAP.items()}
FIRST_FORCED = 60230.0
JD_OF_MJD = 2400000.5
Record = dict[str, Any]


def ztf_objects(request: Request) -> Response:
    """List the objects of a cone or of names, or tell of one: its record, its light curve, or a part of that."""
    parts = request.tail.split("/") if request.tail else []
    if not parts:
        return _ztf_list(request)
    found = ztf_stream.by_id(request.sky, parts[0])
    part = parts[1] if len(parts) > 1 else ""
    if request.first("survey_id", "ztf") not in {"ztf", "atlas"}:
        return _json({"message": "survey id not recognized"}, 400)
    if found is None or part not in VIEWS:
        return _json({"message": f"Object ID {parts[0]} not found"}, 404)
    return _json(VIEWS[part](found))


def forced(request: Request) -> Response:
    """Give the forced photometry of an object of ZTF, with the fields of its alert beside, nothing for an unknown one."""
    if request.first("survey_id", "all") not in {"ztf", "all", "atlas"}:
        wrong = request.first("survey_id")
        return _json({"detail": f"Can't retrieve forced photometry: survey id not recognized {wrong}"}, 400)
    found = ztf_stream.by_id(request.sky, request.tail)
    return _json([_forced(found, row) for row in found.forced] if found else [])


def lsst_list(request: Request) -> Response:
    """List the objects of a cone; the total is that of the page and one more."""
    try:
        page, size = int(request.first("page", "1")), int(request.first("page_size", "10"))
        if request.first("ra"):
            ra, dec, radius = (float(request.first(name)) for name in ("ra", "dec", "radius"))
            streams = lsst_stream.near(request.sky, ra, dec, radius / 3600.0)
        else:
            streams = alerce_search.everything_of_lsst(request)
        found = alerce_search.chosen(request, [_lsst_object(one) | _of_stamp(one) for one in streams], "class_name")
    except ValueError:
        return _json({"detail": [{"loc": ["query"], "msg": "value is not a valid number"}]}, 422)
    shown, more = found[(page - 1) * size : page * size], len(found) > page * size
    around = {"next": page + 1 if more else None, "has_next": more, "prev": page - 1 or None, "has_prev": page > 1}
    return _json({"total": len(shown) + 1, **around, "current_page": page, "items": shown, "info_message": None})


def lsst_object(request: Request) -> Response:
    """Tell of one object; an unknown one is an error of the server."""
    found = _lsst(request)
    return _json(_lsst_object(found)) if found else _json({"detail": "An error occurred"}, 500)


def lsst_detections(request: Request) -> Response:
    """Give the detections of an object, nothing for an unknown one."""
    found = _lsst(request)
    return _json([_detection(found, row) for row in found.detections] if found else [])


def lsst_forced(request: Request) -> Response:
    """Give the forced photometry of an object, nothing for an unknown one."""
    found = _lsst(request)
    return _json([_visit(found, row, int(row["diaForcedSourceId"])) for row in found.forced] if found else [])


def nothing(_request: Request) -> Response:
    """Give the limits of LSST, of which there are none."""
    return _json([])


def _ztf_list(request: Request) -> Response:
    names, size = request.every("oid"), int(request.first("page_size", "10"))
    page, counted = int(request.first("page", "1")), request.first("count", "false").lower() == "true"
    if names:
        found = [one for name in names if (one := ztf_stream.by_id(request.sky, name))]
    elif request.first("ra"):
        ra, dec, radius = (float(request.first(name, "30")) for name in ("ra", "dec", "radius"))
        found = ztf_stream.near(request.sky, ra, dec, radius / 3600.0)
    else:
        found = alerce_search.everything(request)
    rows = [_ztf_object(one) | said for one in found for said in alerce_search.classes(one.star.kind, len(one.detections))]
    rows = alerce_search.chosen(request, rows)
    shown, more = rows[(page - 1) * size : page * size], counted and len(rows) > page * size
    told = {
        "total": len(rows) if counted else None,
        "page": page if counted else None,
        "next": page + 1 if more else None,
        "has_next": more,
    }
    return _json(told | {"prev": None, "has_prev": False, "items": shown})


def _of_stamp(found: lsst_stream.Stream) -> Record:
    return {**alerce_search.classes(found.star.kind, 0)[0], "classifier": "stamp_classifier_rubin"}


def _ztf_object(found: ztf_stream.Stream) -> Record:
    mjd = found.detections["jd"] - JD_OF_MJD
    record = {"oid": found.oid, "ndethist": str(len(mjd)), "ncovhist": len(mjd) + len(found.limits), "ndet": len(mjd)}
    record |= {"mjdstarthist": float(mjd[0]), "mjdendhist": float(mjd[-1]), "corrected": bool(_near(found.detections[0])), "stellar": True}
    record |= {"g_r_max": None, "g_r_mean": None, "firstmjd": float(mjd[0]), "lastmjd": float(mjd[-1]), "deltajd": float(np.ptp(mjd))}
    return record | {"meanra": found.ra, "meandec": found.dec, "sigmara": 1e-5, "sigmadec": 1e-5, "step_id_corr": "emulated"}


def _near(row: Any) -> bool:
    return bool(row["distnr"] < MATCH_PX)


def _total(row: Any) -> tuple[float, float, float]:
    """Return total magnitude and its two errors, as ALeRCE makes them; 100 is an error that does not exist."""
    sign, reference = 1.0 if row["positive"] else -1.0, 10.0 ** (-0.4 * row["magnr"])
    difference = 10.0 ** (-0.4 * row["magpsf"])
    total = reference + sign * difference
    error = row["sigmapsf"] * difference / total
    rest = (row["sigmapsf"] * difference) ** 2 - (reference * row["sigmagnr"]) ** 2
    return -2.5 * np.log10(total), np.sqrt(rest) / total if rest > 0 else 100.0, error


def _ztf_detection(row: Any) -> Record:
    record = {
        "tid": "ztf",
        "mjd": float(row["jd"] - JD_OF_MJD),
        "candid": str(row["candid"]),
        "fid": int(row["fid"]),
        "pid": int(row["pid"]),
    }
    record |= {"diffmaglim": float(row["diffmaglim"]), "isdiffpos": 1 if row["positive"] else -1, "nid": int(row["nid"])}
    record |= {name: float(row[name]) for name in ("distnr", "magpsf", "sigmapsf", "ra", "dec", "rb", "drb")}
    record |= {"has_stamp": True, "corrected": _near(row), "dubious": bool(not _near(row) and not row["positive"]), "parent_candid": 0}
    if _near(row):
        mag, error, error_ext = _total(row)
        record |= {"magpsf_corr": float(mag), "sigmapsf_corr": float(error), "sigmapsf_corr_ext": float(error_ext)}
    return record | {"step_id_corr": "emulated", "phase": 0.0, "rbversion": "t17_f5_c3"}


def _ztf_limit(row: Any) -> Record:
    return {"tid": "ztf", "mjd": float(row["jd"] - JD_OF_MJD), "fid": int(row["fid"]), "diffmaglim": float(row["diffmaglim"])}


def _detections(found: ztf_stream.Stream) -> list[Record]:
    return [_ztf_detection(row) for row in found.detections]


def _limits(found: ztf_stream.Stream) -> list[Record]:
    return [_ztf_limit(row) for row in found.limits]


def _forced(found: ztf_stream.Stream, row: Any) -> Record:
    """Turn a forced flux into magnitudes, as ALeRCE does."""
    flux = float(row["forcediffimflux"])
    as_detected = {"magnr": row["magnr"], "positive": flux > 0, "sigmagnr": row["sigmagnr"]}
    as_detected["magpsf"] = row["magzpsci"] - 2.5 * np.log10(abs(flux))
    as_detected["sigmapsf"] = 2.5 / np.log(10.0) * row["forcediffimfluxunc"] / abs(flux)
    mag, error, error_ext = _total(as_detected) if _near(row) else (100.0, 100.0, 100.0)
    record = {
        "candid": f"{found.oid}{row['pid']}",
        "pid": int(row["pid"]),
        "oid": found.oid,
        "tid": "ZTF",
        "sid": "ZTF",
        "aid": f"AL{found.oid[3:]}".ljust(17, "x"),
        "fid": int(row["fid"]),
        "parent_candid": None,
    }
    record |= {"mjd": float(row["jd"] - JD_OF_MJD), "ra": found.ra, "dec": found.dec, "e_ra": None, "e_dec": None}
    record |= {"mag": float(as_detected["magpsf"]), "e_mag": float(as_detected["sigmapsf"]), "isdiffpos": 1 if flux > 0 else -1}
    record |= {"mag_corr": float(mag), "e_mag_corr": float(error), "e_mag_corr_ext": float(error_ext), "corrected": _near(row)}
    extra = {name: float(row[name]) for name in ("magnr", "sigmagnr", "distnr", "ranr", "decnr", "magzpsci", "diffmaglim", "exptime")}
    return record | {
        "dubious": False,
        "has_stamp": False,
        "extra_fields": {"procstatus": "0", "programid": 1, "parent_candid": None} | extra,
    }


def _lsst(request: Request) -> lsst_stream.Stream | None:
    oid = request.first("oid")
    return lsst_stream.by_id(request.sky, int(oid)) if oid.isdecimal() else None


def _lsst_object(found: lsst_stream.Stream) -> Record:
    first, last = (float(found.detections["midpointMjdTai"][place]) for place in (0, -1))
    record = {"oid": found.dia_object_id, "tid": 1, "sid": 1, "meanra": found.ra, "meandec": found.dec, "firstmjd": first, "lastmjd": last}
    return record | {"deltamjd": last - first, "n_det": len(found.detections), "n_forced": len(found.forced), "n_non_det": 0}


def _visit(found: lsst_stream.Stream, row: Any, number: int) -> Record:
    record = {"band_map": BAND_MAP, "band": BAND_NUMBERS[str(row["band"])], "mjd": float(row["midpointMjdTai"]), "survey_id": "lsst"}
    record |= {"oid": found.dia_object_id, "measurement_id": number, "visit": int(row["visit"]), "detector": int(row["detector"])}
    return record | {name: float(row[name]) for name in ("ra", "dec", "psfFlux", "psfFluxErr", "scienceFlux", "scienceFluxErr")}


def _detection(found: lsst_stream.Stream, row: Any) -> Record:
    record = _visit(found, row, int(row["diaSourceId"])) | {"diaObjectId": found.dia_object_id, "ssObjectId": 0, "parentDiaSourceId": 0}
    record |= {name: float(row[name]) for name in ("templateFlux", "templateFluxErr", "snr", "reliability", "extendedness")}
    record |= {"psfFlux_flag": 0, "isNegative": bool(row["isNegative"]), "isDipole": False, "pixelFlags_cr": bool(row["pixelFlags_cr"])}
    return record | {"timeWithdrawnMjdTai": None, "dipoleAngle": None, "has_stamp": True}


def _json(said: Any, status: int = 200) -> Response:
    return Response(json.dumps(said).encode(), "application/json", status)


VIEWS: dict[str, Callable[[ztf_stream.Stream], Any]] = {
    "": _ztf_object,
    "lightcurve": lambda found: {"detections": _detections(found), "non_detections": _limits(found)},
    "detections": _detections,
    "non_detections": _limits,
}
ROUTES = {
    "/ztf/v1/objects/*": ztf_objects,
    "/v2/lightcurve/forced-photometry/*": forced,
    "/object_api/list_objects": lsst_list,
    "/object_api/object": lsst_object,
    "/lightcurve_api/detections": lsst_detections,
    "/lightcurve_api/forced-photometry": lsst_forced,
    "/lightcurve_api/non_detections": nothing,
}
