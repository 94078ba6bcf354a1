"""Packets to columns: by machine code where numba is there and the packets are many, else by fastavro; the same columns either way.

A packet that cannot be decoded is refused with the reason, and the others go on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from harvester.errors import UsageError
from harvester.packets.container import PacketError
from harvester.packets.program import Program, TooRich, Wanted, compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harvester.packets.container import Block

    Floats = NDArray[np.float64]
    Ids = NDArray[np.int64]
    Words = NDArray[np.bytes_]

NO_ID = np.iinfo(np.int64).min
LONGEST_WORD = 48
ROWS_PER_PACKET = 40
WORTH_COMPILING = 64
"""So many packets at once pay for loading the machine; fewer go through fastavro."""
WHY = {-1: "its data were cut off or damaged", -2: "its data are damaged: a field is neither there nor missing"}
NO_EXTRA = "the packages for alert packets are not installed."
PIP = "pip install 'harvester[alerts]'"


@dataclass(frozen=True, slots=True)
class Decoded:
    """Columns of the packets that could be decoded: a row each, then rows of their lists (`kinds` as in Wanted), all with their packet's index.

    `refused` are index and reason of the others.
    """

    numbers: Mapping[str, Floats]
    ids: Mapping[str, Ids]
    words: Mapping[str, Words]
    kinds: NDArray[np.int8]
    packets: NDArray[np.int32]
    refused: Sequence[tuple[int, str]]


@dataclass
class _Columns:
    """The output while it is filled; it grows."""

    numbers: Floats
    ids: Ids
    words: NDArray[np.uint8]
    kinds: NDArray[np.int8]
    packets: NDArray[np.int32]
    row: int = 0

    @classmethod
    def of(cls, wanted: Wanted, rows: int) -> _Columns:
        return cls(
            np.full((rows, len(wanted.numbers)), np.nan),
            np.full((rows, len(wanted.ids)), NO_ID),
            np.zeros((rows, len(wanted.words), LONGEST_WORD), np.uint8),
            np.zeros(rows, np.int8),
            np.zeros(rows, np.int32),
        )

    @property
    def every(self) -> tuple[NDArray[Any], ...]:
        return self.numbers, self.ids, self.words, self.kinds, self.packets

    def grow(self, wanted: Wanted) -> None:
        more = _Columns.of(wanted, len(self.kinds) + 1024)
        for name in ("numbers", "ids", "words", "kinds", "packets"):
            setattr(self, name, np.concatenate([getattr(self, name), getattr(more, name)]))

    def forget(self, first: int, last: int) -> None:
        """Make rows as new: a packet that broke off leaves nothing behind."""
        self.numbers[first:last], self.ids[first:last], self.words[first:last] = np.nan, NO_ID, 0

    def decoded(self, wanted: Wanted, refused: list[tuple[int, str]], since: int) -> Decoded:
        here = slice(since, self.row)
        texts = self.words[here].reshape(self.row - since, -1).view(f"S{LONGEST_WORD}") if wanted.words and self.row > since else None
        return Decoded(
            {name: self.numbers[here, place] for place, name in enumerate(wanted.numbers)},
            {name: self.ids[here, place] for place, name in enumerate(wanted.ids)},
            {name: np.zeros(0, "S1") if texts is None else texts[:, place] for place, name in enumerate(wanted.words)},
            self.kinds[here],
            self.packets[here],
            refused,
        )


Opened = tuple[int, bytes, "Block"]
"""A packet: its index, its bytes, and where in them its records are."""
Reader = Callable[[Opened, _Columns, Wanted], None]


def decode(opened: Iterable[Opened], wanted: Wanted, *, many: int, fast: bool | None = None) -> Decoded:
    """Return the columns of packets, about `many` of them; `fast` says how to decode, None leaves it to us.

    Raises UsageError where neither numba nor fastavro is there.
    """
    decoding = Decoding(wanted, many=many, fast=fast)
    return decoding.decoded(decoding.take(opened))


class Decoding:
    """Columns of packets (see `decode`) that come a part at a time: what was read of a packet stays, its bytes may go."""

    def __init__(self, wanted: Wanted, *, many: int, fast: bool | None = None) -> None:
        machine = many >= WORTH_COMPILING and has_machine() if fast is None else fast
        if not machine and not find_spec("fastavro"):
            raise UsageError(NO_EXTRA, hint=PIP)
        self._wanted, self._read = wanted, _Machine(wanted) if machine else _by_fastavro
        self._columns = _Columns.of(wanted, max(many, 1) * (ROWS_PER_PACKET if wanted.lists else 1))

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return self._columns.row

    def take(self, opened: Iterable[Opened]) -> list[tuple[int, str]]:
        """Read packets; return index and reason of those that cannot be decoded."""
        columns, refused = self._columns, list[tuple[int, str]]()
        for one in opened:
            first = columns.row
            try:
                self._read(one, columns, self._wanted)
            except (PacketError, ValueError) as error:
                refused.append((one[0], str(error) or type(error).__name__))
                columns.forget(first, len(columns.kinds))
                columns.row = first
        return refused

    def decoded(self, refused: list[tuple[int, str]], since: int = 0) -> Decoded:
        """Return the rows from number `since` on."""
        return self._columns.decoded(self._wanted, refused, since)


@lru_cache(maxsize=1)
def has_machine() -> bool:
    """Whether numba is installed."""
    return find_spec("numba") is not None


class _Machine:
    """Reads packets by the programs of their schemas; those that have none by fastavro."""

    def __init__(self, wanted: Wanted) -> None:
        from harvester.packets import machine

        self._run, self._full, self._wanted = machine.run, machine.FULL, wanted
        self._programs: dict[bytes, Program | None] = {}

    def __call__(self, one: Opened, columns: _Columns, wanted: Wanted) -> None:
        schema = one[2].schema
        if schema not in self._programs:
            self._programs[schema] = _program(schema, wanted)
        program = self._programs[schema]
        if program is None:
            _by_fastavro(one, columns, wanted)
        else:
            self._read(one, columns, program)

    def _read(self, one: Opened, columns: _Columns, program: Program) -> None:
        index, body, block = one
        data, at, count, output = np.frombuffer(body, np.uint8), block.start, 0, columns.every
        while count < block.count:
            after, row = self._run(data, at, block.end, program.code, program.top, index, columns.row, *output)
            if after == self._full:
                columns.forget(columns.row, len(columns.kinds))
                columns.grow(self._wanted)
                output = columns.every
                continue
            if after < 0:
                raise PacketError(WHY[after])
            at, columns.row, count = after, row, count + 1
            if not self._wanted.whole:
                return
        if at != block.end:
            raise PacketError(WHY[-1])


@lru_cache(maxsize=64)
def _program(schema: bytes, wanted: Wanted) -> Program | None:
    try:
        return compiled(schema, wanted)
    except TooRich:
        return None


def _by_fastavro(one: Opened, columns: _Columns, wanted: Wanted) -> None:
    import fastavro

    index, body, block = one
    stream = BytesIO(body[block.start : block.end])
    for _ in range(block.count):
        try:
            packet = fastavro.schemaless_reader(stream, _parsed(block.schema, wanted))
        except PacketError:
            raise
        except (
            Exception
        ) as error:  # whatever a damaged packet makes it stumble over: IndexError, EOFError, UnicodeDecodeError, struct.error
            raise PacketError(f"its data were cut off or damaged ({type(error).__name__})") from error
        _fill(packet, columns, wanted, index)
        if not wanted.whole:
            return
    if stream.tell() != block.end - block.start:
        raise PacketError(WHY[-1])


@lru_cache(maxsize=64)
def _parsed(schema: bytes, wanted: Wanted) -> Any:
    """Return a schema as fastavro takes it; without the fields behind the last wanted one, where no more is wanted. Raises PacketError."""
    import fastavro

    try:
        read = json.loads(schema)
        if not wanted.whole and isinstance(read, dict):
            names = [one["name"] for one in read["fields"]]
            last = max((place for place, name in enumerate(names) if name in (*wanted.of, *wanted.words, *wanted.ids)), default=-1)
            read["fields"] = read["fields"][: last + 1]
        return fastavro.parse_schema(read)
    except Exception as error:  # fastavro's own kinds of error have no common one
        raise PacketError(f"its schema cannot be read ({type(error).__name__})") from error


def _fill(packet: Any, columns: _Columns, wanted: Wanted, index: int) -> None:
    if not isinstance(packet, dict):
        raise PacketError("it is no record")
    _put(packet, columns, wanted, index, 0)
    own = columns.row - 1
    for name in wanted.of:
        _cells(packet.get(name) or {}, columns, wanted, own)
    for name, kind in wanted.lists.items():
        for item in packet.get(name) or []:
            _put(item, columns, wanted, index, kind)


def _put(record: Mapping[str, Any], columns: _Columns, wanted: Wanted, *about: int) -> None:
    if columns.row >= len(columns.kinds):
        columns.grow(wanted)
    columns.packets[columns.row], columns.kinds[columns.row] = about
    _cells(record, columns, wanted, columns.row)
    columns.row += 1


def _cells(record: Mapping[str, Any], columns: _Columns, wanted: Wanted, row: int) -> None:
    for place, name in enumerate(wanted.numbers):
        if isinstance(record.get(name), int | float):
            columns.numbers[row, place] = record[name]
    for place, name in enumerate(wanted.ids):
        if isinstance(record.get(name), int):
            columns.ids[row, place] = record[name]
    for place, name in enumerate(wanted.words):
        if isinstance(record.get(name), str):
            text = record[name].encode()
            if len(text) > LONGEST_WORD:
                raise PacketError(WHY[-2])
            columns.words[row, place, : len(text)] = np.frombuffer(text, np.uint8)
