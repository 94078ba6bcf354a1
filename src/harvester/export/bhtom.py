"""BHTOM's photometry CSV: MJD;Magnitude;Error;Facility;Filter;Observer. MJD is UTC; an error of -1 marks an upper limit.

The observer of simulated data is "simulated": there is no other place to say so.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc

from harvester.export.content import Census, Content
from harvester.schema import parts

HEAD = ("MJD", "Magnitude", "Error", "Facility", "Filter", "Observer")
DELIMITER = ";"
LIMIT = -1.0


def write(content: Content, stream: IO[bytes]) -> int:
    """Write the points that have a magnitude or a limit; return their number. The facility is the survey where none is known."""
    points, census = 0, Census(content.form)
    stream.write(lines([HEAD], DELIMITER))
    for batch in content.batches:
        kept = census.keep(batch, ("without a magnitude", without_magnitude(batch)))
        stream.write(lines(_rows(kept, content.simulated), DELIMITER))
        points += kept.num_rows
    census.tell()
    return points


def without_magnitude(batch: pa.RecordBatch) -> pa.Array:
    """Return which rows have a flux alone: not positive, or of a passband without a zero point."""
    return pc.and_(pc.is_null(batch.column("mag")), pc.invert(batch.column("upper_limit")))


def lines(rows: Iterator[Sequence[Any]] | Sequence[Sequence[Any]], delimiter: str) -> bytes:
    """Return rows as text, with quotes only where a value would break it: some readers know none."""
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _rows(batch: pa.RecordBatch, simulated: str) -> Iterator[Sequence[Any]]:
    limit = batch.column("upper_limit")
    columns = (
        batch.column("mjd_utc"),
        pc.if_else(limit, batch.column("limiting_mag"), batch.column("mag")),
        pc.if_else(limit, LIMIT, batch.column("mag_err")),
        *(batch.column(name) for name in ("facility", "filter", "observer")),
    )
    for mjd, mag, error, facility, label, observer in zip(*(column.to_pylist() for column in columns), strict=True):
        yield mjd, mag, error, facility or parts(label)[1], label, f"{simulated} {observer or ''}".strip()
