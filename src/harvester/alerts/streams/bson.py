"""BSON, the part of it that a document of plain values needs: ANTARES sends it. Format: https://bsonspec.org/spec.html, version 1.1."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DEEPEST = 64
"""Documents in documents; a real alert has a handful."""


class BadBson(ValueError):
    """Bytes that are no BSON document."""


def loads(data: bytes) -> dict[str, Any]:
    """Return a document; numbers keep every digit, binary stays bytes. Raises BadBson."""
    try:
        found, end = _document(data, 0, 0)
    except (struct.error, IndexError, UnicodeDecodeError, OverflowError) as error:
        raise BadBson(f"the document is broken or cut off ({error})") from error
    if end != len(data):
        raise BadBson(f"{len(data) - end} bytes follow the document")
    return found


def _document(data: bytes, start: int, depth: int) -> tuple[dict[str, Any], int]:
    (size,) = struct.unpack_from("<i", data, start)
    end, place = start + size, start + 4
    if size < 5 or end > len(data) or data[end - 1] != 0 or depth > DEEPEST:
        raise BadBson("the document is broken or cut off (its length is wrong)")
    found: dict[str, Any] = {}
    while place < end - 1:
        kind = data[place]
        stop = data.index(b"\0", place + 1, end)
        name = data[place + 1 : stop].decode()
        if kind in (0x03, 0x04):
            value, place = _document(data, stop + 1, depth + 1)
            found[name] = list(value.values()) if kind == 0x04 else value
        elif kind in VALUES:
            found[name], place = VALUES[kind](data, stop + 1)
        else:
            raise BadBson(f"'{name}' is of type 0x{kind:02x}, which nobody reads here")
    return found, end


def _number(code: str) -> Callable[[bytes, int], tuple[Any, int]]:
    form = struct.Struct(f"<{code}")
    return lambda data, place: (form.unpack_from(data, place)[0], place + form.size)


def _text(data: bytes, place: int) -> tuple[str, int]:
    (size,) = struct.unpack_from("<i", data, place)
    end = place + 4 + size
    if size < 1 or end > len(data) or data[end - 1] != 0:
        raise BadBson("a text is broken or cut off")
    return data[place + 4 : end - 1].decode(), end


def _binary(data: bytes, place: int) -> tuple[bytes, int]:
    (size,) = struct.unpack_from("<i", data, place)
    end = place + 5 + size
    if size < 0 or end > len(data):
        raise BadBson("a binary value is cut off")
    return data[place + 5 : end], end


def _moment(data: bytes, place: int) -> tuple[datetime, int]:
    (milliseconds,) = struct.unpack_from("<q", data, place)
    return EPOCH + timedelta(milliseconds=milliseconds), place + 8


VALUES: Mapping[int, Callable[[bytes, int], tuple[Any, int]]] = {
    0x01: _number("d"),
    0x02: _text,
    0x05: _binary,
    0x06: lambda _, place: (None, place),
    0x07: lambda data, place: (data[place : place + 12].hex(), place + 12),
    0x08: lambda data, place: (bool(data[place]), place + 1),
    0x09: _moment,
    0x0A: lambda _, place: (None, place),
    0x10: _number("i"),
    0x11: _number("Q"),
    0x12: _number("q"),
}
"""How a value of each type is read: the value, and where the next element begins."""
