"""ANTARES: alerts of ZTF and of LSST around a position, or of a locus by its id: detections, limits; no account needed.

release: continuous; ZTF since 2018-06 (real-bogus scores from 0.55 on), LSST since 2026-02
manual: https://nsf-noirlab.gitlab.io/csdc/antares/client
time: ZTF: JD in UTC, start of the exposure, taken as MJD; LSST: MJD in TAI, middle of the visit
magnitude: AB; total where the reference's source is the object (ZTF) and where LSST's scienceFlux is given, in which a host is; otherwise signed
  difference, as the flags say; error of a total: the difference's alone
quality: ZTF: suspect beyond its cuts on rb, nbad, fwhm, elong, magdiff, or a total amid differences; LSST: by its flags; bad where withdrawn
missing: keys left out, null; upper limits are alerts without candid; alerts of DECam, which ANTARES has as well, are left out
cite: 2021AJ....161..107M 2019PASP..131a8003M 2019ApJ...873..111I
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from harvester.alert_photometry import ALSO, JD_OF_MJD, ZTF_TIME, around, lsst, records, things, ztf_alerts
from harvester.antares_api import NEWEST_FIRST, cone, data, pages
from harvester.errors import Malformed
from harvester.payload import Payload, SkyObject, number
from harvester.source import Http, Pace, Query, Source

LOCUS = re.compile(r"ANT\d{4}[a-z0-9]+")
PAGE = 100
SEEN = ("object_id", "jd", "fid", "candid", "isdiffpos", "magpsf", "sigmapsf", "magnr", "distnr", "ra", "dec")
LIMIT = ("object_id", "jd", "fid", "diffmaglim")
VISIT = ("diaObjectId", "diaSourceId", "midpointMjdTai", "band", "psfFlux", "psfFluxErr")
ZTF_WORD, LSST_WORD, DECAM = "ztf_", "lsst_diaSource_", "3"
PLACE = ("id", "ra", "dec", "oldest_alert_observation_time", "newest_alert_observation_time")


class Antares(Source):
    survey, limits, base_url = "ZTF", "5 sigma (ZTF)", "https://api.antares.noirlab.edu/v2/"
    example = Query.at(358.8877707, 2.0821289)  # ANT2019b5sdo
    time_system, also_serves = ZTF_TIME, {"LSST": ALSO["LSST"]}
    radius, cadence, timeout, pace, takes = 1.5, 1.0, 90.0, Pace(per_second=2, at_once=2), frozenset({"cone", "ids"})
    cite = ("2021AJ....161..107M", "2019PASP..131a8003M", "2019ApJ...873..111I")
    acknowledgement = "This work has made use of the ANTARES broker (NSF NOIRLab, University of Arizona)."

    def fetch(self, query: Query, http: Http) -> Iterator[Payload]:
        loci = [name for name in (query.target.name, *query.target.aliases) if LOCUS.fullmatch(name)]
        for centre in () if loci else dict.fromkeys(around(query, survey) for survey in self.systems()):
            asked = {"query": {"bool": {"filter": {"sky_distance": cone(*centre)}}}}
            for page in pages(http, "loci", limit=PAGE, sort=NEWEST_FIRST, elasticsearch_query=json.dumps(asked)):
                yield page.about(role="objects", objects=self.things(page))
                loci += [str(item["locus"]["locus_id"]) for item in data(page)]
        for locus in dict.fromkeys(loci):
            for page in pages(http, f"loci/{locus}/alerts", accept=(404,)):
                yield page.about(role="objects", doubt="") if page.doubt else page

    def normalise(self, payload: Payload) -> pa.Table:
        sorts: dict[str, list[dict[str, Any]]] = {"seen": [], "limit": [], "lsst": [], "left out": []}
        for alert in data(payload):
            held = alert.get("attributes", alert).get("properties")  # version 1 put the alert into its attributes
            sorts[sort(held, payload)].append({key.removeprefix(LSST_WORD).removeprefix(ZTF_WORD): held[key] for key in held})
        seen, limit = records(payload, sorts["seen"], *SEEN), records(payload, sorts["limit"], *LIMIT)
        seen, limit = (rows.append_column("mjd", pc.subtract(number(rows["jd"]), JD_OF_MJD)) for rows in (seen, limit))
        visits = records(payload, sorts["lsst"], *VISIT).rename_columns({"diaObjectId": "object_id"})
        return pa.concat_tables([ztf_alerts(seen, limit), lsst(visits)], promote_options="default")

    def things(self, page: Payload) -> tuple[SkyObject, ...]:
        """The surveys' own objects that a locus joins, all of them where it lies."""
        found: dict[str, list[dict[str, Any]]] = {"ZTF": [], "LSST": []}
        for item in data(page):
            locus = item.get("locus")
            if not isinstance(locus, dict) or "locus_id" not in locus or not isinstance(held := locus.get("properties"), dict):
                raise Malformed("antares: a locus without its id or properties.", payload=page)
            surveys = held.get("survey") or {}
            of_ztf = [held.get("ztf_object_id"), *(surveys.get("ztf") or {}).get("id", ())]
            of_lsst = (surveys.get("lsst") or {}).get("dia_object_id", ())
            for survey, ids in (("ZTF", of_ztf), ("LSST", of_lsst)):
                found[survey] += [held | {"id": name, "ra": locus.get("ra"), "dec": locus.get("dec")} for name in ids if name]
        return tuple(thing for survey, listed in found.items() for thing in things(page, listed, survey, PLACE) if thing.survey in found)


def sort(held: Any, payload: Payload) -> str:
    """Which sort of alert has these properties; a survey that nobody documents is refused."""
    if not isinstance(held, dict) or not (
        held.get("ztf_jd") or f"{LSST_WORD}midpointMjdTai" in held or str(held.get("ant_survey")) == DECAM
    ):
        raise Malformed("antares: an alert of a survey that nobody documents.", f"Received: {str(held)[:100]}", payload=payload)
    if held.get("ztf_jd"):
        return "seen" if held.get("ztf_candid") else "limit"
    return "lsst" if f"{LSST_WORD}midpointMjdTai" in held else "left out"
