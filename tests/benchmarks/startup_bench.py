"""How long `harvest --help` takes against the interpreter with click alone: what a user waits for before anything begins."""

import subprocess
import sys
from statistics import median
from time import perf_counter

ROUNDS = 7
OURS, THEIRS = ("-m", "harvester", "--help"), ("-c", "import click")


def measured():
    """Return our seconds and click's, medians of ROUNDS taken in turn."""
    pairs = [(seconds(*OURS), seconds(*THEIRS)) for _ in range(ROUNDS + 1)]
    ours, theirs = zip(*pairs[1:], strict=True)
    return median(ours), median(theirs)


def seconds(*arguments):
    start = perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return perf_counter() - start
