"""Modules that are imported when they are first used: `harvest status` need not wait for Arrow's functions."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class Late:
    """A module of this folder that stands for itself until somebody wants something of it."""

    def __init__(self, name: str) -> None:
        self._name = f"{__package__}.{name}"

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self._name), name)
