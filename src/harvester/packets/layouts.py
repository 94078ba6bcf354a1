"""The layouts of LSST's alert packets: which fields stand in which order, of which type. Packets of streams do not bring their schema.

`lsst_layouts.json` has them by the number that stands in a packet (100 x major + minor), as `name:type` in the order of the bytes: l long, i int,
f float, d double, s string, b bytes, t boolean, {record}, [list]; a question mark stands where null does in a union. A record that is given as
a number is as in that version. Facts of https://github.com/lsst/alert_packet, in words of our own.
"""

from __future__ import annotations

import json
from functools import lru_cache
from importlib.resources import files
from typing import Any

TYPES = {"l": "long", "i": "int", "f": "float", "d": "double", "s": "string", "b": "bytes", "t": "boolean"}
ALERT = "alert"


@lru_cache(maxsize=1)
def _known() -> dict[str, dict[str, Any]]:
    read: dict[str, dict[str, Any]] = json.loads(files("harvester.packets").joinpath("lsst_layouts.json").read_text("utf-8"))
    return read


def numbers() -> list[int]:
    """Return the numbers of the schemas that are known, in order."""
    return sorted(map(int, _known()))


@lru_cache(maxsize=16)
def schema_of(number: int) -> bytes | None:
    """Return the Avro schema of that number, None for one that is not known."""
    if str(number) not in _known():
        return None
    return json.dumps(_record(ALERT, number, set())).encode()


def _record(name: str, number: int, told: set[str]) -> Any:
    """Return a record the first time, and later its name alone."""
    if name in told:
        return name
    told.add(name)
    text: str | int = number
    while isinstance(text, int):
        text = _known()[str(text)][name]
    fields = [word.split(":") for word in text.split(" ")]
    return {"type": "record", "name": name, "fields": [{"name": word, "type": _type(kind, number, told)} for word, kind in fields]}


def _type(kind: str, number: int, told: set[str]) -> Any:
    if kind.startswith("?"):
        return ["null", _type(kind[1:], number, told)]
    if kind.endswith("?"):
        return [_type(kind[:-1], number, told), "null"]
    if kind.startswith("["):
        return {"type": "array", "items": _type(kind[1:-1], number, told)}
    return _record(kind[1:-1], number, told) if kind.startswith("{") else TYPES[kind]
