"""Exports: a table of formats, each a small module, all streaming; a failed export leaves no half file.

A format's module has `write(content, stream) -> points`, or `write_folder(content, folder) -> points` where it makes several files. What a
format cannot hold it says: as a warning where points stay out, as an error where the file would mislead.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from harvester.derive import TIMES, Known
from harvester.errors import ExportError, UsageError
from harvester.export.columns import with_metadata
from harvester.export.content import Content, LeftOut
from harvester.export.place import new_folder, opened

__all__ = ["FORMATS", "Content", "Format", "LeftOut", "export", "format_of", "save", "time_of", "with_metadata"]


@dataclass(frozen=True, slots=True)
class Format:
    """A format: its module, the suffixes that choose it, what it is for, which times it can hold (the first is the default), and limits.

    `one_target`: it has no place for the target's name. `folder`: it makes several files.
    """

    module: str
    suffixes: tuple[str, ...]
    holds: str
    times: tuple[str, ...] = TIMES
    one_target: bool = False
    folder: bool = False
    fixed_flux: bool = False
    """Whether the format itself says in what unit fluxes are, or has none."""


TABLES = ("parquet", "csv")
"""Formats that hold a table of any columns."""
ROWS = 1 << 17
"""Rows in a piece of a table that is saved."""
BARYCENTRIC, CIVIL = ("bjd_tdb", "survey"), ("mjd",)
FORMATS = {
    "parquet": Format("parquet", (".parquet", ".pq"), "everything, one file: pandas, polars, DuckDB"),
    "dataset": Format("dataset", (), "everything, a folder of Parquet by target or HEALPix cell (--partition)", folder=True),
    "nested": Format("nested", (), "everything, Parquet with a row per target: nested-pandas, LSDB"),
    "csv": Format("csv", (".csv",), "everything, comma-separated"),
    "ecsv": Format("ecsv", (".ecsv",), "everything, CSV with units: astropy"),
    "votable": Format("votable", (".vot", ".votable", ".xml"), "everything, with UCDs and time systems: TOPCAT, astropy"),
    "fits": Format("fits", (".fits", ".fit"), "everything, a binary table"),
    "jsonl": Format("jsonl", (".jsonl", ".ndjson"), "everything, a JSON object a line"),
    "aavso": Format("aavso", (), "magnitudes and limits, AAVSO Extended", CIVIL, fixed_flux=True),
    "bhtom": Format("bhtom", (), "magnitudes and limits, as BHTOM's photometry CSV", CIVIL, one_target=True, fixed_flux=True),
    "tom": Format("tom", (), "magnitudes and limits, CSV for a TOM Toolkit", CIVIL, one_target=True, fixed_flux=True),
    "sncosmo": Format("sncosmo", (), "fluxes, table for sncosmo", TIMES, one_target=True, fixed_flux=True),
    "snana": Format("snana", (), "fluxes, text for SNANA", CIVIL, one_target=True, fixed_flux=True),
    "pylima": Format("pylima", (), "magnitudes, a file per filter: time mag err", BARYCENTRIC, folder=True, fixed_flux=True),
    "rtmodel": Format("rtmodel", (), "magnitudes, a file per filter: mag err time-2450000", BARYCENTRIC, folder=True, fixed_flux=True),
}


def export(
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    output: str,
    *,
    form: str | None,
    about: Mapping[str, str],
    known: Known | None = None,
    time: str | None = None,
    options: Mapping[str, str] | None = None,
) -> int:
    """Write light curves to a file or folder, or to standard output for "-", and return the number of points.

    `about` becomes the file's metadata; `known` tells of targets and filters what some formats say of them; `time` is the column that is the
    file's time; `options` are a format's own. Batches come target by target. Raises UsageError for an unknown format and for what the format
    cannot hold, ExportError when the file cannot be written. Warns LeftOut of points that stay out.
    """
    name = format_of(output, form)
    described = with_metadata(schema, about)
    rows = (batch.cast(described) for batch in batches)
    content = Content(described, rows, name, about, known or Known(), time_of(name, time), options or {})
    if FORMATS[name].one_target:
        content = content.of_one_target()
    return _written(content, output)


def save(table: pa.Table, output: str, *, about: Mapping[str, str]) -> int:
    """Write a table that is no light curve as Parquet or CSV; return the number of rows. Raises UsageError, ExportError."""
    name = format_of(output, None)
    if name not in TABLES:
        raise UsageError(f"{name} is a format for light curves.", hint=f"This table can be written as: {', '.join(TABLES)}.")
    described = table.cast(table.schema.with_metadata({key: value for key, value in about.items() if value}))
    batches = described.to_batches(max_chunksize=ROWS)
    return _written(Content(described.schema, batches, name, about, Known(), time_of(name, None)), output)


def format_of(output: str, form: str | None) -> str:
    """Return the name of the format that `--format` or the suffix asks for; CSV for standard output. Raises UsageError."""
    if form in FORMATS:
        return form
    suffix = ".csv" if output == "-" else Path(output).suffix.lower()
    found = next((name for name, known in FORMATS.items() if suffix in known.suffixes), None)
    if form or not found:
        what = f"no format named '{form}'." if form else f"'{output}' tells no format."
        raise UsageError(what, hint=f"Formats: {', '.join(FORMATS)}.  By suffix, or with --format NAME.")
    return found


def time_of(form: str, time: str | None) -> str:
    """Return the time of a format's file: what was asked for, or the format's own. Raises UsageError for one that it cannot hold."""
    possible = FORMATS[form].times
    if time and time not in possible:
        raise UsageError(
            f"{form} cannot hold the time '{time}'.", "Its readers would take it for another.", f"It holds: {', '.join(possible)}."
        )
    return time or possible[0]


def _written(content: Content, output: str) -> int:
    """Let the format's module write a file, or a folder, that is whole or not there."""
    form = FORMATS[content.form]
    writer = importlib.import_module(f"harvester.export.{form.module}")
    try:
        if not form.folder:
            with opened(output) as stream:
                return int(writer.write(content, stream))
        if output == "-":
            raise UsageError(f"{content.form} is several files, and standard output is one.", hint="Name a folder: -o FOLDER")
        with new_folder(output, content.about) as folder:
            return int(writer.write_folder(content, folder))
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ExportError(
            f"'{output}' cannot be written.", str(error.strerror or error), "Nothing is left of it; the store is untouched."
        ) from error
