"""ASAS-SN: the whole sky in V and g since 2012, from the light curve servers of Sky Patrol v2, and from files saved of v1 and v2.

release: continuous, sometimes reprocessed; V 2012 to 2018, g since 2017; stars of the catalogue master_list, in pixels of 8 arcsec
manual: http://asas-sn.ifa.hawaii.edu/documentation/ (the servers know no https: what they send could be changed on the way)
time: JD in UTC, taken as the middle of three exposures of 90 s and not reduced to the Sun; v1: UT Date, the same instant as its HJD
magnitude: V Vega, g AB, total light; the flux of V, which the survey scales 5.5 % too high, is scaled to its magnitude; limits 5 sigma
quality: G good, U suspect, B bad, another word or none suspect; v1 grades nothing
missing: mag_err above 99, or a magnitude that begins with >, where there is a limit alone
cite: 2014ApJ...788...48S 2017PASP..129j4502K 2023arXiv230403791H
"""

import re
from base64 import encodebytes
from collections.abc import Iterator
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc

from harvester.errors import Resting, Unreachable
from harvester.payload import Payload, constant, integer, mapped, number, read_json, read_table, require, sky_objects, text, words
from harvester.source import Http, Pace, Query, Source, TimeSystem

CATALOGUE, COLUMNS = "master_list", ["asas_sn_id", "ra_deg", "dec_deg", "catalog_sources"]
ASKED = {"catalog": CATALOGUE, "cols": COLUMNS, "format": "arrow"}
CONTROL = {"tar_ids": [12702], "id_col": "asas_sn_id", "download": False}  # VX Men, which the catalogue certainly holds
CATALOGUE_EPOCH, UNIX_JD, MOST_SERVERS = 2015.5, 2_440_587.5, 3  # places are those of Gaia DR2
CAMERAS = dict.fromkeys("ba bb bc bd be bf bg bh".split(), "V")  # case matters: be is not bE
CAMERAS |= dict.fromkeys("bA bB bC bD bE bF bG bH bi bj bk bl bm bn bo bp bq br bs bt".split(), "g")
UJY = {"V": "947.78", "g": "999.94"}  # of one mJy: magnitude 0 is 3836.32 Jy in the survey's flux of V, 3631 in that of g
NO_MAG, LIMIT_SIGMA, OPTIONAL = 99.0, 5.0, ("filter", "quality", "image_id")
GRADES = {"": "0", "G": "0", "U": "1", "B": "2"}  # v1 grades nothing
SPELLINGS = [of.split("|") for of in "jd|ut date,flux|flux(mjy),flux_err|flux error,mag,mag_err|mag error,limit,fwhm,camera|cam".split(",")]


class Asassn(Source):
    survey, limits, base_url, plain_http = "ASASSN", "5 sigma", "http://asassn-lb01.ifa.hawaii.edu:9006/", True
    time_system = TimeSystem("jd", "utc", "geocentre", sigma_s=135.0)
    radius, cadence, pace, example = 7.0, 1.0, Pace(per_second=1, at_once=1), Query.at(93.64191, -79.68402, 40.0)  # around VX Men
    acknowledgement = "This work has made use of data from the All-Sky Automated Survey for Supernovae (ASAS-SN)."
    cite = ("2014ApJ...788...48S", "2017PASP..129j4502K", "2023arXiv230403791H")

    def fetch(self, query: Query, http: Http) -> Iterator[Payload]:
        (ra, dec), radius = (round(angle, 7) for angle in query.target.at(CATALOGUE_EPOCH)), round(query.radius / 3600, 9)
        answer = http.post(f"lookup_cone/radius{radius}_ra{ra}_dec{dec}", json=ASKED | {"download": True})
        found = read_table(answer, *COLUMNS[:3])
        stars = sky_objects(found.append_column("epoch", constant(CATALOGUE_EPOCH, found.num_rows)), *COLUMNS[:3], "epoch")
        alive = stars or read_table(http.post("lookup_targets/catalog_list", json=ASKED | CONTROL), COLUMNS[0]).num_rows
        yield answer.about(role="objects", objects=stars, doubt="" if alive else "not even a star that it certainly holds")
        if stars:
            asked = f"conectr-{radius}_conera-{ra}_conedec-{dec}|catalog-{CATALOGUE}|cols-{'/'.join(COLUMNS)}"
            yield block(http, quote(encodebytes(asked.encode()), safe="/+=")).about(objects=stars)

    def normalise(self, payload: Payload) -> pa.Table:
        rows = observations(payload)
        said, mag_err, star = pc.fill_null(text(rows["mag"]), ""), number(rows["mag_err"]), rows["star"]
        passband = mapped(rows["filter"], {"V": "V", "g": "g"} | CAMERAS)
        limit = pc.or_(pc.starts_with(said, ">"), pc.fill_null(pc.greater(mag_err, NO_MAG), False))
        ujy = number(mapped(passband, UJY))
        table = {
            "passband": passband,
            "time": rows["time"],
            "mag": number(pc.if_else(pc.or_(limit, pc.is_in(said, value_set=pa.array(["", "nan"]))), None, said)),
            "mag_err": pc.if_else(limit, None, mag_err),
            "flux": pc.multiply(number(rows["flux"]), ujy),
            "flux_err": pc.multiply(number(rows["flux_err"]), ujy),
            "upper_limit": limit,
            "limiting_mag": number(rows["limit"]),
            "limit_sigma": constant(LIMIT_SIGMA, rows.num_rows),
            "flags": pc.utf8_trim_whitespace(words("camera", rows["camera"], "fwhm", rows["fwhm"], rows["quality"])),
            "object_id": star,
            "quality": integer(mapped(pc.fill_null(text(rows["quality"]), "?"), GRADES)),
            "observation_id": pc.binary_join_element_wise(star, text(rows["image_id"]), "-"),
        }
        return pa.table(table)


