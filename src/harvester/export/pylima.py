"""For pyLIMA: `TARGET/FILTER.dat` with time, magnitude, error. The time is a full Julian date, BJD_TDB unless the survey's own is asked for."""

from __future__ import annotations

from pathlib import Path

from harvester.export.content import Content
from harvester.export.plain import new_folder, write_files


def write_folder(content: Content, folder: Path) -> int:
    """Write the files; return the number of points."""
    return write_files(
        content,
        lambda name: new_folder(folder, name),
        lambda time, mag, error: f"{time!r} {mag!r} {error!r}\n",
        f"# {content.time_column} mag err_mag {content.simulated}".strip(),
    )
