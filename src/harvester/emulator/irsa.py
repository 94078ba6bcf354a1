"""IRSA: ZTF light curves (nph_light_curves) and the table of ZTF objects by TAP, of release DR24.

`epochs` is what is served of a star, before it is written down, with the truth beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

import numpy as np

from harvester.emulator import tap, votable
from harvester.emulator.adql import Column, Table
from harvester.emulator.app import Request, Response
from harvester.emulator.irsa_query import BadQuery, LightCurveQuery, UnknownRelease
from harvester.emulator.ztf import COLUMNS, EPOCH, Epochs, ZtfObject, epochs, object_by_id, objects_near

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from harvester.emulator.sky import Sky
    from harvester.emulator.tokens import Constants

__all__ = ["HOSTS", "METHODS", "NAME", "ROUTES", "epochs"]

NAME = "irsa"
HOSTS = ("irsa.ipac.caltech.edu",)
SCHEMA, OBJECTS = "public", "ztf_objects_dr24"
HEXADECIMAL = ("ccdid", "qid")

# Unit and UCD of each column, as the service's VOTables give them.
UNITS = {"hjd": "d", "mjd": "d", "ra": "deg", "dec": "deg", "exptime": "s"} | dict.fromkeys(
    ("mag", "magerr", "limitmag", "magzp", "magzprms"), "mag"
)
UCDS = {
    "oid": "meta.id",
    "expid": "meta.id;obs.exposure",
    "hjd": "time.epoch",
    "mjd": "time.epoch;obs.exposure",
    "mag": "phot.mag;em.opt",
    "magerr": "stat.error;phot.mag;em.opt",
    "catflags": "meta.code",
    "filtercode": "instr.bandpass",
    "ra": "pos.eq.ra",
    "dec": "pos.eq.dec",
}
DATATYPES = {"i8": "long", "i4": "int", "u1": "unsignedByte", "f8": "double", "f4": "float"}
IPAC_TYPES = {"long": "long", "int": "int", "unsignedByte": "char", "double": "double", "float": "float", "char": "char"}


def light_curves(request: Request) -> Response:
    """Answer nph_light_curves: 400 for what cannot be understood, but 200 and an error in a VOTable for a release that is not held."""
    try:
        query = LightCurveQuery.read(request.params)
    except BadQuery as complaint:
        return Response(f"{complaint}\n".encode(), status=400)
    except UnknownRelease as complaint:
        return votable.error_document(str(complaint), status=200)
    write, content_type = FORMATS[query.format]
    return Response(write(_rows(request.sky, query)).encode(), content_type)


def _rows(sky: Sky, query: LightCurveQuery) -> Epochs:
    found = (query.chosen(epochs(sky, one.star, one)) for one in _objects(sky, query) if one.filter in query.filters)
    return np.concatenate([np.empty(0, EPOCH), *found])


def _objects(sky: Sky, query: LightCurveQuery) -> Iterator[ZtfObject]:
    if query.cone:
        yield from objects_near(sky, *query.cone)
    yield from filter(None, (object_by_id(sky, oid) for oid in query.ids))


def _cells(rows: Epochs) -> Iterator[tuple[str, ...]]:
    """Write every value as the service does: shortest form of 9 digits for a float, 17 for a double, hexadecimal for CCD and quadrant."""
    return zip(*(_texts(name, rows[name]) for name in COLUMNS), strict=True)


def _texts(name: str, column: NDArray[Any]) -> list[str]:
    digits = {"f4": ".9g", "f8": ".17g"}.get(_kind(name), "")
    form = "#x" if name in HEXADECIMAL else digits
    return [format(value, form) for value in column.tolist()]


def _kind(name: str) -> str:
    return EPOCH[name].str[1:]


def _datatype(name: str) -> str:
    return DATATYPES.get(_kind(name), "char")


def _separated(separator: str) -> Callable[[Epochs], str]:
    return lambda rows: "".join(f"{separator.join(line)}\n" for line in [COLUMNS, *_cells(rows)])


def _votable(rows: Epochs) -> str:
    fields = "".join(f"      {_field(name)}\n" for name in COLUMNS)
    lines = "".join(f"          <TR>{''.join(f'<TD>{cell}</TD>' for cell in line)}</TR>\n" for line in _cells(rows))
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">\n  <RESOURCE type="results">\n'
        f'    <TABLE ID="Results">\n{fields}      <DATA>\n        <TABLEDATA>\n{lines}        </TABLEDATA>\n      </DATA>\n'
        "    </TABLE>\n  </RESOURCE>\n</VOTABLE>\n"
    )


def _field(name: str) -> str:
    size = ' arraysize="*"' if _datatype(name) == "char" else ""
    unit = f' unit="{UNITS[name]}"' if name in UNITS else ""
    ucd = f' ucd="{UCDS[name]}"' if name in UCDS else ""
    return f'<FIELD name="{name}" datatype="{_datatype(name)}"{size}{ucd}{unit}/>'


def _ipac(rows: Epochs) -> str:
    lines = list(_cells(rows))
    types = tuple(IPAC_TYPES[_datatype(name)] for name in COLUMNS)
    heads = [COLUMNS, types, tuple(UNITS.get(name, "") for name in COLUMNS), ("null",) * len(COLUMNS)]
    widths = [max(map(len, column)) for column in zip(*heads, *lines, strict=True)]
    top = "".join("|" + "|".join(_padded(head, widths)) + "|\n" for head in heads)
    return f"\\RowsRetrieved = {len(lines)}\n{top}" + "".join(" " + " ".join(_padded(line, widths)) + " \n" for line in lines)


def _padded(cells: Sequence[str], widths: Iterable[int]) -> list[str]:
    return [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]


def _html(rows: Epochs) -> str:
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>\n" for line in [COLUMNS, *_cells(rows)])
    return f"<!DOCTYPE html>\n<html><body><table>\n{lines}</table></body></html>\n"


def _object_tables(sky: Sky, constants: Constants) -> list[Table]:
    """Return the table of the objects inside the cones, or of the ids, that a query names."""
    columns = tuple(Column(name, datatype) for name, datatype in OBJECT_COLUMNS.items())
    return [
        Table(f"{SCHEMA}.{OBJECTS}", columns, lambda: (_object_row(sky, one) for one in _bounded(sky, constants)), "Objects of ZTF DR24")
    ]


def _bounded(sky: Sky, constants: Constants) -> list[ZtfObject]:
    inside = [one for cone in constants.cones for one in objects_near(sky, *cone)]
    asked = [one for number in constants.numbers if (one := object_by_id(sky, number))]
    return list({one.oid: one for one in [*inside, *asked]}.values())


def _object_row(sky: Sky, one: ZtfObject) -> tuple[object, ...]:
    rows = epochs(sky, one.star, one)
    good = rows["catflags"] == 0
    median = float(np.median(rows["mag"][good])) if good.any() else None
    return (one.oid, one.ra, one.dec, f"z{one.filter}", one.field, one.ccd, one.quadrant, len(rows), int(good.sum()), median)


OBJECT_COLUMNS = {"oid": "long", "ra": "double", "dec": "double", "filtercode": "char", "field": "int", "ccdid": "int", "qid": "int"}
OBJECT_COLUMNS |= {"nobs": "int", "ngoodobs": "int", "medianmag": "float"}
FORMATS: dict[str, tuple[Callable[[Epochs], str], str]] = {
    "VOTABLE": (_votable, "text/xml;charset=UTF-8"),
    "IPAC_TABLE": (_ipac, "text/plain;charset=UTF-8"),
    "CSV": (_separated(","), "text/csv;charset=UTF-8"),
    "TSV": (_separated("\t"), "text/tab-separated-values;charset=UTF-8"),
    "HTML": (_html, "text/html;charset=UTF-8"),
}
ARCHIVE = tap.Archive("/TAP", "IRSA", _object_tables, most_rows=100_000, usual_rows=100_000, bare=SCHEMA)


def _tap_sync(request: Request) -> Response:
    """Answer a query of the object table; IRSA reports errors with status 200."""
    answer = ARCHIVE.sync(request)
    return Response(answer.body, answer.content_type, 200, answer.headers)


ROUTES = {**ARCHIVE.routes(), "/TAP/sync": _tap_sync, "/cgi-bin/ZTF/nph_light_curves": light_curves}
METHODS = ARCHIVE.methods()
