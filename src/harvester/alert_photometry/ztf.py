"""ZTF: alerts, limits and forced photometry of difference images, and the total magnitude where it can be made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harvester.alert_photometry.records import DETECTED, beside, column, epoch_ids, flags, floats, nullable, word
from harvester.brightness import AB_ZEROPOINT_JY as AB
from harvester.brightness import (
    flux_err_from_mag,
    flux_from_mag,
    limit_from_flux_err,
    mag_err_from_flux,
    mag_from_flux,
    total_from_difference,
)
from harvester.payload import constant, mapped, number, numpy, text, truth

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Truths = NDArray[np.bool_]

FIDS = {"1": "g", "2": "r", "3": "i"}
SIGNS = dict.fromkeys(("t", "1", "True", "true", "1.0"), "1") | dict.fromkeys(("f", "0", "-1", "False", "false", "-1.0", "0.0"), "-1")
MATCH_PX = 1.4
LIMIT_SIGMA, BRIGHTEST_LIMIT, FAINTEST_LIMIT = 5.0, 10.0, 25.0
EXPTIME_S = 30.0
NO_CANDID = "-1"
"""Of the public survey, for roads that do not tell."""
MISSING_FLUX, MISSING_MAG = -99_999.0, 99.0
CUTS: Mapping[str, Callable[[Floats], Truths]] = {
    "nbad": lambda pixels: pixels == 0,
    "fwhm": lambda pixels: pixels <= 5,
    "elong": lambda ratio: ratio <= 1.2,
    "magdiff": lambda mag: np.abs(mag) <= 0.1,
}
"""ZTF's own advice for clean detections, with rb >= 0.65."""
LEAST_RB, LEAST_DRB = 0.65, 0.5
FORCED_GOOD, FORCED_DOUBTS = {"0"}, {"0", "56", "57"}
"""Words of procstatus: there may be several, with commas between; of any other the measurement failed."""
FORCED_TOLD = ("procstatus", "isdiffpos", "magpsf", "sigmapsf", "magnr", "distnr")
TOLD = ("tag", "isdiffpos", "magpsf", "sigmapsf", "magnr", "distnr", "rb", "drb", "nbad")


def ztf_total(magpsf: ArrayLike, sigmapsf: ArrayLike, sign: ArrayLike, *, magnr: ArrayLike, distnr: ArrayLike) -> tuple[Floats, Floats]:
    """Return total magnitudes and their errors; NaN where the reference's source is not known, is not the object, or outweighs the sum.

    The error is the difference's alone, relative to the total: the reference's is common to all points of a light curve in one field.

    >>> [column.round(4).tolist() for column in ztf_total([18.770634], [0.19861613], [-1], magnr=[15.4490], distnr=[0.82])]
    [[15.5012], [0.0098]]
    """
    reference, distance = np.asarray(magnr, np.float64), np.asarray(distnr, np.float64)
    near = (reference > 0) & (distance >= 0) & (distance < MATCH_PX)
    total = total_from_difference(flux_from_mag(magpsf, AB), np.where(near, flux_from_mag(reference, AB), np.nan), sign=sign)
    return mag_from_flux(total, AB), mag_err_from_flux(total, flux_err_from_mag(magpsf, sigmapsf, AB))


def ztf_alerts(detections: pa.Table, limits: pa.Table | None = None) -> pa.Table:
    """Return rows of ZTF: detections by candid (where a road has lost it, by object and second), limits by object and second.

    `detections` has object_id, mjd, fid, candid, isdiffpos, magpsf, sigmapsf; `limits` object_id, mjd, fid, diffmaglim; the rest is taken
    where it is there (`total` is the magnitude that a road made itself, `history` true for a measurement repeated from memory). A total among
    differences, or the other way round, as told by the object's first detection, is suspect: the two do not belong into one light curve. So is a
    limit of the difference among totals.
    """
    rows, totals = _ztf(detections, "ZTF")
    candid = text(detections["candid"])
    rows = rows.append_column("observation_id", pc.coalesce(pc.if_else(pc.equal(candid, NO_CANDID), None, candid), epoch_ids(detections)))
    mixed, first = _mixed(detections, totals)
    dubious = mixed | (~totals & (_sign(detections) < 0)) | np.asarray(truth(column(detections, "dubious")), bool)
    quality = np.where(dubious | ~_clean(detections), 1, 0)
    told = flags(detections, totals, TOLD, mixed, history=_history(detections))
    rows = rows.append_column("quality", pa.array(quality, pa.int8())).append_column("flags", told)
    return rows if limits is None or not limits.num_rows else pa.concat_tables([rows, _limits(limits, first)], promote_options="default")


