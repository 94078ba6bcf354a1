"""Payloads: bytes as a survey sent them, and how they become columns.

Readers keep 64-bit ids and every digit: a CSV is read as text, a VOTable with its own types. `number` turns text into float64; what cannot be
read becomes infinite, which `conform` puts into quarantine rather than guess.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
from numpy.typing import NDArray

from harvester.errors import Malformed

NULL_WORDS = ["", "null", "NULL", "nan", "NaN", "NAN", "--", "None"]
PLAIN_NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"
TABLES = (".csv", ".ecsv", ".fits", ".vot", ".votable", ".xml")  # members that hold data; an archive may bring a manifest besides
MAX_UNPACKED = 256 << 20
BOM = b"\xef\xbb\xbf"
LONGEST_HEADER, WORTH_THREADS = 1 << 16, 1 << 22  # bytes: of a CSV table's first line; from which on threads save time


@dataclass(frozen=True, slots=True)
class SkyObject:
    """A thing that a survey (empty is the source's own) has near a target: position (ICRS deg) at `epoch` (year), proper motion (mas/yr)."""

    object_id: str
    ra: float
    dec: float
    epoch: float = 2000.0
    pmra: float = 0.0
    pmdec: float = 0.0
    has_photometry: bool | None = None
    """What the survey says of it; an answer without photometry of a thing that is said to have some is suspicious."""
    survey: str = ""


@dataclass(frozen=True)
class Payload:
    """One answer as received. `url` and `params` carry no secret.

    `role` says what it holds: "photometry" is normalised; "objects" tells only what the survey has there, and is kept for provenance.
    `objects` are the candidates that `fetch` learnt of, from which `match` chooses. `doubt`, if not empty, says why the answer may not be the
    whole truth although the service called it a success.
    """

    body: bytes
    url: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    content_type: str = ""
    time: str = ""
    source: str = ""
    objects: tuple[SkyObject, ...] = ()
    role: str = "photometry"
    doubt: str = ""

    @cached_property
    def sha256(self) -> str:
        """Hash of the body: the payload's name in the store."""
        return hashlib.sha256(self.body).hexdigest()

    def about(self, **changes: Any) -> Payload:
        """Return the same answer with `objects`, `role` or `doubt` said of it."""
        return replace(self, **changes)


def read_table(payload: Payload, *required: str) -> pa.Table:
    """Return the payload's table, columns named in lower case: CSV as text, VOTable and Parquet typed with null for masked and NaN.

    An empty body is an empty table. Raises Malformed for an HTML page, a service's error document, a broken file, or missing columns.
    """
    return _read(payload.body, payload, required)


def read_members(payload: Payload, *required: str) -> Iterator[tuple[str, pa.Table]]:
    """Yield (name, table) for each of the payload's `members`. Raises Malformed, also for an unreadable member, or missing columns."""
    for name, body in members(payload):
        yield name, _read(body, payload, required)


def members(payload: Payload) -> Iterator[tuple[str, bytes]]:
    """Yield (name, body) of each table in a zip archive, or ("", body) of a plain body that is not blank. Raises Malformed for a broken archive."""
    if not payload.body.startswith(b"PK"):
        if payload.body.strip():
            yield "", payload.body
        return
    try:
        with zipfile.ZipFile(io.BytesIO(payload.body)) as archive:
            found = [member for member in archive.infolist() if member.filename.lower().endswith(TABLES)]
            if sum(member.file_size for member in found) > MAX_UNPACKED:
                raise _malformed(payload, "the archive unpacks to more than 256 MiB")
            for member in found:
                yield member.filename, archive.read(member)
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, zipfile.zlib.error) as error:  # type: ignore[attr-defined]
        raise _malformed(payload, f"the zip archive is broken or cut off ({error})") from error


def read_json(payload: Payload) -> Any:
    """Return what a JSON body says; whole numbers keep every digit. Raises Malformed for a page, another text, or a body that was cut off."""
    try:
        return json.loads(payload.body)
    except (ValueError, RecursionError) as error:
        raise _malformed(payload, f"what came is no JSON ({str(error)[:80]})") from error


