"""CPCS: follow-up photometry of Gaia alerts by many telescopes, calibrated by the Cambridge server that came before BHTOM.

release: closed, a repository of what was taken before BHTOM2; saved answers can be imported
manual: https://gsaweb.ast.cam.ac.uk/followup/
time: MJD as each observer sent it, taken as UTC and the middle of the exposure; observers who sent the start are off by half of one
magnitude: that of the catalogue that each row was calibrated to (APASS, SDSS, PS1 ...), which its flags name; error with that of the calibration
quality: nothing is graded; flags name the catalogue and both parts of the error
missing: an error of -1 marks a limit, of a significance that the server does not tell
cite: 2019CoSka..49..125Z
"""

import re
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from harvester.errors import Malformed
from harvester.payload import Payload, SkyObject, constant, number, read_json, require, text, words
from harvester.source import Credential, Http, Pace, Query, Source, TimeSystem

PATH = "get_alert_lc_data"
SCHEME = "ivo://"
ALERT = re.compile(r"(?:ivo://)?gaia *(\d\d[a-z]{3,})", re.IGNORECASE)
COLUMNS = ("id", "mjd", "mag", "magerr", "caliberr", "filter", "catalog", "observatory")
LIMIT = -1.0
HOW = "CPCS gave a hashtag to each of its observers; who has none can import what was saved: harvest import --format cpcs"


class Cpcs(Source):
    survey, limits = "CPCS", "of unknown sigma"
    base_url = "https://gsaweb.ast.cam.ac.uk/followup/"
    time_system = TimeSystem("mjd", "utc", "geocentre", sigma_s=75.0)
    radius, cadence, pace = 5.0, None, Pace(per_second=1, at_once=1)
    takes = frozenset({"names"})
    credentials = (Credential("hashtag={hashtag}", HOW, header="Cookie"),)
    example = Query.at(0.0, 0.0, name="Gaia19drz")  # asked by its name: the place is nobody's
    cite = ("2019CoSka..49..125Z",)
    acknowledgement = (
        "This work has made use of the Cambridge Photometric Calibration Server, and of the observers who sent their data to it."
    )

    def fetch(self, query: Query, http: Http) -> Iterator[Payload]:
        target = query.target
        called = [*target.ids.get(self.survey, ()), *target.ids.get("GAIA_ALERTS", ()), target.name, *target.aliases]
        for alert in sorted({f"Gaia{found[1].lower()}" for name in called if (found := ALERT.fullmatch(name))}):
            asked = SkyObject(alert, target.ra, target.dec, target.epoch, target.pmra, target.pmdec)
            yield http.get(PATH, alert_name=f"{SCHEME}{alert}").about(objects=(asked,))

    def normalise(self, payload: Payload) -> pa.Table:
        rows = columns(payload)
        mag, error, calibration = (number(rows[name]) for name in ("mag", "magerr", "caliberr"))
        limit = pc.fill_null(pc.equal(error, LIMIT), False)
        total = pc.sqrt(pc.add(pc.multiply(error, error), pc.multiply(calibration, calibration)))
        negative = pc.or_(pc.less(error, 0.0), pc.less(calibration, 0.0))  # other than the mark of a limit: nobody knows what it means
        table = {
            "passband": text(rows["filter"]),
            "time": number(rows["mjd"]),
            "mag": pc.if_else(limit, None, mag),
            "mag_err": pc.if_else(limit, None, pc.if_else(negative, pc.min_element_wise(error, calibration), total)),
            "upper_limit": limit,
            "limiting_mag": pc.if_else(limit, mag, None),
            "flags": words("catalog", rows["catalog"], "magerr", rows["magerr"], "caliberr", rows["caliberr"]),
            "object_id": rows["alert_name"],
            "observation_id": text(rows["id"]),
            "facility": text(rows["observatory"]),
        }
        return pa.table(table)


def columns(payload: Payload) -> pa.Table:
    """The answer as a table: an array per column, and one name of the alert. The uploaders' keys (hashtag) are left behind."""
    said = read_json(payload) if payload.body.strip() else {name: [] for name in COLUMNS} | {"alert_name": ""}
    try:
        table = pa.table({name: pa.array(said[name]) for name in COLUMNS if name in said})
        rows = table.append_column("alert_name", constant(str(said["alert_name"]).removeprefix(SCHEME), table.num_rows))
    except (pa.ArrowException, TypeError, KeyError) as error:
        what = "cpcs: expected an array per column and the name of the alert."
        raise Malformed(what, repr(error)[:150], "The service may have changed.", payload=payload) from error
    require(rows, *COLUMNS, payload=payload)
    return rows
