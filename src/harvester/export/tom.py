"""CSV for a TOM Toolkit: time,filter,magnitude,error,limit,source. Time is MJD (UTC); a limit has no magnitude.

`source` is the survey, with "simulated" before it where the data are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc

from harvester.export.bhtom import lines, without_magnitude
from harvester.export.content import Census, Content
from harvester.schema import parts

HEAD = ("time", "filter", "magnitude", "error", "limit", "source")
DELIMITER = ","


def write(content: Content, stream: IO[bytes]) -> int:
    """Write the points that have a magnitude or a limit; return their number."""
    points, census = 0, Census(content.form)
    stream.write(lines([HEAD], DELIMITER))
    for batch in content.batches:
        kept = census.keep(batch, ("without a magnitude", without_magnitude(batch)))
        stream.write(lines(_rows(kept, content.simulated), DELIMITER))
        points += kept.num_rows
    census.tell()
    return points


def _rows(batch: pa.RecordBatch, simulated: str) -> Iterator[Sequence[Any]]:
    limit = batch.column("upper_limit")
    columns = (
        *(batch.column(name) for name in ("mjd_utc", "filter")),
        *(pc.if_else(limit, None, batch.column(name)) for name in ("mag", "mag_err")),
        pc.if_else(limit, batch.column("limiting_mag"), None),
    )
    for mjd, label, mag, error, limiting in zip(*(column.to_pylist() for column in columns), strict=True):
        yield mjd, label, mag, error, limiting, f"{simulated} {parts(label)[1]}".strip()
