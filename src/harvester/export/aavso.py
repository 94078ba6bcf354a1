"""AAVSO Extended File Format 1.2: for the programs that read it. The AAVSO itself takes only observations of one's own.

time: JD (UTC) of the middle of the exposure, 8 decimals, so good to 0.4 ms; magnitudes have 5 decimals, errors 4.
filter: AAVSO's code where the passband is one of AAVSO's; any other is O (other), and NOTES say which: |FILTER=g(ZTF_DR)|
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import IO, Any

from harvester.errors import UsageError
from harvester.export.bhtom import without_magnitude
from harvester.export.content import Census, Content, LeftOut
from harvester.passbands import passbands
from harvester.schema import parts

JD_OF_MJD = 2_400_000.5
LONGEST_NAME, LONGEST_MAG, LONGEST_ERROR, LONGEST_FILTER = 30, 8, 6, 5
OTHER = "O"
FIELDS = "NAME,DATE,MAG,MERR,FILT,TRANS,MTYPE,CNAME,CMAG,KNAME,KMAG,AMASS,GROUP,CHART,NOTES"
OWN = "own"
"""The source of photometry that the user brought in."""
NOTE = str.maketrans(",|\n\r", "    ")


def write(content: Content, stream: IO[bytes]) -> int:
    """Write the points that have a magnitude or a limit; return their number. Warns where some are not the user's own."""
    points, census, strangers = 0, Census(content.form), set[str]()
    observer = content.options.get("obscode", "")
    stream.write("".join(f"{line}\n" for line in _head(content, observer)).encode())
    for batch in content.batches:
        kept = census.keep(batch, ("without a magnitude", without_magnitude(batch)))
        stream.write("".join(f"{_line(row)}\n" for row in kept.to_pylist()).encode())
        points += kept.num_rows
        strangers |= {name for name in kept.column("source").to_pylist() if name != OWN}
    census.tell()
    if strangers:
        warnings.warn("the AAVSO takes observations of your own only: do not upload those of surveys.", LeftOut, stacklevel=3)
    return points


def _head(content: Content, observer: str) -> Iterator[str]:
    yield from ("#TYPE=Extended", f"#OBSCODE={observer or 'na'}", f"#SOFTWARE={content.about.get('software', 'harvester')}")
    yield from ("#DELIM=,", "#DATE=JD", "#OBSTYPE=CCD")
    yield from (f"#{key}={value}" for key, value in content.about.items() if key != "software" and value and "\n" not in value)
    yield f"#{FIELDS}"


def _line(row: Mapping[str, Any]) -> str:
    limit = row["upper_limit"]
    magnitude = f"{'<' if limit else ''}{_fitting(row['limiting_mag'] if limit else row['mag'], LONGEST_MAG - limit, 5)}"
    error = "na" if limit or row["mag_err"] is None else _fitting(row["mag_err"], LONGEST_ERROR, 4)
    code = code_of(row["filter"])
    date = "na" if row["mjd_utc"] is None else f"{row['mjd_utc'] + JD_OF_MJD:.8f}"
    notes = _notes(
        FILTER=row["filter"] if code == OTHER else None, FACILITY=row["facility"], OBSERVER=row["observer"], ID=row["observation_id"]
    )
    return ",".join([_name(row["target"]), date, magnitude, error, code, "NO", "STD", *["na"] * 7, notes])


def code_of(filter_name: str) -> str:
    """Return AAVSO's code of a filter.

    >>> code_of("V(AAVSO)"), code_of("g(ZTF_DR)")
    ('V', 'O')
    """
    name, survey = parts(filter_name)
    return name if survey == "AAVSO" and name in passbands("AAVSO") and len(name) <= LONGEST_FILTER else OTHER


def _fitting(value: float, width: int, digits: int) -> str:
    """Return a number with as many digits after the point as a field holds."""
    return next(text for places in range(digits, -1, -1) if len(text := f"{value:.{places}f}") <= width or places == 0)


def _name(name: str) -> str:
    if len(name) > LONGEST_NAME or "," in name:
        raise UsageError(f"the AAVSO has no place for the name '{name}'.", "It may have 30 characters, and no comma.")
    return name


def _notes(**facts: str | None) -> str:
    words = "".join(f"|{key}={value.translate(NOTE)}" for key, value in facts.items() if value)
    return f"{words}|" if words else "na"
