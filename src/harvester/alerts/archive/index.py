"""The index of a night: where each alert lies in the unpacked archive, and points from which unpacking can begin, so that one is found in no time.

Two files beside the night, made in one pass: `.points` (of indexed_gzip) and `.candids.npy` (candid, offset, size; in the order of candids).
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harvester.alerts.archive.tar import STEP, Member, NightError, members
from harvester.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SPACING, OF_LARGE = 4 << 20, 8 << 20
"""Bytes of the unpacked night between points: what a look-up unpacks at most. A point takes 32 kB, which has to be read first."""
LARGE = 3 << 30
BUFFER = 1 << 17
POINTS, CANDIDS = ".points", ".candids.npy"
READ = 8 * STEP


def is_indexed(path: Path) -> bool:
    """Whether a night has its index, made of the file as it is."""
    files = [_beside(path, ending) for ending in (POINTS, CANDIDS)]
    return all(file.exists() and file.stat().st_mtime >= path.stat().st_mtime for file in files)


def build(path: Path) -> int:
    """Make the index of a night; return how many alerts it has. Raises NightError, UsageError where the package is not installed."""
    with _opened(path, "") as file:
        found = [_place(member) for member in members(_pieces(file), most=0)]
        file.build_full_index()
        part = _beside(path, f"{POINTS}.part")
        file.export_index(str(part))
    places = np.array(sorted(place for place in found if place), np.int64).reshape(-1, 3)
    np.save(_beside(path, f"{CANDIDS}.part.npy"), places)
    _beside(path, f"{CANDIDS}.part.npy").replace(_beside(path, CANDIDS))
    part.replace(_beside(path, POINTS))
    return len(found)


def look_up(path: Path, candid: int) -> bytes | None:
    """Return the packet of an alert of an indexed night, None if it has none of that candid."""
    places: NDArray[np.int64] = np.load(_beside(path, CANDIDS), mmap_mode="r")
    row = int(np.searchsorted(places[:, 0], candid))
    if row == len(places) or int(places[row, 0]) != candid:
        return None
    with _opened(path, str(_beside(path, POINTS))) as file:
        file.seek(int(places[row, 1]))
        body: bytes = file.read(int(places[row, 2]))
    return body


def _place(member: Member) -> tuple[int, int, int] | None:
    stem = member.name.rpartition("/")[2].removesuffix(".avro")
    return (int(stem), member.offset, member.size) if stem.isdigit() else None


def _pieces(file: Any) -> Iterator[bytes]:
    try:
        while piece := file.read(READ):
            yield piece
    except Exception as error:  # indexed_gzip's own kinds, EOFError, OSError
        raise NightError(f"it is damaged or was cut off ({type(error).__name__})") from error


def _opened(path: Path, points: str) -> Any:
    if not find_spec("indexed_gzip"):
        raise UsageError("the package that indexes nights is not installed.", hint="pip install 'harvester[alerts]'")
    import indexed_gzip

    spacing = OF_LARGE if path.stat().st_size > LARGE else SPACING
    try:
        return indexed_gzip.IndexedGzipFile(str(path), spacing=spacing, buffer_size=BUFFER, index_file=points or None)
    except Exception as error:
        raise NightError(f"it cannot be read ({type(error).__name__})") from error


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)
