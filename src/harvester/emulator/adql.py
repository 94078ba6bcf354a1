"""ADQL on a SQLite database in memory, made for one request and thrown away.

A query is split into tokens (text in quotes is never touched), its ADQL parts are rewritten for SQLite, and the tables that it names are
filled from the simulated sky. What is not SQL there: `TOP n`, `OFFSET` without limit, "quoted names", geometry (POINT, CIRCLE, BOX,
CONTAINS, INTERSECTS, DISTANCE, COORD1, COORD2, AREA), and boolean columns compared with 't', 'true', 'f', 'false'. Schemas are
attached databases. POLYGON and REGION are refused.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from harvester.emulator import geometry
from harvester.emulator.tokens import AdqlError, Token, tokenise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

TRUTHS = {"t": "1", "true": "1", "1": "1", "f": "0", "false": "0", "0": "0"}
AFFINITIES = {"long": "INT", "int": "INT", "short": "INT", "boolean": "INT", "double": "REAL", "float": "REAL", "char": "TEXT"}
GUESSES = {str: "char", float: "double", int: "long"}  # of several kinds of value in one column, the first here holds them all
NOT_HERE = {"POLYGON", "REGION", "CENTROID"}


@dataclass(frozen=True)
class Column:
    """A column as TAP describes it; `datatype` is VOTable's (long, int, short, double, float, char, boolean)."""

    name: str
    datatype: str
    unit: str = ""
    ucd: str = ""
    description: str = ""


@dataclass(frozen=True)
class Table:
    """A table of a service: `name` with its schema ("gaiadr3.gaia_source"); `rows` is called only if a query names the table."""

    name: str
    columns: tuple[Column, ...]
    rows: Callable[[], Iterable[Sequence[Any]]]
    description: str = ""


@dataclass(frozen=True)
class Result:
    """Columns and rows of an answer; `overflow` says that there were more rows than allowed."""

    columns: tuple[Column, ...]
    rows: list[tuple[Any, ...]]
    overflow: bool = False


def translate(query: str, booleans: frozenset[str]) -> str:
    """Rewrite ADQL as SQLite's SQL; `booleans` are the names (lower case) of boolean columns. Raises AdqlError."""
    tokens = [token for token in tokenise(query) if token.kind != "blank"]
    if not tokens or not tokens[0].says("SELECT", "WITH"):
        raise AdqlError("Cannot parse query: it must begin with SELECT or WITH.")
    words: list[str] = []
    tops: list[str] = [""]
    for place, token in enumerate(tokens):
        if token.kind == "number" and place and tokens[place - 1].says("TOP"):
            tops[-1] = f" LIMIT {token.text}"
        elif not token.says("TOP") and not _is_schema_of_all(tokens, place):
            words.append(_limited(token, tops) + _word(tokens, place, booleans))
    return " ".join(words) + _limits(tops)


def _is_schema_of_all(tokens: list[Token], place: int) -> bool:
    """Tell whether a token is the schema, or the dot after it, of schema.table.*, which is table.* to SQLite."""
    starts = [start for start in (place, place - 1) if start >= 0 and tokens[start].name]
    return any("".join("x" if t.name else t.text for t in tokens[start : start + 5]) == "x.x.*" for start in starts)


def _limited(token: Token, tops: list[str]) -> str:
    """Return the LIMIT that must stand before this token: TOP moves to the end of its own SELECT."""
    if token.says("UNION", "EXCEPT", "INTERSECT") and tops[-1]:
        raise AdqlError("TOP inside a UNION, EXCEPT or INTERSECT is not supported without parentheses.")
    if token.says("("):
        tops.append("")
    if token.says(")") and len(tops) > 1:
        return tops.pop() + " "
    if token.says("OFFSET"):
        limit, tops[-1] = tops[-1] or " LIMIT -1", ""
        return limit + " "
    return ""


def _limits(tops: list[str]) -> str:
    if len(tops) > 1:
        raise AdqlError("Cannot parse query: a parenthesis is not closed.")
    return tops[0]


