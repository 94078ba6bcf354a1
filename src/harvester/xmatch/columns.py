"""Tables that astronomers keep, as Arrow: VOTable, FITS and CSV, each column under its own name, without losing a digit of an id."""

from __future__ import annotations

import warnings
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Sequence

NULL_WORDS = ["", "null", "NULL", "nan", "NaN", "NAN", "--"]
SINGLE = 4
"""Bytes of a short number: it becomes the digits that were meant, 17.72 rather than 17.719999313."""
WHOLE = r"^[+-]?\d{1,18}$"
NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"


def read_votable(stream: IO[bytes] | str) -> tuple[pa.Table, list[tuple[str, str]]]:
    """Return a VOTable's first table, and each QUERY_STATUS of the document with its words. Raises ValueError, OSError for a broken one."""
    from astropy.io.votable import parse

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            document = parse(stream, verify="ignore")
            found = next(iter(document.iter_tables()), None)
        except (IndexError, TypeError, EOFError) as error:
            raise ValueError(str(error).partition("\n")[0]) from error
    infos = [*document.infos, *(info for resource in document.resources for info in resource.infos)]
    status = [(str(info.value), " ".join(str(info.content or "").split())) for info in infos if info.name == "QUERY_STATUS"]
    if found is None:
        return pa.table({}), status
    names = distinct([field.name for field in found.fields])
    return arrow(names, [found.array[field.ID] for field in found.fields]), status


def arrow(names: Sequence[str], columns: Sequence[Any]) -> pa.Table:
    """Return columns of numpy, masked or not, as Arrow; those with several values in a cell are left out."""
    plain = {name: column for name, column in zip(names, columns, strict=True) if np.ndim(column) == 1}
    return pa.table({name: _column(column) for name, column in plain.items()})


def guessed(table: pa.Table) -> pa.Table:
    """Return a table of text with whole numbers and numbers where a column holds nothing else."""
    return pa.table({name: _guessed(table[name]) for name in table.column_names})


def distinct(names: Sequence[str], taken: Sequence[str] = ()) -> list[str]:
    """Return names so that each occurs once, and none is `taken`: a second `ra` is `ra_2`.

    >>> distinct(["id", "ra", "ra"], taken=["id"])
    ['id_2', 'ra', 'ra_2']
    """
    used, found = set(taken), list[str]()
    for name in names:
        number, new = 2, name
        while new in used:
            new, number = f"{name}_{number}", number + 1
        used.add(new)
        found.append(new)
    return found


def _column(column: Any) -> pa.Array:
    mask, data = np.ma.getmaskarray(column), np.ma.getdata(column)
    if data.dtype.kind in "iub":
        return pa.array(np.ascontiguousarray(data, data.dtype.newbyteorder("=")), mask=mask)
    if data.dtype.kind == "f":
        values = pa.array(np.ascontiguousarray(data, data.dtype.newbyteorder("=")), mask=mask | np.isnan(data))
        return values if data.dtype.itemsize > SINGLE else values.cast(pa.string()).cast(pa.float64())
    return pa.array([None if hidden else _word(value) for value, hidden in zip(data.tolist(), mask.tolist(), strict=True)], pa.string())


def _word(value: Any) -> str | None:
    word = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return word.strip() or None


def _guessed(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pa.types.is_string(column.type) or column.null_count == len(column):
        return column
    for pattern, kind in ((WHOLE, pa.int64()), (NUMBER, pa.float64())):
        if pc.all(pc.match_substring_regex(column, pattern)).as_py():
            return pc.cast(pc.replace_substring_regex(pc.utf8_trim_whitespace(column), r"^\+", ""), kind)
    return column
