"""What is known of a source without importing it: the words at the head of its file, the columns of its recordings, its package."""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint
from pathlib import Path

from harvester.errors import BrokenSource


@dataclass(frozen=True, slots=True)
class Description:
    """What the docstring at the head of a source's file says, read without importing it."""

    name: str
    package: str
    title: str
    facts: Mapping[str, str]


def describe(entry: EntryPoint) -> Description:
    """Return title and facts ("time", "cite" ...) from the docstring of a source's file, which is parsed, not imported.

    Raises BrokenSource when the file is not there or does not parse.
    """
    try:
        docstring = ast.get_docstring(ast.parse(_file(entry.module).read_text("utf-8"))) or ""
    except (OSError, SyntaxError, ValueError) as error:
        raise broken(entry, str(error)) from error
    title, _, rest = docstring.partition("\n")
    return Description(entry.name, package(entry), title.rstrip("."), _facts(rest))


def layouts(entry: EntryPoint) -> list[tuple[str, ...]]:
    """Return the columns that a source's recordings have, in each layout that is known; empty if nobody wrote them down.

    They stand beside the source's file in `<module>.columns.txt`, a name a line, layouts apart by an empty line;
    `python -m harvester.testing recordings` writes them.
    """
    try:
        text = columns_file(entry).read_text("utf-8")
    except OSError:
        return []
    return [tuple(block.split("\n")) for block in text.strip().split("\n\n") if block]


def columns_file(entry: EntryPoint) -> Path:
    """Return where a source's columns are written down. Raises OSError when the source's own file is not there."""
    return _file(entry.module).with_suffix(".columns.txt")


@lru_cache
def package(entry: EntryPoint) -> str:
    """Return name and version of the package that a source comes from, empty where it was not installed as one."""
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else ""


def _facts(docstring: str) -> dict[str, str]:
    """Read `word: value` lines; an indented or plain line continues the value above it."""
    facts: dict[str, str] = {}
    word = ""
    for line in docstring.splitlines():
        head, colon, tail = line.partition(": ")
        if colon and head.isalpha() and head.islower():
            word = head
            facts[word] = tail.strip()
        elif word and line.startswith(" "):
            facts[word] += f" {line.strip()}"
        else:
            word = ""
    return facts


def _file(module: str) -> Path:
    """Find a module's file without importing its packages."""
    path: list[str] | None = None
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        name = ".".join(parts[:depth])
        specs = (finder.find_spec(name, path) for finder in sys.meta_path if hasattr(finder, "find_spec"))
        spec = next((spec for spec in specs if spec), None)
        if spec is None:
            raise OSError(f"no module named '{name}'")
        path = list(spec.submodule_search_locations or [])
    if spec is None or not spec.origin:
        raise OSError(f"module '{module}' has no file")
    return Path(spec.origin)


def broken(entry: EntryPoint, why: str) -> BrokenSource:
    """Return the error of a source that cannot be used, with the remedy."""
    name = entry.dist.name if entry.dist else entry.module.partition(".")[0]
    return BrokenSource(f"source '{entry.name}' of package '{name}' is broken.", why, f"Upgrade or remove it: pip install -U {name}")
