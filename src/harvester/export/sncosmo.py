"""A table for sncosmo: time band flux fluxerr zp zpsys. Flux is in uJy, so zp is 23.9 in AB whatever the survey's own magnitudes are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc

from harvester.export.content import Census, Content
from harvester.schema import parts

ZEROPOINT, SYSTEM = "23.9", "ab"
LETTERS = {"ZTF": "ztf{}", "LSST": "lsst{}", "ATLAS": "atlas{}", "PS1": "ps1::{}", "SDSS": "sdss{}"}
"""How sncosmo spells the passbands of surveys whose names it shares."""
OF_SURVEY = {"ZTF_DR": "ZTF", "ZTF_FP": "ZTF", "LSST_FP": "LSST"}
BANDS = {("ATLAS", "c"), ("ATLAS", "o")} | {("ZTF", band) for band in "gri"} | {("LSST", band) for band in "ugrizy"}
BANDS |= {("PS1", band) for band in "grizy"} | {("SDSS", band) for band in "ugriz"}
OTHERS = {"GAIA_DR3": {"G": "gaia::g", "BP": "gaia::gbp", "RP": "gaia::grp"}, "GAIA_ALERTS": {"G": "gaia::g"}, "TESS": {"T": "tess"}}
JOHNSON = {"U": "bessellux", "B": "bessellb", "V": "bessellv", "R": "bessellr", "I": "besselli"}
OTHERS |= dict.fromkeys(("AAVSO", "CPCS"), JOHNSON)


def write(content: Content, stream: IO[bytes]) -> int:
    """Write the points that have a flux with an error; return their number."""
    points, census = 0, Census(content.form)
    stream.write("".join(f"@{key.replace(':', '_')} {value}\n" for key, value in _facts(content)).encode())
    stream.write(b"time band flux fluxerr zp zpsys\n")
    for batch in content.batches:
        kept = census.keep(batch, *without_flux(batch))
        rows = zip(*(kept.column(name).to_pylist() for name in (content.time_column, "filter", "flux", "flux_err")), strict=True)
        lines = [f"{time!r} {band_of(name)} {flux!r} {error!r} {ZEROPOINT} {SYSTEM}\n" for time, name, flux, error in rows]
        stream.write("".join(lines).encode())
        points += kept.num_rows
    census.tell()
    return points


def without_flux(batch: pa.RecordBatch) -> list[tuple[str, pa.Array]]:
    """Return which rows have no flux, or no error of it, by reason."""
    limit, none = batch.column("upper_limit"), pc.is_null(batch.column("flux"))
    return [
        ("limits without a flux", pc.and_(limit, none)),
        ("without a flux", none),
        ("without an error", pc.is_null(batch.column("flux_err"))),
    ]


def band_of(filter_name: str) -> str:
    """Return sncosmo's name of a filter; the filter's own where sncosmo has none, for the user to register.

    >>> band_of("g(ZTF_DR)"), band_of("G(GAIA_DR3)"), band_of("t(ATLAS)")
    ('ztfg', 'gaia::g', 't(ATLAS)')
    """
    name, survey = parts(filter_name)
    survey = OF_SURVEY.get(survey, survey)
    if (survey, name) in BANDS:
        return LETTERS[survey].format(name)
    return OTHERS.get(survey, {}).get(name, filter_name.replace(" ", "_"))


def _facts(content: Content) -> Iterable[tuple[str, str]]:
    yield "time_column", content.time_column
    for key, value in content.about.items():
        if value:
            yield key, " ".join(value.split())
