"""The layout of an answer: which columns a service sends, so that a change is seen although everything can still be read."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

from harvester.payload import BOM, Payload, read_json, read_members

OPTIONAL = "?"
"""Ends the name of a key that a service leaves out where it has nothing to say."""


def columns_of(payload: Payload) -> tuple[str, ...]:
    """Return the names of all columns of a table or an archive of tables, in their order; none of an empty body. Raises Malformed.

    The columns of JSON are its keys, those inside others joined to them by dots; one that not every object of a list has is OPTIONAL.
    """
    if is_json(payload):
        return _keys([read_json(payload)])
    return tuple(dict.fromkeys(name for _, table in read_members(payload) for name in table.column_names))


def is_json(payload: Payload) -> bool:
    """Whether an answer begins as JSON does."""
    return payload.body.removeprefix(BOM).lstrip()[:1] in {b"{", b"["}


def bare(name: str) -> str:
    """Return a column's name, whether or not it may be left out."""
    return name.removesuffix(OPTIONAL)


def _keys(values: list[Any]) -> tuple[str, ...]:
    """Return the keys of values that stand at the same place; those of lists are the keys of what they hold."""
    held = list(chain.from_iterable(_objects(value) for value in values))
    found = []
    for name in dict.fromkeys(key for one in held for key in one):
        there = [one[name] for one in held if name in one]
        mark = "" if len(there) == len(held) else OPTIONAL
        found += [f"{name}.{bare(key)}{mark or key[len(bare(key)) :]}" for key in _keys(there)] or [f"{name}{mark}"]
    return tuple(found)


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _objects(one)
