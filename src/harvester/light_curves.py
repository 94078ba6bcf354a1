"""Light curves of a store on their way to somebody: chosen points, what is derived of them, and what is known of targets, filters and times."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import pyarrow as pa

from harvester import own
from harvester.derive import Derivation, Known
from harvester.derive.known import shipped_band
from harvester.errors import BrokenSource, UnknownSource
from harvester.schema import parts
from harvester.source import load
from harvester.store.tables import LIGHT_CURVE

if TYPE_CHECKING:
    from harvester.passbands import Passband
    from harvester.source import Source
    from harvester.store import Store
    from harvester.store.read import Cut
    from harvester.store.states import State
    from harvester.target import Target
    from harvester.times import TimeSystem


@dataclass(frozen=True)
class LightCurves:
    """Chosen points as `batches` of a `schema`, target by target; `about` says what they are, `known` what they mean."""

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]
    about: Mapping[str, str]
    known: Known


def light_curves(
    store: Store, cut: Cut, derivation: Derivation | None = None, *, targets: Sequence[str] | None = None, at: State | None = None
) -> LightCurves:
    """Return the points of targets (all for None), as they are or were in a state. Raises StoreError; UsageError while they are read."""
    derivation, known = derivation or Derivation(), knowledge(store, targets)
    there = known.filters if at is None else store.past.filters(at, targets)
    wanted = (name for name in there if cut.filters is None or name in cut.filters)
    known = replace(known, filters=tuple(wanted))
    batches = derivation.applied(store.read(targets, cut, at=at), known)
    return LightCurves(derivation.schema(LIGHT_CURVE), batches, about(store, at) | derivation.words(), known)


def about(store: Store, at: State | None = None) -> dict[str, str]:
    """Return what a file should say of where its data come from: kind, software, store (by the name it was made with), newest run and change."""
    past = store.past
    return store.about() | {"run": str(past.newest_run(at) or ""), "as_of": past.newest_change(at)}


def knowledge(store: Store, targets: Sequence[str] | None = None) -> Known:
    """Return what is known of a store's targets, filters and time systems; looked up when first wanted."""
    behind = store.own.behind(targets)
    labels = {label: own.read(text) for label, text in store.own.surveys().items()}
    sources = sorted({source for source, _, _ in behind})

    @cache
    def band(filter_name: str) -> Passband | None:
        name, survey = parts(filter_name)
        if survey in labels:
            return labels[survey].bands(survey).get(name)
        served = (source.bands(survey).get(name) for source in map(installed, sources) if source)
        return shipped_band(filter_name) or next((found for found in served if found), None)

    @cache
    def time_system(source_name: str, survey: str) -> TimeSystem | None:
        if survey in labels:
            return labels[survey].time_system
        source = installed(source_name)
        return source.systems().get(survey) if source else None

    return Known(_Later(store.targets), band, time_system, tuple(sorted({name for _, name, _ in behind})))


def installed(name: str) -> Source | None:
    """Return a source, None for one that is not installed any more."""
    try:
        return load(name)
    except (BrokenSource, UnknownSource):
        return None


class _Later(Mapping[str, "Target"]):
    """Targets by name, read from the store when the first is wanted."""

    def __init__(self, read: Callable[[], list[Target]]) -> None:
        self._read = lru_cache(maxsize=1)(lambda: {target.name: target for target in read()})

    def __getitem__(self, name: str) -> Target:
        return self._read()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())
