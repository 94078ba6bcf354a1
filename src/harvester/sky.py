"""The followed targets as an index: which of them a thing on the sky is, by the survey's id or by its place, thousands at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harvester.target import Target, fold, moved

if TYPE_CHECKING:
    Floats = NDArray[np.float64]
    Places = NDArray[np.int64]

J2000_MJD, JULIAN_YEAR = 51_544.5, 365.25
DEGREE_ARCSEC = 3600.0
MOTION = ("epoch", "pmra", "pmdec")
NAME = ""
"""Stands for the survey of a name that is no survey's id."""
PREFIXES = {"LSST": "LSST "}
"""What goes before an id that is a bare number, where it has to be a name."""


def named(object_id: str, survey: str) -> str:
    """Return the name of a target that was a survey's thing first.

    >>> named("ZTF18abxhyqv", "ZTF"), named("313853511993", "LSST")
    ('ZTF18abxhyqv', 'LSST 313853511993')
    """
    return f"{PREFIXES.get(survey, '')}{object_id}" if object_id.isdigit() else object_id


@dataclass(frozen=True, slots=True)
class Things:
    """What a survey observed: an id each, where (ICRS deg, NaN where it does not say) and when (MJD) it was seen."""

    object_ids: Sequence[str]
    ra: Floats
    dec: Floats
    mjd: Floats


@dataclass(frozen=True, slots=True)
class Pairs:
    """Which thing is which target: two arrays of indices side by side."""

    things: Places
    targets: Places


