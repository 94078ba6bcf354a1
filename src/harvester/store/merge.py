"""What a delivery changes: delivered rows against stored ones, exactly and null-safe. Pure functions of Arrow tables."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from harvester.schema import SECONDHAND_FLAGS
from harvester.store.exposures import detections_only
from harvester.store.tables import BIRTH, GIVEN, KEY, ROW

BJD_TOLERANCE_D = 2e-9
"""0.17 ms, four steps of a float64 Julian date: a smaller change of the derived BJD_TDB (rounding, new IERS tables) is no revision."""


@dataclass(frozen=True, slots=True)
class Merge:
    """Delivered rows by what the store does with them; `known` and `known_elsewhere` are counts of rows that it leaves alone.

    `replaced` says, row by row of `revised`, which stored row it replaces.
    """

    new: pa.Table
    revised: pa.Table
    known: int
    known_elsewhere: int
    replaced: Any = field(default_factory=lambda: pa.array([], pa.int64()))
    elsewhere: Any = field(default_factory=lambda: pa.array([], pa.int64()))
    """The targets' ids of the rows that are known elsewhere."""
    is_new: Any = True
    """Of each delivered row whether it is new; one word for all."""


def content_digest(rows: pa.Table) -> str:
    """Return a hash of what rows (ROW) say, in their order, whatever brought them: equal for equal rows alone.

    >>> content_digest(ROW.empty_table()) == content_digest(ROW.empty_table())
    True
    """
    digest = hashlib.sha256()
    for name in ROW.names:
        if name not in BIRTH:
            for part in _bytes_of(rows[name].combine_chunks()):
                digest.update(part)
    return digest.hexdigest()


def without_repeats(rows: pa.Table) -> tuple[pa.Table, pa.Table, int]:
    """Return rows with every key once (the first), rows that contradict the first of their key, and the number of plain repeats.

    A contradiction is no revision: one answer that gives one observation two values cannot be trusted to mean the later one. What is told from
    memory (SECONDHAND_FLAGS) contradicts nothing, and counts only where nothing else tells of the measurement. Nor do limits count for an exposure
    of which there is a detection (see `harvester.store.exposures`).
    """
    told, codes = _secondhand(rows), _codes(rows)
    once, contradictory, repeats = _own_first(rows, told, codes) if told.any() else _firsts(rows, codes)
    left = detections_only(once)
    return left, contradictory, repeats + once.num_rows - left.num_rows


def _firsts(rows: pa.Table, codes: NDArray[np.int64]) -> tuple[pa.Table, pa.Table, int]:
    """Return the same as `without_repeats` for rows of which none is told from memory."""
    if len(pa.array(codes).unique()) == len(codes):
        return rows, rows.slice(0, 0), 0
    _, first, back = np.unique(codes, return_index=True, return_inverse=True)
    again = np.flatnonzero(first[back] != np.arange(len(codes)))
    later, earlier = rows.take(again), rows.take(first[back][again])
    contradicts = _differs(earlier, later, GIVEN)
    return rows.take(np.sort(first)), later.filter(contradicts), pc.sum(pc.invert(contradicts)).as_py()


def merge(stored: pa.Table, delivered: pa.Table) -> Merge:
    """Compare a delivery with the stored rows of its target and filters; keys in `delivered` are unique.

    A row is revised when its own source gives another value in any of the survey's columns, or when its BJD_TDB moved by more than
    BJD_TOLERANCE_D (a target whose position was corrected). A measurement that another source delivered first is known elsewhere. What is told
    from memory (SECONDHAND_FLAGS) revises nothing but the BJD_TDB.
    """
    if not stored.num_rows:
        return Merge(delivered, delivered.slice(0, 0), 0, 0)
    many = _of_many(delivered) or _of_many(stored)
    place = pc.index_in(_key(delivered, many=many), value_set=_key(stored, many=many))
    is_new = pc.is_null(place)
    found, old = delivered.filter(pc.invert(is_new)), stored.take(place.drop_null())
    elsewhere: Any = pc.not_equal(old["source_id"], found["source_id"])
    stronger: Any = pa.array(~_secondhand(found))
    differs = pc.or_(pc.and_(stronger, _differs(old, found, GIVEN)), _moved(old["bjd_tdb"], found["bjd_tdb"]))
    changed = pc.and_(pc.invert(elsewhere), differs)
    others = pc.sum(elsewhere).as_py() or 0
    revised = found.filter(changed)
    replaced = place.drop_null().filter(changed)
    known = found.num_rows - revised.num_rows - others
    return Merge(delivered.filter(is_new), revised, known, others, replaced, found["target_id"].filter(elsewhere), is_new)


