"""Gaia DR3 epoch photometry: G, BP and RP of each transit, served by ESA's archive.

release: Gaia DR3, 2014-07-25 to 2017-05-28
manual: https://www.cosmos.esa.int/web/gaia-users/archive/datalink-products
time: barycentric JD in TCB minus 2455197.5, mean of the transit; the three bands of one transit have three times
magnitude: Vega; the archive serves no error of it: 2.5/ln(10) * flux_error/flux; no upper limits
quality: bad where the variability or the photometry processing rejected it (BP, RP: also by other_flags); suspect where that is not told
missing: empty fields; an empty answer where a source has no epoch photometry
cite: 2016A&A...595A...1G 2023A&A...674A...1G
"""

import re
from collections.abc import Iterator

import pyarrow as pa

from harvester.errors import Malformed
from harvester.gaia_archive import (
    Columns,
    Release,
    ask,
    cones,
    each_band,
    epoch_photometry,
    from_members,
    listed,
    measurements,
    sources_where,
    ujy_of_one_count,
)
from harvester.payload import Payload, read_table, sky_objects, text
from harvester.source import Http, Pace, Query, Source, TimeSystem

RELEASE = Release("Gaia DR3", "gaiadr3.gaia_source", 2016.0, ("INDIVIDUAL", "DATAMODEL_STANDARD"))
PLACE = ("source_id", "ra", "dec", "ref_epoch", "pmra", "pmdec", "has_epoch_photometry")
MAG_OF_ONE_COUNT = {"G": 25.6873668671, "BP": 25.3385422158, "RP": 24.7478955012}  # Vega, 1 e-/s
UJY = ujy_of_one_count("GAIA_DR3", MAG_OF_ONE_COUNT)
BY_TRANSIT = {
    "G": Columns.of("g_transit_time g_transit_flux g_transit_flux_error g_transit_mag variability_flag_g_reject g_other_flags"),
    "BP": Columns.of("bp_obs_time bp_flux bp_flux_error bp_mag variability_flag_bp_reject bp_other_flags"),
    "RP": Columns.of("rp_obs_time rp_flux rp_flux_error rp_mag variability_flag_rp_reject rp_other_flags"),
}
BY_BAND = Columns.of("time flux flux_error mag rejected_by_variability other_flags")


class GaiaDr3(Source):
    survey, release, base_url = "GAIA_DR3", "DR3", "https://gea.esac.esa.int/"
    time_system = TimeSystem("jd-2455197.5", "tcb", "barycentre", sigma_s=1.0)
    radius, cadence, batch, pace, timeout = 1.5, None, 20, Pace(per_second=2, at_once=2), 120.0
    example = Query.at(209.49829, 31.69454, radius=45)  # around Gaia-4
    cite = ("2016A&A...595A...1G", "2023A&A...674A...1G")
    acknowledgement = "This work has made use of data from the European Space Agency (ESA) mission Gaia, processed by the Gaia DPAC."

    def fetch(self, query: Query, http: Http) -> Iterator[Payload]:
        answer = ask(http, sources_where(RELEASE, PLACE, cones(query, RELEASE)), "gaia_dr3")
        objects = sky_objects(listed(answer, read_table(answer, *PLACE), "gaia_dr3"), *PLACE)
        yield answer.about(role="objects", objects=objects)
        for photometry in epoch_photometry(http, RELEASE, [thing.object_id for thing in objects if thing.has_photometry]):
            yield photometry.about(objects=objects)

    def normalise(self, payload: Payload) -> pa.Table:
        return from_members(payload, by_band, "transit_id", ids=ids)


def ids(name: str, rows: pa.Table) -> pa.Array:
    """A member says whose it is in a column, or in its name."""
    in_name = (re.findall(r"(\d+)\.\w+$", name) or [None])[0]
    return text(rows["source_id"]) if "source_id" in rows.column_names else pa.repeat(pa.scalar(in_name, pa.string()), rows.num_rows)


def by_band(rows: pa.Table) -> list[pa.Table]:
    """One row per transit (since January 2025) or one row per band (before): the header tells."""
    if "band" in rows.column_names:
        return each_band(rows, BY_BAND, UJY)
    if "g_transit_time" in rows.column_names:
        return [measurements(rows, band, columns, UJY) for band, columns in BY_TRANSIT.items()]
    raise Malformed(f"gaia_dr3: an epoch photometry layout that nobody documents ({', '.join(rows.column_names)[:90]}).")
