"""Parquet, zstd: units per column, time scale and origin as metadata."""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

UNIQUE = ("observation_id",)


def write(schema: pa.Schema, batches: Iterable[pa.RecordBatch], stream: IO[bytes]) -> int:
    """Write one Parquet file, a row group per batch; return the number of points.

    Only text that repeats is written as a dictionary: looking for repeats among measured numbers doubles the time and enlarges the file.
    """
    repeated = [field.name for field in schema if pa.types.is_string(field.type) and field.name not in UNIQUE]
    points = 0
    with pq.ParquetWriter(stream, schema, compression="zstd", use_dictionary=repeated or False) as writer:
        for batch in batches:
            writer.write_batch(batch)
            points += batch.num_rows
    return points
