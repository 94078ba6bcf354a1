"""ZTF public data release: PSF light curves around a position, served by IRSA.

release: DR24, 2018-03 to 2025-06
manual: https://irsa.ipac.caltech.edu/docs/program_interface/ztf_lightcurve_api.html
time: MJD in UTC, start of the exposure, whole seconds; middle = start + exptime/2
magnitude: AB, PSF, without the colour term; detections only, limitmag is the depth (5 sigma) of each
quality: bad with bit 32768 of catflags, suspect with any other bit or where they cannot be read
missing: empty fields; a header without rows, which the service also sends when it fails
cite: 2019PASP..131a8003M 2019PASP..131a8002B
"""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from harvester.errors import Malformed
from harvester.payload import Payload, constant, integer, mapped, number, read_table, text
from harvester.source import Http, Pace, Query, Source, TimeSystem

PATH = "cgi-bin/ZTF/nph_light_curves"
RELEASE = "ztf_dr24"
CONTROL = "1499202400017799"  # an object that DR24 certainly holds
FILTERS = {"zg": "g", "zr": "r", "zi": "i"}
BAD_EPOCH = 32768  # catflags bit: do not use this epoch
LIMIT_SIGMA = 5.0
MIDDLE, HALF_SPAN = 2021.85, 3.75  # of the survey, Julian years
SOUTHERN_LIMIT = -31.0
NO_ROWS, A_ROW = b"no rows returned", 2  # what it says instead of a table; lines of a table that has a row
COLUMNS = ("oid", "mjd", "mag", "magerr", "catflags", "filtercode", "ra", "dec", "exptime")
KEPT_FLAGS = ("catflags", "field", "ccdid", "qid", "programid")


class ZtfDr(Source):
    survey, release = "ZTF_DR", RELEASE
    base_url = "https://irsa.ipac.caltech.edu/"
    time_system = TimeSystem("mjd", "utc", "observatory", site="Palomar", stamp="start", sigma_s=0.5)
    radius, scatter, cadence, timeout, pace = 1.5, 0.7, 60.0, 300.0, Pace(per_second=2, at_once=2)
    incremental = True
    example = Query.at(298.0025212, 29.8714918, since=58200, until=58300)  # object 686103400034440
    cite = ("2019PASP..131a8003M", "2019PASP..131a8002B")
    acknowledgement = "Based on observations obtained with the Samuel Oschin 48-inch Telescope at Palomar Observatory as part of ZTF."

    def fetch(self, query: Query, http: Http) -> Iterator[Payload]:
        ra, dec = query.target.at(MIDDLE)
        radius = query.radius + query.target.speed * HALF_SPAN
        window = {} if query.since is None and query.until is None else {"TIME": f"{query.since or '-Inf'} {query.until or 'Inf'}"}
        answer = http.get(PATH, POS=f"CIRCLE {ra:.6f} {dec:.6f} {radius / 3600:.6f}", COLLECTION=RELEASE, FORMAT="CSV", **window)
        if answer.body.count(b"\n") < A_ROW and not detections(answer).num_rows and dec > SOUTHERN_LIMIT and not alive(http):
            answer = answer.about(doubt="no rows, but none for an object that certainly has some either: the service is failing")
        yield answer

    def normalise(self, payload: Payload) -> pa.Table:
        rows = detections(payload)
        catflags = integer(rows["catflags"])
        bad = pc.not_equal(pc.bit_wise_and(catflags, BAD_EPOCH), 0)
        table = {
            "passband": mapped(rows["filtercode"], FILTERS),
            "time": number(rows["mjd"]),
            "exptime": number(rows["exptime"]),
            "mag": number(rows["mag"]),
            "mag_err": number(rows["magerr"]),
            "quality": pc.if_else(bad, 2, pc.if_else(pc.not_equal(catflags, 0), 1, 0)),
            "flags": flags(rows),
            "object_id": text(rows["oid"]),
            "ra": number(rows["ra"]),
            "dec": number(rows["dec"]),
        }
        if "expid" in rows.column_names:
            table["observation_id"] = pc.binary_join_element_wise(table["object_id"], text(rows["expid"]), "-")
        if "limitmag" in rows.column_names:
            table |= {"limiting_mag": number(rows["limitmag"]), "limit_sigma": constant(LIMIT_SIGMA, rows.num_rows)}
        return pa.table(table)


def detections(payload: Payload) -> pa.Table:
    """The rows of an answer; the service says that there are none with nothing, a header only, or a sentence."""
    empty = payload.body[:80].strip().lower().startswith(NO_ROWS)
    return read_table(payload.about(body=b"") if empty else payload, *COLUMNS)


def alive(http: Http) -> bool:
    """Whether the service has rows of an object that certainly has some."""
    try:
        return bool(detections(http.get(PATH, ID=CONTROL, COLLECTION=RELEASE, FORMAT="CSV")).num_rows)
    except Malformed:
        return False


def flags(rows: pa.Table) -> pa.ChunkedArray:
    words = [pc.binary_join_element_wise(name, pc.fill_null(text(rows[name]), ""), "=") for name in KEPT_FLAGS if name in rows.column_names]
    return pc.binary_join_element_wise(*words, " ")