def require(table: pa.Table, *names: str, payload: Payload | None = None) -> None:
    """Raise Malformed, naming them, if columns are missing; `payload` is the answer that lacks them."""
    missing = [name for name in names if name not in table.column_names]
    if missing:
        seen = ", ".join(table.column_names)[:100]
        raise Malformed(
            f"columns missing: {', '.join(missing)}.", f"Received: {seen}", "The service has changed, or cut its answer.", payload=payload
        )


def text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column as text without blanks around it: ids of 64 bits keep every digit."""
    return pc.utf8_trim_whitespace(pc.cast(column, pa.string()))


def number(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column as float64; text that is no number becomes infinite, for `conform` to put into quarantine."""
    if not pa.types.is_string(column.type):
        return pc.cast(column, pa.float64(), safe=False)
    with suppress(pa.ArrowInvalid):
        values = pc.cast(column, pa.float64())
        if pc.all(pc.is_finite(values)).as_py() is not False:  # words that are numbers to Arrow only are not finite
            return values
    readable = pc.match_substring_regex(column, PLAIN_NUMBER)
    return pc.cast(pc.utf8_trim_whitespace(pc.if_else(readable, column, "inf")), pa.float64())


def numpy(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Return a column of numbers as a float64 array, NaN for null."""
    return np.array(column.to_numpy(), np.float64)


def integer(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column of whole numbers as int64, decimal or hexadecimal ("0x2"), as some services print bit masks.

    Text that is no whole number becomes null: flags that nobody can read make a point suspect (see `conform`), not good.
    """
    if not pa.types.is_string(column.type):
        return pc.cast(column, pa.int64(), safe=False)
    words = pc.unique(column).drop_null()
    values = pa.array([_whole(word.strip()) for word in words.to_pylist()], pa.int64())
    return pc.take(values, pc.index_in(column, value_set=words))


def truth(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column of true/false (or t/f, 1/0) as booleans; null is false."""
    if pa.types.is_boolean(column.type):
        return pc.fill_null(column, False)
    return pc.is_in(pc.utf8_lower(text(column)), value_set=pa.array(["true", "t", "1"]))


def mapped(column: pa.ChunkedArray, words: Mapping[str, str]) -> pa.ChunkedArray:
    """Translate the survey's words by a table; a word that the table lacks stays, for `conform` to put into quarantine."""
    trimmed = pc.utf8_trim_whitespace(text(column))
    index = pc.index_in(trimmed, value_set=pa.array(list(words)))
    return pc.coalesce(pc.take(pa.array(list(words.values())), index), trimmed)


def words(*parts: str | pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column that joins words and columns by blanks, as flags are kept; null is nothing."""
    columns = [part if isinstance(part, str) else pc.fill_null(text(part), "") for part in parts]
    return pc.binary_join_element_wise(*columns, " ")


def constant(value: Any, rows: int) -> pa.Array:
    """Return a column that says the same in every row."""
    return pa.repeat(pa.scalar(value), rows)


def sky_objects(rows: pa.Table, object_id: str, ra: str, dec: str, *rest: str) -> tuple[SkyObject, ...]:
    """Return the objects of a catalogue's table, from its columns for id, ra, dec and, in this order, epoch, pmra, pmdec, has_photometry.

    Null is no proper motion. Raises Malformed for a thing without id, position or epoch.
    """
    sure, unsure = (object_id, ra, dec, *rest[:1]), rest[1:3]
    if any(rows[name].null_count for name in sure):
        raise Malformed("a catalogue lists a thing without id, position or epoch.")
    places = [number(rows[name]).to_pylist() for name in sure[1:]] + [pc.fill_null(number(rows[name]), 0.0).to_pylist() for name in unsure]
    said = [truth(rows[name]).to_pylist() for name in rest[3:4]]
    return tuple(SkyObject(*values) for values in zip(text(rows[object_id]).to_pylist(), *places, *said, strict=True))


def _whole(word: str) -> int | None:
    if re.fullmatch(r"0[xX][0-9a-fA-F]{1,15}", word):
        return int(word, 16)
    return int(word.partition(".")[0]) if re.fullmatch(r"\d{1,18}(\.0*)?", word) else None


def _read(body: bytes, payload: Payload, required: tuple[str, ...]) -> pa.Table:
    body = body.removeprefix(BOM)
    start = body[:2048].lstrip(b" \t\r\n")
    if not start:
        return pa.table({name: pa.array([], pa.string()) for name in required})
    if body.startswith(b"PAR1"):
        table = _read_parquet(body, payload)
    elif start.startswith(b"<"):
        table = _read_votable(body, start, payload)
    else:
        table = _read_csv(body, payload)
    require(table, *required, payload=payload)
    return table


def _read_csv(body: bytes, payload: Payload) -> pa.Table:
    header = re.split(rb"[\r\n]", body[:LONGEST_HEADER], maxsplit=1)[0]
    names = [name.strip().strip('"').lower() for name in header.decode("utf-8", "replace").split(",")]
    if len(set(names)) != len(names) or not all(re.fullmatch(r"[\w.:#()\[\] /-]{1,64}", name) for name in names):
        raise _malformed(payload, f"not a table: it begins with {body[:60]!r}")
    try:
        return pa_csv.read_csv(
            io.BytesIO(body),
            read_options=pa_csv.ReadOptions(column_names=names, skip_rows=1, use_threads=len(body) > WORTH_THREADS),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
                null_values=NULL_WORDS,
            ),
        )
    except pa.ArrowInvalid as error:
        raise _malformed(payload, f"not a clean CSV table ({str(error).splitlines()[0][:120]})") from error


def _read_votable(body: bytes, start: bytes, payload: Payload) -> pa.Table:
    if b"VOTABLE" not in start.upper():
        raise _malformed(payload, "an HTML or XML page came in place of data")
    import warnings

    from astropy.io.votable import parse

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            document = parse(io.BytesIO(body), verify="ignore")
        status = [
            info for resource in document.resources for info in resource.infos if info.name == "QUERY_STATUS" and info.value == "ERROR"
        ]
        if status:
            raise _malformed(payload, f"the service says: {str(status[0].content).strip()[:200]}")
        element = document.get_first_table()
    except (IndexError, ValueError, OSError, EOFError) as error:
        raise _malformed(payload, f"the VOTable is broken or cut off ({str(error).splitlines()[0][:120]})") from error
    array = element.array
    columns = {f.name.lower(): _votable_column(array[f.name]) for f in element.fields}
    params = {p.name.lower(): constant(str(p.value), len(array)) for p in element.params if p.name.lower() not in columns}
    return pa.table(columns | params)


def _read_parquet(body: bytes, payload: Payload) -> pa.Table:
    from pyarrow import parquet

    try:
        table = parquet.read_table(io.BytesIO(body))
        return table.rename_columns([name.lower() for name in table.column_names])
    except (pa.ArrowException, OSError) as error:
        raise _malformed(payload, f"the Parquet file is broken or cut off ({str(error)[:80]})") from error


def _votable_column(column: Any) -> pa.Array:
    mask = np.ma.getmaskarray(column)
    data = np.ma.getdata(column)
    if data.dtype == np.float32:
        data = data.astype(str).astype(np.float64)  # the digits that the survey meant: 17.72, not 17.719999313
    if data.dtype.kind == "f":
        return pa.array(data.astype(np.float64), mask=mask | np.isnan(data))
    if data.dtype.kind in "iub":
        return pa.array(data, mask=mask)
    return pa.array([None if hidden else _word(value) for value, hidden in zip(data.tolist(), mask, strict=True)], pa.string())


def _word(value: Any) -> str | None:
    word = value.decode() if isinstance(value, bytes) else str(value)
    return None if word in NULL_WORDS else word


def _malformed(payload: Payload, why: str) -> Malformed:
    return Malformed(
        f"{payload.source}: expected photometry, but {why} (payload {payload.sha256[:8]}).",
        "The service may be down or may have changed.",
        f"Try again later. If it stays: harvest sources show {payload.source} names the manual.",
        payload=payload,
    )