def _word(tokens: list[Token], place: int, booleans: frozenset[str]) -> str:
    token = tokens[place]
    if token.says(*NOT_HERE):
        raise AdqlError(f"Function {token.text} is not supported.")
    if token.kind == "quoted":
        return f"[{token.text[1:-1]}]"  # in "..." SQLite would read an unknown name as a text
    if token.kind == "string" and (truth := TRUTHS.get(token.text[1:-1].lower())) and _beside_boolean(tokens, place, booleans):
        return truth
    return token.text


def _beside_boolean(tokens: list[Token], place: int, booleans: frozenset[str]) -> bool:
    """Tell whether the text at `place` is compared with a boolean column, which stands before it."""
    return place >= 2 and tokens[place - 1].says("=", "<>", "!=") and tokens[place - 2].name in booleans


def run(query: str, tables: Sequence[Table], *, maxrec: int) -> Result:
    """Answer a query from `tables`, at most `maxrec` rows.

    Columns keep unit, UCD and datatype of the table column that they show, through aliases and subqueries; the datatype of
    anything computed is read from its values. Raises AdqlError.
    """
    columns = [column for table in tables for column in table.columns]
    booleans = frozenset(column.name.lower() for column in columns if column.datatype == "boolean")
    sql = translate(query, booleans)
    named = {token.name for token in tokenise(query)}
    complaints: list[str] = []
    with closing(sqlite3.connect(":memory:")) as database:
        try:
            _fill(database, tables, named)
            geometry.register(database, complaints)
            cursor = database.execute(sql)
            rows = cursor.fetchmany(maxrec + 1)
            shown = _shown(database, sql, columns, [item[0] for item in cursor.description])
        except sqlite3.Error as error:
            raise AdqlError(f"Cannot parse query: {complaints[0] if complaints else error}") from error
    return _result(shown, rows, maxrec)


def _fill(database: sqlite3.Connection, tables: Sequence[Table], named: set[str]) -> None:
    database.execute("PRAGMA case_sensitive_like = ON")
    for schema in sorted({table.name.partition(".")[0] for table in tables}):
        database.execute(f"ATTACH ':memory:' AS [{schema}]")
    start = 0
    for table in tables:
        schema, _, name = table.name.partition(".")
        # The declared type carries the column's number, so that a result column can be traced back through views.
        declared = ", ".join(f"[{c.name}] {AFFINITIES[c.datatype]}_{start + n}" for n, c in enumerate(table.columns))
        database.execute(f"CREATE TABLE [{schema}].[{name}] ({declared})")
        if name.lower() in named:
            marks = ", ".join("?" * len(table.columns))
            database.executemany(f"INSERT INTO [{schema}].[{name}] VALUES ({marks})", table.rows())  # noqa: S608 (names are the service's own)
        start += len(table.columns)


def _shown(database: sqlite3.Connection, sql: str, columns: list[Column], names: list[str]) -> list[Column]:
    """Return for each column of the answer the table column that it shows, renamed; without a datatype where it is computed."""
    database.execute(f"CREATE TEMP VIEW answer AS {sql}")
    declared = [row[2] for row in database.execute("PRAGMA temp.table_info(answer)")]
    numbers = [re.fullmatch(r"(?:INT|REAL|TEXT)_(\d+)", text) for text in declared]
    return [
        replace(columns[int(number[1])], name=name) if number else Column(name, "") for name, number in zip(names, numbers, strict=True)
    ]


def _result(shown: Sequence[Column], rows: list[tuple[Any, ...]], maxrec: int) -> Result:
    overflow, rows = len(rows) > maxrec, rows[:maxrec]
    columns = tuple(_typed(column, n, rows) for n, column in enumerate(shown))
    flags = [n for n, column in enumerate(columns) if column.datatype == "boolean"]
    if flags:
        rows = [tuple(bool(v) if n in flags and v is not None else v for n, v in enumerate(row)) for row in rows]
    return Result(columns, rows, overflow)


def _typed(column: Column, number: int, rows: list[tuple[Any, ...]]) -> Column:
    name = column.name if re.fullmatch(r"[\w.]+", column.name) else f"COL_{number + 1}"
    kinds = {type(row[number]) for row in rows if row[number] is not None}
    guess = next((word for kind, word in GUESSES.items() if kind in kinds), "double")
    return replace(column, name=name, datatype=column.datatype or guess)
