"""FITS: a binary table with the keywords of the FITS time standard. Text is ASCII: other letters are written as escapes.

The number of rows and the width of texts stand before the rows, so these are set aside in a temporary file first.
"""

from __future__ import annotations

import tempfile
import warnings
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harvester.export.columns import said_of
from harvester.export.content import Content, LeftOut

BLOCK = 2880
FORMS = {pa.float64(): ("D", ">f8"), pa.bool_(): ("L", "S1"), pa.int8(): ("I", ">i2"), pa.int32(): ("J", ">i4")}
TIME_WORDS: dict[str, dict[str, str | float]] = {
    "bjd_tdb": {"TIMESYS": "TDB", "TREFPOS": "BARYCENTER", "JDREF": 0.0},
    "mjd": {"TIMESYS": "UTC", "TREFPOS": "TOPOCENTER", "MJDREF": 0.0},
    "survey": {"TIMESYS": "LOCAL"},
}
KEYWORDS = {"data": "DATAKIND", "software": "CREATOR", "store": "STORE", "run": "RUN", "as_of": "AS_OF"}
Widths = dict[str, int]


def write(content: Content, stream: IO[bytes]) -> int:
    """Write a primary header and one table; return the number of points."""
    from astropy.io import fits

    with tempfile.TemporaryFile() as aside:
        points, widths = _set_aside(content, aside)
        primary = fits.PrimaryHDU().header
        stream.write(_bytes_of(primary) + _bytes_of(_header(content, points, widths)))
        aside.seek(0)
        size = 0
        with pa.ipc.open_stream(aside) as rows:
            for batch in rows:
                body = _records(batch, content.schema, widths).tobytes()
                stream.write(body)
                size += len(body)
        stream.write(b"\0" * (-size % BLOCK))
    return points


def _set_aside(content: Content, aside: Any) -> tuple[int, Widths]:
    """Keep the rows, their texts in ASCII, and return how many there are and how wide texts are."""
    points, escaped = 0, 0
    widths = {field.name: 1 for field in content.schema if field.type == pa.string()}
    with pa.ipc.new_stream(aside, content.schema) as writer:
        for batch in content.batches:
            for name, width in widths.items():
                column, changed = _ascii(batch.column(name))
                batch = batch.set_column(content.schema.get_field_index(name), content.schema.field(name), column)  # noqa: PLW2901 - column by column
                widths[name] = max(width, pc.max(pc.binary_length(column)).as_py() or 0)
                escaped += changed
            writer.write_batch(batch)
            points += batch.num_rows
    if escaped:
        warnings.warn(f"fits holds ASCII only: {escaped} texts were written with escapes such as \\u03c6.", LeftOut, stacklevel=4)
    return points, widths


def _ascii(column: pa.Array) -> tuple[pa.Array, int]:
    """Return texts with escapes for what is not ASCII, and how many were changed."""
    strange = pc.sum(pc.invert(pc.fill_null(pc.string_is_ascii(column), True))).as_py() or 0
    if not strange:
        return column, 0
    return pa.array([text if text is None else text.encode("ascii", "backslashreplace").decode() for text in column.to_pylist()]), strange


def _header(content: Content, points: int, widths: Widths) -> Any:
    from astropy.io import fits

    columns = [_column(field, widths) for field in content.schema]
    header = fits.BinTableHDU.from_columns(columns, nrows=0, name="LIGHT_CURVES").header
    header["NAXIS2"] = points
    header.update({"TIMEUNIT": "d", **TIME_WORDS[content.time]})
    place = content.schema.get_field_index(content.time_column) + 1
    if content.time != "survey":
        words = TIME_WORDS[content.time]
        header.update({f"TCTYP{place}": words["TIMESYS"], f"TCUNI{place}": "d", f"TRPOS{place}": words["TREFPOS"]})
    for field, number in zip(content.schema, range(1, len(content.schema) + 1), strict=True):
        header.comments[f"TTYPE{number}"] = said_of(field).description[:40]
        header[f"TUCD{number}"] = said_of(field).ucd
    for key, value in content.about.items():
        if value:
            header[KEYWORDS.get(key, f"HIERARCH {key.upper()}")] = value.encode("ascii", "backslashreplace").decode()
    return header


def _column(field: pa.Field, widths: Widths) -> Any:
    from astropy.io import fits

    form = f"{widths[field.name]}A" if field.name in widths else FORMS[field.type][0]
    return fits.Column(name=field.name, format=form, unit=said_of(field).unit.replace(".", " ") or None)


def _records(batch: pa.RecordBatch, schema: pa.Schema, widths: Widths) -> Any:
    """Return a batch as the bytes of its rows: big-endian, NaN and blanks for null."""
    kinds = [(field.name, f"S{widths[field.name]}" if field.name in widths else FORMS[field.type][1]) for field in schema]
    rows = np.zeros(batch.num_rows, np.dtype(kinds))
    for field in schema:
        column = batch.column(field.name)
        if field.type == pa.bool_():
            rows[field.name] = np.where(np.asarray(pc.fill_null(column, False)), b"T", b"F")
        elif field.name in widths:
            rows[field.name] = pc.fill_null(column, "").cast(pa.binary()).to_numpy(zero_copy_only=False)
        else:
            rows[field.name] = column.to_numpy(zero_copy_only=False)
    return rows


def _bytes_of(header: Any) -> bytes:
    return bytes(header.tostring(sep="", endcard=True, padding=True).encode("ascii"))
