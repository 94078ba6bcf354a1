"""Reading ADQL: its tokens, and the constants that say which part of the sky a query is about."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KINDS = re.compile(
    r"(?P<blank>\s+|--[^\n]*)|(?P<string>'(?:[^']|'')*')|(?P<quoted>\"[^\"\[\]]+\")|(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<word>[A-Za-z_]\w*)|(?P<sign><>|!=|<=|>=|\|\||[-+*/(),.<>=])"
)
QUOTE = "'"
DEFAULT_RADIUS = 1 / 60  # deg, around a constant point without a radius


class AdqlError(Exception):
    """The query cannot be answered; the message is what the service says in its error document."""


@dataclass(frozen=True)
class Token:
    """A piece of a query: `kind` is blank, string, quoted, number, word or sign."""

    kind: str
    text: str

    def says(self, *words: str) -> bool:
        """Tell whether this is one of these keywords or signs."""
        return self.kind in {"word", "sign"} and self.text.upper() in words

    @property
    def name(self) -> str:
        """The identifier in lower case, without its quotes; empty for anything else."""
        return self.text.strip('"').lower() if self.kind in {"word", "quoted"} else ""


@dataclass(frozen=True)
class Constants:
    """What a query is about, read from its constants: cones (ra, dec, radius; deg), whole numbers (ids), and texts (names).

    `uploaded` are the texts of the tables that came with it. The sky is without end, so that only stars which a query bounds are put
    into its tables.
    """

    cones: tuple[tuple[float, float, float], ...] = ()
    numbers: tuple[int, ...] = ()
    texts: tuple[str, ...] = ()
    uploaded: tuple[str, ...] = ()


def tokenise(query: str) -> list[Token]:
    """Split a query. Raises AdqlError at a character that cannot begin anything."""
    tokens, place = [], 0
    query = query.strip().removesuffix(";")
    while place < len(query):
        found = KINDS.match(query, place)
        if not found:
            raise AdqlError(f"Cannot parse query: encountered {query[place : place + 10]!r} at character {place + 1}.")
        tokens.append(Token(str(found.lastgroup), found.group()))
        place = found.end()
    return tokens


def constants(query: str) -> Constants:
    """Read the constants of a query. Every constant centre is given the largest constant radius: the query itself cuts exactly."""
    tokens = [token for token in tokenise(query) if token.kind != "blank"]
    calls = [(name, [_value(argument) for argument in arguments], after) for name, arguments, after in _calls(tokens)]
    radius = max((radius for call in calls for radius in _radii(*call)), default=DEFAULT_RADIUS)
    centres = dict.fromkeys(centre for name, values, _ in calls for centre in _centres(name, values))
    return Constants(
        tuple((ra % 360, dec, radius) for ra, dec in centres),
        tuple(int(token.text) for token in tokens if token.kind == "number" and token.text.isdigit()),
        tuple(_unquoted(token) for token in tokens if token.kind == "string"),
    )


def respelled(query: str, spell: Callable[[str], str]) -> str:
    """Return a query in which every text in quotes is as `spell` writes it."""
    words = (f"'{spell(_unquoted(t)).replace(QUOTE, QUOTE * 2)}'" if t.kind == "string" else t.text for t in tokenise(query))
    return "".join(words)


def _unquoted(token: Token) -> str:
    return token.text[1:-1].replace(QUOTE * 2, QUOTE)


def _calls(tokens: list[Token]) -> Iterator[tuple[str, list[list[Token]], list[Token]]]:
    """Yield each geometric call: its name, its arguments without a coordinate system, and what follows it."""
    for place, token in enumerate(tokens[:-1]):
        if token.says("POINT", "CIRCLE", "BOX", "DISTANCE") and tokens[place + 1].text == "(":
            arguments, end = _arguments(tokens, place + 2)
            yield token.text.upper(), [each for each in arguments if not (each and each[0].kind == "string")], tokens[end + 1 :]


def _arguments(tokens: list[Token], start: int) -> tuple[list[list[Token]], int]:
    arguments: list[list[Token]] = [[]]
    depth = 0
    for place in range(start, len(tokens)):
        token = tokens[place]
        if token.text == ")" and depth == 0:
            return arguments, place
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if token.text == "," and depth == 0:
            arguments.append([])
        else:
            arguments[-1].append(token)
    raise AdqlError("Cannot parse query: a parenthesis is not closed.")


def _value(argument: list[Token]) -> float | None:
    """Return the value of an arithmetic expression of constants, None for anything else."""
    if not any(t.kind == "number" for t in argument) or not all(t.kind == "number" or t.text in "+-*/()" for t in argument):
        return None
    with closing(sqlite3.connect(":memory:")) as calculator:
        try:
            value = calculator.execute("SELECT " + " ".join(t.text for t in argument)).fetchone()[0]
        except sqlite3.Error as error:
            raise AdqlError(f"Cannot parse query: {error}.") from error
    return None if value is None else float(value)


def _centres(name: str, values: list[float | None]) -> Iterator[tuple[float, float]]:
    """Yield the constant positions of a geometric call: its first two numbers, for DISTANCE the last two as well."""
    for ra, dec in (values[start : start + 2] for start in ((0, 2) if name == "DISTANCE" else (0,)) if len(values) >= start + 2):
        if ra is not None and dec is not None:
            yield ra, dec


def _radii(name: str, values: list[float | None], after: list[Token]) -> Iterator[float]:
    """Yield the constant radius of a CIRCLE, a radius that holds a BOX, or the limit that a DISTANCE is compared with."""
    if name == "CIRCLE" and values and values[-1] is not None:
        yield values[-1]
    if name == "BOX":
        yield sum(size or 0 for size in values[-2:]) / 2
    if name == "DISTANCE" and len(after) > 1 and after[0].says("<", "<=") and (limit := _value(after[1:2])) is not None:
        yield limit
