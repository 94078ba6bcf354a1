"""One exposure of an object, one row in a filter: a detection takes the place of the limit that somebody told for it.

Packets of alerts tell the object's past, limits among it, and a later packet may tell a detection of the very exposure. Such limits have no id but
the object's and the second of their exposure. They leave the light curve as revised rows do, into the versions, and come back no more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harvester.store.series import SERIES
from harvester.store.tables import FROM_OBJECT, STORED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harvester.store.series import Lines

SECONDS = 86_400.0
SECOND_BITS = 40
"""Of the seconds of a Julian date."""
SERIES_ID, OBSERVATION, TIME, LIMIT = (STORED.names.index(name) for name in ("series_id", "observation", "time", "upper_limit"))
WHOSE = ("target_id", "filter_id", "object_id")
Rows = Sequence[tuple[Any, ...]]
"""Rows of STORED as tuples."""
Exposure = tuple[Any, ...]
"""Target, filter and the survey's object, and the second."""


def detections_only(rows: pa.Table) -> pa.Table:
    """Return rows (ROW) without the limits for whose exposure they tell a detection, too."""
    limits = _limits(rows)
    if not limits.any() or limits.all():
        return rows
    exposures = _numbered(rows)
    seen = np.isin(exposures, exposures[~np.asarray(rows["upper_limit"].to_numpy(zero_copy_only=False), bool)])
    gone = limits & seen
    return rows.filter(pa.array(~gone)) if gone.any() else rows


def not_detected_before(rows: pa.Table, held: Rows, lines: Lines) -> NDArray[np.bool_]:
    """Return which rows (ROW) stay when limits go for whose exposure the store holds a detection."""
    stays = np.ones(rows.num_rows, bool)
    places = np.flatnonzero(_limits(rows))
    if len(places):
        seen = set(_stored(held, lines, limits=False))
        stays[places] = [exposure not in seen for exposure in _exposures(rows.take(pa.array(places)))]
    return stays


def denied(held: Rows, rows: pa.Table, lines: Lines) -> set[tuple[int, str]]:
    """Return, by series and observation, the stored limits for whose exposure `rows` (ROW) tell a detection."""
    told = [row for row in held if row[LIMIT] and row[OBSERVATION].startswith(f"{FROM_OBJECT}:")]
    if not told:
        return set()
    seen = set(_exposures(rows.filter(_detections(rows))))
    exposures = zip(told, _stored(told, lines, limits=True), strict=True)
    return {(row[SERIES_ID], row[OBSERVATION]) for row, exposure in exposures if exposure in seen and _is_of_second(row)}


def _is_of_second(row: tuple[Any, ...]) -> bool:
    return bool(row[OBSERVATION] == f"{FROM_OBJECT}:{round(row[TIME] * SECONDS)}")


def _limits(rows: pa.Table) -> Any:
    """Return which rows are limits that have no id but object and second."""
    found = np.asarray(rows["upper_limit"].to_numpy(zero_copy_only=False), bool)
    places = np.flatnonzero(found)
    if len(places):
        some = rows.select(["object_id", "observation_id", "time"]).take(pa.array(places))
        built = pc.binary_join_element_wise(some["object_id"], pc.cast(_seconds(some), pa.string()), ":")
        found[places] = np.asarray(pc.fill_null(pc.equal(some["observation_id"], built), False), bool)
    return found


def _detections(rows: pa.Table) -> Any:
    return pc.invert(rows["upper_limit"])


def _exposures(rows: pa.Table) -> Iterator[Exposure]:
    whose = zip(*(rows[name].to_pylist() for name in WHOSE), strict=True)
    return zip(whose, _seconds(rows).to_pylist(), strict=True)


def _numbered(rows: pa.Table) -> Any:
    """Return a number for every row, the same for the same exposure of an object in a filter; a thing of two targets tells both the same."""
    objects = rows["object_id"].combine_chunks().dictionary_encode().indices
    names = np.asarray(pc.fill_null(objects, -1).to_numpy(zero_copy_only=False), np.int64) + 1
    _, filters = np.unique(rows["filter_id"].to_numpy(), return_inverse=True)
    return (names * (int(filters.max(initial=0)) + 1) + filters) << SECOND_BITS | np.asarray(_seconds(rows))


def _seconds(rows: pa.Table) -> pa.Array:
    return pa.array(np.round(rows["time"].to_numpy() * SECONDS).astype(np.int64))


def _stored(held: Rows, lines: Lines, *, limits: bool) -> Iterator[Exposure]:
    whose = {line.id: tuple(key[SERIES.index(name)] for name in WHOSE) for key, line in lines.items()}
    chosen = [row for row in held if bool(row[LIMIT]) == limits]
    seconds = np.round(np.array([row[TIME] for row in chosen], np.float64) * SECONDS).astype(np.int64)
    return zip([whose[row[SERIES_ID]] for row in chosen], seconds.tolist(), strict=True)
