"""Gaia DR2 epoch photometry: G, BP and RP of the transits of 550,000 variables, served by ESA's archive.

release: Gaia DR2, 2014-07-25 to 2016-05-23; DR3 has most of these transits too, calibrated anew, under other source ids
manual: https://www.cosmos.esa.int/web/gaia-users/archive/datalink-products
time: barycentric JD in TCB minus 2455197.5, mean of the transit; the three bands of one transit have three times
magnitude: Vega, with the zero points of DR2; the archive serves no error of it: 2.5/ln(10) * flux_error/flux; no upper limits
quality: bad where the variability or the photometry processing rejected it (BP, RP: also by other_flags); suspect where that is not told
missing: empty fields; an empty answer where a source has no epoch photometry
cite: 2016A&A...595A...1G 2018A&A...616A...1G 2018A&A...616A...4E
"""

from collections.abc import Iterator
from dataclasses import replace

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
    sources_where,
    ujy_of_one_count,
)
from harvester.payload import Payload, SkyObject, read_table, sky_objects, text
from harvester.source import Http, Pace, Query, Source, TimeSystem

RELEASE = Release("Gaia DR2", "gaiadr2.gaia_source", 2015.5, ("INDIVIDUAL", "DATAMODEL_STANDARD"))
PLACE = ("source_id", "ra", "dec", "ref_epoch", "pmra", "pmdec")
FLAG = "phot_variable_flag"  # of these words; only variables have epoch photometry
HAS_PHOTOMETRY = {"VARIABLE": True, "CONSTANT": False, "NOT_AVAILABLE": False}
COUNTERPARTS = ("dr2_source_id", "dr3_source_id")
MAG_OF_ONE_COUNT = {"G": 25.688366, "BP": 25.351388, "RP": 24.761920}  # Vega, 1 e-/s
UJY = ujy_of_one_count("GAIA_DR2", MAG_OF_ONE_COUNT)
COLUMNS = Columns.of("time flux flux_error mag rejected_by_variability other_flags")


class GaiaDr2(Source):
    survey, release = "GAIA_DR2", "DR2"
    base_url = "https://gea.esac.esa.int/"
    time_system = TimeSystem("jd-2455197.5", "tcb", "barycentre", sigma_s=1.0)
    radius, cadence, batch, pace, timeout = 1.5, None, 20, Pace(per_second=2, at_once=2), 120.0
    takes = frozenset({"cone", "ids"})
    example = Query.at(263.34744, -66.89836, 40.0)  # around 5813181197970338560
    cite = ("2016A&A...595A...1G", "2018A&A...616A...1G", "2018A&A...616A...4E")
    acknowledgement = "This work has made use of data from the European Space Agency (ESA) mission Gaia, processed by the Gaia DPAC."

    def fetch(self, query: Query, http: Http) -> Iterator[Payload]:
        wanted = [number for target in query.targets for number in target.ids.get("GAIA_DR3", ()) if number.isdecimal()]
        in_dr2: dict[str, list[str]] = {}
        if wanted:
            answer = ask(http, counterparts_of(wanted), "gaia_dr2")
            yield answer.about(role="objects")
            for own, in_dr3 in zip(*(text(read_table(answer, *COUNTERPARTS)[name]).to_pylist() for name in COUNTERPARTS), strict=True):
                in_dr2.setdefault(in_dr3, []).append(own)
        answer = ask(http, sources_where(RELEASE, (*PLACE, FLAG), conditions(query, in_dr2)), "gaia_dr2")
        objects = variables(listed(answer, read_table(answer, *PLACE, FLAG), "gaia_dr2"), answer)
        yield answer.about(role="objects", objects=objects)
        for photometry in epoch_photometry(http, RELEASE, [thing.object_id for thing in objects if thing.has_photometry]):
            yield photometry.about(objects=objects)

    def normalise(self, payload: Payload) -> pa.Table:
        return from_members(payload, by_band, "source_id", "transit_id")


def counterparts_of(dr3_ids: list[str]) -> str:
    """Sources have other ids in DR3; the archive's own cross-match, which knows proper motions, says which."""
    return f"SELECT {', '.join(COUNTERPARTS)} FROM gaiadr3.dr2_neighbourhood WHERE dr3_source_id IN ({', '.join(dr3_ids)})"  # noqa: S608


def conditions(query: Query, in_dr2: dict[str, list[str]]) -> list[str]:
    """By id the targets whose DR3 source has counterparts in DR2, by place all others."""
    own = [[n for number in target.ids.get("GAIA_DR3", ()) for n in in_dr2.get(number, ())] for target in query.targets]
    by_place = tuple(target for target, ids in zip(query.targets, own, strict=True) if not ids)
    by_id = sorted({number for ids in own for number in ids})
    return [*cones(replace(query, targets=by_place), RELEASE), *([f"source_id IN ({', '.join(by_id)})"] if by_id else [])]


def variables(rows: pa.Table, answer: Payload) -> tuple[SkyObject, ...]:
    said = [HAS_PHOTOMETRY.get(word) for word in text(rows[FLAG]).to_pylist()]
    if None in said:
        raise Malformed(f"gaia_dr2: {FLAG} has a word that nobody documents.", f"Known: {', '.join(HAS_PHOTOMETRY)}.", payload=answer)
    return tuple(replace(thing, has_photometry=has) for thing, has in zip(sky_objects(rows, *PLACE), said, strict=True))


def by_band(rows: pa.Table) -> list[pa.Table]:
    return each_band(rows, COLUMNS, UJY)
