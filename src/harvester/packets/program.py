"""An Avro schema as a program: one instruction per field, in the order of the bytes, that says what to skip and where to put what is wanted.

Alert packets are records of numbers, words and bytes, each of which may be missing, of such records, and of lists of such records. A schema that
needs more has no program; fastavro reads its packets.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

NOTHING, TRUTH, WHOLE, SINGLE, DOUBLE, WORD, LIST, RECORD = range(8)
"""What an instruction reads."""
KINDS = {
    "null": NOTHING, "boolean": TRUTH, "int": WHOLE, "long": WHOLE, "float": SINGLE, "double": DOUBLE, "string": WORD, "bytes": WORD,
}  # fmt: skip
NEVER, UNWANTED = -1, -1
"""Not a branch of a union; not a place in the output."""


class TooRich(ValueError):
    """A schema that has no program."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to take of a packet.

    `numbers`, `ids` (whole numbers that floats do not hold) and `words` are names of fields, each a column of the output; a field is taken at
    the top and in the records named in `of`. Each item of the `lists` is a row of its own, of the kind given there; the packet itself is the
    first row, of kind 0. Where the packet is not wanted `whole`, what stands behind the last field taken is not read at all.
    """

    numbers: tuple[str, ...]
    ids: tuple[str, ...]
    words: tuple[str, ...]
    of: tuple[str, ...]
    lists: Mapping[str, int]
    whole: bool = True

    def __hash__(self) -> int:
        """Return a hash: a program is kept by what was wanted."""
        return hash((self.numbers, self.ids, self.words, self.of, tuple(self.lists.items()), self.whole))


@dataclass(frozen=True, slots=True)
class Program:
    """Instructions (kind, branch that is null, column, extra), those of the packet first; `top` of them are the packet's.

    The column of a number counts from 0, of ids and words likewise, each in the output of its own sort (`extra` is 0 for none, 1 number, 2 id).
    Of a list `column` is the kind of its rows, and `extra` the place of its items' first instruction; of a record `extra` is how many
    instructions it has.
    """

    code: NDArray[np.int64]
    top: int
    schema: Any = field(repr=False)


def compiled(schema: bytes, wanted: Wanted) -> Program:
    """Return the program of a schema. Raises TooRich, and ValueError for what is no schema."""
    read = json.loads(schema)
    if not isinstance(read, dict) or read.get("type") != "record":
        raise TooRich("a schema that is no record")
    compiler = _Compiler(wanted)
    top = compiler.record(read, "", wanted=True)
    if not wanted.whole:
        last = max((place for place, line in enumerate(top) if _takes(line)), default=-1)
        top = top[: last + 1]
    lists: list[list[int]] = []
    for place, items, namespace in (one for one in compiler.lists if one[0] < len(top)):
        lines = compiler.record(items, namespace, wanted=bool(top[place][2]), in_list=True)
        top[place][3] = len(top) + len(lists)
        lists += [*lines, [NOTHING, NEVER, UNWANTED, -1]]
    return Program(np.array([*top, *lists], np.int64).reshape(-1, 4), len(top), read)


def _takes(line: Sequence[int]) -> bool:
    return line[2] > 0 if line[0] == LIST else line[2] >= 0


class _Compiler:
    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._named: dict[str, Any] = {}
        self.lists: list[tuple[int, Any, str]] = []

    def record(self, schema: Mapping[str, Any], namespace: str, *, wanted: bool, in_list: bool = False) -> list[list[int]]:
        """Return the instructions of a record's fields."""
        inside = self._learn(schema, namespace)
        lines: list[list[int]] = []
        for one in schema["fields"]:
            self._field(lines, one["name"], one["type"], (inside, wanted, in_list))
        return lines

    def _field(self, lines: list[list[int]], name: str, kind: Any, about: tuple[str, bool, bool]) -> None:
        namespace, wanted, in_list = about
        branch, kind = self._branches(kind)
        kind = self._resolved(kind, namespace)
        if isinstance(kind, dict) and kind.get("type") == "record":
            if in_list:
                raise TooRich("a record inside a list's record")
            lines.append([RECORD, branch, UNWANTED, 0])
            here = len(lines)
            inner = self.record(kind, namespace, wanted=wanted and name in self._wanted.of)
            if any(line[0] == LIST for line in inner):
                raise TooRich("a list inside a record")
            lines += inner
            lines[here - 1][3] = len(inner)
        elif isinstance(kind, dict) and kind.get("type") == "array":
            if in_list:
                raise TooRich("a list inside a list")
            items = self._resolved(kind["items"], namespace)
            if not isinstance(items, dict) or items.get("type") != "record":
                raise TooRich("a list of something else than records")
            self.lists.append((len(lines), items, namespace))
            lines.append([LIST, branch, self._wanted.lists.get(name, 0), 0])
        else:
            lines.append(self._plain(name, kind, branch, wanted=wanted))

    def _plain(self, name: str, kind: Any, branch: int, *, wanted: bool) -> list[int]:
        code = KINDS.get(kind.get("type", "") if isinstance(kind, dict) else str(kind))
        if code is None:
            raise TooRich(f"a field of type {str(kind)[:40]}")
        places: Sequence[tuple[int, tuple[str, ...]]] = ((1, self._wanted.numbers), (2, self._wanted.ids))
        if code == WORD:
            return [code, branch, self._wanted.words.index(name) if wanted and name in self._wanted.words else UNWANTED, 0]
        for sort, names in places:
            if wanted and name in names:
                return [code, branch, names.index(name), sort]
        return [code, branch, UNWANTED, 0]

    def _branches(self, kind: Any) -> tuple[int, Any]:
        """Return which branch of a union is null, and the other one; NEVER and the type itself for what is no union."""
        if not isinstance(kind, list):
            return NEVER, kind
        if len(kind) == 1:
            raise TooRich("a union of one")
        if len(kind) != 2 or "null" not in kind:
            raise TooRich("a union of several types")
        return kind.index("null"), kind[1 - kind.index("null")]

    def _resolved(self, kind: Any, namespace: str) -> Any:
        """Return what a name stands for."""
        if isinstance(kind, str) and kind not in KINDS:
            for name in (kind, f"{namespace}.{kind}"):
                if name in self._named:
                    return self._named[name]
            raise TooRich(f"a name that stands for nothing: {kind[:60]}")
        return kind

    def _learn(self, schema: Mapping[str, Any], namespace: str) -> str:
        """Remember a record by its full name; return the namespace inside it."""
        name = schema["name"]
        full = name if "." in name else ".".join(filter(None, [schema.get("namespace", namespace), name]))
        self._named[full] = schema
        return full.rpartition(".")[0]