def ztf_forced(measured: pa.Table) -> pa.Table:
    """Return rows of ZTF_FP: forced photometry on the difference images, by object and second.

    `measured` has object_id, mjd, fid, and either magpsf, sigmapsf, isdiffpos or forcediffimflux, forcediffimfluxunc (counts), magzpsci. The
    depth is five times the error, whatever the flux; flux that is not significant is a limit. Exposures that could not be measured (-99999, 100)
    are no rows. Suspect is a difference among an object's totals, and what is said to stand on the reference image of another filter: ALeRCE has
    given all filters the reference of the alert that brought them (`rfid`), and made its totals with it.
    """
    measured = _with_magnitudes(measured)
    rows, totals = _ztf(measured, "ZTF_FP")
    told = "procstatus" in measured.column_names
    grades = _grades(column(measured, "procstatus")) if told else np.zeros(measured.num_rows, np.int8)
    strange, names = _of_another_filter(measured), text(measured["object_id"])
    mixed = ~totals & np.asarray(pc.is_in(names, value_set=pc.unique(names.filter(pa.array(totals)))), bool)
    quality = np.maximum(grades, mixed | strange)
    depth = limit_from_flux_err(LIMIT_SIGMA, flux_err_from_mag(_magnitudes(measured, "magpsf"), _magnitudes(measured, "sigmapsf"), AB), AB)
    for name, values in (("limiting_mag", nullable(depth)), ("limit_sigma", nullable(np.where(np.isfinite(depth), LIMIT_SIGMA, np.nan)))):
        rows = rows.set_column(rows.column_names.index(name), name, values)
    rows = rows.append_column("observation_id", epoch_ids(measured)).append_column("quality", pa.array(quality, pa.int8()))
    said = flags(measured, totals, FORCED_TOLD, mixed, words={"foreign_reference": strange}, history=_history(measured))
    rows = _with_insignificant(rows.append_column("flags", said))
    return rows.filter(pc.or_(pc.is_valid(rows["mag"]), pc.is_valid(rows["flux"])))


def _ztf(measured: pa.Table, survey: str) -> tuple[pa.Table, Truths]:
    """Return the columns that alerts and forced photometry share, and which of the rows are totals."""
    magpsf, sigmapsf, sign = _magnitudes(measured, "magpsf"), _magnitudes(measured, "sigmapsf"), _sign(measured)
    given = _magnitudes(measured, "total")
    made = np.asarray(truth(column(measured, "corrected"))) & np.isfinite(given)
    known = np.where(np.isfinite(sign), sign, 1.0)
    total, total_err = ztf_total(magpsf, sigmapsf, known, magnr=floats(measured, "magnr"), distnr=floats(measured, "distnr"))
    ratio = flux_from_mag(magpsf, AB) / flux_from_mag(given, AB)
    total, total_err = np.where(made, given, total), np.where(made, sigmapsf * ratio, total_err)
    totals = np.isfinite(total)
    faded = ~totals & (sign < 0)
    mag = np.where(np.isfinite(sign) | np.isnan(magpsf), np.where(totals, total, np.where(faded, np.nan, magpsf)), np.inf)
    depth = floats(measured, "diffmaglim")
    depth = np.where((depth >= BRIGHTEST_LIMIT) & (depth <= FAINTEST_LIMIT), depth, np.nan)
    columns = {
        "survey": constant(survey, measured.num_rows),
        "passband": mapped(measured["fid"], FIDS),
        "time": number(measured["mjd"]),
        "exptime": _exptime(measured),
        "mag": nullable(mag),
        "mag_err": nullable(np.where(totals, total_err, np.where(faded, np.nan, sigmapsf))),
        "flux": nullable(np.where(faded, -flux_from_mag(magpsf, AB), np.nan)),
        "flux_err": nullable(np.where(faded, flux_err_from_mag(magpsf, sigmapsf, AB), np.nan)),
        "limiting_mag": nullable(depth),
        "limit_sigma": nullable(np.where(np.isfinite(depth), LIMIT_SIGMA, np.nan)),
        "object_id": text(measured["object_id"]),
        "ra": number(column(measured, "ra")),
        "dec": number(column(measured, "dec")),
    }
    return pa.table(columns | beside(measured)), totals


def _limits(limits: pa.Table, first: Mapping[str | None, bool]) -> pa.Table:
    depth = floats(limits, "diffmaglim")
    absurd = np.isfinite(depth) & ((depth < BRIGHTEST_LIMIT) | (depth > FAINTEST_LIMIT))
    totals = [name for name, total in first.items() if total]
    of_totals = np.asarray(pc.is_in(text(limits["object_id"]), value_set=pa.array(totals, pa.string())), bool)
    columns = {
        "survey": constant("ZTF", limits.num_rows),
        "passband": mapped(limits["fid"], FIDS),
        "time": number(limits["mjd"]),
        "exptime": _exptime(limits),
        "upper_limit": constant(True, limits.num_rows),
        "limiting_mag": nullable(depth),
        "limit_sigma": constant(LIMIT_SIGMA, limits.num_rows),
        "quality": pa.array(np.where(absurd, 2, np.where(of_totals, 1, 0)), pa.int8()),
        "flags": flags(limits, np.zeros(limits.num_rows, bool), (), history=_history(limits)),
        "object_id": text(limits["object_id"]),
        "observation_id": epoch_ids(limits),
    }
    return pa.table(columns | beside(limits))


