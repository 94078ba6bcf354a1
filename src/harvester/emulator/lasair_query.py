"""Lasair's `query`: SQL over the tables of objects and of Sherlock's classes, of which the caller gives the parts.

As the real one: `tables` always has the objects and is joined to them by the service, a single quote becomes a double one (which in MySQL is
a text as well), some words and signs are refused, and an error is a page's markup inside JSON. The tables hold the objects that the
conditions name; else those of famous stars, of transients and of asteroids that can have had an alert since the epoch that is asked for.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

from harvester.emulator import asteroids, lsst_stream, ztf_stream
from harvester.emulator.app import Request, Response
from harvester.emulator.stars import Star, famous
from harvester.emulator.transients import shining

JD_OF_MJD = 2_400_000.5
MOST_ROWS = 10_000
FORBIDDEN = ("#", "/*", "*/", ";", "||", "\\")
NO_WORDS = {"create", "select", "union", "exists", "window", "for", "into", "outfile", "dumpfile"}
NO_COLUMNS = {"create", "select", "from", "where", "join", "inner", "outer", "with"}
CLASSES = {"supernova": "SN", "outburst": "CV"}
ZTF_COLUMNS = "objectId ramean decmean jdmin jdmax gmag rmag jdgmax jdrmax ncand ncandgp ssnamenr".split()
BANDS = "ugrizy"
LSST_COLUMNS = [
    *"diaObjectId ra decl firstDiaSourceMjdTai lastDiaSourceMjdTai nDiaSources latestR tns_name".split(),
    *(f"{band}_{word}" for band in BANDS for word in ("psfFlux", "latestMJD")),
]
OF_ZTF, OF_LSST = re.compile(r"ZTF\d\d[a-z]{7}"), re.compile(r"(?<![\d.])\d{17,19}(?![\d.])")
SINCE = re.compile(r"\b(jdmax|lastDiaSourceMjdTai) >=? ([\d.]+)", re.ASCII)
Row = dict[str, Any]


def query(request: Request, *, is_lsst: bool) -> Response:
    """Answer a query of the parts of a SELECT."""
    selected, tables, conditions = (request.first(name).replace("'", '"') for name in ("selected", "tables", "conditions"))
    missing = {name: ["This field is required."] for name in ("selected", "tables") if not request.first(name)}
    if missing:
        return _said(missing, 400)
    if refused := _refused(selected, conditions):
        return _said({"error": refused}, 400)
    key = "diaObjectId" if is_lsst else "objectId"
    joined = ["1"]
    if "sherlock_classifications" in tables:
        joined.append(f"objects.{key} = sherlock_classifications.{key}")
    is_order = conditions.strip().lower().startswith("order")
    where = f"{' AND '.join(joined)}{' ' if is_order or not conditions.strip() else ' AND '}{conditions}"
    named = "objects" + (", sherlock_classifications" if len(joined) > 1 else "")
    limit, offset = (int(request.first(name, default)) for name, default in (("limit", "1000"), ("offset", "0")))
    sql = f"SELECT {selected} FROM {named} WHERE {where} LIMIT {min(limit, MOST_ROWS)} OFFSET {offset}"  # noqa: S608
    try:
        return _said(_run(sql, [*(_lsst_rows if is_lsst else _ztf_rows)(request, conditions)], LSST_COLUMNS if is_lsst else ZTF_COLUMNS))
    except sqlite3.Error as error:
        return _said({"error": f"Your query:<br/><b>{sql}</b><br/>returned the error<br/><i>{error}</i>"}, 400)


def _refused(selected: str, conditions: str) -> str:
    for text, words, place in ((selected, NO_COLUMNS, "SELECT"), (conditions, NO_WORDS, "WHERE")):
        sign = next((sign for sign in FORBIDDEN if sign in text), None)
        word = next((word for word in re.split(r"[\s(){}]", text.lower()) if word in words), None)
        if sign or word:
            return f"Cannot use {sign or f'the word {str(word).upper()}'} in the {place} clause"
    if "limit" in conditions or "offset" in conditions:
        return "Dont put LIMIT in the WHERE clause, use the parameter in the form/API instead"
    return ""


def _run(sql: str, rows: Sequence[Row], columns: list[str]) -> list[Row]:
    """Run a query over rows, each with its class."""
    with closing(sqlite3.connect(":memory:")) as database:
        key = columns[0]
        for table, of in (("objects", columns), ("sherlock_classifications", [key, "classification"])):
            database.execute(f"CREATE TABLE {table} ({', '.join(of)})")
            values = ([row.get(name) for name in of] for row in rows)
            database.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' for _ in of)})", values)  # noqa: S608
        found = database.execute(re.sub(r'"([^"]*)"', r"'\1'", sql))
        names = [name for name, *_ in found.description]
        return [dict(zip(names, row, strict=True)) for row in found]


def _stars(request: Request, conditions: str, last_night: float) -> list[Star]:
    """Return the stars that can be meant by conditions on the class and on the latest epoch."""
    since = max((_mjd(float(number)) for _, number in SINCE.findall(conditions)), default=0.0)
    begin = since if last_night == ztf_stream.NIGHTS[1] else 0.0  # LSST sees a supernova for longer
    stars = [*(famous() if since <= last_night else ()), *shining(request.sky.seed, begin, min(request.sky.now, 1e6))]
    kind = re.search(r'classification = "(\w+)"', conditions)
    return [star for star in stars if kind is None or kind[1] == _class(star)]


def _ztf_rows(request: Request, conditions: str) -> Iterator[Row]:
    sky = request.sky
    if "ssnamenr =" in conditions:
        found: list[ztf_stream.Stream | None] = []
    elif names := OF_ZTF.findall(conditions):
        found = [ztf_stream.by_id(sky, name) for name in dict.fromkeys(names)]
    else:
        found = [ztf_stream.stream(sky, star) for star in _stars(request, conditions, ztf_stream.NIGHTS[1])]
    yield from (_ztf_row(one) for one in found if one)
    for body in asteroids.NAMES if "classification" not in conditions else ():
        yield from (_met(body, met) for met in asteroids.meetings(sky.seed, body, min(sky.now, ztf_stream.NIGHTS[1])))


def _ztf_row(one: ztf_stream.Stream) -> Row:
    seen = one.detections
    row: Row = {"objectId": one.oid, "ramean": one.ra, "decmean": one.dec, "jdmin": float(seen["jd"][0]), "jdmax": float(seen["jd"][-1])}
    for number, band in ((1, "g"), (2, "r")):
        mine = seen[seen["fid"] == number]
        row |= {f"{band}mag": float(mine["magpsf"][-1]), f"jd{band}max": float(mine["jd"][-1])} if len(mine) else {}
    return row | {"ncand": len(seen), "ncandgp": int(seen["positive"].sum()), "classification": _class(one.star)}


def _met(body: str, met: asteroids.Meeting) -> Row:
    jd, band = met.mjd + JD_OF_MJD, "gr"[met.number % 2]
    row = {"objectId": met.object_id, "ramean": met.ra, "decmean": met.dec, "jdmin": jd, "jdmax": jd, "ncand": 1, "ssnamenr": body}
    return row | {f"{band}mag": met.mag, f"jd{band}max": jd, "classification": "ORPHAN"}


def _lsst_rows(request: Request, conditions: str) -> Iterator[Row]:
    if names := OF_LSST.findall(conditions):
        found = [lsst_stream.by_id(request.sky, int(name)) for name in dict.fromkeys(names)]
    else:
        found = [lsst_stream.stream(request.sky, star) for star in _stars(request, conditions, lsst_stream.NIGHTS[1])]
    yield from (_lsst_row(one) for one in found if one)


def _lsst_row(one: lsst_stream.Stream) -> Row:
    seen = one.detections
    row: Row = {"diaObjectId": one.dia_object_id, "ra": one.ra, "decl": one.dec, "nDiaSources": len(seen)}
    row |= {f"{word}DiaSourceMjdTai": float(seen["midpointMjdTai"][place]) for word, place in (("first", 0), ("last", -1))}
    for band in BANDS:
        mine = seen[seen["band"] == band]
        last = {f"{band}_psfFlux": "psfFlux", f"{band}_latestMJD": "midpointMjdTai"}
        row |= {column: float(mine[name][-1]) for column, name in last.items()} if len(mine) else {}
    return row | {"latestR": float(seen["reliability"][-1]), "classification": _class(one.star)}


def _class(star: Star) -> str:
    return CLASSES.get(star.kind, "VS")


def _mjd(number: float) -> float:
    return number - JD_OF_MJD if number > JD_OF_MJD else number


def _said(what: Any, status: int = 200) -> Response:
    return Response(json.dumps(what).encode(), "application/json", status)
