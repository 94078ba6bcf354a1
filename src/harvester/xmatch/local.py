"""Matches in a catalogue that lies in a file on this machine, read once, piece by piece."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from harvester.errors import UsageError
from harvester.xmatch.columns import distinct, guessed
from harvester.xmatch.grid import Grid, Pairs, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from harvester.xmatch.files import TableFile

WIDEST = 3600.0
"""Arcseconds: farther apart is no match."""
MOST_PAIRS = 20_000_000
"""More would not be matches either, and fill the memory."""
OWN, SEPARATION = "own", "separation"
"""The columns before those of the catalogue: which of ours (its number), and how far away (arcsec)."""


def local_matches(
    ra: NDArray[np.float64],
    dec: NDArray[np.float64],
    catalogue: TableFile,
    radius: float,
    *,
    best: bool,
    columns: Sequence[str] | None = None,
) -> pa.Table:
    """Return what lies within `radius` arcseconds of each position (ICRS degrees), nearest first: OWN, SEPARATION, then the catalogue's columns.

    `best` keeps the nearest of each position alone, `columns` (all if None) of the catalogue. Memory follows the positions and the matches, not
    the file. Raises UsageError for a radius that is too large, and for more than MOST_PAIRS pairs.
    """
    check_radius(radius, WIDEST)
    grid, parts, held = Grid(ra, dec, radius), list[pa.Table](), 0
    for piece in catalogue.pieces(columns):
        found = grid.pairs(*(piece[name].to_numpy() for name in (catalogue.ra, catalogue.dec)))
        found = nearest(found) if best else found
        parts.append(_told(piece if columns is None else piece.select([catalogue.named(name) for name in columns]), found))
        held += parts[-1].num_rows
        if held > MOST_PAIRS:
            raise UsageError(f"more than {MOST_PAIRS} pairs within {radius:g} arcsec.", hint="Take a smaller --radius, or --best.")
    return guessed(in_order(pa.concat_tables(parts), best=best)) if parts else pa.table({})


def in_order(found: pa.Table, *, best: bool) -> pa.Table:
    """Return matches by position, the nearest first; with `best` no other."""
    own, apart = (found[name].to_numpy() for name in (OWN, SEPARATION))
    order = np.lexsort((np.arange(len(own)), apart, own))
    if best and len(own):
        order = order[np.concatenate([[True], np.diff(own[order]) != 0])]
    return found.take(order)


def check_radius(radius: float, widest: float) -> None:
    """Raise UsageError for a radius (arcsec) that is not above 0 and at most `widest`."""
    if not 0.0 < radius <= widest:
        raise UsageError(f"--radius {radius:g} cannot be asked.", f"It lies above 0 and is at most {widest:g} arcsec here.")


def _told(piece: pa.Table, found: Pairs) -> pa.Table:
    rows = piece.take(found.other)
    names = distinct(rows.column_names, taken=(OWN, SEPARATION))
    return pa.table([pa.array(found.own), pa.array(found.separation), *rows.columns], names=[OWN, SEPARATION, *names])
