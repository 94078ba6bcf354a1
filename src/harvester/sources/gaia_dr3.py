"""Gaia DR3 epoch photometry: G, BP and RP of each transit, served by ESA's archive.

release: Gaia DR3, 2014-07-25 to 2017-05-28
manual: https://www.cosmos.esa.int/web/gaia-users/archive/datalink-products
time: barycentric JD in TCB minus 2455197.5, mean of the transit; the three bands of one transit have three times
magnitude: Vega; the archive serves no error of it: 2.5/ln(10) * flux_error/flux; no upper limits
missing: empty fields; an empty answer where a source has no epoch photometry
cite: 2016A&A...595A...1G 2023A&A...674A...1G
"""

import re
from collections.abc import Iterator
from math import nan

import pyarrow as pa
import pyarrow.compute as pc

from harvester.brightness import flux_from_counts, mag_err_from_flux
from harvester.errors import Malformed, SourceError
from harvester.passbands import passband
from harvester.payload import Payload, constant, integer, joined, number, numpy, read_members, read_table, require, sky_objects, text, truth
from harvester.source import Http, Pace, Query, Source, TimeSystem

TAP = {"REQUEST": "doQuery", "LANG": "ADQL", "FORMAT": "csv"}
FORM = {"RETRIEVAL_TYPE": "EPOCH_PHOTOMETRY", "RELEASE": "Gaia DR3", "FORMAT": "csv", "VALID_DATA": "false", "USE_ZIP_ALWAYS": "true"}
STRUCTURES = ("INDIVIDUAL", "DATAMODEL_STANDARD")  # the archive's word changes with DR4
CATALOGUE_EPOCH, MOST_IDS, MOST_ROWS = 2016.0, 5000, 2000
LISTED, PLACE = "has_epoch_photometry", ("source_id", "ra", "dec", "ref_epoch", "pmra", "pmdec")
MAG_OF_ONE_COUNT = {"G": 25.6873668671, "BP": 25.3385422158, "RP": 24.7478955012}  # Vega, 1 e-/s
UJY_OF_ONE_COUNT = {b: float(flux_from_counts(1.0, m, passband(b, "GAIA_DR3").zeropoint_jy)) for b, m in MAG_OF_ONE_COUNT.items()}
REJECTED = {"G": 0, "BP": 1 << 10, "RP": 1 << 11}  # other_flags: "rejected by photometry" of one band
COLUMNS_OF = {  # one row per transit: time, flux, error, magnitude, rejected by variability, other flags
    "G": "g_transit_time g_transit_flux g_transit_flux_error g_transit_mag variability_flag_g_reject g_other_flags".split(),
    "BP": "bp_obs_time bp_flux bp_flux_error bp_mag variability_flag_bp_reject bp_other_flags".split(),
    "RP": "rp_obs_time rp_flux rp_flux_error rp_mag variability_flag_rp_reject rp_other_flags".split(),
}
BAND_COLUMNS = "time flux flux_error mag rejected_by_variability other_flags".split()


class GaiaDr3(Source):
    survey = "GAIA_DR3"
    base_url = "https://gea.esac.esa.int/"
    time_system = TimeSystem("jd-2455197.5", "tcb", "barycentre", sigma_s=1.0)
    radius, cadence, batch, pace, timeout = 1.5, None, 20, Pace(per_second=2, at_once=2), 120.0
    cite = ("2016A&A...595A...1G", "2023A&A...674A...1G")
    acknowledgement = "This work has made use of data from the European Space Agency (ESA) mission Gaia, processed by the Gaia DPAC."

    def fetch(self, query: Query, http: Http) -> Iterator[Payload]:
        answer = http.post("tap-server/tap/sync", data=TAP | {"QUERY": adql(query)})
        rows = read_table(answer, *PLACE, LISTED)
        if rows.num_rows >= MOST_ROWS:
            raise Malformed(f"gaia_dr3: the archive cut its answer at {MOST_ROWS} sources.", hint="Ask with a smaller --radius.")
        objects = sky_objects(rows, *PLACE)
        yield answer.about(role="objects", objects=objects)
        ids = text(rows.filter(truth(rows[LISTED]))["source_id"]).to_pylist()
        for first in range(0, len(ids), MOST_IDS):
            data = epoch_photometry(http, ids[first : first + MOST_IDS])
            yield data.about(objects=objects, doubt="" if data.body else "the archive lists photometry here, but sent nothing")

    def normalise(self, payload: Payload) -> pa.Table:
        return joined([table for name, rows in read_members(payload, "transit_id") for table in by_band(name, rows)])


