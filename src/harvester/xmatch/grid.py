"""Pairs of positions within a radius, in plain arrays. Angles are ICRS degrees; radii and separations are arcseconds.

The sky is cut into zones of declination, and each zone into cells of right ascension, all at least two radii wide. A `Grid` knows the cells that
the circles around its positions touch. A stream of other positions then costs one look into a small table of bits each: nearly all fall out
there, and only the rest are sought and measured. So memory follows the grid's own positions, however long the stream is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

SMALLEST_CELL = 4.0
"""Arcseconds: still finer cells would only make the numbers of cells larger."""
MARGIN = 1e-6
"""Arcseconds by which circles are taken wider where their cells are found: rounding must lose no pair at the rim."""
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
"""2**64 over the golden ratio: spreads neighbouring cells over the table (Knuth, The Art of Computer Programming, vol. 3, section 6.4)."""
FEWEST_BITS, MOST_BITS = 16, 27
THIN = 5
"""The table has 2**THIN places for each cell, where that is allowed."""
ARCSEC = 3600.0


@dataclass(frozen=True)
class Pairs:
    """Which of the grid's positions (`own`) lie near which of the others (`other`), both by their number, and the separations (arcsec)."""

    own: Integers
    other: Integers
    separation: Floats


class Grid:
    """Positions (degrees), ready to be paired with others within `radius` arcseconds. Positions that are none, as missing ones are, have no pairs."""

    def __init__(self, ra: Floats, dec: Floats, radius: float) -> None:
        self.radius = radius
        self._ra, self._dec = _turned(ra), np.asarray(dec, np.float64)
        self._height = max(2.0 * radius, SMALLEST_CELL) / ARCSEC
        self._zones = int(np.ceil(180.0 / self._height))
        edges = np.minimum(np.abs(np.arange(self._zones + 1) * self._height - 90.0), 90.0)
        widest = np.cos(np.radians(np.minimum(edges[:-1], edges[1:])))  # an edge at the equator's side
        self._per_zone = np.maximum(np.floor(360.0 * widest / self._height), 1.0)
        self._first = np.concatenate([[0.0], np.cumsum(self._per_zone)[:-1]])
        cells, numbers = self._touched()
        order = np.argsort(cells, kind="stable")
        self._cells, self._numbers = cells[order], numbers[order]
        bits = int(np.clip(np.ceil(np.log2(max(len(cells), 1))) + THIN, FEWEST_BITS, MOST_BITS))
        self._shift = np.uint64(64 - bits)
        self._taken = np.zeros(1 << bits, np.bool_)
        self._taken[self._places(self._cells)] = True

    def pairs(self, ra: Floats, dec: Floats) -> Pairs:
        """Return all pairs with other positions, by `other`, then `own`."""
        ra, dec = _turned(ra), np.asarray(dec, np.float64)
        with np.errstate(invalid="ignore"):
            cells = self._cell(self._zone(dec), ra)
        maybe = np.flatnonzero(self._taken[self._places(cells)])
        maybe = maybe[_are_places(ra[maybe], dec[maybe])]
        wanted = cells[maybe]
        start, stop = (np.searchsorted(self._cells, wanted, side) for side in ("left", "right"))
        own = self._numbers[_ranges(start, stop)]
        other = np.repeat(maybe, stop - start)
        apart = separation(self._ra[own], self._dec[own], ra[other], dec[other])
        near = apart <= self.radius
        own, other, apart = own[near], other[near], apart[near]
        order = np.lexsort((own, other))
        return Pairs(own[order], other[order], apart[order])

    def _touched(self) -> tuple[Integers, Integers]:
        """Return the cells that the circles touch, each with the number of its circle."""
        numbers = np.flatnonzero(_are_places(self._ra, self._dec))
        ra, dec, reach = self._ra[numbers], self._dec[numbers], (self.radius + MARGIN) / ARCSEC
        half = half_width(dec, reach)
        low, high = self._zone(dec - reach), self._zone(dec + reach)
        rows = np.repeat(np.arange(len(numbers)), high - low + 1)
        zones = _ranges(low, high + 1)
        per_zone, span = self._per_zone[zones], half[rows]
        begin = np.floor((ra[rows] - span) * per_zone / 360.0).astype(np.int64)
        end = np.floor((ra[rows] + span) * per_zone / 360.0).astype(np.int64)
        end = np.minimum(end, begin + per_zone.astype(np.int64) - 1)  # once around is enough
        which = np.repeat(np.arange(len(rows)), end - begin + 1)
        column = np.mod(_ranges(begin, end + 1), per_zone[which].astype(np.int64))
        return self._first[zones[which]].astype(np.int64) + column, numbers[rows[which]]

    def _zone(self, dec: Floats) -> Integers:
        zone: Integers = np.clip(np.floor((dec + 90.0) / self._height).astype(np.int64), 0, self._zones - 1)
        return zone

    def _cell(self, zone: Integers, ra: Floats) -> Integers:
        per_zone = self._per_zone[zone]
        column = np.minimum(np.floor(ra * per_zone / 360.0), per_zone - 1.0)
        cell: Integers = (self._first[zone] + column).astype(np.int64)
        return cell

    def _places(self, cells: Integers) -> NDArray[np.uint64]:
        return (cells.view(np.uint64) * MULTIPLIER) >> self._shift


def separation(ra: Floats, dec: Floats, ra0: Floats, dec0: Floats) -> Floats:
    """Return angles on the sky in arcseconds, exact to the last digits for small ones (haversines).

    >>> [round(float(angle), 9) for angle in separation(np.array([359.9999]), np.array([0.0]), np.array([0.0001]), np.array([0.0]))]
    [0.72]
    """
    up, along = np.radians(dec - dec0) / 2.0, np.radians(ra - ra0) / 2.0
    square = np.sin(up) ** 2 + np.cos(np.radians(dec)) * np.cos(np.radians(dec0)) * np.sin(along) ** 2
    apart: Floats = np.degrees(2.0 * np.arcsin(np.sqrt(np.minimum(square, 1.0)))) * ARCSEC
    return apart


def half_width(dec: Floats, reach: float) -> Floats:
    """Return how far in right ascension a circle extends to each side, all in degrees; 180 where it holds a pole.

    >>> [float(round(half, 6)) for half in half_width(np.array([0.0, 60.0, -89.9999]), 0.001)]
    [0.001, 0.002, 180.0]
    """
    inside = np.abs(dec) + reach < 90.0
    sine = np.sin(np.radians(reach)) / np.cos(np.radians(np.where(inside, dec, 0.0)))
    return np.where(inside, np.degrees(np.arcsin(np.minimum(sine, 1.0))), 180.0)


def nearest(pairs: Pairs) -> Pairs:
    """Return, of each of the grid's positions, the nearest other alone (the first of equals), by `own`."""
    order = np.lexsort((pairs.other, pairs.separation, pairs.own))
    own = pairs.own[order]
    first = order[np.concatenate([[True], own[1:] != own[:-1]])] if len(own) else order
    return Pairs(pairs.own[first], pairs.other[first], pairs.separation[first])


def _turned(ra: Floats) -> Floats:
    with np.errstate(invalid="ignore"):
        return np.mod(np.asarray(ra, np.float64), 360.0)


def _are_places(ra: Floats, dec: Floats) -> NDArray[np.bool_]:
    return np.isfinite(ra) & (np.abs(dec) <= 90.0)


def _ranges(start: Integers, stop: Integers) -> Integers:
    """Return the whole numbers of many ranges, one after the other."""
    counts = stop - start
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    numbers: Integers = np.arange(total) + np.repeat(start - (ends - counts), counts)
    return numbers
