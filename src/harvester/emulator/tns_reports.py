"""What has been reported to TNS by now: the famous transients, and the new ones from a day after the first alert of ZTF on.

A new transient is an AT, and becomes an SN when its spectrum has been looked at, twelve days later. Its name is the year and three letters, in the
order of the first lights of that year.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from harvester.emulator import ztf_stream
from harvester.emulator.stars import famous, separation
from harvester.emulator.transients import first_light, is_transient, near, shining, transients

if TYPE_CHECKING:
    from harvester.emulator.sky import Sky
    from harvester.emulator.stars import Star

JD_OF_MJD = 2_400_000.5
FIRST_ID, FIRST_NEW_ID = 60_000, 200_000
REPORTED_AFTER, TYPED_AFTER, STAYS = 0.9, 12.0, 20.0  # days
FILTERS = {1: (110, "g"), 2: (111, "r"), 3: (112, "i")}
KEPT_DAYS = 40
COLUMNS = """objid name_prefix name ra declination redshift typeid type reporting_groupid reporting_group source_groupid source_group discoverydate
    discoverymag discmagfilter filter reporters time_received internal_names Discovery_ADS_bibcode Class_ADS_bibcodes creationdate
    lastmodified""".split()


@dataclass(frozen=True)
class Report:
    """What TNS tells of a transient: when and how it was discovered, added and changed (MJD), and what it is."""

    name: str
    star: Star
    number: int
    discovered: float
    mag: float
    band: int
    added: float
    changed: float
    kind: str
    internal: str

    @property
    def prefix(self) -> str:
        """What stands before its name."""
        return "SN" if self.kind else "AT"

    def row(self) -> list[str]:
        """Return its line of the public table."""
        number, word = FILTERS[self.band]
        group = ("48", "ZTF", "48", "ZTF", date(self.discovered) + ".000", f"{self.mag:.4f}", str(number), word)
        kind = ("3", self.kind) if self.kind else ("", "")
        place = (f"{self.star.ra:.7f}", f"{self.star.dec:.7f}", "", *kind)
        papers = ("", "", date(self.added), date(self.changed))
        return [str(self.number), self.prefix, self.name, *place, *group, "The simulated survey", date(self.added), self.internal, *papers]


def date(mjd: float) -> str:
    """Return an MJD as TNS writes a date."""
    return f"{datetime(1858, 11, 17, tzinfo=UTC) + timedelta(days=mjd):%Y-%m-%d %H:%M:%S}"


@lru_cache(maxsize=1)
def known() -> dict[str, Star]:
    """Return the famous transients that have a name of TNS, by that name without its prefix."""
    named = ((re.fullmatch(r"(?:SN|AT) (\d{4}[a-z]+)", alias), star) for star in famous() for alias in star.aliases)
    return {found[1]: star for found, star in named if found}


def by_name(sky: Sky, name: str) -> Report | None:
    """Return the report of a name as it was given, one in capital letters excluded."""
    star = known().get(name) or _new(sky.seed).get(name)
    return report(sky, name, star) if star else None


def by_internal_name(sky: Sky, name: str) -> list[Report]:
    """Return the reports of what a survey calls like that."""
    return [one for one in (*_famous(sky), *_newer(sky, 0.0)) if name in one.internal.split(",")]


def inside(sky: Sky, ra: float, dec: float, radius_deg: float) -> list[Report]:
    """Return the reports of a cone (deg)."""
    here = {name: star for name, star in known().items() if separation(star.ra, star.dec, ra, dec) <= radius_deg}
    old = [one for name, star in here.items() if (one := report(sky, name, star))]
    names = {star.gaia_id: name for name, star in _new(sky.seed).items()}
    return old + [one for star in near(sky.seed, ra, dec, radius_deg) if (one := report(sky, names[star.gaia_id], star))]


def changed(sky: Sky, since: float, until: float) -> list[Report]:
    """Return what was added or changed from one MJD to another, as it is now."""
    return [one for one in (*_famous(sky), *_newer(sky, since)) if since <= one.changed < until]


def report(sky: Sky, name: str, star: Star) -> Report | None:
    """Return what is told of a transient by now, None before it is reported."""
    new = is_transient(star)
    found = ztf_stream.stream(sky, star)
    if found is None:
        return None if new else _by_others(name, star)
    first = found.detections[0]
    discovered = float(first["jd"]) - JD_OF_MJD
    added, typed = discovered + REPORTED_AFTER, discovered + REPORTED_AFTER + TYPED_AFTER
    if added > sky.now:
        return None
    is_typed = star.kind == "supernova" and typed <= sky.now
    number = FIRST_NEW_ID + int(first_light(star)) if new else FIRST_ID + list(known()).index(name)
    internal = ",".join(["", found.oid, *(alias for alias in star.aliases if alias.startswith("Gaia"))])
    what = (added, typed if is_typed else added, "SN Ia" if is_typed else "", internal)
    return Report(name, star, number, discovered, float(first["magpsf"]), int(first["fid"]), *what)


def _by_others(name: str, star: Star) -> Report:
    """Return the report of what ZTF never saw: by somebody else, on the day of the maximum."""
    day, number = star.epoch - JD_OF_MJD, FIRST_ID + list(known()).index(name)
    internal = ",".join(["", *(alias for alias in star.aliases if alias.startswith("Gaia"))])
    return Report(name, star, number, day, star.mean["g"], 1, day + 1.0, day + 1.0, "SN Ia" if star.kind == "supernova" else "", internal)


def _famous(sky: Sky) -> Iterator[Report]:
    yield from (one for name, star in known().items() if (one := report(sky, name, star)))


def _newer(sky: Sky, since: float) -> Iterator[Report]:
    """Yield the reports of the new transients that can have changed since an MJD."""
    names = {star.gaia_id: name for name, star in _new(sky.seed).items()}
    for star in shining(sky.seed, since - STAYS, min(sky.now, 1e6)):
        if one := report(sky, names[star.gaia_id], star):
            yield one


@lru_cache(maxsize=8)
def _new(seed: int) -> dict[str, Star]:
    years: dict[int, int] = {}
    names = {}
    for star in transients(seed):
        year = (datetime(1858, 11, 17, tzinfo=UTC) + timedelta(days=first_light(star))).year
        number = years[year] = years.get(year, 0) + 1
        names[f"{year}{''.join(chr(97 + number // 26**power % 26) for power in (2, 1, 0))}"] = star
    return names


def table(sky: Sky, name: str) -> bytes | None:
    """Return a file of the public table: "" is everything, "_20261120" a day's changes, "_07" those of an hour of today; None if it is not kept."""
    midnight, hour = float(int(sky.now)), int(sky.now % 1.0 * 24.0)
    if not name:
        return _zipped("tns_public_objects.csv", midnight - 1.0, changed(sky, 0.0, midnight))
    if re.fullmatch(r"_\d\d", name):
        begin = midnight + int(name[1:]) / 24.0 - (int(name[1:]) > hour)
        return _zipped(f"tns_public_objects{name}.csv", begin, changed(sky, begin, begin + 1.0 / 24.0)) if int(name[1:]) < 24 else None
    if not re.fullmatch(r"_\d{8}", name):
        return None
    day = datetime.strptime(name[1:], "%Y%m%d").replace(tzinfo=UTC).timestamp() / 86400.0 + 40587.0
    return _zipped(f"tns_public_objects{name}.csv", day, changed(sky, day, day + 1.0)) if midnight - KEPT_DAYS <= day < midnight else None


def _zipped(name: str, begin: float, reports: list[Report]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([[date(begin)], COLUMNS, *(one.row() for one in reports)])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, text.getvalue())
    return packed.getvalue()
