"""ALeRCE: alerts of ZTF and of LSST around a position: detections, limits, forced photometry; no account needed.

release: continuous; ZTF since 2018-06, its forced photometry since 2023-10, LSST since 2026-02
manual: https://alerce.readthedocs.io
time: ZTF: MJD in UTC, start of the exposure (30 s); LSST: MJD in TAI, middle of the visit
magnitude: AB; total where ALeRCE has corrected (ZTF) and in LSST, where a host is in it; otherwise signed difference, as the flags say
errors: as served, of LSST those of the fluxes; of a total of ZTF the difference's alone
quality: ZTF: suspect below rb 0.65 (drb 0.5), beyond cuts on nbad, fwhm, elong, magdiff, if negative, or a total amid differences;
  forced: suspect where procstatus warns (56, 57), bad where it failed;
  LSST: suspect by its flags (pixels, dipole, edge), or a difference amid totals; bad where withdrawn
missing: ZTF: keys left out; errors of 100; LSST: fluxes of 0 without an error; an empty list where there is nothing
cite: 2021AJ....161..242F 2019PASP..131a8003M 2019ApJ...873..111I
"""

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import pyarrow as pa

from harvester.alert_photometry import ALSO, ZTF_TIME, answered, around, each_survey, lsst, records, things, ztf_alerts, ztf_forced
from harvester.errors import Malformed
from harvester.payload import Payload, SkyObject, constant, mapped
from harvester.source import Http, Pace, Query, Source

LSST = "https://api-lsst.alerce.online"
LISTS: dict[str, tuple[str, dict[str, str]]] = {
    "ZTF": ("ztf/v1/objects/", {}),
    "LSST": (f"{LSST}/object_api/list_objects", {"survey": "lsst"}),
}
PHOTOMETRY = {
    "ZTF": ("ztf/v1/objects/{}/lightcurve?survey_id=ztf", "v2/lightcurve/forced-photometry/{}?survey_id=ztf"),
    "LSST": tuple(f"{LSST}/lightcurve_api/{kind}?survey_id=lsst&oid={{}}" for kind in ("detections", "forced-photometry")),
}
PAGE = 100
PLACE = ("oid", "meanra", "meandec", "firstmjd", "lastmjd")
OF_AN_OBJECT = re.compile(r"/objects/(\w+)/")
DETECTIONS = re.compile(r"/objects/\w+/detections")  # not asked for, as light curves have them: for answers that were saved
BANDS = {"1": "g", "2": "r", "3": "i", "4": "z", "5": "y", "6": "u"}
ALERT = {"magpsf_corr": "total"}
FORCED_ZTF = {"oid": "object_id", "mag": "magpsf", "e_mag": "sigmapsf", "mag_corr": "total"}
VISIT = {"oid": "object_id", "mjd": "midpointMjdTai"}


class Alerce(Source):
    survey, limits = "ZTF", "5 sigma; forced flux below 3 sigma is one"
    base_url = "https://api.alerce.online/"
    time_system, also_serves = ZTF_TIME, ALSO
    radius, cadence, timeout, pace = 1.5, 1.0, 90.0, Pace(per_second=2, at_once=2)
    example = Query.at(279.904766, -4.870888)  # ZTF18abcgqmz
    cite = ("2021AJ....161..242F", "2019PASP..131a8003M", "2019ApJ...873..111I")
    acknowledgement = "This work has made use of the ALeRCE broker (Automatic Learning for the Rapid Classification of Events)."

    def fetch(self, query: Query, http: Http) -> Iterator[Payload]:
        yield from each_survey(LISTS, partial(of_survey, query, http))

    def normalise(self, payload: Payload) -> pa.Table:
        said, forced = answered(payload), "/forced-photometry" in payload.url
        said = {"detections": said, "non_detections": []} if DETECTIONS.search(payload.url) else said
        if isinstance(said, dict) and "detections" in said:
            return light_curve(payload, said)
        rows = said.get("forced_photometry") if isinstance(said, dict) else [] if said is None else said
        if forced and "lsst" not in payload.url:
            return ztf_forced(records(payload, rows, "object_id", "mjd", "fid", "magpsf", "sigmapsf", "isdiffpos", names=FORCED_ZTF))
        names = VISIT | {"measurement_id": "diaForcedSourceId" if forced else "diaSourceId"}
        found = records(payload, rows, "object_id", "midpointMjdTai", "band", "psfFlux", "psfFluxErr", *names.values(), names=names)
        return lsst(found.set_column(found.column_names.index("band"), "band", mapped(found["band"], BANDS)), forced=forced)


def of_survey(query: Query, http: Http, survey: str) -> Iterator[Payload]:
    (path, words), (ra, dec, radius) = LISTS[survey], around(query, survey)
    found: list[SkyObject] = []
    for answer in listed(http, path, {"ra": ra, "dec": dec, "radius": radius} | words):
        listing = answer.about(role="objects", objects=things(answer, items(answer), survey, PLACE))
        found += listing.objects
        yield listing
    names = dict.fromkeys(thing.object_id for thing in found)
    yield from (http.get(path.format(name)) for name in names for path in PHOTOMETRY[survey])


def listed(http: Http, path: str, where: dict[str, Any]) -> Iterator[Payload]:
    """All pages of a list; whether there is a next one is not to be had from has_next, which may say no when there is."""
    full, page = True, 1
    while full:
        answer = http.get(path, **where, page=page, page_size=PAGE, count="false")
        yield answer
        full, page = len(items(answer)) >= PAGE, page + 1


def items(answer: Payload) -> list[dict[str, Any]]:
    said = answered(answer)
    found = said.get("items") if isinstance(said, dict) else None
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise Malformed("alerce: expected a list of objects.", f"Received: {str(said)[:100]}", "Try again later.", payload=answer)
    return found


def light_curve(payload: Payload, said: dict[str, Any]) -> pa.Table:
    """Detections and limits of one object of ZTF, whose name stands in the question alone."""
    named = OF_AN_OBJECT.search(payload.url)
    if named is None:
        raise Malformed("alerce: a light curve without its object.", f"Asked: {payload.url[:100]}", payload=payload)
    parts = (said["detections"], ("candid", "isdiffpos", "magpsf", "sigmapsf")), (said.get("non_detections"), ("diffmaglim",))
    tables = [records(payload, rows, "mjd", "fid", *own, names=ALERT) for rows, own in parts]
    return ztf_alerts(*(table.append_column("object_id", constant(named[1], table.num_rows)) for table in tables))
