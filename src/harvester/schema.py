"""The photometry schema, and the one check at its border.

`conform` takes what a source's `normalise` returns and gives rows that the rest of the program trusts, and apart from them the rows that
cannot be trusted at all, each with its reason. Missing is null; there are no sentinels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harvester import brightness
from harvester.errors import Malformed
from harvester.passbands import Passband, passbands
from harvester.times import TimeSystem

SURVEY_COLUMNS = {
    "survey": pa.string(),
    "passband": pa.string(),
    "time": pa.float64(),
    "mag": pa.float64(),
    "mag_err": pa.float64(),
    "flux": pa.float64(),
    "flux_err": pa.float64(),
    "upper_limit": pa.bool_(),
    "limiting_mag": pa.float64(),
    "limit_sigma": pa.float64(),
    "quality": pa.int8(),
    "flags": pa.string(),
    "object_id": pa.string(),
    "observation_id": pa.string(),
    "ra": pa.float64(),
    "dec": pa.float64(),
    "exptime": pa.float64(),
    "facility": pa.string(),
    "observer": pa.string(),
}
"""What `normalise` may return; `survey` only where a source serves several.

Units: time in days as the source declares, magnitudes, flux in uJy, positions in degrees, exptime in seconds."""
REQUIRED = ("passband", "time", "object_id")
IN_FILTER = ("survey", "passband")
SCHEMA = pa.schema([("filter", pa.string()), ("bjd_tdb", pa.float64())] + [(n, t) for n, t in SURVEY_COLUMNS.items() if n not in IN_FILTER])
"""The light curve: `filter` is `passband(survey)`, `bjd_tdb` the full Julian date (days)."""

GOOD, SUSPECT, BAD = 0, 1, 2
SECONDHAND = "history"
"""The second word of an alert's flags where the survey repeats the measurement from memory (rounded): it never replaces what is stored."""
SECONDHAND_FLAGS = rf"^(total|difference) {SECONDHAND}\b"
"""What such flags look like; the word may stand anywhere in what observers write."""
EARLIEST_JD, LATEST_JD = 2_396_758.5, 2_488_069.5
BRIGHTEST, FAINTEST = -30.0, 40.0


@dataclass(frozen=True, slots=True)
class Conformed:
    """`rows` (SCHEMA, `bjd_tdb` still null) that may be trusted, and `rejected` (the survey's columns and `reason`) that may not."""

    rows: pa.Table
    rejected: pa.Table


def label(passband: str, survey: str) -> str:
    """Return the name of a filter: the only place where it is spelled.

    >>> label("g", "ZTF_DR")
    'g(ZTF_DR)'
    """
    return f"{passband}({survey})"


def parts(filter_name: str) -> tuple[str, str]:
    """Return passband and survey of a filter: the inverse of `label`.

    >>> parts("g(ZTF_DR)")
    ('g', 'ZTF_DR')
    """
    passband, _, survey = filter_name.rpartition("(")
    return passband, survey.removesuffix(")")


def conform(
    table: pa.Table, *, survey: str, time_system: TimeSystem, bands: Mapping[str, Passband] | None = None, beside: tuple[str, ...] = ()
) -> Conformed:
    """Check and complete a table that a source returned, all of whose rows are of one survey.

    Casts to the schema's types, turns NaN into null, spells the filter, derives flux (uJy) from magnitude and back by the passband's zero
    point, gives every row an `observation_id`. `bands` are the survey's passbands, those of `passbands.toml` unless given. Raises Malformed
    for a table that is no photometry: unknown, missing or duplicate columns, wrong types. A quality that the source could not tell (null) is
    suspect; a source that grades nothing leaves the column out. Columns `beside` the schema's go along as they are, at the end.
    """
    known = passbands(survey) if bands is None else bands
    typed = _typed(table.drop_columns(list(beside)))
    reasons = _reasons(typed, known, time_system)
    good, bad = pc.is_null(reasons), pc.is_valid(reasons)
    rows, rejected = _complete(typed.filter(good), survey, known), typed.append_column("reason", reasons).filter(bad)
    for name in beside:
        rows, rejected = rows.append_column(name, table[name].filter(good)), rejected.append_column(name, table[name].filter(bad))
    return Conformed(rows, rejected)


def _typed(table: pa.Table) -> pa.Table:
    unknown = [name for name in table.column_names if name not in SURVEY_COLUMNS]
    missing = [name for name in REQUIRED if name not in table.column_names]
    if unknown or missing or len(set(table.column_names)) != table.num_columns:
        raise Malformed(
            f"a source returned no photometry table: unknown columns {unknown}, missing {missing}.", hint="This is a bug of the source."
        )
    columns = {name: _column(table, name, kind) for name, kind in SURVEY_COLUMNS.items()}
    columns["upper_limit"] = pc.fill_null(columns["upper_limit"], False)
    columns["quality"] = pc.fill_null(columns["quality"], SUSPECT if "quality" in table.column_names else GOOD)
    return pa.table(columns)


def _column(table: pa.Table, name: str, kind: pa.DataType) -> pa.ChunkedArray:
    if name not in table.column_names:
        return pa.chunked_array([pa.nulls(table.num_rows, kind)])
    try:
        column = pc.cast(table[name], kind)
    except pa.ArrowInvalid as error:
        raise Malformed(f"column '{name}' cannot be read as {kind}.", str(error)[:150]) from error
    return pc.if_else(pc.is_nan(column), None, column) if pa.types.is_floating(kind) else column


