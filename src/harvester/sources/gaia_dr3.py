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
from harvester.payload import Payload, from_members, integer, number, numpy, read_table, require, sky_objects, text, truth, words
from harvester.source import Http, Pace, Query, Source, TimeSystem

TAP = {"REQUEST": "doQuery", "LANG": "ADQL", "FORMAT": "csv"}
FORM = {"RETRIEVAL_TYPE": "EPOCH_PHOTOMETRY", "RELEASE": "Gaia DR3", "FORMAT": "csv", "VALID_DATA": "false", "USE_ZIP_ALWAYS": "true"}
STRUCTURES = ("INDIVIDUAL", "DATAMODEL_STANDARD")  # the archive's word changes with DR4
CATALOGUE_EPOCH, MOST_IDS, MOST_ROWS = 2016.0, 5000, 2000
PLACE = ("source_id", "ra", "dec", "ref_epoch", "pmra", "pmdec", "has_epoch_photometry")
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
    survey, release, base_url = "GAIA_DR3", "DR3", "https://gea.esac.esa.int/"
    time_system = TimeSystem("jd-2455197.5", "tcb", "barycentre", sigma_s=1.0)
    radius, cadence, batch, pace, timeout = 1.5, None, 20, Pace(per_second=2, at_once=2), 120.0
    example = Query.at(209.49829, 31.69454, radius=45)  # around Gaia-4
    cite = ("2016A&A...595A...1G", "2023A&A...674A...1G")
    acknowledgement = "This work has made use of data from the European Space Agency (ESA) mission Gaia, processed by the Gaia DPAC."

    def fetch(self, query: Query, http: Http) -> Iterator[Payload]:
        answer = http.post("tap-server/tap/sync", data=TAP | {"QUERY": adql(query)})
        objects = sky_objects(read_table(answer, *PLACE), *PLACE)
        if not answer.body.strip() or len(objects) >= MOST_ROWS:
            what = f"gaia_dr3: the archive sent nothing at all, or cut its answer at {MOST_ROWS} sources."
            raise Malformed(what, hint="Ask again, or with a smaller --radius.", payload=answer)
        yield answer.about(role="objects", objects=objects)
        ids = [thing.object_id for thing in objects if thing.has_photometry]
        for first in range(0, len(ids), MOST_IDS):
            yield epoch_photometry(http, ids[first : first + MOST_IDS]).about(objects=objects)

    def normalise(self, payload: Payload) -> pa.Table:
        return from_members(payload, by_band, "transit_id")


def adql(query: Query) -> str:
    places = [target.at(CATALOGUE_EPOCH) for target in query.targets]
    circles = [f"1=CONTAINS(POINT('ICRS',ra,dec),CIRCLE('ICRS',{ra:.8f},{dec:.8f},{query.radius / 3600:.8f}))" for ra, dec in places]
    return f"SELECT TOP {MOST_ROWS} {', '.join(PLACE)} FROM gaiadr3.gaia_source WHERE {' OR '.join(circles)}"  # noqa: S608 - numbers only


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
    ids = text(rows["source_id"]) if "source_id" in rows.column_names else pa.repeat(pa.scalar(in_name, pa.string()), rows.num_rows)
    rows = rows.append_column("object_id", ids)
    if "band" in rows.column_names:
        bands = pc.fill_null(rows["band"], "")
        return [measurements(rows.filter(pc.equal(bands, band)), band, BAND_COLUMNS) for band in pc.unique(bands).to_pylist()]
    if "g_transit_time" in rows.column_names:
        return [measurements(rows, band, columns) for band, columns in COLUMNS_OF.items()]
    raise Malformed(f"gaia_dr3: an epoch photometry layout that nobody documents ({', '.join(rows.column_names)[:90]}).")


def measurements(rows: pa.Table, band: str, columns: list[str]) -> pa.Table:
    require(rows, *columns, "rejected_by_photometry")
    rows = rows.filter(pc.or_(pc.is_valid(rows[columns[0]]), pc.is_valid(rows[columns[1]])))
    time, counts, counts_err, mag = (number(rows[name]) for name in columns[:4])
    noisy, other, rejected = truth(rows[columns[4]]), integer(rows[columns[5]]), truth(rows["rejected_by_photometry"])
    bad = pc.or_kleene(pc.or_(noisy, rejected), pc.not_equal(pc.bit_wise_and(other, REJECTED.get(band, 0)), 0))
    table = {
        "passband": pa.repeat(band, rows.num_rows),
        "time": time,
        "mag": mag,
        "mag_err": mag_err_from_flux(numpy(counts), numpy(counts_err)),
        "flux": numpy(counts) * UJY_OF_ONE_COUNT.get(band, nan),
        "flux_err": numpy(counts_err) * UJY_OF_ONE_COUNT.get(band, nan),
        "quality": pc.if_else(bad, 2, 0),
        "flags": words("variability", noisy, "photometry", rejected, "other", rows[columns[5]]),
        "object_id": rows["object_id"],
        "observation_id": pc.binary_join_element_wise(text(rows["transit_id"]), band, "-"),
    }
    return pa.table(table)
