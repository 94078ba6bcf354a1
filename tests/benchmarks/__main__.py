"""`make bench`: every ratio, measured interleaved in this one run; medians. Seconds mean nothing on another machine, ratios may."""

from __future__ import annotations

import sys
from importlib import import_module

MODULES = ("startup_bench", "times_bench")


def main() -> None:
    """Print a table: what, ours, theirs, and how many times faster ours is."""
    print(f"{'what':<86}{'ours [s]':>12}{'theirs [s]':>12}{'theirs/ours':>14}")
    for name in sys.argv[1:] or MODULES:
        for what, ours, theirs in import_module(f"tests.benchmarks.{name}").ratios():
            print(f"{what:<86}{ours:>12.4f}{theirs:>12.4f}{theirs / ours:>14.1f}")


if __name__ == "__main__":
    main()
