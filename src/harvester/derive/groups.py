"""Columns derived from whole series, the rows of one target in one filter: outliers flagged, and nights binned."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harvester.brightness import mag_err_from_flux, mag_from_flux
from harvester.derive.columns import MJD, by_filter, column_of, floats
from harvester.ephemeris import sites
from harvester.schema import BAD, parts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harvester.derive.known import Known

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]
    Places = NDArray[np.int64]

CLIPPED, POINTS = "clipped", "points"
SIGMA_OF_MAD = 1.482602218505602
"""The standard deviation of a normal distribution, in median absolute deviations."""
MOST_ROUNDS = 10
FULL_CIRCLE = 360.0
ONE_OF_THEM = ("object_id", "facility", "observer", "source", "ra", "dec")
"""Columns that a bin keeps where all its points agree."""
MEANS = ("time", "bjd_tdb", MJD)


def clipped(table: pa.Table, sigma: float) -> pa.Table:
    """Add `clipped`: whether a detection lies more than `sigma` robust standard deviations off the median of its target and filter.

    The spread is 1.4826 times the median absolute deviation; what is off is left out and the rest is looked at again, until nothing changes.
    In flux where all detections have one, else in magnitudes. Bad points and limits take no part and are not flagged. Nothing is removed.
    """
    rows = _Rows(table)
    flag = np.zeros(table.num_rows, bool)
    order = np.argsort(rows.series, kind="stable")
    order = order[rows.detected[order]]
    for here in np.split(order, np.flatnonzero(np.diff(rows.series[order])) + 1):
        flag[here] = _outlying(rows.values[here], sigma)
    return table.append_column(pa.field(CLIPPED, pa.bool_()), pa.array(flag))


def nights(table: pa.Table, known: Known) -> pa.Table:
    """Return a row for each target, filter and night that has points, by target, filter and night; told by the column `mjd_utc`.

    Times and brightness are means weighted by the inverse variance of the flux, or of the magnitude where a series has no flux; without any
    errors plain means, with the error of the mean from the scatter. A point without an error weighs nothing beside one that has an error. A
    night of limits alone is its deepest limit; beside a detection limits are dropped. Bad points and clipped ones take no part. `points` is
    how many were used, `exptime` their sum.
    """
    bins = _Bins(_Rows(table), _nights(table, known))
    return bins.table(table, _zeropoints(table, known)[bins.first])


@dataclass
class _Rows:
    """The rows of a table as arrays: which series they are of, which of them count, how bright they are."""

    source: pa.Table

    @cached_property
    def series(self) -> Places:
        """A number for each target and filter, in their order."""
        codes = [pc.index_in(self.source[name], value_set=pc.unique(self.source[name])).to_numpy() for name in ("target", "filter")]
        return np.asarray(codes[0].astype(np.int64) * (int(codes[1].max(initial=0)) + 1) + codes[1])

    @cached_property
    def limit(self) -> Flags:
        """Upper limits that count."""
        return _bools(self.source["upper_limit"]) & self._trusted

    @cached_property
    def detected(self) -> Flags:
        """Detections that count, with a brightness."""
        return self._detected & np.isfinite(self.values)

    @cached_property
    def linear(self) -> Flags:
        """Whether a row is of a series whose detections all have a flux."""
        dark = self._detected & ~np.isfinite(floats(self.source["flux"]))
        return ~np.isin(self.series, np.unique(self.series[dark]))

    @cached_property
    def values(self) -> Floats:
        """Flux, or magnitude where a series has no flux."""
        return np.where(self.linear, floats(self.source["flux"]), floats(self.source["mag"]))

    @cached_property
    def errors(self) -> Floats:
        """The errors of `values`."""
        return np.where(self.linear, floats(self.source["flux_err"]), floats(self.source["mag_err"]))

    @cached_property
    def _trusted(self) -> Flags:
        good = np.asarray(self.source["quality"].to_numpy() < BAD)
        return good & ~_bools(self.source[CLIPPED]) if CLIPPED in self.source.column_names else good

    @cached_property
    def _detected(self) -> Flags:
        return ~_bools(self.source["upper_limit"]) & self._trusted


class _Bins:
    """Rows that count, sorted into bins of one series and night: `rows` in that order, `bin` of each, the `first` row of every bin."""

    def __init__(self, of: _Rows, night: Floats) -> None:
        self._of = of
        rows = np.flatnonzero((of.detected | of.limit) & np.isfinite(night))
        rows = rows[np.lexsort((night[rows], of.series[rows]))]
        new = (np.diff(of.series[rows], prepend=-1) != 0) | (np.diff(night[rows], prepend=np.nan) != 0)
        number = np.cumsum(new) - 1
        keep = self._counted(rows, number)
        self.rows, self.bin = rows[keep], number[keep]
        starts = np.flatnonzero(np.diff(self.bin, prepend=-1) != 0)
        self.size, self.starts, self.first = len(starts), starts, self.rows[starts]
        self.points = np.bincount(self.bin, minlength=self.size)
        errors = of.errors[self.rows]
        self.sure = np.isfinite(errors) & (errors > 0)
        self.weights = np.where(self.sure, np.where(self.sure, errors, 1.0) ** -2.0, 1.0)
        self.night = night[self.first]

    def _counted(self, rows: Places, number: Places) -> Flags:
        """Return which rows a bin uses: detections, those with an error if there are any; else its deepest limit."""
        of, bins = self._of, int(number.max(initial=-1)) + 1
        detected = of.detected[rows]
        sure = detected & np.isfinite(of.errors[rows]) & (of.errors[rows] > 0)
        has_detection, has_error = (np.bincount(number[part], minlength=bins) > 0 for part in (detected, sure))
        deep = np.where(detected, -np.inf, floats(of.source["limiting_mag"])[rows])
        order = np.lexsort((np.arange(len(rows)), -deep, number))
        deepest = np.zeros(len(rows), bool)
        deepest[order[np.flatnonzero(np.diff(number[order], prepend=-1) != 0)]] = True
        return np.where(has_detection[number], np.where(has_error[number], sure, detected), deepest)

    def total(self, values: Floats) -> Floats:
        """Return the sum over each bin."""
        return np.bincount(self.bin, weights=values.astype(np.float64), minlength=self.size).astype(np.float64)

    def mean(self, values: Floats) -> Floats:
        """Return the weighted mean of a column of all rows in each bin; relative to its first value, so that a Julian date keeps its digits."""
        first = values[self.first]
        return first + self.total((values[self.rows] - first[self.bin]) * self.weights) / self.total(self.weights)

    def agreed(self, column: pa.ChunkedArray) -> pa.Array:
        """Return the value of each bin where all its rows have the same, null elsewhere."""
        distinct = pc.unique(column)
        code = pc.index_in(column, value_set=distinct).to_numpy()
        differs = self.total((code[self.rows] != code[self.first][self.bin]).astype(np.float64)) > 0
        return distinct.take(pa.array(code[self.first], mask=differs))

    def brightness(self) -> tuple[Floats, Floats]:
        """Return mean and error of the values of each bin; NaN for a limit."""
        values = self._of.values
        limit = self._of.limit[self.first]
        mean = np.where(limit, np.nan, self.mean(values))
        with np.errstate(divide="ignore", invalid="ignore"):
            scatter = self.total((values[self.rows] - mean[self.bin]) ** 2) / (self.points - 1) / self.points
            error = np.where(self.total(self.sure.astype(np.float64)) > 0, self.total(self.weights) ** -0.5, np.sqrt(scatter))
        return mean, np.where(limit | ~np.isfinite(error), np.nan, error)

    def table(self, table: pa.Table, zeropoint_jy: Floats) -> pa.Table:
        """Return a row for each bin, with the columns of a table and `points`."""
        columns = {name: table[name].take(pa.array(self.first)).combine_chunks() for name in table.column_names}
        columns |= {name: column_of(self.mean(floats(table[name]))) for name in MEANS}
        columns |= {name: self.agreed(table[name]) for name in ONE_OF_THEM} | self._brightness_columns(zeropoint_jy)
        limit = self._of.limit[self.first]
        for name in ("limiting_mag", "limit_sigma"):
            columns[name] = column_of(np.where(limit, floats(table[name])[self.first], np.nan))
        quality = table["quality"].to_numpy()[self.rows]
        columns |= {
            "quality": pa.array(np.maximum.reduceat(quality, self.starts) if self.size else quality, pa.int8()),
            "exptime": column_of(self.total(floats(table["exptime"])[self.rows])),
            "flags": pa.nulls(self.size, pa.string()),
            "observation_id": pa.array([f"night {int(number)}" for number in self.night], pa.string()),
            POINTS: pa.array(self.points, pa.int32()),
        }
        return pa.table({name: columns[name] for name in [*table.column_names, POINTS]})

    def _brightness_columns(self, zeropoint_jy: Floats) -> dict[str, pa.Array]:
        """Return flux and magnitude of each bin, each from the other where its filter has a zero point."""
        (mean, error), linear = self.brightness(), self._of.linear[self.first]
        flux, flux_err = (np.where(linear, values, np.nan) for values in (mean, error))
        with np.errstate(invalid="ignore"):
            mag = np.where(linear, mag_from_flux(flux, 1.0) + 2.5 * np.log10(zeropoint_jy), mean)
            mag_err = np.where(linear, mag_err_from_flux(flux, flux_err), error)
        mag_err = np.where(np.isfinite(mag), mag_err, np.nan)
        return {"flux": column_of(flux), "flux_err": column_of(flux_err), "mag": column_of(mag), "mag_err": column_of(mag_err)}


def _nights(table: pa.Table, known: Known) -> Floats:
    """Return the MJD on whose evening each night began, by local mean solar time at the survey's site; at Greenwich where it has none."""
    mjd, east = floats(table[MJD]), np.zeros(table.num_rows)
    source = table["source"].to_numpy(zero_copy_only=False)
    for name, here in by_filter(table):
        for served_by in set(source[here]):
            system = known.time_system(served_by, parts(name)[1])
            if system and system.site:
                east[here & (source == served_by)] = float(sites()[system.site]["longitude"]) / FULL_CIRCLE
    return np.floor(mjd + east - 0.5)


def _zeropoints(table: pa.Table, known: Known) -> Floats:
    """Return the zero point (Jy) of each row's filter, NaN where it has none."""
    found = np.full(table.num_rows, np.nan)
    for name, here in by_filter(table):
        band = known.band(name)
        if band is not None and band.zeropoint_jy is not None:
            found[here] = band.zeropoint_jy
    return found


def _outlying(values: Floats, sigma: float) -> Flags:
    kept = np.ones(len(values), bool)
    for _ in range(MOST_ROUNDS):
        off = np.abs(values - np.median(values[kept])) if kept.any() else np.zeros(len(values))
        still = off <= sigma * SIGMA_OF_MAD * np.median(off[kept]) if kept.any() else kept
        if not still.any() or np.array_equal(still, kept):
            break
        kept = still
    return ~kept


def _bools(column: pa.ChunkedArray) -> Flags:
    return np.asarray(column.to_numpy(zero_copy_only=False), bool)
