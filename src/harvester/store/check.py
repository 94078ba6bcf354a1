"""Looking for damage: what a store promises, checked against what is there. Nothing is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from harvester.store import coherence, soundness, wording

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from harvester.store.connection import Database

EXAMPLES = 3
"""How many problems of a kind are told; all are counted."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found: the promise that it checked, how often it is broken, and a few examples as sentences."""

    check: str
    promise: str
    problems: int
    examples: tuple[str, ...]


Check = Callable[["Connection"], Iterator[str]]
"""Yields a sentence per problem."""

FOUNDATIONS: dict[str, tuple[str, Check]] = {
    "file": ("SQLite finds its file whole", soundness.file),
    "tables": ("every table and column is there", soundness.tables),
}
"""Without these the rest cannot be checked."""
CHECKS: dict[str, tuple[str, Check]] = FOUNDATIONS | {
    "keys": ("every key, index and reference is declared", soundness.keys),
    "values": ("every value is of its column's type and range", soundness.values),
    "texts": ("moments, hashes and JSON are written as the store writes them", wording.texts),
    "references": ("what a row refers to exists", soundness.references),
    "identity": ("no key of a table occurs twice", soundness.identity),
    "kind": ("the store is real or simulated", coherence.kind),
    "filters": ("a filter's label is passband(survey)", coherence.filters),
    "names": ("every name is found whatever its case and blanks", coherence.names),
    "payloads": ("every payload is what its SHA-256 says", coherence.payloads),
    "requests": ("every point's payload was asked for its target, by its source", coherence.requests),
    "points": ("a measurement is stored once, and series know how many they have", coherence.points),
    "versions": ("superseded values form a chain that ends at the point of today", coherence.versions),
    "visits": ("visits stored as many points as they say", coherence.visits),
    "runs": ("a run has ended unless it is running", coherence.runs),
    "watermarks": ("a watermark is the newest epoch", coherence.watermarks),
}


def findings(database: Database) -> Iterator[Finding]:
    """Yield a finding per check, in the order of CHECKS; the first that spoils the foundations is the last.

    All but the first see one state of the store. Raises StoreError when it cannot be read at all.
    """
    with database.outside() as connection:
        (first,) = examine(connection, ["file"])
    yield first
    if not first.problems:
        with database.reading() as connection:
            yield from examine(connection, [name for name in CHECKS if name != first.check])


def examine(connection: Connection, names: Iterable[str]) -> Iterator[Finding]:
    """Yield the findings of some checks, up to the first that spoils the foundations."""
    for name in names:
        promise, check = CHECKS[name]
        problems = check(connection)
        examples = tuple(islice(problems, EXAMPLES))
        found = Finding(name, promise, len(examples) + sum(1 for _ in problems), examples)
        yield found
        if name in FOUNDATIONS and found.problems:
            return
