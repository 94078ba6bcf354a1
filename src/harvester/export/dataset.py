"""A folder of Parquet, partitioned as Hive does it: `target=RR%20Lyr/` or `healpix=1234/` (nested order), with files of every column in each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harvester.derive import whole_targets
from harvester.errors import UsageError
from harvester.export.content import Content
from harvester.export.parquet import writer_of
from harvester.healpix import pixel_at

ORDER = 5
"""Cells of 1.8 degrees: a few hundred hold what a group follows."""
HIGHEST_ORDER = 13
ROWS_AT_ONCE = 500_000
"""Cells come in any order, so this many rows wait in memory; every time that they are written a cell may gain a file."""


def write_folder(content: Content, folder: Path) -> int:
    """Write the files; return the number of points. The option `partition` is "target", "healpix" or "healpix:ORDER"."""
    by = content.options.get("partition") or "target"
    return _by_target(content, folder) if by == "target" else _by_cell(content, folder, order_of(by))


def order_of(by: str) -> int:
    """Return the order of the cells of a partition. Raises UsageError.

    >>> order_of("healpix:3")
    3
    """
    word, _, order = by.partition(":")
    if word == "healpix" and (not order or (order.isdecimal() and int(order) <= HIGHEST_ORDER)):
        return int(order or ORDER)
    raise UsageError(f"no partition '{by}'.", hint=f"Write target, healpix, or healpix:ORDER with an order from 0 to {HIGHEST_ORDER}.")


def _by_target(content: Content, folder: Path) -> int:
    points = 0
    for table in whole_targets(content.batches):
        names = pc.unique(table["target"])
        place = pc.index_in(table["target"], value_set=names).to_numpy()
        for number, name in enumerate(names.to_pylist()):
            here = np.flatnonzero(place == number)
            _put(folder / f"target={quote(name, safe='')}", 0, table.slice(int(here[0]), len(here)), content.schema)
        points += table.num_rows
    return points


def _by_cell(content: Content, folder: Path, order: int) -> int:
    points = 0
    for part, table in enumerate(_in_parts(content)):
        cells = _cells(table["target"], content, order)
        for cell in np.unique(cells):
            rows = table.take(pa.array(np.flatnonzero(cells == cell)))
            _put(folder / f"healpix={cell}", part, rows, content.schema)
        points += table.num_rows
    return points


def _in_parts(content: Content) -> Iterator[pa.Table]:
    waiting: list[pa.Table] = []
    for table in whole_targets(content.batches):
        waiting.append(table)
        if sum(held.num_rows for held in waiting) >= ROWS_AT_ONCE:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


def _cells(names: pa.ChunkedArray, content: Content, order: int) -> np.ndarray:
    """Return the cell of each row's target. Raises UsageError for one without a position."""
    distinct = pc.unique(names)
    lost = [name for name in distinct.to_pylist() if name not in content.known.targets]
    if lost:
        raise UsageError(f"'{lost[0]}' has no position, so it lies in no cell.", hint="Partition by target.")
    targets = [content.known.targets[name] for name in distinct.to_pylist()]
    cells = pixel_at(order, [target.ra for target in targets], [target.dec for target in targets])
    return np.asarray(cells[pc.index_in(names, value_set=distinct).to_numpy()])


def _put(folder: Path, part: int, rows: pa.Table, schema: pa.Schema) -> None:
    folder.mkdir(exist_ok=True)
    with (folder / f"part-{part}.parquet").open("wb") as stream, writer_of(stream, schema) as writer:
        writer.write_table(rows)
