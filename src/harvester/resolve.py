"""Names to positions: Sesame first, which asks SIMBAD, NED and VizieR; SIMBAD's TAP service when Sesame is down.

A name that nobody knows, a name that several things bear, and services that cannot be asked are three different errors.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

from harvester.errors import AmbiguousName, Malformed, ResolverDown, SourceError, UnknownName
from harvester.payload import Payload
from harvester.target import Target

SESAME_URL, SIMBAD_URL = "https://cds.unistra.fr/", "https://simbad.cds.unistra.fr/"
SESAME_PATH = "cgi-bin/nph-sesame/-oI/SNV?{name}"
SIMBAD_QUERY = """SELECT basic.main_id, basic.ra, basic.dec, basic.pmra, basic.pmdec, basic.plx_value, ids.ids FROM basic
JOIN ident ON ident.oidref = basic.oid LEFT JOIN ids ON ids.oidref = basic.oid WHERE ident.id = '{name}'"""
NOTHING = "Nothing found"
DECIMALS = 4
"""A position in degrees with fewer is coarser than half an arcsecond."""
NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
POSITION_HINT = "Or give the position:  --target '291.36630 +42.78436'"


class NameService(Protocol):
    """What is needed of a session: one GET, and the bridge for libraries that speak `requests`."""

    def get(self, path: str, **params: Any) -> Payload:
        """GET a path below the service's base URL."""

    @property
    def requests(self) -> Any:
        """A `requests.Session` that takes the same road."""

    def own_errors(self) -> AbstractContextManager[None]:
        """Raise our errors in place of those that a library makes of them."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One block of a Sesame reply: the resolver asked, how many objects it knows, and the lines `%J`, `%P` ... by letter."""

    resolver: str
    count: int
    lines: dict[str, list[str]]


def resolve(name: str, *, sesame: NameService, simbad: NameService) -> Target:
    """Return the target that a name means, with proper motion, parallax and aliases where known.

    Raises UnknownName, AmbiguousName, or ResolverDown when no service could be asked.
    """
    wanted = " ".join(name.split())
    try:
        return from_sesame(wanted, sesame.get(SESAME_PATH.format(name=quote(wanted))).body.decode("utf-8", "replace"))
    except SourceError as first:
        try:
            return _from_simbad(wanted, simbad)
        except SourceError as second:
            raise ResolverDown(
                f"'{wanted}' could not be looked up: the name services are down.",
                f"Sesame: {first.why or first.what} SIMBAD: {second.why or second.what}"[:300],
                f"Try again later. {POSITION_HINT}",
            ) from second


def from_sesame(name: str, reply: str) -> Target:
    """Read a Sesame reply (flat text). Raises UnknownName, AmbiguousName, or Malformed for anything else without a position."""
    answers = [answer for answer in _answers(reply) if "J" in answer.lines]
    if not answers:
        if NOTHING in reply:
            raise _unknown(name)
        raise Malformed(f"the reply has no position ({reply.strip()[:60]!r}).")
    best = answers[0]
    positions = {line.partition("=")[0].strip() for line in best.lines["J"]}
    if best.count > 1 or len(positions) > 1:
        raise _ambiguous(name, [identifier.strip() for identifier in best.lines.get("I.0", [])], max(best.count, len(positions)))
    ra, dec = _numbers(best, "J", 2)
    if ra is None or dec is None:
        raise Malformed(f"the reply has no position ({best.lines['J'][0][:60]!r}).")
    if any(len(word.partition(".")[2]) < DECIMALS for word in best.lines["J"][0].split()[:2]):
        raise UnknownName(
            f"'{name}' is known to {best.resolver or 'the name services'} by a coarse position only ({ra:g} {dec:+g}).",
            "It would match another star.",
            f"Give it better: {POSITION_HINT}",
        )
    pmra, pmdec = _numbers(best, "P", 2)
    aliases = [line.strip() for letter in ("I.0", "I") for line in best.lines.get(letter, [])]
    return Target(name, ra % 360, dec, pmra=pmra or 0.0, pmdec=pmdec or 0.0, parallax=_numbers(best, "X", 1)[0], aliases=_distinct(aliases))


def _answers(reply: str) -> Iterator[Answer]:
    for block in re.split(r"^#=", reply, flags=re.MULTILINE)[1:]:
        head, _, body = block.partition("\n")
        resolver = head.partition("=")[2].partition("(")[0].partition(",")[0].strip()
        count = re.search(r":\s+(\d+)", head)
        lines: dict[str, list[str]] = {}
        for line in body.splitlines():
            if line.startswith("%"):
                letter, _, value = line[1:].partition(" ")
                lines.setdefault(letter, []).append(value.strip())
        yield Answer(resolver, int(count[1]) if count else 0, lines)


def _numbers(answer: Answer, letter: str, count: int) -> list[float | None]:
    words = answer.lines.get(letter, [""])[0].split()[:count]
    readable = len(words) == count and all(re.fullmatch(NUMBER, word) for word in words)
    return [float(word) for word in words] if readable else [None] * count


def _from_simbad(name: str, service: NameService) -> Target:
    """Ask SIMBAD's TAP service through astroquery, over our own session."""
    from astroquery.simbad import SimbadClass
    from pyvo.dal.exceptions import DALAccessError

    simbad = SimbadClass()
    simbad._session = service.requests  # noqa: SLF001 - astroquery has no public way to another road
    try:
        with service.own_errors():
            table = simbad.query_tap(SIMBAD_QUERY.format(name=name.replace("'", "''")))
    except DALAccessError as error:
        raise Malformed(str(error).partition("\n")[0][:150]) from error
    if len(table) == 0:
        raise _unknown(name)
    if len(table) > 1:
        raise _ambiguous(name, [str(main_id) for main_id in table["main_id"]], len(table))
    ra, dec, pmra, pmdec, parallax = (_value(table[column][0]) for column in ("ra", "dec", "pmra", "pmdec", "plx_value"))
    if ra is None or dec is None:
        raise _unknown(name)
    ids = [str(table["main_id"][0]), *str(table["ids"][0]).split("|")]
    return Target(name, ra, dec, pmra=pmra or 0.0, pmdec=pmdec or 0.0, parallax=parallax, aliases=_distinct(ids))


def _value(cell: Any) -> float | None:
    number = float("nan") if getattr(cell, "mask", False) else float(cell)
    return None if number != number else number  # noqa: PLR0124 - NaN


def _distinct(names: list[str]) -> tuple[str, ...]:
    """Return names without repeats; none that a terminal would obey rather than print."""
    return tuple(dict.fromkeys(" ".join(name.split()) for name in names if name.strip() and " ".join(name.split()).isprintable()))


def _unknown(name: str) -> UnknownName:
    return UnknownName(
        f"no object named '{name}'.", "SIMBAD, NED and VizieR answered, and do not know it.", f"Check the spelling. {POSITION_HINT}"
    )


def _ambiguous(name: str, found: list[str], count: int) -> AmbiguousName:
    names = f": {', '.join(found[:5])}" if len(found) > 1 else ""
    return AmbiguousName(
        f"'{name}' is the name of {count} objects.", f"The name services know several{names}.", f"Name one of them. {POSITION_HINT}"
    )
