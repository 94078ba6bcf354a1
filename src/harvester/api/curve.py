"""A light curve in the hands of a user: Arrow, and from it pandas, astropy and lightkurve, with units, time scale and origin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harvester.errors import ExportError, StoreError, UsageError
from harvester.light_curves import about
from harvester.store.read import Cut

if TYPE_CHECKING:
    from astropy.table import Table
    from astropy.timeseries import TimeSeries
    from pandas import DataFrame

    from harvester.store import Store
    from harvester.target import Target


@dataclass(frozen=True, eq=False)
class LightCurve:
    """The points of one target, by filter and time: `table` has the columns of every light curve (see README), missing is null.

    `about` says what the data are: real or simulated, of which store, run and version. Anything that speaks Arrow takes it as it is
    (`polars.DataFrame(light_curve)`, `pyarrow.table(light_curve)`).
    """

    target: Target
    table: pa.Table
    about: Mapping[str, str]

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __repr__(self) -> str:
        kind = ", simulated" if self.about.get("data") == "simulated" else ""
        return f"LightCurve({self.target.name!r}, {len(self)} points, {' '.join(self.filters) or 'no filter'}{kind})"

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Hand the table over, without a copy."""
        return self.table.__arrow_c_stream__(requested_schema)

    @property
    def filters(self) -> tuple[str, ...]:
        """The filters that have points, in alphabetical order."""
        return tuple(sorted(pc.unique(self.table["filter"]).to_pylist()))

    def in_filter(self, name: str) -> LightCurve:
        """Return the points of one filter. Raises UsageError where there are none."""
        if name not in self.filters:
            raise UsageError(f"no point in '{name}'.", hint=f"There are: {', '.join(self.filters) or 'none'}.")
        return LightCurve(self.target, self.table.filter(pc.equal(self.table["filter"], name)), self.about)

    def to_arrow(self) -> pa.Table:
        """Return the table, with `about` as its metadata."""
        return self.table.replace_schema_metadata(dict(self.about))

    def to_pandas(self) -> DataFrame:
        """Return a data frame; missing numbers are NaN, `about` is in its `attrs`."""
        frame = self.table.to_pandas()
        frame.attrs.update(self.about)
        return frame

    def to_astropy(self) -> Table:
        """Return an astropy Table with units and descriptions; what is missing is masked, `about` and the target are in its `meta`."""
        from astropy.table import Column, MaskedColumn, Table

        from harvester.export.columns import COLUMNS

        table = Table(meta={**self.about, "target": self.target.name, "ra": self.target.ra, "dec": self.target.dec})
        for name in self.table.column_names:
            values, missing = _array(self.table[name])
            said = {"name": name, "unit": COLUMNS[name].unit or None, "description": COLUMNS[name].description}
            table.add_column(MaskedColumn(values, mask=missing, **said) if missing.any() else Column(values, **said))
        return table

    def to_timeseries(self) -> TimeSeries:
        """Return an astropy TimeSeries in time order: `time` is BJD in TDB. A point without a BJD has no place in it and stays out."""
        from astropy.time import Time
        from astropy.timeseries import TimeSeries

        timed = self.table.filter(pc.is_valid(self.table["bjd_tdb"])).sort_by("bjd_tdb")
        table = LightCurve(self.target, timed, self.about).to_astropy()
        times = Time(np.asarray(table["bjd_tdb"]), format="jd", scale="tdb")
        table.rename_column("time", "survey_time")
        table.remove_column("bjd_tdb")
        return TimeSeries(data=table, time=times)

    def to_lightkurve(self, filter_name: str = "") -> Any:  # it ships no types, and need not be installed
        """Return a lightkurve.LightCurve of one filter, flux in uJy; points without flux or time stay out.

        Raises UsageError where no filter is named and there are several, ExportError where no point has a flux, or lightkurve is not installed.
        """
        one = self.in_filter(filter_name or self._only_filter())
        points = one.table.filter(pc.and_(pc.is_valid(one.table["bjd_tdb"]), pc.is_valid(one.table["flux"]))).sort_by("bjd_tdb")
        if not points.num_rows:
            raise ExportError(f"no point of '{self.target.name}' in {one.filters[0]} has a flux.", hint="Magnitudes: to_timeseries()")
        try:
            made = import_module("lightkurve").LightCurve
        except ImportError as error:
            raise ExportError("lightkurve cannot be imported.", str(error), "Install it: pip install lightkurve") from error
        from astropy import units
        from astropy.time import Time

        time, flux, flux_err = (points[name].to_numpy() for name in ("bjd_tdb", "flux", "flux_err"))
        meta = {**self.about, "LABEL": self.target.name, "RA": self.target.ra, "DEC": self.target.dec, "FILTER": one.filters[0]}
        return made(time=Time(time, format="jd", scale="tdb"), flux=flux * units.uJy, flux_err=flux_err * units.uJy, meta=meta)

    def _only_filter(self) -> str:
        if len(self.filters) != 1:
            raise UsageError("a lightkurve light curve is of one filter.", f"There are: {', '.join(self.filters) or 'none'}.")
        return self.filters[0]


def light_curve(
    store: Store,
    target: str,
    *,
    filters: Sequence[str] | None = None,
    sources: Sequence[str] | None = None,
    since: float | None = None,
    until: float | None = None,
    quality: str = "good",
) -> LightCurve:
    """Return the light curve of a target, named as in the store or by an alias; `since` and `until` are MJD (UTC), `quality` the worst to let
    through: good, suspect or all. Raises StoreError for a target that the store does not have.

    >>> import harvester
    >>> with harvester.open("harvest.db", emulate=True) as store:
    ...     outcomes = harvester.fetch(store, ["gaia_dr3"], ["RR Lyr"])
    ...     found = harvester.light_curve(store, "RR Lyr", filters=["G(GAIA_DR3)"])
    >>> found.filters, list(found.to_pandas().columns[:6])
    (('G(GAIA_DR3)',), ['target', 'filter', 'time', 'bjd_tdb', 'mag', 'mag_err'])
    >>> found.to_timeseries()["mag"].unit, found.to_timeseries().time.scale
    (Unit("mag"), 'tdb')
    """  # noqa: D205 - one sentence says it
    known = store.target(target)
    if known is None:
        raise StoreError(f"no target '{target}' in the store.", hint=f"Get it first: harvester.fetch(store, None, ['{target}'])")
    return LightCurve(known, store.light_curve(known.name, Cut(filters, since, until, quality, sources)), about(store))


def _array(column: pa.ChunkedArray) -> tuple[Any, Any]:
    """Return the values of a column, and which are missing; in the place of those stands a zero or nothing."""
    missing = pc.is_null(column).to_numpy()
    if pa.types.is_string(column.type):
        return np.array(pc.fill_null(column, "").to_pylist(), np.str_), missing
    filled = pc.fill_null(column, pa.scalar(0).cast(column.type)) if missing.any() else column
    return filled.to_numpy(), missing
