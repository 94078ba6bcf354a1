"""Text for SNANA: one object, FLUXCAL with zero point 27.5, MJD (UTC). FLT is survey-passband.

SNANA tells filters by the last letter of FLT: where two would have the same, the later one gets another after a slash, which the head tells.
"""

from __future__ import annotations

from string import ascii_letters, digits
from typing import IO

from harvester.export.content import Census, Content
from harvester.export.sncosmo import without_flux
from harvester.schema import parts

FLUXCAL_OF_UJY = 10 ** (0.4 * (27.5 - 23.9))
COLUMNS = "MJD FLT FLUXCAL FLUXCALERR MAG MAGERR"
MISSING = -999.0
"""What SNANA's own files have where there is no magnitude."""


def write(content: Content, stream: IO[bytes]) -> int:
    """Write the points that have a flux with an error; return their number."""
    census, lines, letters, name = Census(content.form), list[str](), dict[str, str](), "none"
    for batch in content.batches:
        kept = census.keep(batch, *without_flux(batch))
        columns = (kept.column(column).to_pylist() for column in ("mjd_utc", "filter", "flux", "flux_err", "mag", "mag_err"))
        for mjd, label, flux, error, mag, mag_err in zip(*columns, strict=True):
            values = (flux * FLUXCAL_OF_UJY, error * FLUXCAL_OF_UJY, *(MISSING if one is None else one for one in (mag, mag_err)))
            lines.append(f"OBS: {mjd!r} {_flt(label, letters)} {' '.join(map(repr, values))}\n")
        name = batch.column("target")[0].as_py() if batch.num_rows else name
    stream.write(_head(content, name, letters, len(lines)).encode())
    stream.write("".join(lines).encode())
    stream.write(b"END:\n")
    census.tell()
    return len(lines)


def _flt(label: str, letters: dict[str, str]) -> str:
    """Return SNANA's name of a filter; its letter is noted."""
    passband, survey = parts(label)
    if label not in letters:
        letters[label] = next(
            letter for letter in f"{passband[::-1]}{ascii_letters}{digits}" if letter.isalnum() and letter not in letters.values()
        )
    name = f"{survey}-{passband}"
    return name if name.endswith(letters[label]) else f"{name}/{letters[label]}"


def _head(content: Content, name: str, letters: dict[str, str], points: int) -> str:
    target = content.known.targets.get(name)
    surveys = dict.fromkeys(parts(label)[1] for label in letters)
    facts = {
        "SURVEY": "+".join(surveys) or "NONE",
        "SNID": "_".join(name.split()),
        **({"RA": f"{target.ra!r} deg", "DECL": f"{target.dec!r} deg"} if target else {}),
        "FILTERS": "".join(letters.values()) or "none",
    }
    said = {**content.about, **{f"letter {letter}": label for label, letter in letters.items()}}
    about = "".join(f"# {key}: {' '.join(value.split())}\n" for key, value in said.items() if value)
    head = "".join(f"{key}: {value}\n" for key, value in facts.items())
    return f"{head}{about}\nNOBS: {points}\nNVAR: {len(COLUMNS.split())}\nVARLIST: {COLUMNS}\n"
