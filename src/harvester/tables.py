"""Tables that services write for people: lists of their jobs as web pages or JSON, and text with blanks between the columns."""

from __future__ import annotations

import html
import json
import re
from typing import TYPE_CHECKING

from harvester.errors import Malformed, Refused
from harvester.payload import NULL_WORDS, Payload, read_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pyarrow as pa

ROW = re.compile(r"<tr\b.*?</tr\s*>", re.IGNORECASE | re.DOTALL)
CELL = re.compile(r"<t[hd]\b[^>]*>(.*?)</t[hd]\s*>", re.IGNORECASE | re.DOTALL)
TAG = re.compile(r"<[^>]*>")
UNWELCOME = re.compile(r"[^<>]*\b(invalid|incorrect|unknown user|not registered|not authori[sz]ed)\b[^<>]*", re.IGNORECASE)
COMMA_IN_CELL = b"\x1f"


def listed(page: Payload, *required: str, names: Mapping[str, str] | None = None) -> list[dict[str, str]]:
    """Return the rows of the first table of a web page, or of a JSON list of objects, by column name in lower case; values as they are written.

    `names` are other spellings of column names. What is missing is an empty text. A page without a table lists nothing. Raises Malformed for a
    list without the `required` columns, and for what is neither a page nor a list; Refused for a page that finds fault with the account.
    """
    written = page.body.decode("utf-8", "replace").strip()
    if written and written[0] not in "<[":
        raise Malformed(f"{page.source}: expected a list of requests, but received {written[:60]!r}.", payload=page)
    rows = _of_json(page, written) if written.startswith("[") else _of_html(written)
    rows = [{(names or {}).get(name, name): value for name, value in row.items()} for row in rows]
    refusal = UNWELCOME.search(written) if not rows else None
    if refusal:
        raise Refused(f"{page.source}: the account was not accepted.", refusal[0].strip()[:150], "Check the credentials in the settings.")
    missing = [name for name in required if rows and name not in rows[0]]
    if missing:
        seen = ", ".join(rows[0])[:100]
        raise Malformed(f"{page.source}: a list of requests without the columns {', '.join(missing)}.", f"Received: {seen}", payload=page)
    return [{name: "" if value in NULL_WORDS else value for name, value in row.items()} for row in rows if any(row.values())]


def alike(rows: Iterable[Mapping[str, str]], wanted: Mapping[str, float], tolerance: float) -> list[Mapping[str, str]]:
    """Return the rows whose numbers are those `wanted`, to the tolerance; where no number stands, a row is not the one.

    >>> alike([{"ra": "10.50001"}, {"ra": ""}], {"ra": 10.5}, 1e-4)
    [{'ra': '10.50001'}]
    """
    return [row for row in rows if all(abs(_float(row.get(name, "")) - value) < tolerance for name, value in wanted.items())]


def read_blanks(payload: Payload, head: str, *required: str, end: bytes) -> pa.Table:
    """Return a table with comments after '#', one header line with commas, and rows of words with blanks between them, as text.

    `head` is a word that the header line has as a name; `end` begins the comment that closes a whole table. An empty body is an empty
    table. Raises Malformed for a page in place of data, a table that was cut off, ragged rows, and missing columns.
    """
    if not payload.body.strip() or payload.body.lstrip().startswith(b"<"):
        return read_table(payload, *required)
    lines = payload.body.splitlines()
    plain = [line.strip() for line in lines if line.strip() and not line.startswith(b"#")]
    if not plain or head.encode() not in re.split(rb"[,\s]+", plain[0]) or not [line for line in lines if line.strip()][-1].startswith(end):
        raise Malformed(
            f"{payload.source}: expected a light curve, but its header or its last line is missing.", "It was cut off, or it is none.",
            "Try again later.", payload=payload,
        )  # fmt: skip
    names, *rows = plain
    cells = b"\n".join(re.sub(rb"[ \t]+", b",", row.replace(b",", COMMA_IN_CELL)) for row in rows)
    table = read_table(payload.about(body=b",".join(names.replace(b",", b" ").split()) + b"\n" + cells + b"\n"), *required)
    return _with_commas(table)


def _with_commas(table: pa.Table) -> pa.Table:
    import pyarrow.compute as pc

    for place, name in enumerate(table.column_names):
        table = table.set_column(place, name, pc.replace_substring(table[name], COMMA_IN_CELL.decode(), ","))
    return table


def _of_json(page: Payload, written: str) -> list[dict[str, str]]:
    try:
        rows = json.loads(written, parse_int=str, parse_float=str)
        return [{str(name).lower(): "" if value is None else str(value) for name, value in row.items()} for row in rows]
    except (ValueError, AttributeError, RecursionError) as error:
        raise Malformed(f"{page.source}: a list of requests that cannot be read ({error}).", payload=page) from error


def _of_html(written: str) -> list[dict[str, str]]:
    rows = [[html.unescape(TAG.sub(" ", cell)).strip() for cell in CELL.findall(row)] for row in ROW.findall(written)]
    names = [name.lower() for name in rows[0]] if rows else []
    return [dict(zip(names, row, strict=False)) for row in rows[1:]]


def _float(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return float("nan")
