"""Random numbers that depend on their keys alone: the same star, the same word, the same epoch give the same number for ever."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
FIRST, SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def uniform(*keys: ArrayLike | str) -> NDArray[np.float64]:
    """Return deviates in [0, 1) for integer or text keys, broadcast against one another."""
    state: NDArray[np.uint64] = np.zeros(1, np.uint64)
    for key in keys:
        state = _mix(state ^ _number(key))
    shape = np.broadcast_shapes(*(np.shape(key) for key in keys if not isinstance(key, str)))
    deviates: NDArray[np.float64] = ((state >> np.uint64(11)).astype(np.float64) * 2.0**-53).reshape(shape)
    return deviates


def normal(*keys: ArrayLike | str) -> NDArray[np.float64]:
    """Return standard normal deviates for the same kind of keys (Box and Muller 1958)."""
    radius = np.sqrt(-2.0 * np.log1p(-uniform(*keys, "radius")))
    deviates: NDArray[np.float64] = radius * np.cos(2.0 * np.pi * uniform(*keys, "angle"))
    return deviates


def _number(key: ArrayLike | str) -> NDArray[np.uint64]:
    if isinstance(key, str):
        return np.frombuffer(blake2b(key.encode(), digest_size=8).digest(), "<u8").astype(np.uint64)
    return np.atleast_1d(np.asarray(key, np.int64)).astype(np.uint64)


def _mix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mix 64 bits thoroughly (SplitMix64: Steele, Lea and Flood 2014)."""
    state = state + GOLDEN
    state = (state ^ (state >> np.uint64(30))) * FIRST
    state = (state ^ (state >> np.uint64(27))) * SECOND
    return state ^ (state >> np.uint64(31))
