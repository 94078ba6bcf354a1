"""Health: one small question to a source's live service, and what its answer tells: reachable, conforming, unchanged, accepted, in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING

from harvester.access import session_for
from harvester.delivery import deliver
from harvester.errors import BrokenSource, Malformed, Pending, SourceError
from harvester.logs import hide
from harvester.payload import Payload, columns_of
from harvester.source import Query, find, layouts, load

if TYPE_CHECKING:
    from harvester.config import Settings
    from harvester.session import Client
    from harvester.source import Source

OK, CHANGED, SUSPICIOUS, UNKNOWN = "ok", "changed", "suspicious", "unknown"
MOST_AHEAD_S = 60.0
"""Clocks this far apart spoil what `due` and Retry-After dates mean; a second or two is the rounding of the header."""
SIMULATED_PLACE = (291.36631, 42.78436, 5.0)
"""Around RR Lyr (which moves), where every simulated survey has seen something."""


@dataclass(frozen=True, slots=True)
class Checkup:
    """What is known of one source after it was asked.

    `state`: "ok"; "changed" (the answer was read, but columns have gone or come); "suspicious" (no row, or rows that cannot be trusted);
    "unknown" (there is no question to ask); or the class of the failure, "postponed" or "pending" as in an Outcome. `lines` say why and what
    to do. `missing` and `added` are columns against the nearest layout of the recordings; None where none are written down. `clock_ahead`:
    seconds by which the service's clock is ahead of ours, None if it does not tell.
    """

    source: str
    state: str
    lines: tuple[str, ...] = ()
    rows: int = 0
    missing: tuple[str, ...] | None = None
    added: tuple[str, ...] | None = None
    clock_ahead: float | None = None
    credentials: str = "not needed"
    seconds: float = 0.0

    @property
    def is_well(self) -> bool:
        """Whether a harvest would have succeeded; new columns alone do no harm."""
        return self.state in {OK, "pending"} or (self.state == CHANGED and not self.missing)

    @property
    def clock_is_off(self) -> bool:
        """Whether our clock and the service's disagree by more than a minute."""
        return self.clock_ahead is not None and abs(self.clock_ahead) > MOST_AHEAD_S


def check(name: str, client: Client, settings: Settings) -> Checkup:
    """Ask one source its example, and say how it went. Raises UnknownSource; every failure of the service is in the result."""
    find(name)
    try:
        source = load(name)
    except BrokenSource as error:
        return Checkup(name, error.kind, tuple(error.lines()))
    if source.retired:
        return Checkup(name, UNKNOWN, (f"{name} is retired.", f"Use {source.retired}."))
    query = _question(source, simulated=client.loopback_only)
    if query is None:
        return Checkup(
            name, UNKNOWN, (f"{name} has no example that could be asked.", "Its file may declare one: example = Query.at(RA, DEC)")
        )
    return _asked(name, query, client, settings)


def drift(seen: Sequence[tuple[str, ...]], known: Sequence[tuple[str, ...]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the columns that are missing and those that were added, each answer against the known layout that is nearest to it.

    >>> drift([("mjd", "mag", "seeing")], [("mjd", "mag", "magerr"), ("jd", "flux")])
    (('magerr',), ('seeing',))
    """
    missing: dict[str, None] = {}
    added: dict[str, None] = {}
    for columns in seen:
        nearest = min(known, key=lambda layout: len(set(layout) ^ set(columns)))
        missing |= dict.fromkeys(name for name in nearest if name not in columns)
        added |= dict.fromkeys(name for name in columns if name not in nearest)
    return tuple(missing), tuple(added)


def _question(source: Source, *, simulated: bool) -> Query | None:
    example = source.example
    if not simulated:
        return example
    return Query.at(*SIMULATED_PLACE, since=example.since if example else None, until=example.until if example else None)


def _asked(name: str, query: Query, client: Client, settings: Settings) -> Checkup:
    source, start, session, payloads = load(name), monotonic(), None, list[Payload]()
    try:
        session = session_for(name, source, client, settings, query=query)
        payloads.extend(source.fetch(query, session))
        found = _judged(name, source, payloads)
    except Pending as error:
        found = Checkup(name, "pending", (f"{name} took the question; its answer is not waited for.", *error.lines()[:1]))
    except SourceError as error:
        payloads += [error.payload] if isinstance(error, Malformed) and isinstance(error.payload, Payload) else []
        found = Checkup(name, "postponed" if error.outcome == "postponed" else error.kind, tuple(error.lines()))
    except Exception as error:  # noqa: BLE001 - an outsider's source may raise anything; the other sources are checked all the same
        what = hide(f"{name}: {type(error).__name__}: {error}")
        found = Checkup(name, "bug", (what, "This is a bug of the source: please report it."))
    found = _with_columns(found, payloads, name)
    return replace(
        found,
        clock_ahead=session.clock_ahead if session else None,
        credentials=_credentials(source, found.state, simulated=client.loopback_only),
        seconds=monotonic() - start,
    )


def _judged(name: str, source: Source, payloads: Sequence[Payload]) -> Checkup:
    """Return whether the answer conforms. Raises Malformed."""
    delivery = deliver(source, payloads)
    rows, rejected = delivery.rows.num_rows, delivery.rejected.num_rows
    if rejected:
        why = delivery.rejected["reason"][0].as_py()
        return Checkup(name, SUSPICIOUS, (f"{name}: {rejected} of {rows + rejected} rows cannot be trusted: {why}.",), rows)
    if not rows:
        doubt = delivery.doubt or "it sent no row for something that it certainly has"
        return Checkup(name, SUSPICIOUS, (f"{name}: {doubt}.",))
    return Checkup(name, OK, (), rows)


def _with_columns(found: Checkup, payloads: Sequence[Payload], name: str) -> Checkup:
    """Compare the columns that came with those of the recordings; an answer that nobody could read has its own complaint."""
    known = layouts(find(name))
    seen = [columns for columns in map(_columns, payloads) if columns]
    if not (known and seen):
        return found
    missing, added = drift(seen, known)
    found = replace(found, missing=missing, added=added)
    if found.state != OK or not (missing or added):
        return found
    words = [f"{word}: {', '.join(names)}" for word, names in (("gone", missing), ("new", added)) if names]
    advice = "What is read from them is lost: please report it." if missing else "Nothing is lost by it."
    return replace(found, state=CHANGED, lines=(f"{name}: the columns have changed: {'; '.join(words)}.", advice))


def _columns(payload: Payload) -> tuple[str, ...]:
    try:
        return columns_of(payload) if payload.role == "photometry" else ()
    except SourceError:
        return ()


def _credentials(source: Source, state: str, *, simulated: bool) -> str:
    if not source.credentials:
        return "not needed"
    if simulated:
        return "not tried"
    if state == "refused":
        return "refused"
    return "accepted" if state in {OK, CHANGED, SUSPICIOUS, "pending", "malformed"} else "not known"
