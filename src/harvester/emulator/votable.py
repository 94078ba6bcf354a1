"""Answers of a TAP service in the formats that it offers: VOTable, CSV, JSON, ECSV and FITS."""

from __future__ import annotations

import base64
import gzip
import io
import json
import math
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape, quoteattr

from harvester.emulator.adql import Result
from harvester.emulator.app import Response

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from harvester.emulator.adql import Column

HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" \
xsi:schemaLocation="http://www.ivoa.net/xml/VOTable/v1.3 http://www.ivoa.net/xml/VOTable/votable-1.4.xsd">
<RESOURCE type="results">
"""
TAIL = "</RESOURCE>\n</VOTABLE>\n"
XML = "application/x-votable+xml"
PACKED = {"long": ">q", "int": ">i", "short": ">h", "double": ">d", "float": ">f"}
NUMPY = {"long": "int64", "int": "int32", "short": "int16", "double": "float64", "float": "float32", "boolean": "bool", "char": "str"}
Infos = tuple[tuple[str, str], ...]
Writer = Callable[[Result, Infos], Response]
LINE = 64  # characters of base64 in a line


def error_document(message: str, *, status: int = 400) -> Response:
    """Return a TAP error: a VOTable whose QUERY_STATUS is ERROR."""
    body = f'{HEAD}<INFO name="QUERY_STATUS" value="ERROR">{escape(message)}</INFO>\n{TAIL}'
    return Response(body.encode(), XML, status)


def serialise(result: Result, form: str, *, infos: Iterable[tuple[str, str]] = ()) -> Response:
    """Return an answer in one of FORMATS (a word or a MIME type, any case); KeyError for another one.

    A VOTable says by a second QUERY_STATUS that rows are missing (OVERFLOW); the other formats cannot.
    """
    return FORMATS[form.casefold()](result, tuple(infos))


def _votable(result: Result, infos: Infos, data: Callable[[Result], str]) -> str:
    notes = "".join(f"<INFO name={quoteattr(name)} value={quoteattr(value)}/>\n" for name, value in (("QUERY_STATUS", "OK"), *infos))
    overflow = '<INFO name="QUERY_STATUS" value="OVERFLOW"/>\n' if result.overflow else ""
    fields = "".join(map(field, result.columns))
    return f"{HEAD}{notes}<TABLE>\n{fields}<DATA>\n{data(result)}</DATA>\n</TABLE>\n{overflow}{TAIL}"


def field(column: Column, tag: str = "FIELD", **more: str) -> str:
    """Return a FIELD (or PARAM) element; attributes that are empty are left out."""
    length = {"arraysize": "*"} if column.datatype == "char" else {}
    attributes = {**length, "datatype": column.datatype, "name": column.name, "ucd": column.ucd, "unit": column.unit, **more}
    text = " ".join(f"{name}={quoteattr(value)}" for name, value in sorted(attributes.items()) if value)
    return f"<{tag} {text}>\n<DESCRIPTION>{escape(column.description)}</DESCRIPTION>\n</{tag}>\n"


def tabledata(content: Iterable[Sequence[Any]]) -> str:
    """Return a TABLEDATA element; a null is an empty cell."""
    rows = ("".join(f"<TD>{escape(_text(value))}</TD>" for value in row) for row in content)
    return "<TABLEDATA>\n" + "".join(f"<TR>{row}</TR>\n" for row in rows) + "</TABLEDATA>\n"


def _binary2(result: Result) -> str:
    kinds = [column.datatype for column in result.columns]
    return stream(b"".join(_nulls(row) + b"".join(map(_packed, kinds, row)) for row in result.rows))


def stream(content: bytes) -> str:
    """Return a BINARY2 element of rows already packed."""
    text = base64.b64encode(content).decode()
    lines = "\n".join(text[start : start + LINE] for start in range(0, len(text), LINE))
    return f"<BINARY2>\n<STREAM encoding='base64'>\n{lines}\n</STREAM>\n</BINARY2>\n"


def _nulls(row: Sequence[Any]) -> bytes:
    """Return the null mask of a row: one bit per column, the first column in the highest bit."""
    mask = "".join("01"[value is None] for value in row)
    return int(mask.ljust(-(-len(row) // 8) * 8, "0"), 2).to_bytes(-(-len(row) // 8), "big")


def _packed(kind: str, value: Any) -> bytes:
    if kind == "char":
        content = str("" if value is None else value).encode()
        return struct.pack(">I", len(content)) + content
    if kind == "boolean":
        return {None: b"?", True: b"T", False: b"F"}[value]
    if kind in {"double", "float"}:
        return struct.pack(PACKED[kind], math.nan if value is None else value)
    return struct.pack(PACKED[kind], value or 0)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def csv_text(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return CSV as ESA writes it: null as nothing, true and false in small letters, texts alone in quotes."""
    return "".join(",".join(line) + "\n" for line in (names, *(map(_csv_value, row) for row in rows)))


