"""Gaia Photometric Science Alerts: the G light curves of 27,000 transients, as measured on the fly, served by Cambridge.

release: frozen since 15 January 2025, when Gaia ceased to observe; transits from 2014 on
manual: https://gsaweb.ast.cam.ac.uk/alerts/home
time: barycentric JD in TCB, to 5 decimals; that it is barycentric is found from the scanning law, not documented
magnitude: Vega, to 0.01 mag, calibrated on the fly (0.01 to 0.1 mag from DR3); no errors: mag_err is BHTOM's model, and flags say so; no limits
quality: nothing is graded
missing: "untrusted" (measured, but withheld) and "null" (no magnitude), which go to quarantine under these words
cite: 2021A&A...652A..76H
"""

import csv
import re
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from harvester.errors import Malformed
from harvester.payload import BOM, Payload, SkyObject, constant, number, numpy, read_table, words
from harvester.source import Http, Pace, Query, Source, TimeSystem

INDEX, LIGHT_CURVE = "alerts/alerts.csv", "alerts/alert/{}/lightcurve.csv"
HEADER = re.compile(r"#Date[ ,]+JD(\(TCB\))?[ ,]+averagemag\.?")
ROW = re.compile(r"\d{4}-\d\d-\d\d +\d{1,2}:\d\d:\d\d,(\d{7}\.\d+,.*)")
FIRST_YEAR, MIDDLE, HALF_SPAN, JULIAN_YEAR_S = 2013.0, 2019.8, 5.3, 31_557_600.0


class GaiaAlerts(Source):
    survey, release, base_url = "GAIA_ALERTS", "2025-01-15", "https://gsaweb.ast.cam.ac.uk/"
    time_system = TimeSystem("jd", "tcb", "barycentre", sigma_s=2.0)
    radius, cadence, pace, takes = 2.0, None, Pace(per_second=1, at_once=1), frozenset({"cone", "names"})
    cite, example = ("2021A&A...652A..76H",), Query.at(111.55315, -39.30836)  # Gaia21eeo
    acknowledgement = "We acknowledge ESA Gaia, DPAC and the Photometric Science Alerts Team (http://gsaweb.ast.cam.ac.uk/alerts)."

    def fetch(self, query: Query, http: Http) -> Iterator[Payload]:
        index = http.once(INDEX)
        try:
            by_name, places, things = alerts(index.body)
        except (ValueError, KeyError, csv.Error) as error:
            raise Malformed("gaia_alerts: the list of alerts cannot be read.", str(error)[:150], payload=index) from error
        called = map(folded, (query.target.name, *query.target.aliases, *query.target.ids.get(self.survey, ())))
        distance, wide = separation(query.target.at(MIDDLE), places), query.radius + query.target.speed * HALF_SPAN
        rows = sorted({by_name[name] for name in called if name in by_name}) or np.flatnonzero(distance <= wide).tolist()
        chosen = [things[row] for row in rows if distance[row] <= wide]
        far = f'{things[rows[0]].object_id} lies {distance[rows[0]]:.1f}" away, outside the radius' if rows and not chosen else ""
        yield index.about(role="objects", objects=tuple(chosen), doubt=far)
        for thing in chosen:
            yield http.get(LIGHT_CURVE.format(thing.object_id)).about(objects=(thing,))

    def normalise(self, payload: Payload) -> pa.Table:
        name, lines = parts(payload)
        rows = read_table(payload.about(body="\n".join(["jd,averagemag", *dict.fromkeys(lines), ""]).encode()))
        mag = number(pc.if_else(pc.equal(rows["averagemag"], "untrusted"), None, rows["averagemag"]))
        return pa.table({
            "passband": constant("G", rows.num_rows),
            "time": number(rows["jd"]),
            "mag": mag,
            "mag_err": modelled_error(numpy(mag)),  # 0.003 mag for bright ones, 0.006 at 15, 0.05 at 19, 0.12 at 20.5
            "flags": pc.if_else(pc.is_valid(mag), "mag_err model", words("averagemag", pc.fill_null(rows["averagemag"], "null"))),
            "object_id": constant(name, rows.num_rows),
            "observation_id": pc.binary_join_element_wise(name, rows["jd"], "-"),
        })  # fmt: skip


@lru_cache(maxsize=1)
def alerts(body: bytes) -> tuple[dict[str, int], NDArray[np.float64], list[SkyObject]]:
    """Read the list: rows by name and name in TNS, places (degrees, 2 rows), and the objects at the epochs of their alerts."""
    lines = csv.reader(body.removeprefix(BOM).decode("utf-8").splitlines(keepends=True), skipinitialspace=True, strict=True)
    head, *rows = [line for line in lines if line] or [[]]
    if {len(row) for row in rows} != {len(head)}:
        raise ValueError("It has no alerts, or a line of another length than its header.")
    cells = dict(zip([word.strip().lstrip("#").lower() for word in head], zip(*rows, strict=True), strict=True))
    names, in_tns, dates, *angles = ([*map(str.strip, cells[word])] for word in ("name", "tnsid", "date", "radeg", "decdeg"))
    places, years = np.array(angles, np.float64), 1970.0 + np.array(dates, "datetime64[s]").astype(np.float64) / JULIAN_YEAR_S
    if not (all(map(str.isalnum, names)) and np.isfinite(places).all() and (years > FIRST_YEAR).all()):
        raise ValueError("It has a line without name, place or date.")
    known = zip(names, *places.tolist(), years.tolist(), strict=True)
    things = [SkyObject(name, ra, dec, year, has_photometry=True) for name, ra, dec, year in known]
    return {folded(name): row for words in (in_tns, names) for row, name in enumerate(words) if name}, places, things


def folded(name: str) -> str:
    return "".join(name.split()).casefold().removeprefix("at").removeprefix("sn")  # SN 2021yjn was AT 2021yjn before


def separation(centre: tuple[float, float], places: NDArray[np.float64]) -> NDArray[np.float64]:
    (ra, dec), (ra0, dec0) = np.radians(places), np.radians(centre)
    square = np.sin((dec - dec0) / 2) ** 2 + np.cos(dec) * np.cos(dec0) * np.sin((ra - ra0) / 2) ** 2
    return np.asarray(np.degrees(2 * np.arcsin(np.minimum(np.sqrt(square), 1.0))) * 3600, np.float64)


def parts(payload: Payload) -> tuple[str, list[str]]:
    """Return the alert's name, which stands above the header (else it is the one asked for), and the lines without their date."""
    lines = list(filter(None, map(str.strip, payload.body.removeprefix(BOM).decode("utf-8", "replace").splitlines())))
    if not lines:
        return "", lines
    head = next((place for place, line in enumerate(lines[:2]) if HEADER.fullmatch(line)), 2)
    name = lines[0] if head else "".join(thing.object_id for thing in payload.objects[:1])
    found = [ROW.fullmatch(line) for line in lines[head + 1 :]]
    if head == 2 or not name.isalnum() or not payload.body.endswith(b"\n") or not all(found):
        raise Malformed(f"gaia_alerts: expected a light curve; received {lines[0][:60]!r}, or the answer was cut off.", payload=payload)
    return name, [line[1] for line in found if line]


def modelled_error(mag: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(mag <= 17.0, 10.0 ** (0.2 * np.maximum(mag, 13.5) - 5.2), 10.0 ** (0.26 * mag - 6.26))