def block(http: Http, asked: str) -> Payload:
    """The light curves of the cone that was asked for, of the first server that has them. Raises Resting where one was not asked at all."""
    listed, resting = read_json(http.get("get_block_servers")), None
    servers = [server for server in listed if isinstance(listed, list) and re.fullmatch(r"[\w.-]+", str(server))]
    for server in servers[:MOST_SERVERS]:
        try:
            answer = http.get(f"http://{server}:9006/get_block/query_hash-{asked}-block_idx-0-catalog-{CATALOGUE}")
            if not answer.body.lstrip().startswith(b'{"error"'):
                return answer
        except Unreachable as error:
            resting = error if isinstance(error, Resting) else resting
    raise resting or Unreachable("asassn: no light curve server answers.", f"{len(servers)} are listed.", "Try again later.")


def observations(payload: Payload) -> pa.Table:
    """The rows under the names of v2, whichever of its four layouts the file has."""
    said = payload.body if payload.body.startswith(b"PAR1") else re.sub(rb"(?m)^#.*\n?", b"", payload.body)
    rows = read_table(payload.about(body=said if said.strip() else ",".join(names[0] for names in SPELLINGS).encode() + b"\n"))
    spelled = {names[0]: next((name for name in names if name in rows.column_names), names[0]) for names in SPELLINGS}
    require(rows, *spelled.values(), payload=payload)
    when = text(rows[spelled["jd"]])
    in_name = (re.findall(r"[0-9a-f]{8}-[0-9a-f-]{27}", payload.url) or ["sky-patrol"])[0]
    star = text(rows["asas_sn_id"]) if "asas_sn_id" in rows.column_names else constant(in_name, rows.num_rows)
    camera, graded = text(rows[spelled["camera"]]), {name: rows[name] for name in OPTIONAL if name in rows.column_names}
    usual = {"filter": camera, "quality": constant("", rows.num_rows), "image_id": pc.binary_join_element_wise(when, camera, "-")}
    time = of_date(when) if spelled["jd"] == "ut date" else number(rows[spelled["jd"]])
    return pa.table({role: rows[name] for role, name in spelled.items()} | usual | graded | {"time": time, "star": star})


def of_date(when: pa.ChunkedArray) -> pa.ChunkedArray:
    """JD of 2016-02-02.1500246; what is no such date is no time, for quarantine."""
    midnight = pc.cast(pc.strptime(pc.utf8_slice_codeunits(when, 0, 10), "%Y-%m-%d", "s", error_is_null=True), pa.int64())
    return pc.add(pc.add(pc.divide(pc.cast(midnight, pa.float64()), 86400.0), UNIX_JD), number(pc.utf8_slice_codeunits(when, 10)))
