"""TNS: the photometry that came with the reports of transients, under the survey that took it.

release: continuous; a few points per object, not a survey's light curve
manual: https://www.wis-tns.org/help
time: JD in UTC, start or middle of the exposure as the reporter understood it
magnitude: as each point says, AB or Vega; turned into the system of its passband, and then suspect; limits of unknown sigma
quality: suspect where a magnitude had to be turned into the other system (AB, Vega); nothing else is graded
missing: null or empty text; a point without flux is a limit
cite: 2021AAS...23742305G
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from harvester.brightness import ab_from_vega, vega_from_ab
from harvester.errors import Malformed
from harvester.passbands import passbands
from harvester.payload import Payload, constant, number, words
from harvester.source import Http, Pace, Query, Source, TimeSystem
from harvester.tns_api import CREDENTIALS, FILTERS, bare_names, reply

CAMERAS = "ZTF 196,GAIA_ALERTS 163,ASASSN 195,LSST 287 289,ATLAS 153 159 160 255 256 167 290,PS1 98 154 155 257,GOTO 218 264 265 266"
SURVEYS = {int(camera): survey for survey, *cameras in map(str.split, CAMERAS.split(",")) for camera in cameras}
SPELLED, UNITS = {"cyan": "c", "orange": "o"}, {"ABMag": ("AB", vega_from_ab), "VegaMag": ("Vega", ab_from_vega)}
KEYS, NOTHING = ("jd", "instrument.id", "telescope.id", "filters.id"), dict[str, Any](objname="", radeg=0.0, decdeg=0.0, photometry=[])


class Tns(Source):
    survey, base_url, relays, time_system = "TNS", "https://www.wis-tns.org/", True, TimeSystem("jd", "utc", "geocentre", sigma_s=150.0)
    also_serves = dict.fromkeys(sorted(set(SURVEYS.values())), time_system)
    own_passbands = tuple(replace(passbands(of)[x], survey="TNS") for of, xs in (("SDSS", "ugriz"), ("AAVSO", "UBVRI")) for x in xs)
    radius, cadence, pace, limits = 3.0, 1.0, Pace(per_second=0.5, at_once=1), "of unknown sigma"
    takes, cite, example = frozenset({"cone", "names"}), ("2021AAS...23742305G",), Query.at(244.991894, -1.174748, 3.0)  # 1999gy
    acknowledgement = "This work has made use of the Transient Name Server (TNS), and of the reports of its users."
    credentials = CREDENTIALS

    def fetch(self, query: Query, http: Http) -> Iterator[Payload]:
        target = query.target
        named = bare_names((*target.ids.get("TNS", ()), target.name, *target.aliases))
        if not named:
            cone = {"ra": f"{target.ra:.6f}", "dec": f"{target.dec:.6f}", "radius": f"{query.radius:.2f}", "units": "arcsec"}
            answer = http.post("api/get/search", data={"data": json.dumps(cone)})
            named = {str(hit["objname"]) for hit in reply(answer, list)}
            yield answer.about(role="objects")
        for name in sorted(named):
            answer = http.post("api/get/object", accept=(404,), data={"data": json.dumps({"objname": name, "photometry": "1"})})
            yield answer.about(role="objects", doubt="") if answer.doubt else answer

    def normalise(self, payload: Payload) -> pa.Table:
        thing = (reply(payload, dict) if payload.body.strip() else None) or NOTHING
        try:
            points = thing["photometry"]
            seen, name = [self.seen(point) for point in points], constant(str(thing["objname"]), len(points))
            flux, limit, shift = column(points, "flux"), column(points, "limflux"), pa.array([by for *_, by in seen], pa.float64())
            table = {
                "survey": pa.array([survey for survey, *_ in seen], pa.string()),
                "passband": pa.array([passband for _, passband, _ in seen], pa.string()),
                "time": number(column(points, "jd")),
                "mag": pc.add(number(flux), shift),
                "mag_err": number(column(points, "fluxerr")),
                "upper_limit": pc.is_null(flux),
                "limiting_mag": pc.add(number(limit), shift),
                "quality": pc.if_else(pc.equal(shift, 0.0), 0, 1),
                "flags": words("reported instrument", column(points, "instrument"), "unit", column(points, "flux_unit")),
                "object_id": name,
                "observation_id": words(name, *(column(points, key) for key in KEYS), pc.coalesce(flux, limit)),
                "exptime": number(column(points, "exptime")),
            } | {role: column(points, word) for role, word in (("facility", "telescope"), ("observer", "observer"))}
            place = {axis: constant(float(thing[f"{axis}deg"]), len(points)) for axis in ("ra", "dec")}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Malformed("tns: a report that is not as documented.", repr(error)[:150], payload=payload) from error
        return pa.table(table | place)

    def seen(self, point: dict[str, Any]) -> tuple[str, str, float]:
        """Survey, passband and what a magnitude has to be shifted by; words that do not agree make a passband that nobody knows."""
        number, word, unit = point["filters"]["id"], point["filters"]["name"].partition("-")[0], point["flux_unit"]["name"]
        family, letter = FILTERS.get(int(number), ("TNS", ""))
        taken = SURVEYS.get(int(point["instrument"]["id"]), family)
        survey = "ASASSN" if (family, taken) == ("TNS", "ASASSN") else family
        band, (system, to_other) = self.bands(survey).get(letter), UNITS.get(unit, ("", None))
        if band is None or to_other is None or SPELLED.get(word.lower(), word) != letter or survey not in {taken, "TNS"}:
            return "TNS", f"filter {number} ({word}) of {taken} in {unit}", 0.0
        return survey, letter, 0.0 if system == band.system else float(to_other(0.0, band.zeropoint_jy))


def column(points: Sequence[dict[str, Any]], name: str) -> pa.ChunkedArray:
    outer, _, inner = name.partition(".")  # of a value with parts: its name, unless another part is wanted
    values = [point[outer][inner or "name"] if isinstance(point[outer], dict) else point[outer] for point in points]
    return pa.chunked_array([[None if value in {None, ""} else str(value) for value in values]], pa.string())
