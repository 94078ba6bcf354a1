"""A night is a gzipped tar of packets, read from its beginning to its end in little memory; no member ever becomes a file.

The reader knows the plain tar that the archive sends (USTAR), which is several times what Python's own reader, made for every tar, can do. isal
inflates twice as fast as zlib, which takes its place where it is not installed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

BLOCK = 512
STEP = 1 << 17
GZIP = b"\x1f\x8b"
WINDOW = 31
"""Of zlib: a gzip stream with the widest window."""
MAGIC = b"ustar"
FILE, EXTENDED = (b"0", b"\0"), (b"x", b"g", b"L", b"K")
PACKET = ".avro"


class NightError(ValueError):
    """A night that cannot be read on; the text says why."""


@dataclass(frozen=True, slots=True)
class Member:
    """One packet: its name in the archive, where its bytes begin in the unpacked night, and its first bytes, mostly all."""

    name: str
    offset: int
    size: int
    body: bytes


def compressed(path: Path, step: int = STEP) -> Iterator[bytes]:
    """Yield the bytes of a file."""
    with path.open("rb") as file:
        while piece := file.read(step):
            yield piece


def inflated(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield what gzipped bytes unpack to, checked by their checksums. Raises NightError for what is no gzip, is damaged or was cut off."""
    stream, first = _inflator(), b""
    for piece in pieces:
        if not first:
            first = piece[:40]
            if not first.startswith(GZIP[: len(first)]):
                raise NightError(f"it is no gzipped archive: it begins with {first!r}")
        rest = piece
        while rest:
            if stream.eof:  # several streams may follow one another, and zeros may pad them
                rest = rest.lstrip(b"\0")
                stream = _inflator() if rest else stream
            unpacked, rest = _unpacked(stream, rest)
            yield unpacked
    if not stream.eof:
        raise NightError("it was cut off" if first else "it is empty")


def _unpacked(stream: Any, rest: bytes) -> tuple[bytes, bytes]:
    """Return what bytes unpack to, and what of them stands behind the end of the stream."""
    if not rest:
        return b"", b""
    try:
        unpacked = stream.decompress(rest)
    except Exception as error:  # zlib.error, or isal's own
        raise NightError(f"it is damaged ({error})") from error
    return unpacked, stream.unused_data if stream.eof else b""


def members(unpacked: Iterable[bytes], *, most: int | None = None) -> Iterator[Member]:
    """Yield the packets of an unpacked night, in order; none of an empty one. With `most`, no more than so many bytes of each, with 0 none.

    Raises NightError for a tar that is damaged or was cut off.
    """
    tape = _Tape(unpacked)
    while True:
        at = tape.offset
        head = tape.take(BLOCK)
        if len(head) < BLOCK or not head.strip(b"\0"):
            if head.strip(b"\0") or (not head and at):
                raise NightError("it was cut off: the archive has no end")
            tape.drain()
            return
        name, size, kind = _head(head)
        padded = -size % BLOCK
        wanted = kind in FILE and name.endswith(PACKET)
        length = 0 if not wanted else size if most is None else min(size, most)
        body = tape.take(length) if length else b""
        if len(body) < length:
            raise NightError(f"it was cut off within {name}")
        tape.skip(size + padded - length)
        if wanted:
            yield Member(name, at + BLOCK, size, body)
        elif kind not in FILE and kind not in EXTENDED and kind != b"5":
            raise NightError(f"{name} is no file: links and devices have no place among packets")


def packets_of(path: Path, *, most: int | None = None) -> Iterator[Member]:
    """Yield the packets of a night in a file (see `members`). Raises NightError."""
    return members(inflated(compressed(path)), most=most)


def batches(found: Iterable[Member], size: int) -> Iterator[list[Member]]:
    """Yield packets, so many at a time."""
    batch: list[Member] = []
    for member in found:
        batch.append(member)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


class _Tape:
    """Bytes that come in pieces, taken from the front."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces, self._held, self._at = iter(pieces), b"", 0
        self.offset = 0

    def take(self, size: int) -> bytes:
        """Return the next bytes, fewer at the end."""
        if self._at + size > len(self._held):
            self._fill(size)
        taken = self._held[self._at : self._at + size]
        self._at += len(taken)
        self.offset += len(taken)
        return taken

    def skip(self, size: int) -> None:
        """Pass bytes over. Raises NightError at the end."""
        self.offset += size
        while self._at + size > len(self._held):
            size -= len(self._held) - self._at
            piece = next(self._pieces, None)
            if piece is None:
                raise NightError("it was cut off")
            self._held, self._at = piece, 0
        self._at += size

    def drain(self) -> None:
        """Read to the end, so that the checksum is looked at."""
        for _ in self._pieces:
            pass

    def _fill(self, size: int) -> None:
        parts = [self._held[self._at :]]
        there = len(parts[0])
        while there < size:
            piece = next(self._pieces, None)
            if piece is None:
                break
            parts.append(piece)
            there += len(piece)
        self._held, self._at = b"".join(parts), 0


def _head(head: bytes) -> tuple[str, int, bytes]:
    """Return name, size and kind of a member. Raises NightError."""
    if head[257:262] != MAGIC:
        raise NightError("it is no tar archive, or damaged")
    try:
        size = int(head[124:136].strip(b"\0 ") or b"0", 8)
    except ValueError:
        raise NightError("it is damaged: a member has no size") from None
    return head[:100].partition(b"\0")[0].decode("utf-8", "replace"), size, head[156:157]


def _inflator() -> Any:
    if find_spec("isal"):
        from isal import isal_zlib

        return isal_zlib.decompressobj(WINDOW)
    import zlib

    return zlib.decompressobj(WINDOW)
