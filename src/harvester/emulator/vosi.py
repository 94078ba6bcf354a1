"""The documents in which a TAP service describes itself (VOSI 1.1): tables, capabilities, availability."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from harvester.emulator.app import Response

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harvester.emulator.adql import Table
    from harvester.emulator.tap import Archive

XML = "text/xml"
HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
VODATASERVICE = 'xmlns:vod="http://www.ivoa.net/xml/VODataService/v1.1" xmlns:esatapplus="http://esa.int/xml/EsaTapPlus"'
FORMATS = {
    "application/x-votable+xml": "votable",
    "application/x-votable+xml;serialization=tabledata": "votable_plain",
    "text/csv": "csv",
    "application/json": "json",
    "text/x-ecsv": "ecsv",
    "application/fits": "fits",
}
FEATURES = ("POINT", "CIRCLE", "BOX", "CONTAINS", "INTERSECTS", "DISTANCE", "COORD1", "COORD2", "AREA")


def tables(every: Sequence[Table], listed: Callable[[Table], str], wanted: str = "") -> Response:
    """Return the table set, or those tables of it that `wanted` names (comma separated: ESA's "?tables=")."""
    names = {name.strip().lower() for name in wanted.split(",") if name.strip()}
    chosen = [table for table in every if not names or listed(table).lower() in names]
    schemas = dict.fromkeys(table.name.partition(".")[0] for table in chosen)
    body = "".join(_schema(name, [t for t in chosen if t.name.partition(".")[0] == name], listed) for name in schemas)
    return Response(f'{HEAD}<vod:tableset {XSI} {VODATASERVICE} xsi:type="vod:TableSet">\n{body}</vod:tableset>\n'.encode(), XML)


def _schema(name: str, members: Sequence[Table], listed: Callable[[Table], str]) -> str:
    return f"<schema>\n<name>{name}</name>\n{''.join(_table(table, listed(table)) for table in members)}</schema>\n"


def _table(table: Table, name: str) -> str:
    columns = "".join(
        f'<column std="false" esatapplus:flags="0" esatapplus:ref="">\n<name>{escape(c.name)}</name>\n'
        f"<description>{escape(c.description)}</description>\n<unit>{escape(c.unit)}</unit>\n<ucd>{escape(c.ucd)}</ucd>\n"
        f'<dataType xsi:type="vod:VOTableType"{_length(c.datatype)}>{c.datatype}</dataType>\n</column>\n'
        for c in table.columns
    )
    return f'<table type="table">\n<name>{escape(name)}</name>\n<description>{escape(table.description)}</description>\n{columns}</table>\n'


def _length(datatype: str) -> str:
    return ' arraysize="*"' if datatype == "char" else ""


def capabilities(archive: Archive, base: str) -> Response:
    """Return the capabilities of a service that answers at `base`."""
    plain = "".join(_capability(word, f"{base}/{word}") for word in ("availability", "capabilities", "tables"))
    names = (
        'xmlns:vosi="http://www.ivoa.net/xml/VOSICapabilities/v1.0" xmlns:tr="http://www.ivoa.net/xml/TAPRegExt/v1.0" '
        f'xmlns:vs="http://www.ivoa.net/xml/VODataService/v1.1" {XSI}'
    )
    return Response(f"{HEAD}<vosi:capabilities {names}>\n{plain}{_table_access(archive, base)}</vosi:capabilities>\n".encode(), XML)


def _capability(word: str, place: str) -> str:
    return (
        f'<capability standardID="ivo://ivoa.net/std/VOSI#{word}">\n<interface xsi:type="vs:ParamHTTP" role="std">\n'
        f'<accessURL use="full">{escape(place)}</accessURL>\n</interface>\n</capability>\n'
    )


def _table_access(archive: Archive, base: str) -> str:
    features = "".join(f"<feature>\n<form>{name}</form>\n</feature>\n" for name in FEATURES)
    formats = "".join(f"<outputFormat>\n<mime>{mime}</mime>\n<alias>{alias}</alias>\n</outputFormat>\n" for mime, alias in FORMATS.items())
    uploads = '<uploadMethod ivo-id="ivo://ivoa.net/std/TAPRegExt#upload-inline"/>\n' if archive.most_uploaded else ""
    return (
        '<capability standardID="ivo://ivoa.net/std/TAP" xsi:type="tr:TableAccess">\n'
        f'<interface xsi:type="vs:ParamHTTP" role="std" version="1.1">\n'
        f'<accessURL use="base">{escape(base)}</accessURL>\n</interface>\n'
        f'<language>\n<name>ADQL</name>\n<version ivo-id="ivo://ivoa.net/std/ADQL#v2.0">2.0</version>\n'
        f"<description>{escape(archive.title)}</description>\n"
        f'<languageFeatures type="ivo://ivoa.net/std/TAPRegExt#features-adqlgeo">\n{features}</languageFeatures>\n</language>\n'
        f"{formats}{uploads}"
        f'<outputLimit>\n<default unit="row">{archive.usual_rows}</default>\n<hard unit="row">{archive.most_rows}</hard>\n</outputLimit>\n'
        f'<uploadLimit>\n<hard unit="row">{archive.most_uploaded}</hard>\n</uploadLimit>\n</capability>\n'
    )


def availability() -> Response:
    """Return that the service is up."""
    body = (
        f'{HEAD}<vosi:availability xmlns:vosi="http://www.ivoa.net/xml/VOSIAvailability/v1.0">\n'
        "<vosi:available>true</vosi:available>\n</vosi:availability>\n"
    )
    return Response(body.encode(), XML)
