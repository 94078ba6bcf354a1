"""Start-up: `harvest --help` against `import click`, which it cannot do without."""

from __future__ import annotations

import subprocess
import sys
from statistics import median
from time import perf_counter

ROUNDS = 15
OURS = "from harvester.cli import status_of; status_of(['--help'])"
THEIRS = "import click"


def ratios(rounds: int = ROUNDS) -> list[tuple[str, float, float]]:
    """Return (what, ours in s, theirs in s): medians of rounds in which both ran, one after the other."""
    ours, theirs = zip(*((_seconds(OURS), _seconds(THEIRS)) for _ in range(rounds)), strict=True)
    return [("harvest --help / python -c 'import click' (at most 2.5)", median(ours), median(theirs))]


def _seconds(code: str) -> float:
    start = perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    return perf_counter() - start
