"""Answers that are too large for the store and lie elsewhere: a night of alert packets."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from harvester.payload import Payload


@dataclass(frozen=True)
class Elsewhere(Payload):
    """An answer of which the store keeps what it was and where it came from, and no body, as of one that was pruned.

    `name` tells it from all others, as the hash of a body does.
    """

    name: str = ""

    @property
    def sha256(self) -> str:
        """The hash of its name."""
        return hashlib.sha256(self.name.encode()).hexdigest()
