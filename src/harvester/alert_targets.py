"""Targets from alerts: what a broker tells of becomes a target, unless it is followed already, under whatever name.

An object is known by a survey's id, by one of its names ("AT 2026abc" and "SN 2026abc" are one), or by its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from harvester.alerts.alert import Alert
from harvester.sky import named
from harvester.target import Target, fold, moved

if TYPE_CHECKING:
    from harvester.store import Store

NEAR_ARCSEC = 1.0
"""However small a radius a broker declares."""
OF_TNS = re.compile(r"(?:at|sn|tde|frb|fbot)?(\d{4}[a-z]+)", re.IGNORECASE)
J2000_MJD, JULIAN_YEAR = 51_544.5, 365.25


@dataclass
class Followed:
    """The targets of a store, to find the one that an alert is of; `add` makes one where there is none."""

    store: Store
    radius: float = NEAR_ARCSEC
    """Arcseconds, as the broker declares it."""
    _targets: list[Target] = field(default_factory=list)
    _named: dict[str, int] = field(default_factory=dict)
    _ids: dict[tuple[str, str], int] = field(default_factory=dict)
    _places: dict[str, np.ndarray] = field(default_factory=dict)
    _resting: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._resting = self.store.timetable.unfollowed()
        for target in self.store.targets():
            self._learn(target)

    def add(self, alert: Alert) -> tuple[str | None, bool]:
        """Return the name of the target that an alert is of, and whether it is new; the target has the alert's id and names from now on.

        None for a thing of the solar system, whose place is of one moment only, and for one without a place that nobody follows.
        """
        found = None if alert.moving else self.find(alert)
        if found is None and (alert.moving or alert.ra is None or alert.dec is None):
            return None, False
        ids = {alert.survey: (alert.object_id,)} if alert.survey else {}
        if found is None:
            assert alert.ra is not None
            assert alert.dec is not None
            made = Target(named(alert.object_id, alert.survey), alert.ra, alert.dec, aliases=self._free(alert.names), ids=ids)
            self.store.add_target(made)
            self._learn(made)
            return made.name, True
        known = self._targets[found]
        if known.name in self._resting:
            self.store.timetable.heed([known.name], followed=True)
            self._resting.discard(known.name)
        aliases = self._free((*alert.names, named(alert.object_id, alert.survey)))
        if aliases or any((survey, word) not in self._ids for survey, words in ids.items() for word in words):
            self.store.add_target(Target(known.name, known.ra, known.dec, aliases=aliases, ids=ids))
            self._note(found, aliases, ids)
        return known.name, False

    def find(self, alert: Alert) -> int | None:
        """Return which target an alert is of: by id, by name, by place (the nearest); None if none is."""
        words = (named(alert.object_id, alert.survey), *alert.names)
        by_name = (self._named[_word(word)] for word in words if _word(word) in self._named)
        by_id = self._ids.get((alert.survey, alert.object_id))
        return by_id if by_id is not None else next(by_name, self._nearest(alert))

    def _nearest(self, alert: Alert) -> int | None:
        if alert.ra is None or alert.dec is None or not self._targets:
            return None
        columns = self._columns()
        reach = max(self.radius, NEAR_ARCSEC) / 3600.0
        years = 2000.0 + ((alert.mjd or J2000_MJD) - J2000_MJD) / JULIAN_YEAR - columns["epoch"]
        ra, dec = moved(columns["ra"], columns["dec"], columns["pmra"], columns["pmdec"], years=years)
        north, south = np.radians(dec), np.radians(alert.dec)
        half = np.sin((north - south) / 2) ** 2 + np.cos(north) * np.cos(south) * np.sin(np.radians(ra - alert.ra) / 2) ** 2
        apart = np.degrees(2.0 * np.arcsin(np.sqrt(np.minimum(half, 1.0))))
        nearest = int(np.argmin(apart))
        return nearest if apart[nearest] <= reach else None

    def _columns(self) -> dict[str, np.ndarray]:
        """Return the places as arrays; made anew once there are more targets."""
        if len(self._places.get("ra", ())) != len(self._targets):
            names = ("ra", "dec", "epoch", "pmra", "pmdec")
            self._places = {name: np.array([getattr(target, name) for target in self._targets], np.float64) for name in names}
        return self._places

    def _learn(self, target: Target) -> None:
        self._targets.append(target)
        self._note(len(self._targets) - 1, (target.name, *target.aliases), target.ids)

    def _note(self, number: int, names: Iterable[str], ids: Mapping[str, tuple[str, ...]]) -> None:
        for name in names:
            self._named.setdefault(_word(name), number)
        for survey, words in ids.items():
            for word in words:
                self._ids.setdefault((survey, word), number)

    def _free(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return those names that no target has: a name of two targets would mean neither."""
        return tuple(dict.fromkeys(name for name in names if name.strip() and name.isprintable() and _word(name) not in self._named))


def _word(name: str) -> str:
    """Return the form in which names are compared: what TNS named AT before it was classified is called SN after."""
    folded = fold(name)
    of_tns = OF_TNS.fullmatch(folded)
    return of_tns[1] if of_tns else folded
