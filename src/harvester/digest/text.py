"""The digest as plain text, for mail: at most WIDTH letters a line wherever words allow it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from textwrap import wrap
from typing import Any

from harvester.digest import words
from harvester.digest.gather import Digest, TargetNews

WIDTH = 76
MOST_CHANGES, MOST_FILTERS, MOST_NEWS = 50, 4, 100


def text(found: Digest) -> str:
    """Return the digest as lines, ended by a line feed."""
    lines = [*_wrapped(found.headline[:1].upper() + found.headline[1:], ""), ""]
    lines += ["SIMULATED DATA: nothing here was measured.", ""] if found.simulated else []
    lines += [line for run in words.of_runs(found.runs) or ["nothing was asked"] for line in _wrapped(run, "")]
    lines += _section("CHANGED BRIGHTNESS", found.changed, MOST_CHANGES, _changed)
    lines += _section("OTHER NEW POINTS", [one for one in found.news if not one.is_changed], MOST_NEWS, _other)
    lines += _section("DID NOT SUCCEED", found.troubles, len(found.troubles), _trouble)
    lines += _section("PUT OFF, OR UNDER WAY", found.waiting, len(found.waiting), _trouble)
    return "\n".join([*lines, "", f"-- harvest digest, store {words.plain(found.store)}, {words.moment(found.made)} UTC", ""])


def _section(title: str, rows: Sequence[Any], most: int, told: Any) -> list[str]:
    if not rows:
        return []
    left = [f"  and {len(rows) - most} more"] if len(rows) > most else []
    return ["", title, *(line for row in rows[:most] for line in told(row)), *left]


def _changed(one: TargetNews) -> Iterator[str]:
    yield from _wrapped(f"{words.plain(one.target)}: {words.verdict(one)}", "  ")
    for change in one.changes[:MOST_FILTERS]:
        yield from _wrapped(f"{change.filter}  {words.told(change)}", "    ")


def _other(one: TargetNews) -> Iterator[str]:
    yield from _wrapped(f"{words.plain(one.target)}: {words.came(one)}; {words.verdict(one)}", "  ")


def _trouble(row: Mapping[str, Any]) -> Iterator[str]:
    yield from _wrapped(f"{row['source']}: {words.trouble(row)}", "  ")
    if words.example(row):
        yield from _wrapped(words.example(row), "    ")


def _wrapped(line: str, indent: str) -> list[str]:
    """Return lines that are never broken inside a word, however long."""
    return wrap(line, WIDTH, initial_indent=indent, subsequent_indent=f"{indent}  ", break_long_words=False, break_on_hyphens=False)
