"""10^6 positions against 10^7: our match of all pairs within 2 arcsec, and scipy's bare nearest-neighbour query of a tree that is built already.

scipy is no dependency of ours: install it first. The two are timed in turn in one run, by the CPU time of this process, on one core each; the
medians are compared. With a file name, a Parquet catalogue of that many rows is made there, matched as `harvest xmatch` does, and the most memory
held is told.
Run it: `python tests/benchmarks/xmatch_bench.py [FILE]`.
"""

import resource
import sys
from pathlib import Path
from statistics import median
from time import process_time

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from harvester.xmatch.files import ROWS, TableFile
from harvester.xmatch.grid import Grid
from harvester.xmatch.local import local_matches

OWN, OTHER, RADIUS, ROUNDS = 1_000_000, 10_000_000, 2.0, 3
ARCSEC = 3600.0


def sky(count, seed):
    """Return positions spread evenly over the sphere."""
    random = np.random.default_rng(seed)
    return random.uniform(0, 360, count), np.degrees(np.arcsin(random.uniform(-1, 1, count)))


def both():
    """Return our positions and the catalogue's; half of ours have a counterpart there."""
    own, other = sky(OWN, 1), sky(OTHER, 2)
    half = OWN // 2
    other[0][:half] = own[0][:half]
    other[1][:half] = np.clip(own[1][:half] + np.random.default_rng(3).normal(0, 0.5 / ARCSEC, half), -90, 90)
    return own, other


def ours(own, other):
    """Return how many pairs there are."""
    grid = Grid(*own, RADIUS)
    return sum(len(grid.pairs(*(axis[start : start + ROWS] for axis in other)).own) for start in range(0, OTHER, ROWS))


def vectors(ra, dec):
    a, d = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=1)


def timed(work, *given):
    start = process_time()
    found = work(*given)
    return process_time() - start, found


def against_scipy():
    """Print both times and their ratio."""
    from scipy.spatial import cKDTree

    own, other = both()
    built, tree = timed(cKDTree, vectors(*other))
    sought, chord = vectors(*own), 2 * np.sin(np.radians(RADIUS / ARCSEC) / 2)
    rounds = [(timed(ours, own, other), timed(lambda: tree.query(sought, distance_upper_bound=chord))) for _ in range(ROUNDS)]
    pairs, nearest = rounds[0][0][1], int(np.isfinite(rounds[0][1][1][0]).sum())
    mine, theirs = (median(one[side][0] for one in rounds) for side in (0, 1))
    print(f"ours, all {pairs} pairs: {mine:.2f} s;  cKDTree.query, {nearest} nearest: {theirs:.2f} s (built before in {built:.2f} s)")
    print(f"ratio {mine / theirs:.2f} (at most 3)")


def from_file(path):
    """Print what matching a file takes."""
    own, other = both()
    with parquet.ParquetWriter(path, pa.schema([("ra", pa.float64()), ("dec", pa.float64()), ("id", pa.int64())])) as writer:
        for start in range(0, OTHER, ROWS):
            ra, dec = (axis[start : start + ROWS] for axis in other)
            writer.write_table(pa.table({"ra": ra, "dec": dec, "id": np.arange(start, start + len(ra))}))
    del other
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    seconds, found = timed(lambda: local_matches(*own, TableFile(path), RADIUS, best=True))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"Parquet of {OTHER} rows: {found.num_rows} matches in {seconds:.2f} s of CPU; peak {before} MB before, {after} MB after")


if __name__ == "__main__":
    from_file(Path(sys.argv[1])) if len(sys.argv) > 1 else against_scipy()