def adql(query: Query) -> str:
    places = [target.at(CATALOGUE_EPOCH) for target in query.targets]
    circles = [f"1=CONTAINS(POINT('ICRS',ra,dec),CIRCLE('ICRS',{ra:.8f},{dec:.8f},{query.radius / 3600:.8f}))" for ra, dec in places]
    return f"SELECT TOP {MOST_ROWS} {', '.join((*PLACE, LISTED))} FROM gaiadr3.gaia_source WHERE {' OR '.join(circles)}"  # noqa: S608 - numbers only


def epoch_photometry(http: Http, ids: list[str]) -> Payload:
    form = FORM | {"ID": ",".join(ids)}
    try:
        return http.post("data-server/data", data=form | {"DATA_STRUCTURE": STRUCTURES[0]})
    except SourceError as error:
        if "Data Structure" not in str(error):
            raise
        return http.post("data-server/data", data=form | {"DATA_STRUCTURE": STRUCTURES[1]})


def by_band(name: str, rows: pa.Table) -> list[pa.Table]:
    """One row per transit (since January 2025) or one row per band (before, and DR2): the header tells."""
    in_name = (re.findall(r"(\d+)\.\w+$", name) or [None])[0]
    ids = text(rows["source_id"]) if "source_id" in rows.column_names else constant(in_name, rows.num_rows)
    rows = rows.append_column("object_id", ids)
    if "band" in rows.column_names:
        return [measurements(rows.filter(pc.equal(rows["band"], b)), b, BAND_COLUMNS) for b in pc.unique(rows["band"]).to_pylist()]
    if "g_transit_time" in rows.column_names:
        return [measurements(rows, band, columns) for band, columns in COLUMNS_OF.items()]
    raise Malformed(f"gaia_dr3: an epoch photometry layout that nobody documents ({', '.join(rows.column_names)[:90]}).")


def measurements(rows: pa.Table, band: str, columns: list[str]) -> pa.Table:
    require(rows, *columns, "rejected_by_photometry")
    rows = rows.filter(pc.or_(pc.is_valid(rows[columns[0]]), pc.is_valid(rows[columns[1]])))
    time, counts, counts_err, mag = (number(rows[name]) for name in columns[:4])
    noisy, other, rejected = truth(rows[columns[4]]), integer(rows[columns[5]]), truth(rows["rejected_by_photometry"])
    bad = pc.or_(pc.or_(noisy, rejected), pc.not_equal(pc.bit_wise_and(other, REJECTED.get(band, 0)), 0))
    table = {
        "passband": constant(band, rows.num_rows),
        "time": time,
        "mag": mag,
        "mag_err": mag_err_from_flux(numpy(counts), numpy(counts_err)),
        "flux": numpy(counts) * UJY_OF_ONE_COUNT.get(band, nan),
        "flux_err": numpy(counts_err) * UJY_OF_ONE_COUNT.get(band, nan),
        "quality": pc.if_else(bad, 2, 0),
        "flags": pc.binary_join_element_wise("variability", text(noisy), "photometry", text(rejected), "other", text(other), " "),
        "object_id": rows["object_id"],
        "observation_id": pc.binary_join_element_wise(text(rows["transit_id"]), band, "-"),
    }
    return pa.table(table)
