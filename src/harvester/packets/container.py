"""Avro containers, as alert packets come in files: mostly one record, uncompressed, the schema before it.

Every ZTF packet repeats 12 to 18 kB of schema: what is made of a schema is kept by its bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

MAGIC = b"Obj\x01"
SYNC = 16
LONGEST = 10
MOST_SEEN = 16
"""Bytes of a whole number at most."""
SCHEMA, CODEC = b"avro.schema", b"avro.codec"


class PacketError(ValueError):
    """A packet that cannot be decoded; the text says why, for quarantine or dead letters."""


@dataclass(frozen=True, slots=True)
class Block:
    """The records of a packet: their schema as it is written, how many there are, and where their bytes begin and end."""

    schema: bytes
    count: int
    start: int
    end: int


def read_long(body: bytes, at: int) -> tuple[int, int]:
    """Return the whole number at a place, and the place after it. Raises PacketError.

    >>> read_long(bytes([0x80, 0x02]), 0)
    (128, 2)
    """
    value = shift = 0
    for place in range(at, min(at + LONGEST, len(body))):
        byte = body[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), place + 1
        shift += 7
    raise PacketError("it was cut off, or a number in it is none")


def read_blocks(body: bytes) -> Iterator[Block]:
    """Yield the blocks of a container, each sealed by its sync marker. Raises PacketError, also behind blocks that are sound."""
    schema, at = _schema(body)
    sync, at = body[at : at + SYNC], at + SYNC
    block = _block(body, at, sync, schema)
    yield block
    while (at := block.end + SYNC) < len(body):
        try:
            block = _block(body, at, sync, schema)
        except PacketError:
            raise PacketError(f"what follows its last sound record is none ({len(body) - at} bytes)") from None
        yield block


def read_head(body: bytes) -> Block:
    """Return the first record of a container of which only the first bytes are there. Raises PacketError."""
    schema, at = _schema(body)
    _, at = read_long(body, at + SYNC)
    _, at = read_long(body, at)
    return Block(schema, 1, at, len(body))


def _block(body: bytes, at: int, sync: bytes, schema: bytes) -> Block:
    count, at = read_long(body, at)
    size, at = read_long(body, at)
    if count < 1 or size < 0 or len(sync) < SYNC or body[at + size : at + size + SYNC] != sync:
        raise PacketError("it was cut off or damaged: its block does not end with its sync marker")
    return Block(schema, count, at, at + size)


_SEEN: list[tuple[bytes, bytes]] = []
"""Headers that came before, the latest first, with their schemas: a night has a handful of them."""


def _schema(body: bytes) -> tuple[bytes, int]:
    """Return the schema, and where the header ends."""
    for header, schema in _SEEN:
        if body.startswith(header):
            return schema, len(header)
    if not body.startswith(MAGIC):
        raise PacketError(f"it is no Avro container: it begins with {bytes(body[:8])!r}" if body else "it is empty")
    about, at = _header(body)
    if SCHEMA not in about:
        raise PacketError("it has no schema")
    if about.get(CODEC, b"null") != b"null":
        raise PacketError(f"it is compressed ({about[CODEC][:20]!r}), which alert packets are not")
    _SEEN.insert(0, (bytes(body[:at]), about[SCHEMA]))
    del _SEEN[MOST_SEEN:]
    return about[SCHEMA], at


def _header(body: bytes) -> tuple[dict[bytes, bytes], int]:
    about: dict[bytes, bytes] = {}
    at = len(MAGIC)
    while True:
        entries, at = read_long(body, at)
        if entries == 0:
            return about, at
        if entries < 0:
            entries, (_, at) = -entries, read_long(body, at)
        if entries > len(body):
            raise PacketError("its header is damaged")
        for _ in range(entries):
            key, at = _bytes(body, at)
            about[key], at = _bytes(body, at)


def _bytes(body: bytes, at: int) -> tuple[bytes, int]:
    size, at = read_long(body, at)
    if not 0 <= size <= len(body) - at:
        raise PacketError("its header was cut off or damaged")
    return bytes(body[at : at + size]), at + size
