"""Three columns of numbers, a file per filter in a folder per target: what programs for microlensing read.

Bad points are whatever the reader lets through; limits, and points without an error, have no place here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from harvester.derive import whole_targets
from harvester.export.bhtom import without_magnitude
from harvester.export.content import Census, Content

Line = Callable[[float, float, float], str]


def write_files(content: Content, place: Callable[[str], Path], line: Line, head: str) -> int:
    """Write a file for each target and filter into the folder that `place` gives a target; return the number of points."""
    points, census = 0, Census(content.form)
    for table in whole_targets(content.batches):
        for batch in table.combine_chunks().to_batches():
            kept = census.keep(batch, *_unfit(batch))
            points += kept.num_rows
            for name in pc.unique(kept.column("target")).to_pylist():
                mine = kept.filter(pc.equal(kept.column("target"), name))
                _write(place(name), mine, content.time_column, (head, line))
    census.tell()
    return points


def file_name(text: str) -> str:
    """Return text as the name of a file on any system.

    >>> file_name("G(GAIA_DR3)"), file_name("OGLE 2014/1")
    ('G_GAIA_DR3', 'OGLE_2014_1')
    """
    return re.sub(r"[^\w.+-]+", "_", text).strip("_.") or "_"


def _unfit(batch: pa.RecordBatch) -> list[tuple[str, pa.Array]]:
    return [
        ("upper limits", batch.column("upper_limit")),
        ("without a magnitude", without_magnitude(batch)),
        ("without an error", pc.is_null(batch.column("mag_err"))),
    ]


def _write(folder: Path, rows: pa.RecordBatch, time: str, form: tuple[str, Line]) -> None:
    head, line = form
    for name in pc.unique(rows.column("filter")).to_pylist():
        mine = rows.filter(pc.equal(rows.column("filter"), name))
        values = zip(*(mine.column(column).to_pylist() for column in (time, "mag", "mag_err")), strict=True)
        text = "".join(line(*row) for row in values if None not in row)
        (folder / f"{file_name(name)}.dat").write_text(f"{head}\n{text}", "utf-8")


def new_folder(parent: Path, name: str) -> Path:
    """Make a folder for a target; one whose name another target's is written as too gets a number."""
    wanted = parent / file_name(name)
    tries = (wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}") for number in range(1, 10_000))
    folder = next(place for place in tries if not place.exists())
    folder.mkdir()
    return folder
