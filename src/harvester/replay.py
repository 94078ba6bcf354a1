"""Reading the archive again: payloads that the store kept, normalised with today's code, through the door that every delivery takes.

Nobody is asked. Of every measurement the newest answer that holds it counts, as it would had today's code been there all the time; what differs
from the stored row is a revision, and what conforms now leaves quarantine. Here too: which points a survey no longer serves.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from harvester import __version__, own
from harvester.delivery import Delivery, Share, deliver
from harvester.errors import HarvesterError, SourceError
from harvester.harvest import Outcome, bug, stored
from harvester.payload import Payload
from harvester.saved import source_of, version_of
from harvester.schema import SECONDHAND_FLAGS
from harvester.source import Source, load
from harvester.store.archive import Answer, Chain, Chosen
from harvester.store.visit import Visit
from harvester.target import Target

if TYPE_CHECKING:
    from harvester.store import Store
    from harvester.store.states import State

log = logging.getLogger(__name__)

KEY = ("filter", "observation_id")
PRUNED = "pruned"


def replay(store: Store, chosen: Chosen, *, command: str = "", on_outcome: Callable[[Outcome], None] = lambda _: None) -> list[Outcome]:
    """Read the chosen payloads again, a visit per target and source; return an Outcome for each, none where nothing is chosen.

    Raises StoreError; what is wrong with a source or a payload becomes an Outcome.
    """
    chains = store.archive.chains(chosen)
    if not chains:
        return []
    reader, targets = Reader(store), {target.name: target for target in store.targets()}
    outcomes = []
    with store.run(command, __version__) as writer:
        for chain in chains:
            visit, outcome = _read(reader, chain, targets)
            outcomes.append(stored(outcome, writer.visit(visit)))
            on_outcome(outcomes[-1])
    return outcomes


def unserved(store: Store, before: State, after: State, names: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Return the points that were stored at `before` and that the newest whole answer since, up to `after`, did not hold.

    Keys: target, filter, source, observation_id, bjd_tdb, mag, run (of that answer). Answers to a question for a window of time do not count,
    nor narrower searches than the one that brought the point. Where an answer cannot be read any more there is one row without a point, whose
    `why` says so.
    """
    reader = Reader(store)
    return [row for chain in store.past.answers_between(before, after, names) for row in _missing(reader, chain, before)]


@dataclass
class Reader:
    """Normalises answers of a store's archive; remembers the last one, for the targets that shared it."""

    store: Store
    _last: tuple[Any, Delivery | None] = (None, None)

    def delivery(self, answer: Answer, source_name: str) -> Delivery | None:
        """Return what an answer holds by today's code, None when one of its payloads was pruned. Raises SourceError, UnknownSource."""
        key = answer.run_id, source_name, answer.payload_ids
        if self._last[0] != key:
            payloads = self.store.archive.recorded(answer, source_name)
            source = source_of(payloads[0]) if payloads and source_name == own.NAME else load(source_name)
            self._last = key, None if payloads is None else _normalised(source, payloads, source_name)
        return self._last[1]


@dataclass
class _Gathered:
    """The newest rows of a chain, gathered from its answers, newest first."""

    survey: str = ""
    rows: list[pa.Table] = field(default_factory=list)
    rejected: list[pa.Table] = field(default_factory=list)
    payloads: list[Payload] = field(default_factory=list)
    object_ids: dict[str, dict[str, None]] = field(default_factory=dict)
    unreadable: list[HarvesterError] = field(default_factory=list)
    pruned: int = 0

    def add(self, delivery: Delivery, share: Share) -> None:
        """Take from an answer the measurements that no newer answer holds."""
        self.survey, first = delivery.source.survey, len(self.payloads)
        self.payloads += delivery.payloads
        rows, newer = _shifted(share.rows, first), list(self.rows)
        own = _first_hand(rows)
        self.rows += [_without(own, [_first_hand(part) for part in newer]), _without(rows, [*newer, own])]
        self.rejected.append(_shifted(share.rejected, first))
        for survey, found in share.matches.items():
            if delivery.source.relays and survey != self.survey:
                continue
            self.object_ids.setdefault(survey, {}).update(dict.fromkeys(found.object_ids))

    def remarks(self) -> str:
        """Return what the user should know: what could not be read."""
        words = [f"{self.pruned} answer{'s' * (self.pruned > 1)} pruned"] if self.pruned else []
        if self.unreadable:
            words.append(f"{len(self.unreadable)} unreadable ({self.unreadable[0].what})")
        return "; ".join(words)