def _csv_value(value: Any) -> str:
    return '"' + value.replace('"', '""') + '"' if isinstance(value, str) else _text(value)


def _csv(result: Result, _: Infos) -> Response:
    return Response(csv_text([column.name for column in result.columns], result.rows).encode(), "text/csv")


def _json(result: Result, _: Infos) -> Response:
    """Return JSON in ESA's layout: "metadata" of the columns, then "data" row by row."""
    metadata = [
        {
            "name": column.name,
            "datatype": column.datatype,
            "xtype": None,
            "arraysize": "*" if column.datatype == "char" else None,
            "description": column.description,
            "unit": column.unit or None,
            "ucd": column.ucd or None,
            "utype": None,
        }
        for column in result.columns
    ]
    return Response(json.dumps({"metadata": metadata, "data": result.rows}).encode(), "application/json")


def _xml(data: Callable[[Result], str]) -> Writer:
    return lambda result, infos: Response(_votable(result, infos, data).encode(), XML)


def _zipped(writer: Writer) -> Writer:
    def written(result: Result, infos: Infos) -> Response:
        plain = writer(result, infos)
        return replace(plain, body=gzip.compress(plain.body, mtime=0), headers=(("Content-Encoding", "gzip"),))

    return written


def _by_astropy(form: str, mime: str) -> Writer:
    def written(result: Result, _: Infos) -> Response:
        columns = {c.name: ([row[n] for row in result.rows], NUMPY[c.datatype], c.description) for n, c in enumerate(result.columns)}
        return Response(astropy_bytes(columns, form), mime)

    return written


def astropy_bytes(columns: Mapping[str, tuple[Sequence[Any], str, str]], form: str) -> bytes:
    """Write columns (values with None for null, numpy type, description) as "ecsv" or "fits"."""
    import numpy as np
    from astropy.table import MaskedColumn, Table

    table = Table()
    for name, (values, kind, description) in columns.items():
        blank = "" if kind == "str" else 0
        filled = np.asarray([blank if value is None else value for value in values], dtype=kind)
        table[name] = MaskedColumn(filled, mask=[value is None for value in values], description=description)
    if form == "fits":
        out = io.BytesIO()
        table.write(out, format="fits")
        return out.getvalue()
    text = io.StringIO()
    table.write(text, format="ascii.ecsv", delimiter=",")
    return text.getvalue().encode()


FORMATS: dict[str, Writer] = {
    "votable": _xml(_binary2),
    XML: _xml(lambda result: tabledata(result.rows)),
    "application/x-votable+xml;serialization=binary2": _xml(_binary2),
    "text/xml": _xml(lambda result: tabledata(result.rows)),
    "votable/td": _xml(lambda result: tabledata(result.rows)),
    "votable_plain": _xml(lambda result: tabledata(result.rows)),
    "votable_gzip": _zipped(_xml(_binary2)),
    "csv": _csv,
    "text/csv": _csv,
    "json": _json,
    "application/json": _json,
    "ecsv": _by_astropy("ecsv", "text/x-ecsv"),
    "fits": _zipped(_by_astropy("fits", "application/fits")),  # its clients expect it so
}
