"""ECSV 1.0: CSV under a head of YAML with type, unit and description of each column, and what the data are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from harvester.export.columns import said_of
from harvester.export.content import Content

TYPES = {pa.float64(): "float64", pa.string(): "string", pa.bool_(): "bool", pa.int8(): "int8", pa.int32(): "int32"}
OPTIONS = pa_csv.WriteOptions(quoting_style="needed")


def write(content: Content, stream: IO[bytes]) -> int:
    """Write the head and the rows; return the number of points. Empty fields are null; an empty text reads back as null as well."""
    stream.write("".join(f"# {line}\n" for line in _head(content.schema)).encode())
    schema = pa.schema([(field.name, pa.string() if field.type == pa.bool_() else field.type) for field in content.schema])
    points = 0
    with pa_csv.CSVWriter(stream, schema, write_options=OPTIONS) as writer:
        for batch in content.batches:
            columns = [_capital(column) if column.type == pa.bool_() else column for column in batch.columns]
            writer.write_batch(pa.record_batch(columns, schema=schema))
            points += batch.num_rows
    return points


def _head(schema: pa.Schema) -> Iterator[str]:
    yield from ("%ECSV 1.0", "---", "delimiter: ','", "datatype:")
    for field in schema:
        column = said_of(field)
        said = {"name": field.name, "unit": column.unit, "datatype": TYPES[field.type], "description": column.description}
        yield "- {" + ", ".join(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in said.items() if value) + "}"
    yield "meta: !!omap"
    for key, value in (schema.metadata or {}).items():
        yield f"- {json.dumps(key.decode())}: {json.dumps(value.decode(), ensure_ascii=False)}"
    yield "schema: astropy-2.0"


def _capital(column: pa.Array) -> pa.Array:
    return pc.if_else(column, "True", "False")