def _own_first(rows: pa.Table, told: NDArray[np.bool_], codes: NDArray[np.int64]) -> tuple[pa.Table, pa.Table, int]:
    """Return the same as `without_repeats` for rows of which some are told from memory."""
    own, contradictory, repeats = _firsts(rows.filter(pa.array(~told)), codes[~told])
    memory, known = np.flatnonzero(told), pc.is_in(pa.array(codes[told]), value_set=pa.array(codes[~told]))
    memory = memory[~np.asarray(known, bool)]
    once = rows.take(memory[np.sort(np.unique(codes[memory], return_index=True)[1])])
    return pa.concat_tables([own, once]), contradictory, repeats + int(told.sum()) - once.num_rows


def _secondhand(rows: pa.Table) -> NDArray[np.bool_]:
    """Return which rows are told from memory: their flags have that word."""
    return np.asarray(pc.fill_null(pc.match_substring_regex(rows["flags"], SECONDHAND_FLAGS), False), bool)


def _bytes_of(column: Any) -> Iterator[Any]:
    """Yield what stands in a column: where nulls are, the length of every text, and the values end to end."""
    if column.null_count:
        yield np.packbits(column.is_null().to_numpy(zero_copy_only=False))
    values = column.drop_null() if column.null_count else column
    if not pa.types.is_string(values.type):
        yield np.ascontiguousarray(values.to_numpy(zero_copy_only=False))
    elif len(values):
        lengths = pc.binary_length(values).to_numpy()
        yield lengths
        _, offsets, data = values.buffers()
        first = int(np.frombuffer(offsets, np.int32)[values.offset])
        yield memoryview(data or b"")[first : first + int(lengths.sum())]


def _codes(rows: pa.Table) -> NDArray[np.int64]:
    """Return a number for every row, the same for the same key of the same target."""
    codes: NDArray[np.int64] = np.zeros(rows.num_rows, np.int64)
    for name in (*(("target_id",) if _of_many(rows) else ()), *KEY):
        column = rows[name].combine_chunks().dictionary_encode()
        codes = codes * max(len(column.dictionary), 1) + column.indices.to_numpy()
    return codes


def _key(rows: pa.Table, *, many: bool = False) -> Any:
    words: Any = [pc.cast(rows[name], pa.string()) for name in (*(("target_id",) if many else ()), *KEY)]
    return pc.binary_join_element_wise(*words, ":")


def _of_many(rows: pa.Table) -> bool:
    least, most = pc.min_max(rows["target_id"]).values()
    return bool(least.is_valid and least != most)


def _differs(left: pa.Table, right: pa.Table, columns: tuple[str, ...]) -> Any:
    total: Any = pa.chunked_array([pa.repeat(pa.scalar(False), left.num_rows)])
    for name in columns:
        total = pc.or_(total, pc.coalesce(pc.not_equal(left[name], right[name]), _one_null(left[name], right[name])))
    return total


def _moved(left: Any, right: Any) -> Any:
    return pc.coalesce(pc.greater(pc.abs(pc.subtract(left, right)), pa.scalar(BJD_TOLERANCE_D)), _one_null(left, right))


def _one_null(left: Any, right: Any) -> Any:
    return pc.xor(pc.is_null(left), pc.is_null(right))
