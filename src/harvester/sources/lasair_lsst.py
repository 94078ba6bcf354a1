"""Lasair (LSST): Rubin's alerts around a position: detections, forced photometry; needs the token of a free account, another than ZTF's.

release: continuous, since 2026-02; alerts of ZTF are those of lasair
manual: https://lasair.lsst.ac.uk/api
time: MJD in TAI, middle of the visit
magnitude: AB, from fluxes in nJy; total where scienceFlux is given, in which a host is; otherwise signed difference, as the flags say
quality: suspect by its pixel, dipole and edge flags, or a difference amid totals; bad where withdrawn
missing: null and bare NaN
cite: 2024RASTI...3..362W 2019ApJ...873..111I
"""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from harvester.alert_photometry import ALSO, LSST_TIME, answered, around, lsst, records, things
from harvester.errors import Malformed
from harvester.payload import Payload, constant
from harvester.source import Credential, Http, Pace, Query, Source

WIDEST = 1000.0  # arcsec
VISIT = ("midpointMjdTai", "band", "psfFlux", "psfFluxErr")
LISTS = {"diaSourcesList": ("diaSourceId", False), "diaForcedSourcesList": ("diaForcedSourceId", True)}
NAMES = {"decl": "dec"}
PLACE = ("diaObjectId", "ra", "dec", "firstDiaSourceMjdTai", "lastDiaSourceMjdTai")


class LasairLsst(Source):
    survey, limits = "LSST", "5 sigma; forced flux below 3 sigma is one"
    base_url = "https://api.lasair.lsst.ac.uk/api/"
    time_system, also_serves = LSST_TIME, {"LSST_FP": ALSO["LSST_FP"]}
    radius, cadence, timeout, pace = 1.5, 1.0, 90.0, Pace(per_second=1, at_once=1)  # and 100 calls an hour: 429 says when
    credentials = (
        Credential("Token {token}", "Make a free account at https://lasair.lsst.ac.uk: its page has the token.", header="Authorization"),
    )
    example = Query.at(61.964865, -48.713235)  # 313761043604045880
    cite = ("2024RASTI...3..362W", "2019ApJ...873..111I")
    acknowledgement = "This work has made use of the Lasair broker (UKRI: Edinburgh, Belfast, Oxford)."

    def fetch(self, query: Query, http: Http) -> Iterator[Payload]:
        ra, dec, radius = around(query, self.survey)
        listing = http.get("cone/", ra=ra, dec=dec, radius=min(radius, WIDEST), requestType="all")
        yield listing.about(role="objects")
        for name in names(listing):
            # lasair_added fails on old objects; lite leaves out totals, flags and the ids of forced photometry
            answer = http.get("object/", objectId=name, lite="false", lasair_added="false")
            thing = told(answer).get("diaObject")
            found = things(answer, [{NAMES.get(key, key): value for key, value in thing.items()}], self.survey, PLACE) if thing else ()
            yield answer.about(objects=found, doubt="" if found else f"lasair_lsst lists {name}, but knows nothing of it")

    def normalise(self, payload: Payload) -> pa.Table:
        said = told(payload)
        tables = []
        for key, (own, forced) in LISTS.items():
            found = records(payload, said[key], own, *VISIT, names=NAMES)
            found = found.append_column("object_id", constant(str(said["diaObjectId"]), found.num_rows))
            tables.append(lsst(found, forced=forced))
        return pa.concat_tables(tables, promote_options="default")


def names(listing: Payload) -> list[str]:
    """The objects of a cone, nearest first; the list has their distances, but not their places."""
    said = answered(listing)
    found = said.get("objects") if isinstance(said, dict) else None
    if not isinstance(found, list) or not all(isinstance(item, dict) and set(item) >= {"object", "separation"} for item in found):
        raise Malformed("lasair_lsst: expected a list of objects.", f"Received: {str(said)[:100]}", "Try again later.", payload=listing)
    return [str(item["object"]) for item in sorted(found, key=lambda item: float(item["separation"] or 0.0))]


def told(payload: Payload) -> dict[str, Any]:
    """What an answer says of one object; of none, for an empty body."""
    said = answered(payload)
    if said is None:
        return {"diaObjectId": "", **{key: [] for key in LISTS}}
    if not isinstance(said, dict) or not {"diaObjectId", *LISTS} <= said.keys():
        raise Malformed("lasair_lsst: expected an object with its sources.", f"Received: {str(said)[:100]}", payload=payload)
    return said
