"""VOTable 1.4: one table with units and UCDs, a time system for each column of times, and the calibration of each filter as a group."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import reduce
from typing import IO, NamedTuple
from xml.sax.saxutils import escape, quoteattr

import pyarrow as pa
import pyarrow.compute as pc

from harvester.export.columns import said_of
from harvester.export.content import Content
from harvester.passbands import Passband

HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" \
xsi:schemaLocation="http://www.ivoa.net/xml/VOTable/v1.3 http://www.ivoa.net/xml/VOTable/votable-1.4.xsd">
<RESOURCE type="results">
"""
TAIL = "</TABLEDATA></DATA>\n</TABLE>\n</RESOURCE>\n</VOTABLE>\n"
TYPES = {pa.float64(): "double", pa.string(): "unicodeChar", pa.bool_(): "boolean", pa.int8(): "short", pa.int32(): "int"}
TIME_SYSTEMS = {"bjd_tdb": ("TDB", "BARYCENTER", "0"), "mjd_utc": ("UTC", "TOPOCENTER", "2400000.5")}
"""Scale, reference position and origin of each column of times; that of the surveys differs from row to row."""
NOT_XML = "[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]"
ESCAPES = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"))


class Param(NamedTuple):
    """A PARAM of a filter's group: a fact of photometric calibration in the words of PhotDM."""

    name: str
    utype: str
    ucd: str
    value: str
    unit: str = ""
    datatype: str = "unicodeChar"


def write(content: Content, stream: IO[bytes]) -> int:
    """Write the document; return the number of points."""
    stream.write("".join(_head(content)).encode())
    points = 0
    for batch in content.batches:
        if batch.num_rows:
            stream.write(_rows(batch))
        points += batch.num_rows
    stream.write(TAIL.encode())
    return points


def _head(content: Content) -> Iterator[str]:
    yield HEAD
    for key, value in content.about.items():
        if value:
            yield f"<INFO name={_quoted(key)} value={_quoted(value)}/>\n"
    yield '<COOSYS ID="icrs" system="ICRS"/>\n'
    for name, (scale, place, origin) in TIME_SYSTEMS.items():
        if name in content.schema.names:
            yield f'<TIMESYS ID="{name}_system" timescale="{scale}" refposition="{place}" timeorigin="{origin}"/>\n'
    for name in content.known.filters:
        band = content.known.band(name)
        yield _photcal(name, band) if band else ""
    yield '<TABLE name="light_curves">\n'
    yield f"<DESCRIPTION>Light curves. The file's time is {content.time_column}.</DESCRIPTION>\n"
    yield from (_field(field, content.time_column) for field in content.schema)
    yield "<DATA><TABLEDATA>\n"


def _field(field: pa.Field, time_column: str) -> str:
    column = said_of(field)
    words = {"ID": field.name, "name": field.name, "datatype": TYPES[field.type], "unit": column.unit, "ucd": column.ucd}
    words |= {"arraysize": "*"} if field.type == pa.string() else {}
    words |= {"ref": f"{field.name}_system"} if field.name in TIME_SYSTEMS else {}
    words |= {"ref": "icrs"} if field.name in {"ra", "dec"} else {}
    words |= {"ucd": f"{column.ucd};meta.main"} if field.name == time_column else {}
    attributes = " ".join(f"{name}={_quoted(value)}" for name, value in words.items() if value)
    return f"<FIELD {attributes}><DESCRIPTION>{escape(column.description)}</DESCRIPTION></FIELD>\n"


def _photcal(name: str, band: Passband) -> str:
    """Return what is known of a filter's calibration as a group."""
    facts = [
        Param("filter", "", "instr.bandpass", name),
        Param("magnitudeSystem", "photDM:PhotCal.magnitudeSystem.type", "meta.code", band.system),
    ]
    if band.svo_id:
        facts.append(Param("filterIdentifier", "photDM:PhotometryFilter.identifier", "meta.id;instr.filter", band.svo_id))
    if band.zeropoint_jy is not None:
        facts.append(
            Param("zeroPointFlux", "photDM:PhotCal.zeroPoint.flux.value", "phot.mag;arith.zp", repr(band.zeropoint_jy), "Jy", "double")
        )
    if band.effective_nm is not None:
        where = "photDM:PhotometryFilter.spectralLocation.value"
        facts.append(Param("effectiveWavelength", where, "em.wl.effective", repr(band.effective_nm), "nm", "double"))
    return f'<GROUP name="photcal">\n{"".join(map(_param, facts))}</GROUP>\n'


def _param(fact: Param) -> str:
    words = fact._asdict() | ({"arraysize": "*"} if fact.datatype == "unicodeChar" else {})
    return f"<PARAM {' '.join(f'{name}={_quoted(value)}' for name, value in words.items() if value or name == 'value')}/>\n"


def _rows(batch: pa.RecordBatch) -> bytes:
    cells = pc.binary_join_element_wise(*map(_text, batch.columns), "</TD><TD>")
    return ("<TR><TD>" + "</TD></TR>\n<TR><TD>".join(cells.to_pylist()) + "</TD></TR>\n").encode()


def _text(column: pa.Array) -> pa.Array:
    """Return a column as the content of its cells; a null is an empty cell."""
    if column.type != pa.string():
        return pc.fill_null(pc.cast(column, pa.string()), "")
    plain = pc.replace_substring_regex(column, NOT_XML, "")
    return pc.fill_null(reduce(lambda text, pair: pc.replace_substring(text, *pair), ESCAPES, plain), "")


def _quoted(value: str) -> str:
    return quoteattr(re.sub(NOT_XML, "", value))
