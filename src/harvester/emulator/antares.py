"""ANTARES: version 2 of its API, over the simulated alert streams: loci by cone or id, the light curve of one, its alerts with their packets.

A locus is a place: it joins what ZTF and LSST have within an arcsecond. The names of the properties of LSST's alerts are those of version 1, and the
ids of these alerts are made up: no answer of version 2 was ever seen. Of Elasticsearch only what clients ask is understood (see
`antares_search`).
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import numpy as np
from astropy.coordinates import SkyCoord

from harvester.emulator import antares_search, lsst_stream, ztf_stream
from harvester.emulator.app import Request, Response
from harvester.emulator.stars import famous, separation
from harvester.emulator.transients import shining

if TYPE_CHECKING:
    from harvester.emulator.sky import Sky

NAME = "antares"
HOSTS = ("api.antares.noirlab.edu",)
JOINED_DEG, WIDEST_DEG = 1.0 / 3600.0, 1.0
LEAST_RB = 0.55
SIZES = {"degree": 1.0, "arcmin": 1 / 60.0, "arcsec": 1 / 3600.0}
PASSBANDS = {1: "g", 2: "R", 3: "i"}
NEWEST = "properties.newest_alert_observation_time"
ASTEROID, ZTF_ID, LSST_ID = "properties.ztf_ssnamenr", "properties.ztf_object_id", "properties.survey.lsst.dia_object_id"
MEASURED = "jd magpsf sigmapsf diffmaglim ra dec magnr sigmagnr distnr ranr decnr rb drb fwhm elong magdiff exptime magzpsci".split()
NUMBERED = "fid pid candid nid rcid nbad".split()
LIMITED = "jd diffmaglim magzpsci".split()
VISIT = (
    "midpointMjdTai ra dec psfFlux psfFluxErr scienceFlux scienceFluxErr templateFlux templateFluxErr snr reliability extendedness".split()
)
VISIT_NUMBERS, VISIT_FLAGS = "diaSourceId visit detector".split(), "isNegative isDipole pixelFlags_cr".split()
CURVE = """time alert_id ant_mjd ant_survey ant_ra ant_dec ant_passband ant_mag ant_magerr ant_maglim
    ant_mag_corrected ant_magerr_corrected""".split()
JD_OF_MJD, RECEIVED, ZERO_NJY = 2_400_000.5, "2026-07-03T13:28:33.479000", 31.4
Record = dict[str, Any]


@dataclass(frozen=True)
class Locus:
    """A place with alerts of ZTF, of LSST, or of both."""

    ztf: ztf_stream.Stream | None
    lsst: lsst_stream.Stream | None

    @property
    def name(self) -> str:
        """ANT, a year and letters: those of ZTF's object, else the number of LSST's."""
        return f"ANT20{self.ztf.oid[3:]}" if self.ztf else f"ANT2026n{self.lsst.dia_object_id if self.lsst else 0}"

    @property
    def place(self) -> tuple[float, float]:
        """The middle of its alerts, deg."""
        one: Any = self.ztf or self.lsst
        return one.ra, one.dec

    @property
    def tags(self) -> list[str]:
        """What filters said of it."""
        one: Any = self.ztf or self.lsst
        return [tag for tag, kind in antares_search.TAGS.items() if kind in {"", one.star.kind}]

    @cached_property
    def alerts(self) -> list[Record]:
        """All alerts and limits, in order of time."""
        made = [*_of_ztf(self.ztf), *(_visited(self.lsst, row) for row in (self.lsst.detections if self.lsst else ()))]
        return sorted(made, key=lambda alert: float(alert["mjd"]))

    @cached_property
    def properties(self) -> Record:
        """What the list tells of it."""
        alerts = self.alerts
        seen = [alert for alert in alerts if "ant_mag" in alert["properties"]] or alerts
        told: Record = {
            "num_alerts": len(alerts),
            "num_mag_values": len(seen),
            "is_corrected": "true" if self.ztf and _near(self.ztf) else "false",
        }
        for word, alert in (("oldest", seen[0]), ("newest", seen[-1])):
            told |= {f"{word}_alert_id": alert["id"], f"{word}_alert_observation_time": alert["mjd"]}
            told |= {f"{word}_alert_magnitude": alert["properties"].get("ant_mag")}
        of_lsst = [str(self.lsst.dia_object_id)] if self.lsst else []
        ids = {"ztf": {"id": [self.ztf.oid] if self.ztf else []}, "lsst": {"dia_object_id": of_lsst, "ss_object_id": []}}
        return told | ({"ztf_object_id": self.ztf.oid} if self.ztf else {}) | {"survey": ids}


def _near(found: ztf_stream.Stream) -> bool:
    return bool(found.detections["distnr"][0] < 1.4)


def _of_ztf(found: ztf_stream.Stream | None) -> list[Record]:
    if found is None:
        return []
    seen = [_candidate(found, row) for row in found.detections if row["rb"] >= LEAST_RB]
    return [*seen, *(_limit(found, row) for row in found.limits)]


def _candidate(found: ztf_stream.Stream, row: Any) -> Record:
    held: Record = {f"ztf_{name}": float(row[name]) for name in MEASURED} | {f"ztf_{name}": int(row[name]) for name in NUMBERED}
    held |= {"ztf_isdiffpos": "t" if row["positive"] else "f", "ztf_object_id": found.oid, "ztf_ssnamenr": None}
    held |= {"ant_survey": 1, "ant_ra": float(row["ra"]), "ant_dec": float(row["dec"]), "ant_passband": PASSBANDS[int(row["fid"])]}
    held |= {"ant_mag": float(row["magpsf"]), "ant_magerr": float(row["sigmapsf"]), "ant_maglim": float(row["diffmaglim"])}
    return _alert(f"ztf_candidate:{row['candid']}", float(row["jd"]) - JD_OF_MJD, held, "ztf")


def _limit(found: ztf_stream.Stream, row: Any) -> Record:
    held: Record = {f"ztf_{name}": float(row[name]) for name in LIMITED} | {"ztf_fid": int(row["fid"]), "ztf_pid": int(row["pid"])}
    held |= {
        "ztf_object_id": found.oid,
        "ant_survey": 2,
        "ant_passband": PASSBANDS[int(row["fid"])],
        "ant_maglim": float(row["diffmaglim"]),
    }
    return _alert(f"ztf_upper_limit:{found.oid}-{row['pid']}", float(row["jd"]) - JD_OF_MJD, held, "ztf")


def _visited(found: Any, row: Any) -> Record:
    held: Record = {f"lsst_diaSource_{name}": float(row[name]) for name in VISIT}
    held |= {f"lsst_diaSource_{name}": int(row[name]) for name in VISIT_NUMBERS}
    held |= {f"lsst_diaSource_{name}": bool(row[name]) for name in VISIT_FLAGS}
    held |= {"lsst_diaSource_band": str(row["band"]), "lsst_diaSource_diaObjectId": found.dia_object_id, "ant_survey": 4}
    size, error = abs(float(row["psfFlux"])), float(row["psfFluxErr"])
    held |= {"ant_mag": ZERO_NJY - 2.5 * float(np.log10(size)), "ant_magerr": 1.0857 * error / size, "ant_passband": str(row["band"])}
    held |= {"ant_ra": float(row["ra"]), "ant_dec": float(row["dec"])}
    return _alert(f"lsst_alert:{row['diaSourceId']}", float(row["midpointMjdTai"]), held, "lsst")


def _alert(name: str, mjd: float, held: Record, survey: str) -> Record:
    held = held | {"ant_mjd": mjd}
    return {"id": name, "mjd": mjd, "created_at": RECEIVED, "properties": held, "survey": survey, "grav_wave_events": []}


def near(sky: Sky, ra: float, dec: float, radius_deg: float) -> list[Locus]:
    """Return the loci of a cone."""
    ztf = [_joined(sky, one) for one in ztf_stream.near(sky, ra, dec, radius_deg)]
    of_lsst = lsst_stream.near(sky, ra, dec, radius_deg)
    mine = {one.lsst.dia_object_id for one in ztf if one.lsst}
    others = [one for one in of_lsst if one.dia_object_id not in mine]
    return [*ztf, *(Locus(None, one) for one in others if not _has_ztf(sky, one))]


def _joined(sky: Sky, one: ztf_stream.Stream) -> Locus:
    lsst = lsst_stream.stream(sky, one.star)
    return Locus(one, lsst if lsst and separation(one.ra, one.dec, lsst.ra, lsst.dec) <= JOINED_DEG else None)


def _has_ztf(sky: Sky, one: lsst_stream.Stream) -> bool:
    """Whether the locus of an object of LSST is that of one of ZTF, whose place lies outside the cone."""
    ztf = ztf_stream.stream(sky, one.star)
    return bool(ztf and _joined(sky, ztf).lsst)


def by_name(sky: Sky, name: str) -> Locus | None:
    """Return a locus by its own name."""
    if name.startswith("ANT2026n") and name[8:].isdecimal():
        found = lsst_stream.by_id(sky, int(name[8:]))
        return Locus(None, found) if found else None
    ztf = ztf_stream.by_id(sky, f"ZTF{name[5:]}")
    return _joined(sky, ztf) if ztf else None


def loci(request: Request) -> Response:
    """List the loci that an Elasticsearch query finds, the newest first; one of them, or its alerts, where the path names it."""
    if request.tail:
        return _one(request)
    try:
        found = _searched(request.sky, json.loads(request.first("elasticsearch_query", "{}")))
        size, page = int(request.first("limit", "10")), int(request.first("page", "1"))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return _said({"errors": [{"status": 400, "title": "Bad Request", "detail": f"cannot parse the query: {error}"}]}, 400)
    found.sort(key=lambda locus: float(locus.properties["newest_alert_observation_time"]), reverse=True)
    asked = [(name, value) for name, value in request.params if name != "page"]
    more = urlencode([*asked, ("page", str(page + 1))]) if len(found) > page * size else ""
    links = {
        "self": f"{request.root}{request.path}?{urlencode(request.params)}",
        "next": f"{request.root}{request.path}?{more}" if more else None,
    }
    return _said(
        {"data": [_listed(locus) for locus in found[(page - 1) * size : page * size]], "meta": {"count": len(found)}, "links": links}
    )


def _searched(sky: Sky, query: Record) -> list[Any]:
    """Return what fulfils all filters: of the loci of a cone, of an id or an asteroid, else of all that may be new enough."""
    asked = antares_search.filters(query)
    cones, bodies = [one["sky_distance"] for one in asked if "sky_distance" in one], antares_search.terms(asked, ASTEROID)
    names = [name for field in (ZTF_ID, LSST_ID) for name in antares_search.terms(asked, field)]
    if cones:
        found: list[Any] = [locus for one in cones for locus in _in_cone(sky, one)]
    elif names:
        found = [one for name in names if (one := _of_survey(sky, name))]
    elif bodies:
        found = [*antares_search.asteroid_loci(sky.seed, bodies, min(sky.now, ztf_stream.NIGHTS[1]))]
    else:
        found = _newer(
            sky,
            antares_search.lower_bound(asked, NEWEST),
            {antares_search.TAGS.get(tag, tag) for tag in antares_search.terms(asked, "tags")},
        )
    return [locus for locus in found if all(antares_search.fits(locus, one) for one in asked)]


def _newer(sky: Sky, since: float, kinds: set[str]) -> list[Locus]:
    """Return the loci that may have had an alert since an MJD; of some kinds of star ("" is every kind), if there are any."""
    begin = since if since > lsst_stream.NIGHTS[1] else 0.0  # LSST sees a supernova for longer than ZTF
    stars = [*(famous() if since <= ztf_stream.NIGHTS[1] else ()), *shining(sky.seed, begin, min(sky.now, 1e6))]
    meant = [star for star in stars if kinds <= {"", star.kind}]
    pairs = [(ztf_stream.stream(sky, star), lsst_stream.stream(sky, star)) for star in meant]
    ztf = [_joined(sky, one) for one, _ in pairs if one]
    return [*ztf, *(Locus(None, lsst) for _, lsst in pairs if lsst and not _has_ztf(sky, lsst))]


def _in_cone(sky: Sky, asked: Record) -> list[Locus]:
    size, unit = asked["radius"].split()
    radius = float(size) * SIZES[unit]
    if radius > WIDEST_DEG:
        raise ValueError("the radius is larger than 1 degree")
    centre = SkyCoord(asked["location"])
    return near(sky, float(centre.ra.deg), float(centre.dec.deg), radius)


def _of_survey(sky: Sky, name: str) -> Locus | None:
    if not name.isdecimal():
        ztf = ztf_stream.by_id(sky, name)
        return _joined(sky, ztf) if ztf else None
    lsst = lsst_stream.by_id(sky, int(name))
    return next((locus for locus in near(sky, lsst.ra, lsst.dec, JOINED_DEG) if locus.lsst is lsst), None) if lsst else None


def _one(request: Request) -> Response:
    name, _, part = request.tail.partition("/")
    if name == "statistics":
        tags = {tag: 100 + number for number, tag in enumerate(antares_search.TAGS)}
        return _said({"data": {"id": "1", "catalogs": {}, "tags": tags, "min_num_measurements": 1, "max_num_measurements": 4000}})
    locus = by_name(request.sky, name)
    if locus is None or part not in {"", "alerts", "catalog-matches"}:
        return _said({"errors": [{"status": 404, "title": "Not Found", "detail": f"no locus {name}"}]}, 404)
    if part:
        return _said({"data": locus.alerts if part == "alerts" else [], "meta": None, "links": None})
    ra, dec = locus.place
    told: Record = {"id": name, "htm16": None, "ra": ra, "dec": dec, "grav_wave_events": [], "internal_properties": locus.properties}
    return _said({"data": told | {"user_properties": {}, "lightcurve": _curve(locus), "tags": locus.tags, "catalogs": []}})


def _listed(locus: Any) -> Record:
    ra, dec = locus.place
    told: Record = {"locus_id": locus.name, "ra": ra, "dec": dec, "htm16": None, "properties": locus.properties}
    return {"locus": told | {"tags": locus.tags, "grav_wave_events": [], "catalogs": []}}


def _curve(locus: Locus) -> str:
    """Write the light curve as CSV; magnitudes are corrected where the first detection was."""
    text = io.StringIO()
    writer = csv.DictWriter(text, CURVE, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for alert in locus.alerts:
        held = alert["properties"]
        corrected = _corrected(held) if locus.properties["is_corrected"] == "true" and held["ant_survey"] == 1 else {}
        writer.writerow(held | corrected | {"time": alert["mjd"], "alert_id": alert["id"]})
    return text.getvalue()


def _corrected(held: Record) -> Record:
    difference, reference = (10.0 ** (-0.4 * held[name]) for name in ("ztf_magpsf", "ztf_magnr"))
    total = reference + (difference if held["ztf_isdiffpos"] == "t" else -difference)
    error = np.hypot(held["ztf_sigmapsf"] * difference, held["ztf_sigmagnr"] * reference) / total
    return {"ant_mag_corrected": -2.5 * float(np.log10(total)), "ant_magerr_corrected": float(error)}


def _said(what: Any, status: int = 200) -> Response:
    return Response(json.dumps(what).encode(), "application/json", status)


ROUTES = {"/v2/loci/*": loci}
METHODS = {"/v2/loci/*": ("GET", "HEAD")}
