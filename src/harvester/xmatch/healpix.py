"""HEALPix pixels in nested order (Gorski et al. 2005, ApJ 622, 759): what is near on the sky stands near in this order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

LEVEL = 13
"""Pixels of 26 arcseconds."""


def nested(ra: Floats, dec: Floats, level: int = LEVEL) -> Integers:
    """Return the number of the pixel (of 12 * 4**level) that holds each position (degrees).

    >>> nested(np.array([0.0, 45.0, 0.0]), np.array([90.0, 41.9, -90.0]), level=0).tolist()
    [0, 0, 8]
    """
    side = 1 << level
    z, turn = np.sin(np.radians(dec)), np.mod(ra, 360.0) / 90.0
    cap = np.abs(z) > 2.0 / 3.0
    face, x, y = (np.where(cap, polar, belt) for polar, belt in zip(_polar(side, dec, turn), _belt(side, z, turn), strict=True))
    return (face << (2 * level)) + _woven(x, level) + 2 * _woven(y, level)


def _belt(side: int, z: Floats, turn: Floats) -> tuple[Integers, Integers, Integers]:
    rising = np.floor(side * (0.5 + turn - 0.75 * z)).astype(np.int64)
    falling = np.floor(side * (0.5 + turn + 0.75 * z)).astype(np.int64)
    up, down = rising // side, falling // side
    face = np.where(up == down, (up & 3) + 4, np.where(up < down, up & 3, (down & 3) + 8))
    return face, falling % side, side - 1 - rising % side


def _polar(side: int, dec: Floats, turn: Floats) -> tuple[Integers, Integers, Integers]:
    quarter = np.minimum(turn.astype(np.int64), 3)
    reach = side * np.sqrt(6.0) * np.sin(np.radians(90.0 - np.abs(dec)) / 2.0)
    right = np.minimum((reach * (turn - quarter)).astype(np.int64), side - 1)
    left = np.minimum((reach * (1.0 - turn + quarter)).astype(np.int64), side - 1)
    north = dec > 0
    return (
        np.where(north, quarter, quarter + 8),
        np.where(north, side - 1 - left, right),
        np.where(north, side - 1 - right, left),
    )


def _woven(number: Integers, level: int) -> Integers:
    """Put a zero before every bit."""
    bits = np.zeros_like(number)
    for place in range(level):
        bits |= ((number >> place) & 1) << (2 * place)
    return bits
