"""Parquet, zstd: units per column, time scale and origin as metadata."""

from __future__ import annotations

from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from harvester.export.content import Content

UNIQUE = ("observation_id",)


def write(content: Content, stream: IO[bytes]) -> int:
    """Write one Parquet file, a row group per batch; return the number of points."""
    points = 0
    with writer_of(stream, content.schema) as writer:
        for batch in content.batches:
            writer.write_batch(batch)
            points += batch.num_rows
    return points


def writer_of(place: Any, schema: pa.Schema) -> pq.ParquetWriter:
    """Open a file or stream for batches of a schema.

    Only text that repeats is written as a dictionary: looking for repeats among measured numbers doubles the time and enlarges the file.
    """
    repeated = [field.name for field in schema if pa.types.is_string(field.type) and field.name not in UNIQUE]
    return pq.ParquetWriter(place, schema, compression="zstd", use_dictionary=repeated or False)
