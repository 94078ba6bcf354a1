"""Tiny survey: what an outsider writes to harvest a survey that harvester does not know.

release: 1, 2020-01 to 2020-12
manual: https://tiny.example/manual
time: JD in UTC at the geocentre, middle of the exposure
magnitude: AB, with the survey's errors
quality: nothing is graded
missing: empty fields
cite: 2020tiny.conf....1T
"""

import pyarrow as pa

from harvester.passbands import Passband
from harvester.payload import constant, mapped, number, read_table, text
from harvester.source import Source, TimeSystem

FILTERS = {"W": "w", "B": "b"}


class Tiny(Source):
    survey = "TINY"
    base_url = "https://tiny.example/"
    time_system = TimeSystem("jd", "utc", "geocentre", sigma_s=2.0)
    cite = ("2020tiny.conf....1T",)
    acknowledgement = "This work has made use of the Tiny survey."
    own_passbands = (
        Passband(survey="TINY", name="w", system="AB", colour="#333333", marker="o", zeropoint_jy=3630.7805),
        Passband(survey="TINY", name="b", system="AB", colour="#3333ff", marker="s", zeropoint_jy=3630.7805),
    )

    def fetch(self, query, http):
        ra, dec = query.target.at(2020.5)
        yield http.get("cone", ra=f"{ra:.6f}", dec=f"{dec:.6f}", radius=query.radius)

    def normalise(self, payload):
        rows = read_table(payload, "star", "jd", "filter", "mag", "err", "ra", "dec")
        return pa.table(
            {
                "passband": mapped(rows["filter"], FILTERS),
                "time": number(rows["jd"]),
                "mag": number(rows["mag"]),
                "mag_err": number(rows["err"]),
                "object_id": text(rows["star"]),
                "ra": number(rows["ra"]),
                "dec": number(rows["dec"]),
                "quality": constant(0, rows.num_rows),
            }
        )
