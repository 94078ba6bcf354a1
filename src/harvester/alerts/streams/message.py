"""A message as Kafka gave it, and one that could not be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class Place(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Message:
    """One message: where it stood, when it was published (ISO 8601, UTC; empty if unknown), and what it holds."""

    place: Place
    offset: int
    value: bytes = field(repr=False)
    key: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    time: str = ""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that could not be read, and why."""

    message: Message
    reason: str


class Unreadable(ValueError):
    """Raised for a message that cannot be read; the text is the reason."""
