"""Rows to targets: which of the things that a survey has near a target is the target.

The target is moved by its proper motion to the survey's epoch: to that of each row where rows have positions of their own, else to the epoch of
the survey's catalogue. The nearest thing is the match. Ids of one thing (a survey with an id per filter and field) lie within the source's
`scatter` of one another and are matched together. Everything else inside the radius is a neighbour: kept out and counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from harvester.payload import SkyObject
from harvester.target import Target, moved

NEARLY = 0.5
"""A runner-up not more than this many arcseconds farther than the match makes it ambiguous."""
J2000_MJD, JULIAN_YEAR = 51544.5, 365.25


@dataclass(frozen=True, slots=True)
class Match:
    """What of a delivery is one target's: object ids (nearest first), separation of the nearest (arcsec), and what stayed outside."""

    object_ids: tuple[str, ...] = ()
    separation: float | None = None
    neighbours: int = 0
    runner_up: float | None = None

    @property
    def ambiguous(self) -> bool:
        """Whether another thing is nearly as near as the match."""
        return self.separation is not None and self.runner_up is not None and self.runner_up - self.separation <= NEARLY


def match(
    target: Target,
    rows: pa.Table,
    objects: Sequence[SkyObject],
    *,
    mjd: NDArray[np.float64],
    radius: float,
    scatter: float = 0.0,
    known: Sequence[str] = (),
    windowed: bool = False,
) -> Match:
    """Choose the object ids in `rows` (with object_id, ra, dec) and `objects` that are `target`.

    `rows` are all that came, trusted or not: a thing whose rows cannot be trusted is still there. `mjd` is the approximate epoch of each row (a
    day is good enough, NaN is not known); `radius` and `scatter` are arcseconds. `known` are the survey's ids matched before: where one of
    them is in the answer, it is the match; an answer for a window of time that has none of them matches nothing new, for the target's own rows
    may lie outside the window. A thing without a position matches only by a known id.
    """
    found = _from_catalogue(target, objects) if objects else _from_rows(target, rows, mjd, known)
    found.sort(key=lambda place: place.separation)
    inside = [place for place in found if place.separation <= radius]
    before = [place for place in inside if place.object_id in known]
    if not inside or (windowed and known and not before):
        return Match(neighbours=len(inside))
    best = (before or inside)[0]
    mine = [place for place in inside if place.separation_from(best) <= scatter or place is best]
    others = [place for place in found if place not in mine]
    runner_up = others[0].separation if others else None
    return Match(tuple(place.object_id for place in mine), best.separation, len(inside) - len(mine), runner_up)


def select(rows: pa.Table, matched: Match) -> pa.Table:
    """Return the rows of the matched objects."""
    return rows.filter(pc.is_in(rows["object_id"], value_set=pa.array(matched.object_ids, pa.string())))


@dataclass(frozen=True, slots=True)
class _Place:
    """An object relative to the target: offsets east and north in arcseconds, at the object's own epoch."""

    object_id: str
    east: float
    north: float

    @property
    def separation(self) -> float:
        return float(np.hypot(self.east, self.north))

    def separation_from(self, other: _Place) -> float:
        return float(np.hypot(self.east - other.east, self.north - other.north))


def _from_catalogue(target: Target, objects: Sequence[SkyObject]) -> list[_Place]:
    unique = {thing.object_id: thing for thing in objects}.values()
    where = {epoch: target.at(epoch) for epoch in {thing.epoch for thing in unique}}
    at = np.array([where[thing.epoch] for thing in unique])
    places = np.array([(thing.ra, thing.dec) for thing in unique], np.float64)
    east, north = _offsets(at[:, 0], at[:, 1], places[:, 0], places[:, 1])
    return [_Place(thing.object_id, *offset) for thing, *offset in zip(unique, east.tolist(), north.tolist(), strict=True)]


def _from_rows(target: Target, rows: pa.Table, mjd: NDArray[np.float64], known: Sequence[str]) -> list[_Place]:
    """Each object lies where the median of its rows lies, every row measured against the target at that row's epoch."""
    ra, dec = (np.array(rows[name].to_numpy(), np.float64) for name in ("ra", "dec"))
    dated = np.isfinite(mjd)
    mjd = np.where(dated, mjd, np.median(mjd[dated]) if dated.any() else J2000_MJD)
    years = 2000.0 + (mjd - J2000_MJD) / JULIAN_YEAR - target.epoch
    with np.errstate(invalid="ignore"):
        east, north = _offsets(*moved(target.ra, target.dec, target.pmra, target.pmdec, years=years), ra, dec)
    ids = pc.unique(rows["object_id"])
    which, placed = pc.index_in(rows["object_id"], value_set=ids).to_numpy(), np.isfinite(east)
    places = []
    for index, object_id in enumerate(ids.to_pylist()):
        if object_id is None:
            continue
        here = (which == index) & placed
        if here.any():
            places.append(_Place(object_id, float(np.median(east[here])), float(np.median(north[here]))))
        elif object_id in known:
            places.append(_Place(object_id, 0.0, 0.0))
    return places


def _offsets(
    ra0: float | NDArray[np.float64], dec0: float | NDArray[np.float64], ra: float | NDArray[np.float64], dec: float | NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return tangent-plane offsets (arcseconds, east and north) of (ra, dec) from (ra0, dec0), all in degrees; infinite beyond 90 degrees.

    >>> [float(round(offset, 3)) for offset in _offsets(10.0, 60.0, 10.001, 60.001)]
    [1.8, 3.6]
    """
    a0, d0, a, d = (np.radians(angle) for angle in (ra0, dec0, ra, dec))
    cosine = np.sin(d0) * np.sin(d) + np.cos(d0) * np.cos(d) * np.cos(a - a0)
    scale = np.degrees(3600.0) / np.where(cosine > 0, cosine, np.nan)
    east = scale * np.cos(d) * np.sin(a - a0)
    north = scale * (np.cos(d0) * np.sin(d) - np.sin(d0) * np.cos(d) * np.cos(a - a0))
    return np.where(cosine <= 0, np.inf, east), np.where(cosine <= 0, np.inf, north)
