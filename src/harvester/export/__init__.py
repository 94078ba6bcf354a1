"""Exports: a table of formats, each a small module, all streaming; a failed export leaves no half file.

A format is a function `write(batches, stream, about) -> points`; `about` says what the data are: store kind, software, time scale.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Protocol, cast

import pyarrow as pa

from harvester.errors import ExportError, UsageError

FORMATS = {
    "parquet": ("harvester.export.parquet", (".parquet", ".pq")),
    "csv": ("harvester.export.csv", (".csv",)),
}
"""Name: the module, and the suffixes that choose it."""
UNITS = {
    "time": "d",
    "bjd_tdb": "d",
    "mag": "mag",
    "mag_err": "mag",
    "flux": "uJy",
    "flux_err": "uJy",
    "limiting_mag": "mag",
    "ra": "deg",
    "dec": "deg",
    "exptime": "s",
}


class Writer(Protocol):
    """What a format's module has."""

    def write(self, schema: pa.Schema, batches: Iterable[pa.RecordBatch], stream: IO[bytes]) -> int:
        """Write all batches to an open binary stream; return the number of points."""


def export(schema: pa.Schema, batches: Iterable[pa.RecordBatch], output: str, *, form: str | None, about: Mapping[str, str]) -> int:
    """Write a light curve to a file, or to standard output for "-", and return the number of points.

    `about` becomes the file's metadata. Raises UsageError for an unknown format, ExportError when the file cannot be written.
    """
    writer = cast("Writer", importlib.import_module(FORMATS[format_of(output, form)][0]))
    described = with_metadata(schema, about)
    try:
        with _opened(output) as stream:
            return writer.write(described, (batch.cast(described) for batch in batches), stream)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ExportError(
            f"'{output}' cannot be written.", str(error.strerror or error), "Nothing is left of it; the store is untouched."
        ) from error


def format_of(output: str, form: str | None) -> str:
    """Return the name of the format that `--format` or the suffix asks for; CSV for standard output. Raises UsageError."""
    if form in FORMATS:
        return form
    suffix = ".csv" if output == "-" else Path(output).suffix.lower()
    found = next((name for name, (_, suffixes) in FORMATS.items() if suffix in suffixes), None)
    if form or not found:
        what = f"no format named '{form}'." if form else f"'{output}' tells no format."
        raise UsageError(what, hint=f"Formats: {', '.join(FORMATS)}.  By suffix, or with --format NAME.")
    return found


def with_metadata(schema: pa.Schema, about: Mapping[str, str]) -> pa.Schema:
    """Return the schema with what the file says of itself: units and meaning per column, and `about`."""
    fields = [field.with_metadata({"unit": UNITS[field.name]} if field.name in UNITS else {}) for field in schema]
    said = {
        "time_scale:bjd_tdb": "BJD, TDB at the solar system barycentre",
        "time_scale:time": "the survey's own; see harvest sources show",
        **about,
    }
    return pa.schema(fields, {key: value for key, value in said.items() if value})


@contextlib.contextmanager
def _opened(output: str) -> Iterator[IO[bytes]]:
    """Open standard output, or a file that takes its name only when it is whole."""
    if output == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(output).expanduser()
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as stream:
        try:
            yield cast("IO[bytes]", stream)
            stream.flush()
            os.fsync(stream.fileno())
        except BaseException:
            Path(stream.name).unlink()
            raise
    Path(stream.name).chmod(0o666 & ~_umask())
    Path(stream.name).replace(path)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
