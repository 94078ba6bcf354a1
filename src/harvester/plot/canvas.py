"""A grid of characters for points of several series: which character stands in each cell, and whose it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Indices = NDArray[np.intp]

EMPTY = -1
BRAILLE_BLANK = 0x2800
BRAILLE_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""The bit of each dot of a braille character: four rows of two (Unicode block 2800)."""


def places(fractions: NDArray[np.float64], size: int) -> Indices:
    """Return the cell (0 to size - 1) of each fraction (0 to 1); what lies outside is put on the rim."""
    return np.clip((fractions * size).astype(np.intp), 0, size - 1)


def owners(columns: Sequence[Indices], rows: Sequence[Indices], shape: tuple[int, int]) -> NDArray[np.intp]:
    """Return, for each cell of a grid (rows, columns), the index of the series with most points there, or EMPTY."""
    counts = np.zeros((len(columns), *shape), np.intp)
    for number, (column, row) in enumerate(zip(columns, rows, strict=True)):
        np.add.at(counts[number], (row, column), 1)
    return np.where(counts.any(axis=0), counts.argmax(axis=0), EMPTY)


def braille(columns: Sequence[Indices], rows: Sequence[Indices], shape: tuple[int, int]) -> NDArray[np.str_]:
    """Return the characters of a grid (rows, columns) for dots, whose grid is four times as high and twice as wide."""
    bits = np.zeros(shape, np.intp)
    for column, row in zip(columns, rows, strict=True):
        np.bitwise_or.at(bits, (row // 4, column // 2), BRAILLE_BITS[row % 4, column % 2])
    return np.array([[chr(BRAILLE_BLANK + value) for value in line] for line in bits])
