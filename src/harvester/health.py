"""Health: one small question to a source's live service, and what its answer tells: reachable, conforming, unchanged, accepted, in time.

A service that works on jobs for us is asked for the list of ours alone: a check gives nobody work.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING

from harvester.access import session_for, unfinished
from harvester.delivery import deliver
from harvester.errors import BrokenSource, Malformed, SourceError, Unfinished
from harvester.layout import OPTIONAL, bare, columns_of, is_json
from harvester.logs import hide
from harvester.payload import Payload
from harvester.session import Inquiry, NotSubmitted
from harvester.source import Query, find, layouts, load

if TYPE_CHECKING:
    from harvester.config import Settings
    from harvester.session import Client
    from harvester.source import Source

OK, CHANGED, SUSPICIOUS, UNKNOWN = "ok", "changed", "suspicious", "unknown"
MOST_AHEAD_S = 60.0
"""Clocks this far apart spoil what `due` and Retry-After dates mean; a second or two is the rounding of the header."""
SIMULATED = (("RR Lyr", 291.36631, 42.78436), ("Gaia21sim", 150.25, 2.25), ("AT 2026sima", 215.0, -3.0))
"""Something that every simulated survey has seen: a star, or one of two transients (one for the northern sky, one for LSST)."""
SIMULATED_RADIUS = 5.0
"""Of the search around it, arcsec: RR Lyr moves."""


@dataclass(frozen=True, slots=True)
class Checkup:
    """What is known of one source after it was asked.

    `state`: "ok"; "changed" (the answer was read, but columns have gone or come); "suspicious" (no row, or rows that cannot be trusted);
    "unknown" (there is no question to ask); or the class of the failure, "postponed" or "pending" as in an Outcome. `lines` say why and what
    to do. `missing` and `added` are columns against the nearest layout of the recordings; None where none are written down. Services leave keys of
    JSON out, and bring others, as they have something to say: that is no change of state. `clock_ahead`: seconds by which the service's clock is
    ahead of ours, None if it does not tell.
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
    if not source.is_finished:
        return Checkup(name, Unfinished.kind, tuple(unfinished(name).lines()))
    if not source.takes:
        return Checkup(name, UNKNOWN, (f"{name} cannot be asked about a target.", "Its packets come by night or by stream: harvest alerts"))
    found = Checkup(name, UNKNOWN, (f"{name} has no example that could be asked.", "Its file may declare one: example = Query.at(RA, DEC)"))
    for query in _questions(source, simulated=client.loopback_only):
        found = _asked(name, query, client, settings)
        if found.rows or found.state != SUSPICIOUS:
            break
    return found


def drift(seen: Sequence[tuple[str, ...]], known: Sequence[tuple[str, ...]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the columns that are missing and those that were added, each answer against the known layout that is nearest to it.

    A column that may be left out (see `layout.OPTIONAL`) is not missed, nor are the keys of objects of which there is none ("limits", and not
    "limits.mjd").

    >>> drift([("mjd", "mag", "seeing")], [("mjd", "mag", "magerr"), ("jd", "flux")])
    (('magerr',), ('seeing',))
    """
    missing: dict[str, None] = {}
    added: dict[str, None] = {}
    for columns in (tuple(map(bare, columns)) for columns in seen):
        nearest = min(known, key=lambda layout: len({bare(name) for name in layout} ^ set(columns)))
        missing |= dict.fromkeys(name for name in nearest if not name.endswith(OPTIONAL) and not _is_among(columns, name))
        added |= dict.fromkeys(name for name in columns if not _is_among(map(bare, nearest), name))
    return tuple(missing), tuple(added)


def _is_among(columns: Iterable[str], name: str) -> bool:
    """Whether a column is there, or stands for one that is: of objects in JSON, of which there may be none, either they or their keys are told."""
    return any(name == other or name.startswith(f"{other}.") or other.startswith(f"{name}.") for other in columns)


def _questions(source: Source, *, simulated: bool) -> list[Query]:
    """Return what is asked until something comes: the source's example, or things of the simulated sky."""
    example = source.example
    if not simulated:
        return [example] if example else []
    window = {"since": example.since, "until": example.until} if example else {}
    return [Query.at(ra, dec, SIMULATED_RADIUS, name=name, **window) for name, ra, dec in SIMULATED]


def _asked(name: str, query: Query, client: Client, settings: Settings) -> Checkup:
    source, start, session, payloads = load(name), monotonic(), None, list[Payload]()
    try:
        session = session_for(name, source, client, settings, query=query, errand=Inquiry)
        payloads.extend(source.fetch(query, session))
        found = _judged(name, source, payloads)
    except NotSubmitted as error:
        found = _not_submitted(name, listed=error.listed)
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


def _not_submitted(name: str, *, listed: bool) -> Checkup:
    """Return what is known of a service that works on jobs: a check is no reason to give it one."""
    advice = "Its answers were not looked at: a check submits no job."
    if listed:
        return Checkup(name, OK, (f"{name} let us in, and listed our jobs.", advice))
    return Checkup(name, UNKNOWN, (f"{name} takes every question as a job, and does not list them.", advice))


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
    seen = [(columns, is_json(payload)) for payload in payloads if (columns := _columns(payload))]
    if not (known and seen):
        return found
    missing, added = drift([columns for columns, _ in seen], known)
    found = replace(found, missing=missing, added=added)
    missing, added = drift([columns for columns, as_json in seen if not as_json], known)
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