@dataclass
class Sky:
    """Targets with positions, in the order of `targets`; `add` takes one more."""

    targets: list[Target] = field(default_factory=list)
    _by_id: dict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(list))
    _known: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    _columns: dict[str, Floats] = field(default_factory=dict)

    @classmethod
    def of(cls, targets: Iterable[Target]) -> Sky:
        """Return an index of targets; those of the solar system have no place and are left out."""
        sky = cls()
        for target in targets:
            sky.add(target)
        return sky

    def add(self, target: Target) -> int:
        """Add a target; return its index."""
        number = len(self.targets)
        self.targets.append(target)
        for name in (target.name, *target.aliases):
            self._by_id[NAME, fold(name)].append(number)
        for survey, words in target.ids.items():
            for word in words:
                self.know(number, survey, word)
        return number

    def add_new(self, target: Target) -> None:
        """Add a target, unless there is one of its name."""
        if not any(self.targets[number].name == target.name for number in self._by_id.get((NAME, fold(target.name)), ())):
            self.add(target)

    def shrink(self, size: int) -> None:
        """Forget all but the first `size` targets."""
        del self.targets[size:]
        self._columns = {name: values[:size] for name, values in self._columns.items()}
        for numbers in self._by_id.values():
            numbers[:] = [number for number in numbers if number < size]
        for known in self._known.values():
            known.difference_update([number for number in known if number >= size])

    def add_thing(self, object_id: str, survey: str, ra: float, dec: float) -> int:
        """Add a survey's thing as a new target of that name, where it was seen; return its index."""
        return self.add(Target(named(object_id, survey), ra, dec, ids={survey: (object_id,)}))

    def know(self, number: int, survey: str, object_id: str) -> None:
        """Note that a survey knows a target by this id."""
        if number not in self._by_id[survey, object_id]:
            self._by_id[survey, object_id].append(number)
        self._known[survey].add(number)

    def known_as(self, object_id: str, survey: str) -> list[int]:
        """Return the targets that a survey knows by an id, or that bear it as their name."""
        return self._by_id.get((survey, object_id)) or self._by_id.get((NAME, fold(named(object_id, survey)))) or []

    def match(self, things: Things, survey: str, radius: float, scatter: float = 0.0) -> Pairs:
        """Return which things are which targets: by the survey's id, else the nearest within `radius` (arcsec) of a target without such an id.

        The rule is that of `harvester.match` for an answer about a window of time. Of a survey that has several ids for one thing, everything
        within its `scatter` (arcsec) of a target is that target.
        """
        known = self._known_ids(things, survey, radius)
        near, targets, separations = self._near(things, radius)
        taken = self._known[survey] | {target for _, target in known}
        best: dict[int, tuple[float, int]] = {}
        for thing, target, separation in zip(near.tolist(), targets.tolist(), separations.tolist(), strict=True):
            if target not in taken and separation < best.get(target, (np.inf, 0))[0]:
                best[target] = separation, thing
        found = {*known, *((thing, target) for target, (_, thing) in best.items())}
        one = separations <= scatter
        found |= set(zip(near[one].tolist(), targets[one].tolist(), strict=True))
        pairs = np.array(sorted(found), np.int64).reshape(-1, 2)
        return Pairs(pairs[:, 0], pairs[:, 1])

    def _known_ids(self, things: Things, survey: str, radius: float) -> list[tuple[int, int]]:
        """Return the pairs of which the id tells, where the place does not contradict it."""
        found = [(thing, target) for thing, name in enumerate(things.object_ids) for target in self.known_as(name, survey)]
        pairs = np.array(found, np.int64).reshape(-1, 2)
        separation = self._separations(things, pairs[:, 0], pairs[:, 1], _dated(things))
        return [pair for pair, apart in zip(found, separation.tolist(), strict=True) if not apart > radius]

    def _near(self, things: Things, radius: float) -> tuple[Places, Places, Floats]:
        """Return things, targets and separations (arcsec) of all that lie within `radius`; targets are where they were when a thing was seen."""
        empty = np.array([], np.int64)
        if not self.targets or not len(things.object_ids):
            return empty, empty, np.array([], np.float64)
        columns = self._placed()
        dated = _dated(things)
        middle = float(np.median(dated))
        years = 2000.0 + (middle - J2000_MJD) / JULIAN_YEAR - columns["epoch"]
        _, dec = moved(columns["ra"], columns["dec"], columns["pmra"], columns["pmdec"], years=years)
        order = np.argsort(dec)
        slack = float(columns["speed"].max()) * float(np.ptp(dated)) / JULIAN_YEAR
        wide = (radius + slack) / DEGREE_ARCSEC
        first, last = (np.searchsorted(dec[order], np.nan_to_num(things.dec, nan=np.inf) + side) for side in (-wide, wide))
        counts = last - first
        thing = np.repeat(np.arange(len(counts)), counts)
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        target = order[np.repeat(first, counts) + within]
        separation = self._separations(things, thing, target, dated)
        here = separation <= radius
        return thing[here], target[here], separation[here]

    def _separations(self, things: Things, thing: Places, target: Places, dated: Floats) -> Floats:
        there = {name: values[target] for name, values in self._placed().items()}
        years = 2000.0 + (dated[thing] - J2000_MJD) / JULIAN_YEAR - there["epoch"]
        ra, dec = moved(there["ra"], there["dec"], there["pmra"], there["pmdec"], years=years)
        east = (things.ra[thing] - ra + 180.0) % 360.0 - 180.0
        cosines = np.cos(np.radians(things.dec[thing])) * np.cos(np.radians(dec))
        half = np.sin(np.radians(things.dec[thing] - dec) / 2) ** 2 + cosines * np.sin(np.radians(east) / 2) ** 2
        return np.asarray(np.degrees(2.0 * np.arcsin(np.sqrt(half))) * DEGREE_ARCSEC, np.float64)

    def _placed(self) -> Mapping[str, Floats]:
        """Return what places the targets, as columns."""
        known = len(self._columns.get("ra", ()))
        if known < len(self.targets) or not self._columns:
            more = self.targets[known:]
            for name in ("ra", "dec", *MOTION, "speed"):
                values = np.array([getattr(target, name) for target in more], np.float64)
                self._columns[name] = np.concatenate([self._columns.get(name, np.array([], np.float64)), values])
        return self._columns


def _dated(things: Things) -> Floats:
    return np.where(np.isfinite(things.mjd), things.mjd, J2000_MJD)
