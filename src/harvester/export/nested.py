"""Nested Parquet: a row per target, with its position, and its points as lists in the columns of `lightcurve`."""

from __future__ import annotations

from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harvester.derive import whole_targets
from harvester.export.content import Content
from harvester.export.parquet import writer_of

NESTED = "lightcurve"
PLACE = {"ra": "deg", "dec": "deg", "epoch": "yr", "pmra": "mas.yr**-1", "pmdec": "mas.yr**-1"}


def write(content: Content, stream: IO[bytes]) -> int:
    """Write one Parquet file; return the number of points."""
    points, schema = 0, _schema(content.schema)
    with writer_of(stream, schema) as writer:
        for table in whole_targets(content.batches):
            writer.write_table(_rows(table, schema, content))
            points += table.num_rows
    return points


def _schema(flat: pa.Schema) -> pa.Schema:
    inside = [pa.field(field.name, pa.list_(field.type), metadata=field.metadata) for field in flat if field.name != "target"]
    place = [pa.field(name, pa.float64(), metadata={"unit": unit}) for name, unit in PLACE.items()]
    return pa.schema([flat.field("target"), *place, pa.field(NESTED, pa.struct(inside))], flat.metadata)


def _rows(table: pa.Table, schema: pa.Schema, content: Content) -> pa.Table:
    """Return whole targets as a row each; rows of a target stand together."""
    table = table.combine_chunks()
    codes = pc.index_in(table["target"], value_set=pc.unique(table["target"])).to_numpy()
    starts = np.flatnonzero(np.diff(codes, prepend=-1) != 0)
    offsets = pa.array([*starts.tolist(), table.num_rows], pa.int32())
    names = table["target"].take(pa.array(starts)).combine_chunks()
    kind = schema.field(NESTED).type
    lists = [pa.ListArray.from_arrays(offsets, table[field.name].combine_chunks(), type=field.type) for field in kind]
    targets = [content.known.targets.get(name) for name in names.to_pylist()]
    place = [pa.array([getattr(target, name, None) for target in targets], pa.float64()) for name in PLACE]
    return pa.table([names, *place, pa.StructArray.from_arrays(lists, fields=list(kind))], schema=schema)
