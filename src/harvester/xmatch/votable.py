"""VOTables of any length, some rows at a time: the text of the rows is cut into pieces, each read under the head of the whole.

What astropy makes of a table it makes of every piece, so that types and nulls are one. Rows as XML and rows of fixed length in BINARY and BINARY2
are cut; texts of free length in the latter two are not, and such a table is read whole.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pyarrow as pa

from harvester.xmatch.columns import read_votable

ROWS = 1 << 15
STEP = 1 << 22
LONGEST_HEAD = 16 << 20
"""Bytes within which the rows have to begin."""
DATA = re.compile(rb"<((?:\w+:)?)(TABLEDATA|BINARY2?)(?:\s[^>]*)?>")
STREAM = re.compile(rb"<(?:\w+:)?STREAM([^>]*)>")
FIELD = re.compile(rb"<(?:\w+:)?FIELD\b([^>]*)>")
ATTRIBUTE = re.compile(rb"([\w-]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
OPENED = re.compile(rb"<(/?)((?:\w+:)?(?:VOTABLE|RESOURCE|TABLE|DATA))\b([^>]*)>")
COMMENT = re.compile(rb"<!--.*?-->", re.DOTALL)
BYTES = {
    b"boolean": 1, b"bit": 1, b"unsignedByte": 1, b"short": 2, b"int": 4, b"long": 8, b"char": 1, b"unicodeChar": 2, b"float": 4, b"double": 8,
    b"floatComplex": 8, b"doubleComplex": 16,
}  # fmt: skip


def votable_pieces(path: Path, rows: int = ROWS) -> Iterator[pa.Table]:
    """Yield the first table of a file, about so many rows at a time, at least one piece; its columns are those of every piece.

    Raises ValueError and OSError for a file that is no VOTable, is broken or was cut off, or that is the error of a service.
    """
    with path.open("rb") as file:
        head, rest = _head(file)
        found = DATA.search(head)
        if not found or _is_not_first(head[: found.start()]):
            yield _whole(path)
            return
        text = found[2] == b"TABLEDATA"
        width = 0 if text else _width(head, binary2=found[2] == b"BINARY2")
        if not text and not (width and _is_base64(rest)):
            yield _whole(path)
            return
        cut = _Cut(head, found[1], found[2])
        yield from (cut.rows(file, rest) if text else cut.packed(file, rest, width, rows))


class _Cut:
    """Makes a document of a piece of a table's rows."""

    def __init__(self, head: bytes, prefix: bytes, kind: bytes) -> None:
        self._head, self._prefix = head, prefix
        self._end = b"</" + prefix + kind + b">"
        open_ = [name for closing, name, rest in OPENED.findall(head) if not closing and not rest.endswith(b"/")]
        for closing, name, _ in OPENED.findall(head):
            if closing and name in open_:
                open_.reverse()
                open_.remove(name)
                open_.reverse()
        self._tail = b"".join(b"</" + name + b">" for name in reversed(open_))

    def rows(self, file: IO[bytes], rest: bytes) -> Iterator[pa.Table]:
        """Yield rows that are XML."""
        last, ends = b"</" + self._prefix + b"TR>", 0
        while True:
            stop = rest.find(self._end)
            if stop >= 0:
                yield self._read(rest[:stop])
                self._check(rest[stop:] + file.read(STEP))
                return
            place = rest.rfind(last) + len(last) if last in rest else 0
            if place and len(rest) >= STEP:
                yield self._read(rest[:place])
                rest, ends = rest[place:], ends + 1
            more = file.read(STEP)
            if not more:
                raise ValueError("it was cut off: its rows have no end")
            rest += more

    def packed(self, file: IO[bytes], rest: bytes, width: int, rows: int) -> Iterator[pa.Table]:
        """Yield rows of `width` bytes, in base 64."""
        begin = STREAM.search(rest)
        assert begin
        opening, text, held = rest[: begin.end()], rest[begin.end() :], b""
        done = False
        while not done:
            stop = text.find(b"<")
            done = stop >= 0
            clean = b"".join((text[:stop] if done else text).split())
            usable = len(clean) - len(clean) % 4
            held += base64.b64decode(clean[:usable], validate=True)
            take = len(held) if done else len(held) // (width * rows) * (width * rows)
            if done and (len(held) % width or usable < len(clean)):
                raise ValueError("it was cut off or damaged: its last row is none")
            if take or done:
                yield self._read(opening + base64.b64encode(held[:take]) + b"</" + self._prefix + b"STREAM>")
                held = held[take:]
            if done:
                self._check(opening + text[stop:] + file.read(STEP))
                return
            more = file.read(STEP)
            if not more:
                raise ValueError("it was cut off: its rows have no end")
            text = clean[usable:] + more

    def _read(self, rows: bytes) -> pa.Table:
        return _told(*read_votable(io.BytesIO(self._head + rows + self._end + self._tail)))

    def _check(self, after: bytes) -> None:
        """Look at what stands behind the rows: the end of the document, and perhaps words of the service. Raises ValueError."""
        if self._end not in after:
            raise ValueError("it was cut off: its rows have no end")
        _told(*read_votable(io.BytesIO(self._head + after)))


def _head(file: IO[bytes]) -> tuple[bytes, bytes]:
    """Return what stands before the rows of the first table, and the beginning of the rows."""
    held = b""
    while len(held) < LONGEST_HEAD and (more := file.read(STEP)):
        held = COMMENT.sub(b"", held + more)
        if found := DATA.search(held):
            return held[: found.end()], held[found.end() :]
    return held, b""


def _is_not_first(before: bytes) -> bool:
    """Whether a table without rows stands before, or text that may hide anything: then astropy reads it whole."""
    return b"</TABLE>" in before or b"<![CDATA[" in before or len(re.findall(rb"<(?:\w+:)?TABLE\b", before)) != 1


def _is_base64(rest: bytes) -> bool:
    found = STREAM.search(rest[:STEP])
    said = {name: one or other for name, one, other in ATTRIBUTE.findall(found[1])} if found else {}
    return said.get(b"encoding") == b"base64" and b"href" not in said


def _width(head: bytes, *, binary2: bool) -> int:
    """Return how many bytes a row has, 0 where rows differ or nobody knows."""
    fields = [{name: one or other for name, one, other in ATTRIBUTE.findall(said)} for said in FIELD.findall(head)]
    total = (len(fields) + 7) // 8 if binary2 else 0
    for said in fields:
        kind, shape = said.get(b"datatype", b""), said.get(b"arraysize", b"1")
        if kind not in BYTES or b"*" in shape or kind == b"bit":
            return 0
        count = 1
        for side in shape.split(b"x"):
            count *= int(side) if side.isdigit() else 0
        total += BYTES[kind] * count
    return total if fields else 0


def _whole(path: Path) -> pa.Table:
    return _told(*read_votable(str(path)))


def _told(table: pa.Table, status: list[tuple[str, str]]) -> pa.Table:
    """Return a table, unless the document is the error of a service, or says that it was cut off there. Raises ValueError."""
    for value, words in status:
        if value.upper() == "ERROR":
            raise ValueError(f"it is an error that a service told: {words}")
        if value.upper() == "OVERFLOW":
            raise ValueError("the service that made it left out rows (OVERFLOW): ask it for fewer, or in parts")
    return table
