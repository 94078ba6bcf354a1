"""Lasair (ZTF): alerts around a position: detections, limits, forced photometry; needs the token of a free account.

release: continuous; ZTF since 2018-06, its forced photometry since 2023-10; Rubin's alerts are those of lasair_lsst
manual: https://lasair-ztf.lsst.ac.uk/api
time: JD in UTC, start of the exposure (30 s), taken as MJD
magnitude: AB; total where forced photometry of the same answer shows that the reference's source is the object (no distnr is served); otherwise
  signed difference, as the flags say
errors: as served; of a total the difference's alone
quality: ZTF: suspect below rb 0.65 (drb 0.5) or without both, beyond cuts on nbad, fwhm, elong, magdiff, if negative, or a total amid differences;
  forced: suspect where procstatus warns (56, 57), bad where it failed
missing: null, "null", -999, forced fluxes of -99999; a candidate without candid is a limit, whatever its magpsf; no rb, nbad, fwhm, elong
cite: 2019RNAAS...3...26S 2019PASP..131a8003M
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harvester.alert_photometry import ALSO, JD_OF_MJD, ZTF_TIME, answered, around, records, things, with_references, ztf_alerts, ztf_forced
from harvester.errors import Malformed
from harvester.payload import Payload, SkyObject, constant, number, numpy
from harvester.source import Credential, Http, Pace, Query, Source

WIDEST = 1000.0  # arcsec
DETECTED = ("candid", "isdiffpos", "magpsf", "sigmapsf", "magnr", "ra", "dec")
FORCED = ("forcediffimflux", "forcediffimfluxunc", "magzpsci", "ranr", "decnr")
PLACE = ("id", "ra", "dec", "epoch", "epoch")


class Lasair(Source):
    survey, limits = "ZTF", "5 sigma; forced flux below 3 sigma is one"
    base_url = "https://lasair-ztf.lsst.ac.uk/api/"
    time_system, also_serves = ZTF_TIME, {"ZTF_FP": ALSO["ZTF_FP"]}
    radius, cadence, timeout, pace = 1.5, 1.0, 90.0, Pace(per_second=1, at_once=1)  # and 100 calls an hour: 429 says when
    credentials = (
        Credential(
            "Token {token}", "Make a free account at https://lasair-ztf.lsst.ac.uk: its page has the token.", header="Authorization"
        ),
    )
    example = Query.at(52.6833968, 30.5462915)  # ZTF18aaaduje
    cite = ("2019RNAAS...3...26S", "2019PASP..131a8003M")
    acknowledgement = "This work has made use of the Lasair broker (UKRI: Edinburgh, Belfast, Oxford)."

    def fetch(self, query: Query, http: Http) -> Iterator[Payload]:
        ra, dec, radius = around(query, self.survey)
        listing = http.get("cone/", ra=ra, dec=dec, radius=min(radius, WIDEST), requestType="all")
        yield listing.about(role="objects")
        for name in names(listing):
            answer = http.get("object/", objectId=name, lite="true", lasair_added="false")
            found = place(answer)
            yield answer.about(objects=found, doubt="" if found else f"lasair lists {name}, but sent no detection of it")

    def normalise(self, payload: Payload) -> pa.Table:
        detections, limits, forced = parts(payload)
        detections, forced = with_references(detections, forced)
        return pa.concat_tables([ztf_alerts(detections, limits), ztf_forced(forced)], promote_options="default")


def names(listing: Payload) -> list[str]:
    """The objects of a cone, nearest first; the list has their distances, but not their places."""
    found = answered(listing)
    if not isinstance(found, list) or not all(isinstance(item, dict) and set(item) >= {"object", "separation"} for item in found):
        raise Malformed("lasair: expected a list of objects.", f"Received: {str(found)[:100]}", "Try again later.", payload=listing)
    return [str(item["object"]) for item in sorted(found, key=lambda item: float(item["separation"] or 0.0))]


def parts(payload: Payload) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Detections, limits and forced photometry of one object."""
    said: Any = {"objectId": "", "candidates": [], "forcedphot": []} if (found := answered(payload)) is None else found
    lists = [said.get(key) for key in ("candidates", "forcedphot")] if isinstance(said, dict) and "objectId" in said else [None]
    if not all(isinstance(rows, list) and all(isinstance(row, dict) for row in rows) for rows in lists):
        raise Malformed("lasair: expected an object with its candidates.", f"Received: {str(said)[:100]}", payload=payload)
    seen, limits = ([row for row in said["candidates"] if (row.get("candid") is not None) == is_seen] for is_seen in (True, False))
    made = [(seen, DETECTED), (limits, ("diffmaglim",)), (said["forcedphot"], FORCED)]
    detections, depths, forced = (timed(payload, rows, str(said["objectId"]), required) for rows, required in made)
    return detections, depths, forced.filter(pc.is_valid(forced["forcediffimflux"]))


def timed(payload: Payload, rows: list[dict[str, Any]], name: str, required: tuple[str, ...]) -> pa.Table:
    found = records(payload, rows, "jd", "fid", *required)
    found = found.drop_columns([word for word in ("mjd", "object_id") if word in found.column_names])
    found = found.append_column("mjd", pc.subtract(number(found["jd"]), JD_OF_MJD))
    return found.append_column("object_id", constant(name, found.num_rows))


def place(answer: Payload) -> tuple[SkyObject, ...]:
    """The object where the middle one of its detections lies; right ascension may pass 360 degrees."""
    detections, *_ = parts(answer)
    if not detections.num_rows:
        return ()
    ra, dec, jd = (numpy(number(detections[name])) for name in ("ra", "dec", "jd"))
    middle = ra[0] + np.median((ra - ra[0] + 180.0) % 360.0 - 180.0)
    where = {"id": detections["object_id"][0].as_py(), "ra": middle % 360.0, "dec": np.median(dec), "epoch": np.median(jd)}
    return things(answer, [where], "ZTF", PLACE)
