"""Fink: alerts of ZTF and of LSST around a position: detections, limits, forced photometry of LSST; no account needed.

release: continuous; ZTF since 2019-11 (a day behind; g and r only), LSST since 2026-02
manual: https://doc.fink-broker.org
time: ZTF: JD in UTC, start of the exposure, taken as MJD; LSST: MJD in TAI, middle of the visit
magnitude: AB; total where the reference's source is the object (ZTF) and in LSST, where a host is in it; else signed difference, as the flags say
errors: as served, of LSST those of the fluxes; of a total of ZTF the difference's alone
quality: ZTF: suspect below rb 0.65 (drb 0.5), beyond cuts on nbad, fwhm, elong, magdiff, if negative, or a total amid differences;
  LSST: suspect by its flags (pixels, dipole, edge), or a difference amid totals; bad where withdrawn
missing: null, nan, -999; a column that is null in every row is left out; an empty list where there is nothing; the candid of alerts that failed
  Fink's cuts (tag=badquality): they are suspect, and stand by object and second beside what another broker has of the same exposure
cite: 2021MNRAS.501.3272M 2019PASP..131a8003M 2019ApJ...873..111I
"""

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from harvester.alert_photometry import ALSO, JD_OF_MJD, ZTF_TIME, answered, around, each_survey, lsst, records, things, ztf_alerts
from harvester.errors import Malformed
from harvester.payload import Payload, number, require
from harvester.source import Http, Pace, Query, Source

API = {"ZTF": "https://api.ztf.fink-portal.org/api/v1", "LSST": "https://api.lsst.fink-portal.org/api/v1"}
MOST_ROWS, MOST_OBJECTS = 10_000, 1000
PLACE = {
    "ZTF": ("i:objectId", "i:ra", "i:dec", "i:jd", "i:jd"),
    "LSST": ("r:diaObjectId", "r:ra", "r:dec", "r:midpointMjdTai", "r:midpointMjdTai"),
}
PACKET = "objectId candid jd fid isdiffpos magpsf sigmapsf diffmaglim magnr distnr ra dec rb drb nbad fwhm elong magdiff exptime"
VISIT = "diaObjectId midpointMjdTai band psfFlux psfFluxErr scienceFlux scienceFluxErr ra dec visit detector"
FLAGS = """isDipole pixelFlags pixelFlags_bad pixelFlags_saturated pixelFlags_streakCenter pixelFlags_interpolated pixelFlags_cr pixelFlags_nodata
    pixelFlags_streak pixelFlags_edge psfFlux_flag apFlux_flag forced_PsfFlux_flag forced_PsfFlux_flag_edge shape_flag centroid_flag"""
ASKED = {
    "objects": ("i", PACKET),
    "sources": ("r", f"diaSourceId {VISIT} reliability timeWithdrawnMjdTai {FLAGS}"),
    "fp": ("r", f"diaForcedSourceId {VISIT}"),
}
LIGHT_CURVES: dict[str, list[tuple[str, str, dict[str, str]]]] = {
    "ZTF": [("objects", "objectId", {"withupperlim": "True"})],
    "LSST": [("sources", "diaObjectId", {}), ("fp", "diaObjectId", {})],
}
UNNAMED = re.compile(r"[ird]:")
NAMES = {"objectId": "object_id", "diaObjectId": "object_id"}
VALID, LIMIT, POOR = "valid", "upperlim", "badquality"


class Fink(Source):
    survey, limits = "ZTF", "5 sigma; forced flux below 3 sigma is one"
    base_url = "https://api.ztf.fink-portal.org/"
    time_system, also_serves = ZTF_TIME, {name: system for name, system in ALSO.items() if name != "ZTF_FP"}
    radius, cadence, timeout, pace = 1.5, 1.0, 120.0, Pace(per_second=1, at_once=2)
    example = Query.at(304.348563, -13.384255)  # ZTF26aawdxet
    cite = ("2021MNRAS.501.3272M", "2019PASP..131a8003M", "2019ApJ...873..111I")
    acknowledgement = "This work has made use of the Fink broker."

    def fetch(self, query: Query, http: Http) -> Iterator[Payload]:
        yield from each_survey(API, partial(of_survey, query, http))

    def normalise(self, payload: Payload) -> pa.Table:
        rows = rows_of(payload)
        keys = {key for row in rows for key in row}
        names = {key: NAMES.get(key[2:], key[2:]) for key in keys if UNNAMED.match(key)}
        if "i:objectId" in keys:
            return ztf(records(payload, rows, "object_id", "jd", "fid", "candid", names=names), payload)
        forced = "r:diaForcedSourceId" in keys
        own = "diaForcedSourceId" if forced else "diaSourceId"
        return lsst(records(payload, rows, own, "object_id", "midpointMjdTai", "band", "psfFlux", "psfFluxErr", names=names), forced=forced)


def of_survey(query: Query, http: Http, survey: str) -> Iterator[Payload]:
    api, (ra, dec, radius) = API[survey], around(query, survey)
    listing = http.get(f"{api}/conesearch", ra=ra, dec=dec, radius=radius, n=MOST_OBJECTS, columns=",".join(dict.fromkeys(PLACE[survey])))
    found = things(listing, rows_of(listing), survey, PLACE[survey])
    objects = tuple(thing for thing in found if thing.survey in Fink().systems())
    yield listing.about(role="objects", objects=objects)
    for name in dict.fromkeys(thing.object_id for thing in objects):
        yield from (http.get(f"{api}/{kind}", **{key: name}, **words, columns=columns(kind)) for kind, key, words in LIGHT_CURVES[survey])


def columns(kind: str) -> str:
    family, names = ASKED[kind]
    return ",".join(f"{family}:{name}" for name in names.split())


def rows_of(payload: Payload) -> list[dict[str, Any]]:
    said = [] if (found := answered(payload)) is None else found
    if not isinstance(said, list) or not all(isinstance(row, dict) for row in said):
        raise Malformed("fink: expected a list of rows.", f"Received: {str(said)[:100]}", "Try again later.", payload=payload)
    if len(said) >= MOST_ROWS:
        raise Malformed(f"fink: the answer was cut at {MOST_ROWS} rows.", payload=payload)
    return said


def ztf(rows: pa.Table, payload: Payload) -> pa.Table:
    """Detections and limits, told apart by their tag; what failed Fink's cuts (badquality) has lost its candid, and is suspect."""
    tags = pc.fill_null(rows["tag"], VALID) if "tag" in rows.column_names else pa.repeat(VALID, rows.num_rows)
    strange = set(pc.unique(tags).to_pylist()) - {VALID, LIMIT, POOR}
    if strange:
        raise Malformed(f"fink: a tag that nobody documents: {min(strange)!r}.", payload=payload)
    rows, limit = rows.append_column("mjd", pc.subtract(number(rows["jd"]), JD_OF_MJD)), pc.equal(tags, LIMIT)
    rows = rows.append_column("dubious", pc.cast(pc.equal(tags, POOR), pa.string()))
    require(rows, "isdiffpos", "magpsf", "sigmapsf", *(["diffmaglim"] if pc.any(limit).as_py() else []), payload=payload)
    return ztf_alerts(rows.filter(pc.invert(limit)), rows.filter(limit))