def _read(reader: Reader, chain: Chain, targets: Mapping[str, Target]) -> tuple[Visit, Outcome]:
    gathered = _Gathered()
    newest = {answer.payload_ids: answer for answer in chain.answers}  # the same bytes again: the last time counts
    for answer in sorted(newest.values(), key=lambda answer: answer.visit_id, reverse=True):
        try:
            delivery = reader.delivery(answer, chain.source)
        except HarvesterError as error:
            gathered.unreadable.append(error)
            continue
        if delivery is None:
            gathered.pruned += 1
        else:
            gathered.add(delivery, _share(delivery, answer, targets[chain.target], targets))
    return _visit(chain, gathered, targets[chain.target])


def _share(delivery: Delivery, answer: Answer, target: Target, targets: Mapping[str, Target]) -> Share:
    """Return the target's part; rejected rows that are nobody's stay with the first target of the answer, as when it came."""
    radius = answer.radius or delivery.source.radius
    share = delivery.share(target, radius, windowed=answer.windowed)
    if not delivery.rejected.num_rows or answer.shared_by[0] != target.name:
        return share
    return share.with_rejected(
        delivery.unclaimed([delivery.share(targets[name], radius, windowed=answer.windowed) for name in answer.shared_by])
    )


def _visit(chain: Chain, gathered: _Gathered, target: Target) -> tuple[Visit, Outcome]:
    visit = Visit(target, chain.source, gathered.survey, message=gathered.remarks(), replayed=True)
    if gathered.rows:
        rows, rejected = (pa.concat_tables(part, promote_options="default") for part in (gathered.rows, gathered.rejected))
        ids = {survey: tuple(words) for survey, words in gathered.object_ids.items()}
        read: dict[str, Any] = {"rows": rows, "quarantine": rejected, "payloads": gathered.payloads}
        read |= {"object_ids": ids.pop(gathered.survey, ()), "also_ids": ids}
        visit = replace(visit, outcome="unchanged", source_version=version_of(chain.source), **read)
    else:
        error = gathered.unreadable[0] if gathered.unreadable else None
        kind = error.kind if isinstance(error, SourceError) else "unknown source" if error else PRUNED
        visit = replace(visit, outcome="failed", error_kind=kind)
    return visit, Outcome(chain.target, chain.source, visit.outcome, visit.error_kind, visit.message)


def _missing(reader: Reader, chain: Chain, before: State) -> list[dict[str, Any]]:
    (answer,) = chain.answers
    about = {"target": chain.target, "source": chain.source, "run": answer.run_id}
    try:
        delivery = reader.delivery(answer, chain.source)
        why = "" if delivery else "its payload was pruned"
    except HarvesterError as error:
        delivery, why = None, error.what
    if delivery is None:
        return [about | {"why": why}]
    points = _without(reader.store.past.covered(chain, before, pc.unique(delivery.rows["object_id"]).to_pylist()), [delivery.rows])
    return [about | row for row in points.select([*KEY, "bjd_tdb", "mag"]).to_pylist()]


def _normalised(source: Source, payloads: list[Payload], name: str) -> Delivery:
    try:
        return deliver(source, payloads)
    except HarvesterError:
        raise
    except Exception as error:
        log.exception("bug in source %s", name)
        raise bug(name, error) from error


def _shifted(rows: pa.Table, by: int) -> pa.Table:
    """Return rows whose payloads are counted from `by`."""
    place = rows.column_names.index("payload")
    return rows.set_column(place, rows.schema.field("payload"), pc.add(rows["payload"], pa.scalar(by, pa.int32())))


def _without(rows: pa.Table, others: list[pa.Table]) -> pa.Table:
    """Return the rows whose measurement stands in none of the other tables."""
    for other in others:
        rows = rows.filter(pc.invert(pc.is_in(_key(rows), value_set=_key(other))))
    return rows


def _first_hand(rows: pa.Table) -> pa.Table:
    """Return the rows that are not told from memory: these alone stand before what an older answer measured."""
    return rows.filter(pc.invert(pc.fill_null(pc.match_substring_regex(rows["flags"], SECONDHAND_FLAGS), False)))


def _key(rows: pa.Table) -> Any:
    return pc.binary_join_element_wise(*(rows[name] for name in KEY), "\n")
