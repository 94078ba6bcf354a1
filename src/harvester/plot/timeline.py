"""The axes of time and phase: where an epoch stands on a picture, and which ticks the axis has."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from harvester.plot.dates import date_ticks, round_ticks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Tick = tuple[float, str]

MJD_ZERO = 2_400_000.5
LONG_GAP = 0.025
"""Gaps longer than this part of the whole are taken out on request."""
SEAM = 0.012
"""The part of what is left that stands for each gap."""
MOST_PIECES = 40
MARGIN = 0.02


@dataclass(frozen=True, slots=True)
class Timeline:
    """A time axis, in days: `pieces` (first and last BJD_TDB) that follow one another at a distance of `seam`, whatever lies between.

    With one piece a place on the axis is BJD_TDB itself.
    """

    pieces: tuple[tuple[float, float], ...]
    seam: float = 0.0
    label = "MJD (barycentric, TDB)"

    @classmethod
    def whole(cls, times: Floats) -> Timeline:
        """Return the axis that holds all times."""
        return cls(((float(times.min()), float(times.max())),))

    @classmethod
    def without_gaps(cls, times: Floats) -> Timeline:
        """Return the axis that leaves out gaps, common to all filters, that are longer than LONG_GAP of the whole; the longest if they are many."""
        moments = np.unique(times)
        steps = np.diff(moments)
        after = np.flatnonzero(steps > LONG_GAP * (moments[-1] - moments[0]))
        after = np.sort(after[np.argsort(steps[after])[::-1][: MOST_PIECES - 1]])
        starts, ends = np.append(0, after + 1), np.append(after, len(moments) - 1)
        pieces = tuple((float(moments[start]), float(moments[end])) for start, end in zip(starts, ends, strict=True))
        observed = sum(end - start for start, end in pieces)
        return cls(pieces, max(SEAM * observed, 0.5))

    @property
    def removed(self) -> Floats:
        """How many days each piece was moved towards the first."""
        gaps = [later[0] - earlier[1] - self.seam for earlier, later in pairwise(self.pieces)]
        return np.cumsum([0.0, *gaps])

    @property
    def span(self) -> tuple[float, float]:
        """The first and last place on the axis, with a margin."""
        first, last = self.pieces[0][0], float(self.pieces[-1][1] - self.removed[-1])
        margin = MARGIN * (last - first) or 0.5
        return first - margin, last + margin

    @property
    def cuts(self) -> list[float]:
        """The places where time was left out."""
        return [float(end - removed) + self.seam / 2 for (_, end), removed in zip(self.pieces[:-1], self.removed, strict=False)]

    def place(self, bjd_tdb: Floats) -> Floats:
        """Return where epochs stand."""
        starts = np.array([start for start, _ in self.pieces])
        return bjd_tdb - self.removed[np.clip(np.searchsorted(starts, bjd_tdb, side="right") - 1, 0, None)]

    def mjd_ticks(self, most: int) -> list[Tick]:
        """Return at most `most` ticks at round MJDs: place and label."""
        return self._ticks(lambda first, last, count: [(mjd + MJD_ZERO, f"{mjd:.10g}") for mjd in _round(first, last, count)], most)

    def date_ticks(self, most: int) -> list[Tick]:
        """Return at most `most` ticks at round calendar dates: place and label."""
        return self._ticks(date_ticks, most)

    def _ticks(self, choose: Callable[[float, float, int], list[Tick]], most: int) -> list[Tick]:
        """Return the ticks, chosen as if nothing were left out, that fall into the pieces and stand clear of one another."""
        first, last = self.span
        if len(self.pieces) == 1:
            return choose(first, last, most)
        tried = [self._clear(choose(self.pieces[0][0], self.pieces[-1][1], most * finer), most) for finer in (1, 2, 3, 5, 8, 12)]
        return max(tried, key=len)

    def _clear(self, ticks: Sequence[Tick], most: int) -> list[Tick]:
        first, last = self.span
        kept: list[Tick] = []
        for bjd_tdb, label in ticks:
            place = float(self.place(np.array(bjd_tdb)))
            inside = any(start <= bjd_tdb <= end for start, end in self.pieces)
            if inside and (not kept or place - kept[-1][0] > 0.9 * (last - first) / most):
                kept.append((place, label))
        return kept


@dataclass(frozen=True, slots=True)
class Phases:
    """A phase axis over two cycles of `period` (days); phase 0 is at `epoch` (BJD_TDB). A point stands on it twice."""

    period: float
    epoch: float
    cuts: tuple[float, ...] = ()

    @property
    def label(self) -> str:
        """What the axis says: period and epoch to as many digits as it has."""
        return f"phase  (period {self.period:.9g} d, phase 0 at MJD {self.epoch - MJD_ZERO:.4f})"

    @property
    def span(self) -> tuple[float, float]:
        """The first and last place on the axis."""
        return 0.0, 2.0

    def place(self, bjd_tdb: Floats) -> Floats:
        """Return phases, all of the first cycle and again all of the second."""
        phase = ((bjd_tdb - self.epoch) / self.period) % 1.0
        return np.concatenate([phase, phase + 1.0])

    def ticks(self) -> list[Tick]:
        """Return ticks at quarters: place and label."""
        return [(quarter / 4, f"{quarter / 4:g}") for quarter in range(9)]


def _round(first_jd: float, last_jd: float, most: int) -> list[float]:
    return round_ticks(first_jd - MJD_ZERO, last_jd - MJD_ZERO, most)
