"""What a digest tells, taken from the store: runs, news of targets in the order of their change, and what was not had."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harvester.digest.change import Change, changes
from harvester.errors import ExportError, UsageError
from harvester.plot.small import small
from harvester.schema import BAD, SUSPECT
from harvester.store.news import ADDED, BASIS, OLD, REVISED

if TYPE_CHECKING:
    from harvester.store import Store

SIGNIFICANT = 5.0
"""From so many sigma on a target is said to have changed."""
MOST_PICTURES, PICTURES_BYTES = 120, 1_500_000
WIDTH, HEIGHT = 330, 132
RECENT = 0.2
"""Where less than this part of a light curve lies after the first new point, what is new stands out in its picture."""
DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True)
class TargetNews:
    """What came of one target: how many points were added and revised, in which filters, and how they compare with what was known.

    `is_first` where nothing was known. `picture` is a small light curve, an SVG element, and empty where there is none.
    """

    id: int
    target: str
    added: int
    revised: int
    filters: tuple[str, ...]
    changes: tuple[Change, ...]
    is_first: bool
    picture: str = ""

    @property
    def sigma(self) -> float:
        """The greatest change, signed; 0 where none can be told."""
        return float(np.nan_to_num(self.changes[0].sigma)) if self.changes else 0.0

    @property
    def is_changed(self) -> bool:
        """Whether the brightness is certainly not what it used to be."""
        return abs(self.sigma) >= SIGNIFICANT


@dataclass(frozen=True, slots=True)
class Digest:
    """The news of some runs: `runs` as `Store.runs` tells them, `news` by change and then by how much came.

    `troubles` and `waiting` are rows of `overview.troubles`: what failed or is doubtful, and what was put off or is under way. `made` is a
    moment (ISO 8601, UTC), `store` a name without its folder.
    """

    store: str
    simulated: bool
    made: str
    runs: tuple[Mapping[str, Any], ...]
    news: tuple[TargetNews, ...]
    troubles: tuple[Mapping[str, Any], ...]
    waiting: tuple[Mapping[str, Any], ...]

    @property
    def changed(self) -> tuple[TargetNews, ...]:
        """The targets whose brightness changed."""
        return tuple(one for one in self.news if one.is_changed)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing came and nothing is wrong."""
        return not self.news and not self.troubles and all(run["status"] == "done" for run in self.runs)

    @property
    def headline(self) -> str:
        """The whole in one line."""
        failing = sum(row["targets"] for row in self.troubles)
        sources = len({row["source"] for row in self.troubles})
        words = [
            f"{counted(len(self.changed), 'target')} changed" if self.changed else "no target changed",
            f"{counted(sum(one.added for one in self.news), 'new point')} of {counted(len(self.news), 'target')}"
            if self.news
            else "nothing new",
        ]
        words += [f"{failing} did not succeed at {counted(sources, 'source')}"] if failing else []
        return ", ".join(words)


def digest(store: Store, run: str = "last") -> Digest:
    """Return the news of a run (its number, last, last-1), or of all runs that began on a date (2026-11-21, UTC).

    Memory is needed for one light curve at a time, and a few numbers per target with news. Raises StoreError, UsageError.
    """
    run_ids = _runs(store, run.strip())
    news = _news(store, run_ids)
    rows = store.news.unfulfilled(run_ids)
    waiting = tuple(row for row in rows if row["outcome"] in {"postponed", "pending"})
    troubles = tuple(row for row in rows if row not in waiting)
    name = store.place if "://" in store.place else PurePath(store.place).name
    made = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return Digest(name, store.simulated, made, tuple(store.news.runs(run_ids)), tuple(news), troubles, waiting)


def with_pictures(store: Store, found: Digest) -> Digest:
    """Return a digest with small light curves of its first targets: MOST_PICTURES of them, or as many as PICTURES_BYTES hold."""
    first, run_ids, room = found.news[:MOST_PICTURES], [run["run"] for run in found.runs], PICTURES_BYTES
    made = {target_id: _picture(light_curve) for target_id, light_curve in _light_curves(store, [one.id for one in first], run_ids)}
    drawn = []
    for one in first:
        picture = made.get(one.id, "")
        room -= len(picture.encode())
        drawn.append(replace(one, picture=picture if room >= 0 else ""))
    return replace(found, news=(*drawn, *found.news[MOST_PICTURES:]))


def counted(count: int, noun: str) -> str:
    """Return a number with its noun.

    >>> counted(1, "target"), counted(1200, "new point")
    ('1 target', '1200 new points')
    """
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _news(store: Store, run_ids: Sequence[int]) -> list[TargetNews]:
    names = store.news.touched(run_ids)
    found = [_told(target_id, names[target_id], light_curve) for target_id, light_curve in _light_curves(store, list(names), run_ids)]
    found = [one for one in found if one.added or one.revised]
    return sorted(found, key=lambda one: (-abs(one.sigma), -one.added, one.target))


def _told(target_id: int, name: str, light_curve: pa.Table) -> TargetNews:
    kind = light_curve["news"].to_numpy()
    filters = pc.unique(light_curve["filter"].filter(pa.array(kind != OLD))).to_pylist()
    added = np.isin(kind, (ADDED, BASIS))
    counts = int(added.sum()), int((kind == REVISED).sum())
    return TargetNews(target_id, name, *counts, tuple(sorted(filters)), changes(light_curve), bool(added.all()))


def _light_curves(store: Store, target_ids: Sequence[int], run_ids: Sequence[int]) -> Iterable[tuple[int, pa.Table]]:
    if not target_ids:
        return ()
    return store.news.light_curves(target_ids, run_ids, store.past.state(str(max(run_ids))))


def _picture(light_curve: pa.Table) -> str:
    """Return a small light curve of what is not bad, or of all if need be; empty where nothing can be drawn."""
    new = light_curve["bjd_tdb"].to_numpy()[light_curve["news"].to_numpy() == ADDED]
    since = float(new.min()) if new.size else None
    if since is not None and (light_curve["bjd_tdb"].to_numpy() >= since).mean() > RECENT:
        since = None
    for worst in (SUSPECT, BAD):
        try:
            return small(light_curve, WIDTH, HEIGHT, worst_quality=worst, new_since=since)
        except ExportError:
            continue
    return _in_flux(light_curve, since)


def _in_flux(light_curve: pa.Table, since: float | None) -> str:
    try:
        return small(light_curve, WIDTH, HEIGHT, flux=True, new_since=since)
    except ExportError:
        return ""


def _runs(store: Store, word: str) -> list[int]:
    if not DATE.fullmatch(word):
        return [store.news.number(word)]
    try:
        return store.news.of_day(date.fromisoformat(word).isoformat())
    except ValueError as error:
        raise UsageError(f"'{word}' is no date.", hint="Write 2026-11-21, a run's number, last or last-1.") from error
