"""Which source of the reference image a measurement of ZTF stands on, for a broker (Lasair) that tells it in two halves.

Its detections have the magnitude of the reference's source, its forced photometry the place, and both filter and time. Of an exposure that has
both, magnitude and place are known to belong together; so they do wherever either comes up again in that filter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harvester.alert_photometry.records import column, epoch_ids, floats, nullable
from harvester.payload import text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

PIXEL_ARCSEC = 1.012
MISSING = -999.0
MAG_DIGITS, PLACE_DIGITS = 3, 6
"""Catalogues of reference images give magnitudes to 0.001; a packet's last digits are those of single precision."""


def with_references(detections: pa.Table, forced: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Return both with `distnr` (pixels), and forced photometry with `magnr`, null where the answer does not tell; in order of time.

    Both are of one object, with object_id, mjd, fid; `detections` with ra, dec, magnr, `forced` with ranr, decnr. A forced measurement has the
    distance of the first detection that shows its reference, as it is of the object, not of a place of its own.
    """
    detections, forced = (rows.take(np.argsort(floats(rows, "mjd"), kind="stable")) for rows in (detections, forced))
    ranr, decnr, magnr = floats(forced, "ranr"), floats(forced, "decnr"), floats(detections, "magnr")
    of_mag, of_place = _keys(detections, magnr, digits=MAG_DIGITS), _keys(forced, ranr, decnr, digits=PLACE_DIGITS)
    both = pc.index_in(_moments(detections), value_set=_moments(forced), skip_nulls=True)
    known = pc.and_(pc.is_valid(of_mag), pc.is_valid(pc.take(of_place, both)))
    first = _found(of_mag, of_mag.filter(known))
    place = _at(np.asarray(both.filter(known), np.int64), first)
    near = _pixels(floats(detections, "ra"), floats(detections, "dec"), _at(ranr, place), _at(decnr, place))
    shown, lender = np.asarray(known), _found(of_place, pc.take(of_place, both).filter(known))
    return _with(detections, distnr=near), _with(forced, magnr=_at(magnr[shown], lender), distnr=_at(near[shown], lender))


def _found(keys: Any, among: Any) -> Any:
    """Return the first place of each key, -1 where it has none."""
    return np.asarray(pc.fill_null(pc.index_in(keys, value_set=among, skip_nulls=True), -1), np.int64)


def _pixels(ra: Floats, dec: Floats, ranr: Floats, decnr: Floats) -> Floats:
    east = ((ra - ranr + 180.0) % 360.0 - 180.0) * np.cos(np.radians(dec))
    return np.asarray(np.round(np.hypot(east, dec - decnr) * 3600.0 / PIXEL_ARCSEC, 6), np.float64)


def _moments(rows: pa.Table) -> Any:
    """Return filter, object and second of each row."""
    return pc.binary_join_element_wise(text(column(rows, "fid")), epoch_ids(rows), ":").combine_chunks()


def _keys(rows: pa.Table, *values: Floats, digits: int) -> Any:
    """Return filter and values as words, null where a value is missing."""
    there = np.all([np.isfinite(value) & (value > MISSING) for value in values], axis=0)
    words = [
        pc.cast(pa.array(np.round(np.where(there, value, 0.0) * 10**digits).astype(np.int64), mask=~there), pa.string()) for value in values
    ]
    return pc.binary_join_element_wise(text(column(rows, "fid")).combine_chunks(), *words, ":")


def _at(values: Any, places: Any) -> Any:
    """Return the values at places; at -1 NaN, or -1 among whole numbers."""
    return np.append(values, -1 if values.dtype.kind == "i" else np.nan)[places]


def _with(rows: pa.Table, **columns: Floats) -> pa.Table:
    kept = rows.drop_columns([name for name in columns if name in rows.column_names])
    for name, values in columns.items():
        kept = kept.append_column(name, pc.cast(nullable(values), pa.string()))
    return kept
