"""All benchmarks, as a table of ratios. Ours and the other's are measured in turn in this one run.

Run it: `make bench`, or `python -m tests.benchmarks [--rows N] [--held N] [--without-peer]`; `make bench-large` takes the sizes of the claims.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import export_bench  # noqa: E402 - the folders above are not packages
import peer_bench  # noqa: E402
import startup_bench  # noqa: E402
import times_bench  # noqa: E402
import write_bench  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from stores import postgres_server  # noqa: E402


class Line(NamedTuple):
    """One line of the table: `ratio` is what the claim speaks of, `wanted` the claim."""

    work: str
    ours: str
    other: str
    ratio: float
    wanted: str


def main() -> None:
    asked = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    asked.add_argument("--rows", type=int, default=60_000, help="new rows of a round")
    asked.add_argument("--held", type=int, default=300_000, help="rows that the big store holds already")
    asked.add_argument("--without-peer", action="store_true", help="leave TOM Toolkit out: it has to be installed first")
    chosen = asked.parse_args()
    console = Console()
    table = Table("work", "ours", "other", "ratio", "wanted", title=f"{chosen.rows:,} rows a round, {chosen.held:,} held")
    with tempfile.TemporaryDirectory(prefix="harvest-bench-") as folder:
        for line in measured(Path(folder), chosen):
            table.add_row(line.work, line.ours, line.other, f"{line.ratio:.2f}", line.wanted)
            sys.stderr.write(f"{line.work}: {line.ratio:.2f}\n")
    console.print(table)


def measured(folder: Path, chosen: argparse.Namespace) -> Iterator[Line]:
    sqlite = write_bench.on_sqlite(folder, chosen.rows)
    yield from written("SQLite", sqlite, chosen.rows, "raw executemany", ">= 0.75")
    small = write_bench.on_sqlite(folder, chosen.rows // 10, each=1_000)
    yield from written("SQLite, visits of 1,000", small, chosen.rows // 10, "raw executemany", "-")
    yield Line(
        "SQLite: bytes of a point", f"{sqlite.bytes_per_point:.0f}", f"{sqlite.bytes_packed:.0f} vacuumed", sqlite.bytes_per_point, "<= 120"
    )
    if not chosen.without_peer:
        yield from beside_tom(folder, sqlite, chosen.rows)
    with postgres_server() as url:
        yield from written("PostgreSQL", write_bench.on_postgres(url, chosen.rows), chosen.rows, "raw binary COPY", ">= 0.40")
    big, small = write_bench.growth(folder, chosen.rows, chosen.held)
    yield Line(
        "SQLite: a row on a big store, on an empty one", per_row(big, chosen.rows), per_row(small, chosen.rows), big / small, "<= 1.5"
    )
    yield from read_back(chosen.held)
    ours, theirs = startup_bench.measured()
    yield Line("harvest --help, python -c 'import click'", f"{ours * 1e3:.0f} ms", f"{theirs * 1e3:.0f} ms", ours / theirs, "<= 2.5")
    for name, ours, theirs in times_bench.ratios():
        yield Line(f"10^6 times, {name}: astropy", f"{ours * 1e3:.1f} ms", f"{theirs:.0f} s", theirs / ours, ">= 1000")


def written(back_end: str, timed: write_bench.Timed, rows: int, other: str, wanted: str) -> Iterator[Line]:
    yield Line(f"{back_end}: new rows, {other}", per_row(timed.new, rows), per_row(timed.raw, rows), timed.raw / timed.new, wanted)
    yield Line(f"{back_end}: known rows, new rows", per_row(timed.known, rows), per_row(timed.new, rows), timed.new / timed.known, ">= 1")
    yield Line(
        f"{back_end}: unchanged, new rows", per_row(timed.unchanged, rows), per_row(timed.new, rows), timed.new / timed.unchanged, ">= 100"
    )


def beside_tom(folder: Path, ours: write_bench.Timed, rows: int) -> Iterator[Line]:
    peer = peer_bench.measured(folder, rows // 3, Path(tempfile.gettempdir()) / "harvest-bench-tom")
    new = ours.new / rows
    yield Line("TOM Toolkit, bulk_create of JSON", per_row(new, 1), per_row(peer["bulk_s"], 1), peer["bulk_s"] / new, ">= 10")
    yield Line("TOM Toolkit, save with validation", per_row(new, 1), per_row(peer["save_s"], 1), peer["save_s"] / new, ">= 100")
    yield Line("TOM Toolkit, bytes", f"{ours.bytes_per_point:.0f}", f"{peer['bytes']:.0f}", ours.bytes_per_point / peer["bytes"], "<= 0.33")


def read_back(rows: int) -> Iterator[Line]:
    for name, ours, bare, peak in export_bench.ratios(rows):
        memory = f", {peak:.0f} MiB" if peak else ""
        wanted = "<= 1.5, <= 500 MiB" if peak else "ours <= 20 ms"
        yield Line(name, f"{ours * 1e3:.0f} ms{memory}", f"{bare * 1e3:.0f} ms", ours / bare, wanted)


def per_row(seconds: float, rows: int) -> str:
    return f"{seconds / rows * 1e6:.1f} us"


if __name__ == "__main__":
    main()
