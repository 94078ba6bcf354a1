"""The layouts of LSST's alert packets: which fields stand in which order, of which type. Packets of streams do not bring their schema.

`lsst_layouts.json` has them by the number that stands in a packet (100 x major + minor), as `name:type` in the order of the bytes: l long, i int,
f float, d double, s string, b bytes, t boolean, {record}, [list]; a question mark stands where null does in a union. A record that is given as
a number is as in that version. Facts of https://github.com/lsst/alert_packet, in words of our own. A schema that is younger than this version may
be laid into the user's data folder (`own_place`), as Avro's own JSON or as Rubin's registry answers; what a number means never changes.
"""

from __future__ import annotations

import json
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
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


def schema_of(number: int) -> bytes | None:
    """Return the Avro schema of that number, None for one that is not known."""
    return _shipped(number) if str(number) in _known() else _own(number)


def own_place(number: int) -> Path:
    """Return where the user may lay the schema of a number that is not known."""
    from platformdirs import user_data_path

    return user_data_path("harvester") / "schemas" / f"{number}.avsc"


@lru_cache(maxsize=16)
def _shipped(number: int) -> bytes:
    return json.dumps(_record(ALERT, number, set())).encode()


def _own(number: int) -> bytes | None:
    """Return the schema that the user has laid down, None if there is none, or one that is no JSON."""
    place = own_place(number)
    try:
        read = json.loads(place.read_text("utf-8")) if place.is_file() else None
        read = json.loads(read["schema"]) if isinstance(read, dict) and isinstance(read.get("schema"), str) else read
    except (OSError, ValueError):
        return None
    return json.dumps(read).encode() if isinstance(read, dict) else None


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
