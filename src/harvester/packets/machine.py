"""The machine that runs a program over a packet's bytes: plain loops over arrays, which numba turns into machine code.

Without numba nothing here is run. Numbers go into `numbers` (NaN for null), whole numbers into `ids` (NO_ID for null), words as
their bytes go into `words`, zeros behind them; `kinds` and `packets` say of each row what it is and of which packet.
"""

# mypy: ignore-errors
# ruff: noqa: ANN001, ANN201, ANN202 - machine code in all but name: no calls of Python, no objects

from __future__ import annotations

import numba
import numpy as np

NO_ID = np.iinfo(np.int64).min
CUT, STRANGE, FULL = -1, -2, -3
"""Why it stopped: the bytes ended, a number that cannot be one, no room for more rows."""


@numba.njit(cache=True, nogil=True)
def _whole(body, at, end):
    value, shift = np.uint64(0), np.uint64(0)
    while at < end and shift < 64:
        byte = body[at]
        at += 1
        value |= np.uint64(byte & 0x7F) << shift
        if byte < 0x80:
            return np.int64(value >> np.uint64(1)) ^ -np.int64(value & np.uint64(1)), at
        shift += np.uint64(7)
    return np.int64(0), CUT


@numba.njit(cache=True, nogil=True)
def _is_there(body, at, end, branch):
    """Return 1 for a value, 0 for null, less for what is neither. In a union the mark is one byte: 0 for its first type, 2 for its second."""
    if branch < 0:
        return 1
    if at >= end:
        return CUT
    if body[at] != 0 and body[at] != 2:
        return STRANGE
    return 1 if (body[at] >> 1) != branch else 0


@numba.njit(cache=True, nogil=True)
def _number(body, at, end, kind, column, sort, row, numbers, ids):
    """Read one number or truth; return the place after it."""
    if kind == 2:
        exact, at = _whole(body, at, end)
        if sort == 1:
            numbers[row, column] = float(exact)
        elif sort == 2:
            ids[row, column] = exact
        return np.int64(at)
    size = 4 if kind == 3 else 8 if kind == 4 else 1
    if at + size > end:
        return np.int64(CUT)
    if sort == 1:
        if kind == 3:
            numbers[row, column] = body[at : at + 4].view(np.float32)[0]
        elif kind == 4:
            numbers[row, column] = body[at : at + 8].view(np.float64)[0]
        else:
            numbers[row, column] = float(body[at])
    return np.int64(at + size)


@numba.njit(cache=True, nogil=True)
def _word(body, at, end, column, row, words):
    """Read one word or bytes; return the place after it."""
    size, at = _whole(body, at, end)
    if at < 0 or size < 0 or size > end - at:
        return np.int64(CUT)
    if column >= 0:
        if size > words.shape[2]:
            return np.int64(STRANGE)
        for place in range(size):
            words[row, column, place] = body[at + place]
    return np.int64(at + size)


@numba.njit(cache=True, nogil=True)
def _item(body, at, end, code, first, row, numbers, ids, words):
    """Read one record of a list, up to the instruction that ends it."""
    here = first
    while code[here, 3] >= 0:
        kind, branch = code[here, 0], code[here, 1]
        there = _is_there(body, at, end, branch)
        if there < 0:
            return np.int64(there)
        if branch >= 0:
            at += 1
        if there and kind == 5:
            at = _word(body, at, end, code[here, 2], row, words)
        elif there and kind:
            at = _number(body, at, end, kind, code[here, 2], code[here, 3], row, numbers, ids)
        if at < 0:
            return np.int64(at)
        here += 1
    return np.int64(at)


@numba.njit(cache=True, nogil=True)
def _list(body, at, end, code, kind, first, row, packet, numbers, ids, words, kinds, packets):
    """Read a list, each item into a row after `row`; return the place after it and the last row."""
    while True:
        count, at = _whole(body, at, end)
        if at < 0:
            return np.int64(CUT), row
        if count == 0:
            return np.int64(at), row
        if count < 0:
            count = -count
            _, at = _whole(body, at, end)
            if at < 0:
                return np.int64(CUT), row
        for _ in range(count):
            place = row + 1
            if place >= len(kinds):
                return np.int64(FULL), row
            if kind > 0:
                row = place
                kinds[row], packets[row] = kind, packet
            at = _item(body, at, end, code, first, place, numbers, ids, words)
            if at < 0:
                return np.int64(at), row


@numba.njit(cache=True, nogil=True)
def run(body, start, end, code, top, packet, row, numbers, ids, words, kinds, packets):
    """Read one packet into rows from `row` on; return the place after it (or CUT, STRANGE, FULL), and the next free row."""
    if row >= len(kinds):
        return np.int64(FULL), np.int64(row)
    own, at, here = np.int64(row), np.int64(start), 0
    row = own
    kinds[own], packets[own] = 0, packet
    while here < top:
        kind, branch = code[here, 0], code[here, 1]
        there = _is_there(body, at, end, branch)
        if there < 0:
            return np.int64(there), own
        if branch >= 0:
            at += 1
        if kind == 7:
            here += 1 if there else 1 + code[here, 3]
            continue
        if there and kind == 6:
            at, row = _list(body, at, end, code, code[here, 2], code[here, 3], row, packet, numbers, ids, words, kinds, packets)
        elif there and kind == 5:
            at = _word(body, at, end, code[here, 2], own, words)
        elif there and kind:
            at = _number(body, at, end, kind, code[here, 2], code[here, 3], own, numbers, ids)
        if at < 0:
            return np.int64(at), own
        here += 1
    return np.int64(at), np.int64(row + 1)