def _of_another_filter(measured: pa.Table) -> Truths:
    """Return which rows name a reference image of another filter: a digit of its number tells (531120230: field 531, filter 2, quadrant 30)."""
    digits = pc.utf8_slice_codeunits(column(measured, "rfid"), -3, -2)
    return np.asarray(pc.fill_null(pc.not_equal(mapped(digits, FIDS), mapped(measured["fid"], FIDS)), False), bool)


def _with_insignificant(rows: pa.Table) -> pa.Table:
    """Return forced photometry whose insignificant rows are limits, without a magnitude and with their signed flux."""
    mag, mag_err, flux, flux_err = (numpy(rows[name]) for name in ("mag", "mag_err", "flux", "flux_err"))
    signed, error = (
        np.where(np.isnan(flux), flux_from_mag(mag, AB), flux),
        np.where(np.isnan(flux), flux_err_from_mag(mag, mag_err, AB), flux_err),
    )
    limit = ~np.isinf(mag) & (signed <= DETECTED * error) & np.asarray(pc.is_valid(rows["limiting_mag"]))
    told = {"mag": np.where(limit, np.nan, mag), "mag_err": np.where(limit, np.nan, mag_err)}
    told |= {"flux": np.where(limit, signed, flux), "flux_err": np.where(limit, error, flux_err)}
    for name, values in told.items():
        rows = rows.set_column(rows.column_names.index(name), name, nullable(values))
    return rows.append_column("upper_limit", pa.array(limit))


def _with_magnitudes(measured: pa.Table) -> pa.Table:
    """Return forced photometry with magpsf, sigmapsf and isdiffpos made from its counts, where it has those."""
    if "forcediffimflux" not in measured.column_names or not np.isfinite(floats(measured, "forcediffimflux")).any():
        return measured
    counts, errors, zero = (floats(measured, name) for name in ("forcediffimflux", "forcediffimfluxunc", "magzpsci"))
    counts = np.where((errors > 0) & (counts != MISSING_FLUX), counts, np.nan)  # a bright star may well lose more than 99,999 counts
    size = np.where(counts == 0, np.nan, np.abs(counts))
    made = {"magpsf": zero - 2.5 * np.log10(size), "sigmapsf": mag_err_from_flux(size, errors), "isdiffpos": np.sign(counts)}
    kept = measured.drop_columns([name for name in made if name in measured.column_names])
    typed = pa.types.is_floating(measured["forcediffimflux"].type)
    words = {name: nullable(values) if typed else pa.array(map(word, values.tolist()), pa.string()) for name, values in made.items()}
    return pa.table({name: kept[name] for name in kept.column_names} | words)


def _mixed(detections: pa.Table, totals: Truths) -> tuple[Truths, dict[str | None, bool]]:
    """Return which detections are of another sort than the first of their object, and of each object whether that is a total."""
    order = np.argsort(floats(detections, "mjd"), kind="stable")[::-1]
    names = text(detections["object_id"]).combine_chunks().dictionary_encode(null_encoding="encode")
    codes = names.indices.to_numpy()
    first = np.zeros(len(names.dictionary), bool)
    first[codes[order]] = totals[order]
    return first[codes] != totals, dict(zip(names.dictionary.to_pylist(), first.tolist(), strict=True))


def _clean(detections: pa.Table) -> Truths:
    """Return which detections pass every cut whose column is there; without rb, drb tells, and without both nobody does."""
    rb, drb = floats(detections, "rb"), floats(detections, "drb")
    good = np.where(np.isfinite(rb), rb >= LEAST_RB, drb >= LEAST_DRB)
    for name, passes in CUTS.items():
        value = floats(detections, name)
        good &= passes(value) | np.isnan(value)
    return good


def _sign(measured: pa.Table) -> Floats:
    """Return +1 or -1; NaN for a word that nobody documents."""
    sign = number(mapped(column(measured, "isdiffpos"), SIGNS))
    values = numpy(sign)
    return np.where(np.abs(values) == 1, values, np.nan)


def _history(measured: pa.Table) -> Truths:
    return np.asarray(truth(column(measured, "history")), bool)


def _grades(statuses: pa.ChunkedArray) -> NDArray[np.int8]:
    coded = statuses.combine_chunks().dictionary_encode(null_encoding="encode")
    grades: NDArray[np.int8] = np.array([_grade(status) for status in coded.dictionary.to_pylist()], np.int8)[coded.indices.to_numpy()]
    return grades


def _grade(status: str | None) -> int:
    words = {word.strip() for word in (status or "").split(",")}
    if status is None:
        return 1
    return 0 if words <= FORCED_GOOD else 1 if words <= FORCED_DOUBTS else 2


def _exptime(measured: pa.Table) -> Any:
    return pc.fill_null(number(column(measured, "exptime")), EXPTIME_S)


def _magnitudes(rows: pa.Table, name: str) -> Floats:
    """Return magnitudes, or their errors; 99 and 100 are no number, text that is none stays infinite."""
    values = floats(rows, name)
    return np.where((values >= MISSING_MAG) & np.isfinite(values), np.nan, values)
