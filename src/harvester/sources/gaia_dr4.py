"""Gaia DR4 epoch photometry: G, BP and RP of each transit of nearly every source, served by ESA's archive.

release: Gaia DR4, 2014-07-25 to 2020-01-20, announced for 2 December 2026; until then every visit is pending
manual: https://www.cosmos.esa.int/web/gaia/dr4
time: barycentric JD in TCB minus 2455197.5, as the answer itself must say; the three bands of one transit have three times
magnitude: Vega; its zero points are not published: no flux in uJy; error of a magnitude: 2.5/ln(10) * flux_error/flux; no upper limits
quality: bad where the variability or the photometry processing rejected it; suspect where that is not told
missing: empty fields; quality is suspect where an answer has none of the flags that are known
cite: 2016A&A...595A...1G
"""

import re
from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from harvester.errors import Malformed, NotYetPublic
from harvester.gaia_archive import (
    Columns,
    Release,
    ask,
    cones,
    epoch_photometry,
    from_members,
    listed,
    measurements,
    schemas,
    sources_where,
)
from harvester.payload import Payload, members, number, read_table, sky_objects
from harvester.source import Http, Pace, Query, Source, TimeSystem

RELEASE = Release("Gaia DR4", "gaiadr4.gaia_source", 2017.5, ("DATAMODEL_STANDARD", "INDIVIDUAL"), format="votable")
PLACE = ("source_id", "ra", "dec", "ref_epoch", "pmra", "pmdec")
TIMESYS = re.compile(rb"<TIMESYS\b[^>]*>")
CLOCK = (b'timescale="TCB"', b'refposition="BARYCENTER"', b'timeorigin="2455197.5"')
FIRST_DAY, LAST_DAY = 1660.0, 3690.0  # of the release, with a margin: tells days from seconds, and their origin from others
SPELLINGS: dict[str, dict[str, tuple[str, ...]]] = {  # by role, those of the draft data model (June 2026) before those of DR3
    "G": {
        "time": ("g_obs_time", "g_transit_time"),
        "flux": ("g_flux", "g_transit_flux"),
        "flux_error": ("g_flux_error", "g_transit_flux_error"),
        "mag": ("g_mag", "g_transit_mag"),
    },
    "BP": {"time": ("bp_obs_time",), "flux": ("bp_flux",), "flux_error": ("bp_flux_error",), "mag": ("bp_mag",)},
    "RP": {"time": ("rp_obs_time",), "flux": ("rp_flux",), "flux_error": ("rp_flux_error",), "mag": ("rp_mag",)},
}
FLAG = re.compile(r"flag|reject")  # a column that grades, known or not


class GaiaDr4(Source):
    survey, release, public_from = "GAIA_DR4", "DR4", "2026-12-02"
    base_url = "https://gea.esac.esa.int/"
    time_system = TimeSystem("jd-2455197.5", "tcb", "barycentre", sigma_s=1.0)
    radius, cadence, batch, pace, timeout = 1.5, None, 20, Pace(per_second=2, at_once=2), 120.0
    example = Query.at(209.49829, 31.69454)  # Gaia-4
    cite = ("2016A&A...595A...1G",)
    acknowledgement = "This work has made use of data from the European Space Agency (ESA) mission Gaia, processed by the Gaia DPAC."

    def fetch(self, query: Query, http: Http) -> Iterator[Payload]:
        try:
            answer = ask(http, sources_where(RELEASE, PLACE, cones(query, RELEASE)), "gaia_dr4")
        except Malformed as error:
            if "gaiadr4" in schemas(http):
                raise
            hint = "It is announced for 2 December 2026; DR3 is there: --source gaia_dr3"
            raise NotYetPublic("gaia_dr4: not yet public.", "ESA's archive does not list Gaia DR4 among its releases.", hint) from error
        found = sky_objects(listed(answer, read_table(answer, *PLACE), "gaia_dr4"), *PLACE)
        objects = tuple(replace(thing, has_photometry=True) for thing in found)  # nearly every one has; one without is told
        yield answer.about(role="objects", objects=objects)
        for photometry in epoch_photometry(http, RELEASE, [thing.object_id for thing in objects]):
            yield photometry.about(objects=objects)

    def normalise(self, payload: Payload) -> pa.Table:
        for _, body in members(payload):
            check_clock(body, payload)
        return from_members(payload, lambda rows: by_band(payload, rows), "source_id", "transit_id")


def check_clock(body: bytes, payload: Payload) -> None:
    """The draft does not say what DR4's times are, the answer does: anything but DR3's convention is refused."""
    said = TIMESYS.search(body)
    if not said or not all(word in said[0] for word in CLOCK):
        heard = said[0].decode("utf-8", "replace")[:120] if said else "nothing of its times"
        raise Malformed("gaia_dr4: times other than barycentric TCB since JD 2455197.5.", f"The answer says: {heard}", payload=payload)


def by_band(payload: Payload, rows: pa.Table) -> list[pa.Table]:
    return [measurements(rows, band, columns_of(band, rows, payload), {}) for band in SPELLINGS]


def columns_of(band: str, rows: pa.Table, payload: Payload) -> Columns:
    """Find a band's columns by their role. Raises Malformed for a header that nobody documents, and for times of another kind."""
    named = {role: next((name for name in names if name in rows.column_names), "") for role, names in SPELLINGS[band].items()}
    if missing := [role for role, name in named.items() if not name]:
        header = ", ".join(rows.column_names)[:150]
        raise Malformed(f"gaia_dr4: no known column for the {', '.join(missing)} of {band}.", f"Received: {header}", payload=payload)
    days = pc.min_max(number(rows[named["time"]])).as_py()
    if days["min"] is not None and not FIRST_DAY < days["min"] <= days["max"] < LAST_DAY:
        raise Malformed(f"gaia_dr4: times from {days['min']:g} to {days['max']:g}, which are no days of Gaia's.", payload=payload)
    known = (f"variability_flag_{band.lower()}_reject", f"{band.lower()}_other_flags", "rejected_by_photometry")
    grades = known if all(name in rows.column_names for name in known) else ("", "", "")
    more = tuple(name for name in rows.column_names if FLAG.search(name) and name not in grades and not of_another_band(name, band))
    return Columns(**named, **dict(zip(("noisy", "other", "rejected"), grades, strict=True)), more=more)


def of_another_band(name: str, band: str) -> bool:
    return any(re.search(rf"(^|_){other.lower()}(_|$)", name) for other in SPELLINGS if other != band)
