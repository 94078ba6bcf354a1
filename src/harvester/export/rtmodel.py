"""For RTModel: `TARGET/Data/FILTER.dat` with magnitude, error, BJD_TDB - 2450000, and the event's coordinates beside them.

RTModel asks for HJD; BJD_TDB is that to 70 s, and what its satellites' positions are given in.
"""

from __future__ import annotations

from pathlib import Path

from harvester.export.content import Content
from harvester.export.plain import file_name, new_folder, write_files

OFFSET = 2_450_000
DECIMALS = 8


def write_folder(content: Content, folder: Path) -> int:
    """Write the files; return the number of points."""

    def place(name: str) -> Path:
        data = new_folder(folder, name) / "Data"
        data.mkdir()
        target = content.known.targets.get(name)
        if target:
            (data / f"{file_name(name)}.coordinates").write_text(f"{sexagesimal(target.ra, target.dec)}\n", "ascii")
        return data

    return write_files(
        content,
        place,
        lambda time, mag, error: f"{mag!r} {error!r} {time - OFFSET:.{DECIMALS}f}\n",
        f"# Mag err {content.time_column}-{OFFSET} {content.simulated}".strip(),
    )


def sexagesimal(ra: float, dec: float) -> str:
    """Return a position (degrees) as hours and degrees.

    >>> sexagesimal(270.09716667, -32.18602778)
    '18:00:23.320 -32:11:09.70'
    """
    hours, degrees = _parts(ra / 15, 3), _parts(abs(dec), 2)
    return f"{hours} {'-' if dec < 0 else '+'}{degrees}"


def _parts(value: float, decimals: int) -> str:
    ticks = round(value * 3600 * 10**decimals)
    seconds, fraction = divmod(ticks, 10**decimals)
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}.{fraction:0{decimals}d}"
