"""HEALPix pixels in nested order, as in every Gaia source_id (Gorski et al. 2005, 2005ApJ...622..759G). Angles are in degrees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Integers = NDArray[np.int64]
    Floats = NDArray[np.float64]

RING_OF_FACE = np.array([2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4])
COLUMN_OF_FACE = np.array([1, 3, 5, 7, 0, 2, 4, 6, 1, 3, 5, 7])
SPREAD = ((16, 0x0000FFFF0000FFFF), (8, 0x00FF00FF00FF00FF), (4, 0x0F0F0F0F0F0F0F0F), (2, 0x3333333333333333), (1, 0x5555555555555555))


def pixel_at(level: int, ra: ArrayLike, dec: ArrayLike) -> Integers:
    """Return the pixel of 12 * 4**level that holds each position."""
    nside = 1 << level
    ra, dec = np.broadcast_arrays(np.asarray(ra, np.float64), np.asarray(dec, np.float64))
    quarter = (ra % 360.0) / 90.0
    face, x, y = np.where(np.abs(np.sin(np.radians(dec))) <= 2 / 3, _belt(nside, quarter, dec), _cap(nside, quarter, dec))
    pixel: Integers = (face << (2 * level)) | _spread(x) | (_spread(y) << 1)
    return pixel


def centre_of(level: int, pixel: ArrayLike) -> tuple[Floats, Floats]:
    """Return right ascension and declination of the centres of pixels."""
    nside, pixel = 1 << level, np.asarray(pixel, np.int64)
    face = pixel >> (2 * level)
    inside = pixel & ((1 << (2 * level)) - 1)
    x, y = _squeeze(inside), _squeeze(inside >> 1)
    ring = RING_OF_FACE[face] * nside - x - y - 1
    per_quarter = np.minimum(np.minimum(ring, 4 * nside - ring), nside)
    shift = np.where(per_quarter == nside, (ring - nside) & 1, 0)
    column = (COLUMN_OF_FACE[face] * per_quarter + x - y + 1 + shift) // 2
    ra = ((column - 0.5 * (shift + 1)) * 90.0 / per_quarter) % 360.0
    cap = 90.0 - 2.0 * np.degrees(np.arcsin(np.minimum(per_quarter / (nside * np.sqrt(6.0)), 1.0)))
    belt = np.degrees(np.arcsin(np.clip((2 * nside - ring) * 2.0 / (3.0 * nside), -1.0, 1.0)))
    return ra, np.where(ring < nside, cap, np.where(ring > 3 * nside, -cap, belt))


def _belt(nside: int, quarter: Floats, dec: Floats) -> Integers:
    along, height = nside * (0.5 + quarter), nside * np.sin(np.radians(dec)) * 0.75
    up, down = np.floor(along - height).astype(np.int64), np.floor(along + height).astype(np.int64)
    first, second = up // nside, down // nside
    face = np.where(first == second, first | 4, np.where(first < second, first, second + 8))
    return np.stack([face, down & (nside - 1), nside - (up & (nside - 1)) - 1])


def _cap(nside: int, quarter: Floats, dec: Floats) -> Integers:
    whole = np.minimum(quarter.astype(np.int64), 3)
    part = quarter - whole
    scale = nside * np.sqrt(6.0) * np.sin(np.radians(90.0 - np.abs(dec)) / 2.0)
    up = np.minimum((part * scale).astype(np.int64), nside - 1)
    down = np.minimum(((1.0 - part) * scale).astype(np.int64), nside - 1)
    north = np.stack([whole, nside - down - 1, nside - up - 1])
    return np.where(dec >= 0, north, np.stack([whole + 8, up, down]))


def _spread(bits: Integers) -> Integers:
    for shift, mask in SPREAD:
        bits = (bits | (bits << shift)) & mask
    return bits


def _squeeze(bits: Integers) -> Integers:
    bits = bits & SPREAD[-1][1]
    for (shift, _), (_, mask) in zip(reversed(SPREAD), [*reversed(SPREAD[:-1]), (0, 0x00000000FFFFFFFF)], strict=True):
        bits = (bits | (bits >> shift)) & mask
    return bits