def _reasons(rows: pa.Table, bands: Mapping[str, Passband], time_system: TimeSystem) -> pa.ChunkedArray:
    """Return, per row, why it cannot be trusted; null where it can."""
    known = pa.array(list(bands), pa.string())
    jd = pc.add(rows["time"], time_system.jd_offset)
    needs_exptime = time_system.stamp == "start"
    brightness_given = pc.or_(pc.is_valid(rows["mag"]), pc.is_valid(rows["flux"]))
    floats = [name for name, kind in SURVEY_COLUMNS.items() if pa.types.is_floating(kind)]
    checks: list[tuple[Any, str]] = [
        (pc.invert(pc.is_in(rows["passband"], value_set=known)), "unknown passband"),
        (pc.is_null(rows["object_id"]), "no object id"),
        (pc.is_null(rows["time"]), "no time"),
        (_any([pc.is_inf(rows[name]) for name in floats]), "a number that cannot be read"),
        (pc.invert(_within(jd, EARLIEST_JD, LATEST_JD)), "impossible time"),
        (pc.invert(_within(rows["mag"], BRIGHTEST, FAINTEST)), "impossible magnitude"),
        (pc.invert(_within(rows["limiting_mag"], BRIGHTEST, FAINTEST)), "impossible limiting magnitude"),
        (pc.and_(pc.is_null(rows["exptime"]), needs_exptime), "start of an exposure of unknown length"),
        (_any([pc.less(rows[name], 0.0) for name in ("mag_err", "flux_err", "exptime")]), "negative error or exposure"),
        (pc.invert(_within(pc.cast(rows["quality"], pa.int64()), GOOD, BAD)), "impossible quality"),
        (pc.and_(pc.invert(rows["upper_limit"]), pc.invert(brightness_given)), "neither magnitude nor flux"),
        (pc.and_(rows["upper_limit"], pc.is_null(rows["limiting_mag"])), "upper limit without its magnitude"),
        (pc.and_(rows["upper_limit"], pc.is_valid(rows["mag"])), "upper limit with a magnitude"),
    ]
    reason = pa.chunked_array([pa.nulls(rows.num_rows, pa.string())])
    for wrong, why in reversed(checks):
        reason = pc.if_else(pc.fill_null(wrong, False), why, reason)
    return reason


def _complete(rows: pa.Table, survey: str, bands: Mapping[str, Passband]) -> pa.Table:
    filled = _both_brightnesses(rows, bands)
    names = pc.unique(rows["passband"])
    labels = pa.array([label(name, survey) for name in names.to_pylist()], pa.string())
    columns = {name: filled[name] for name in SURVEY_COLUMNS if name not in IN_FILTER}
    columns["filter"] = pc.take(labels, pc.index_in(rows["passband"], value_set=names))
    columns["bjd_tdb"] = pa.nulls(rows.num_rows, pa.float64())
    if rows["observation_id"].null_count:
        parts = (rows["object_id"], rows["passband"], pc.cast(rows["time"], pa.string()), rows["observer"])
        built = pc.binary_join_element_wise(*parts, ":", null_handling="skip")
        columns["observation_id"] = pc.coalesce(rows["observation_id"], built)
    return pa.table({name: columns[name] for name in SCHEMA.names}, schema=SCHEMA)


def _both_brightnesses(rows: pa.Table, bands: Mapping[str, Passband]) -> pa.Table:
    """Fill flux (uJy) from magnitude, and magnitude from positive flux, per passband; nothing for passbands without a zero point."""
    names = pc.unique(rows["passband"])
    which = pc.index_in(rows["passband"], value_set=names).to_numpy()
    values = {name: _floats(rows[name]) for name in ("mag", "mag_err", "flux", "flux_err")}
    limit = np.asarray(rows["upper_limit"].to_numpy(zero_copy_only=False), bool)
    for index, name in enumerate(names.to_pylist()):
        zero_point = bands[name].zeropoint_jy
        if zero_point is not None:
            _fill((which == index) & ~limit, values, zero_point)
    for name, array in values.items():
        rows = rows.set_column(rows.column_names.index(name), name, pa.array(array, pa.float64(), from_pandas=True))
    return rows


def _fill(here: np.ndarray, values: dict[str, np.ndarray], zero_point_jy: float) -> None:
    mag, mag_err, flux, flux_err = values.values()
    to_flux = here & np.isnan(flux) & ~np.isnan(mag)
    to_mag = here & np.isnan(mag) & (flux > 0)
    faint = here & (flux <= 0)
    mag[faint] = mag_err[faint] = np.nan
    flux[to_flux] = brightness.flux_from_mag(mag[to_flux], zero_point_jy)
    flux_err[to_flux] = brightness.flux_err_from_mag(mag[to_flux], mag_err[to_flux], zero_point_jy)
    mag[to_mag] = brightness.mag_from_flux(flux[to_mag], zero_point_jy)
    mag_err[to_mag] = brightness.mag_err_from_flux(flux[to_mag], flux_err[to_mag])


def _floats(column: pa.ChunkedArray) -> np.ndarray:
    return np.array(column.to_numpy(), np.float64)


def _within(column: Any, low: float, high: float) -> Any:
    return pc.fill_null(pc.and_(pc.greater_equal(column, low), pc.less_equal(column, high)), True)


def _any(conditions: list[Any]) -> Any:
    total = pc.fill_null(conditions[0], False)
    for condition in conditions[1:]:
        total = pc.or_(total, pc.fill_null(condition, False))
    return total
