"""Columns derived row by row: MJD (UTC), errors with a floor, magnitudes of another system, fluxes in another unit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harvester import times
from harvester.brightness import AB_ZEROPOINT_JY, MAG_PER_RELATIVE_FLUX
from harvester.errors import UsageError
from harvester.schema import parts
from harvester.target import moved

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harvester.derive.known import Known
    from harvester.passbands import Passband

    Floats = NDArray[np.float64]

MJD = "mjd_utc"
JD_OF_MJD = 2_400_000.5
J2000_JD, JULIAN_YEAR = 2_451_545.0, 365.25
MAGNITUDES = ("mag", "limiting_mag")
FLUXES = ("flux", "flux_err")


class Unit(NamedTuple):
    """A unit of flux: how it is written in files, and one uJy in it."""

    unit: str
    of_ujy: float


FLUX_UNITS = {
    "uJy": Unit("uJy", 1.0),
    "nJy": Unit("nJy", 1e3),
    "mJy": Unit("mJy", 1e-3),
    "Jy": Unit("Jy", 1e-6),
    "cgs": Unit("erg.s**-1.cm**-2.Hz**-1", 1e-29),
}
"""Units written as VOUnit; cgs is flux density, erg / s / cm2 / Hz."""


def with_mjd(table: pa.Table, known: Known) -> pa.Table:
    """Add `mjd_utc` after `bjd_tdb`: MJD (UTC) of the middle of the exposure at the observatory, where known, else at the geocentre.

    From the survey's own time; from BJD_TDB where its system is not known. Raises UsageError for a target without a position.
    """
    if not table.num_rows or MJD in table.column_names:
        column = table[MJD] if table.num_rows else pa.nulls(0, pa.float64())
        return table if MJD in table.column_names else _inserted(table, column)
    time, bjd, exptime = (floats(table[name]) for name in ("time", "bjd_tdb", "exptime"))
    ra, dec = _directions(table["target"], bjd, known)
    utc = np.full(table.num_rows, np.nan)
    for (source, survey), here in _by_source_and_survey(table):
        system = known.time_system(source, survey)
        if system is None:
            utc[here] = times.to_mjd_utc(bjd[here] - JD_OF_MJD, ra[here], dec[here])
        else:
            utc[here] = times.mjd_utc_mid(
                time[here], system, ra[here], dec[here], exptime=exptime[here] if system.stamp == "start" else None
            )
    return _inserted(table, column_of(utc))


def with_floor(table: pa.Table, floor: Callable[[str], float]) -> pa.Table:
    """Add a floor (mag) to the errors in quadrature: sqrt(mag_err^2 + floor^2); of the flux in the same proportion.

    An error that is missing stays missing: a floor is no error.
    """
    flux, flux_err, mag_err = (floats(table[name]) for name in ("flux", "flux_err", "mag_err"))
    for name, here in by_filter(table):
        if (least := floor(name)) > 0:
            mag_err[here] = np.hypot(mag_err[here], least)
            flux_err[here] = np.hypot(flux_err[here], np.abs(flux[here]) * least / MAG_PER_RELATIVE_FLUX)
    return replaced(table, mag_err=mag_err, flux_err=flux_err)


def in_system(table: pa.Table, system: str, known: Known) -> pa.Table:
    """Return magnitudes and limits in AB or Vega. Raises UsageError for a filter whose zero point in that system nobody knows."""
    values = {name: floats(table[name]) for name in MAGNITUDES}
    for name, here in by_filter(table):
        shift = _shift(name, known.band(name), system)
        for column in values.values():
            column[here] += shift
    return replaced(table, **values)


def in_unit(table: pa.Table, unit: str) -> pa.Table:
    """Return fluxes in one of FLUX_UNITS."""
    return replaced(table, **{name: floats(table[name]) * FLUX_UNITS[unit].of_ujy for name in FLUXES})


def by_filter(table: pa.Table) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield each filter of a table, and which rows are of it."""
    names = pc.unique(table["filter"])
    place = pc.index_in(table["filter"], value_set=names).to_numpy()
    yield from ((name, place == number) for number, name in enumerate(names.to_pylist()))


def floats(column: pa.ChunkedArray) -> Floats:
    """Return a column as an array of its own, NaN for null."""
    return np.array(column.to_numpy(), np.float64)


def column_of(values: Floats) -> pa.Array:
    """Return an array as a column, null for NaN."""
    return pa.array(values, pa.float64(), from_pandas=True)


def replaced(table: pa.Table, **columns: Floats) -> pa.Table:
    """Return a table with other values in some of its columns."""
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), table.schema.field(name), column_of(values))
    return table


def _inserted(table: pa.Table, column: pa.Array) -> pa.Table:
    return table.add_column(table.column_names.index("bjd_tdb") + 1, pa.field(MJD, pa.float64()), column)


def _directions(names: pa.ChunkedArray, bjd: Floats, known: Known) -> tuple[Floats, Floats]:
    """Return where each row's target was at its epoch (degrees)."""
    distinct = pc.unique(names)
    missing = [name for name in distinct.to_pylist() if name not in known.targets]
    if missing:
        raise UsageError(f"no position of '{missing[0]}' is known, and MJD (UTC) depends on it.")
    place = pc.index_in(names, value_set=distinct).to_numpy()
    targets = [known.targets[name] for name in distinct.to_pylist()]
    ra, dec, epoch, pmra, pmdec = (
        np.array([getattr(target, name) for target in targets])[place] for name in ("ra", "dec", "epoch", "pmra", "pmdec")
    )
    if not any(target.speed for target in targets):
        return ra, dec
    years = 2000.0 + (np.where(np.isfinite(bjd), bjd, J2000_JD) - J2000_JD) / JULIAN_YEAR - epoch
    return moved(ra, dec, pmra, pmdec, years=years)


def _by_source_and_survey(table: pa.Table) -> Iterator[tuple[tuple[str, str], NDArray[np.bool_]]]:
    sources = pc.unique(table["source"])
    source = pc.index_in(table["source"], value_set=sources).to_numpy()
    for name, here in by_filter(table):
        for number in np.unique(source[here]):
            yield (sources[int(number)].as_py(), parts(name)[1]), here & (source == number)


def _shift(name: str, band: Passband | None, system: str) -> float:
    """Return what to add to magnitudes of a filter to have them in a system."""
    own = band.zeropoint_jy if band else None
    wanted = AB_ZEROPOINT_JY if system == "AB" else (band.vega_zeropoint_jy if band else None)
    if band is not None and band.system == system:
        return 0.0
    if own is None or wanted is None:
        raise UsageError(
            f"magnitudes of {name} cannot be given in {system}.", "Their zero point is not known.", "Leave that filter out, or --system."
        )
    return 2.5 * math.log10(wanted / own)
