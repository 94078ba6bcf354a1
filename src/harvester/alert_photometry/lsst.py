"""LSST: measurements on difference images, and forced photometry, with the total flux that comes with both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harvester.alert_photometry.records import DETECTED, beside, column, epoch_ids, flags, floats, nullable
from harvester.brightness import AB_ZEROPOINT_JY as AB
from harvester.brightness import limit_from_flux_err
from harvester.payload import constant, number, text, truth

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

LIMIT_SIGMA = 5.0
LSST_DOUBTS = (
    *("isDipole", "pixelFlags", "pixelFlags_bad", "pixelFlags_saturated", "pixelFlags_streakCenter", "pixelFlags_interpolated"),
    *("pixelFlags_cr", "pixelFlags_nodata", "pixelFlags_streak", "pixelFlags_edge", "psfFlux_flag", "apFlux_flag"),
    *("forced_PsfFlux_flag", "forced_PsfFlux_flag_edge", "shape_flag", "centroid_flag"),
)
LSST_TOLD = ("psfFlux", "psfFluxErr", "reliability", "visit", "detector")
UJY_PER_NJY = 1e-3


def lsst(measured: pa.Table, *, forced: bool = False) -> pa.Table:
    """Return rows of LSST (by diaSourceId), or of LSST_FP (`forced`, by diaForcedSourceId; without one by object and second).

    `measured` has object_id, midpointMjdTai, band, psfFlux, psfFluxErr; scienceFlux and its error make the total. An error that is not
    positive is the mark of a flux that is missing. A difference among totals is suspect, a measurement that was withdrawn is bad. Forced flux that is
    not significant is a limit.
    """
    (total, total_err), (psf, psf_err) = (_fluxes(measured, name) for name in ("scienceFlux", "psfFlux"))
    totals = np.isfinite(total)
    flux, flux_err = np.where(totals, total, psf), np.where(totals, total_err, psf_err)
    doubts = [truth(column(measured, name)) for name in LSST_DOUBTS]
    mixed = ~totals & totals.any()
    doubtful = mixed | np.any([np.asarray(flag) for flag in doubts], axis=0) if measured.num_rows else np.zeros(0, bool)
    withdrawn = np.isfinite(floats(measured, "timeWithdrawnMjdTai"))
    own = column(measured, "diaForcedSourceId" if forced else "diaSourceId")
    mjd = number(measured["midpointMjdTai"])
    columns = {
        "survey": constant("LSST_FP" if forced else "LSST", measured.num_rows),
        "passband": text(measured["band"]),
        "time": mjd,
        "flux": nullable(flux),
        "flux_err": nullable(flux_err),
        "upper_limit": pa.array(forced & (flux <= DETECTED * flux_err)),
        "limiting_mag": nullable(limit_from_flux_err(LIMIT_SIGMA, flux_err, AB)),
        "limit_sigma": constant(LIMIT_SIGMA, measured.num_rows),
        "quality": pa.array(np.where(withdrawn, 2, np.where(doubtful, 1, 0)), pa.int8()),
        "flags": flags(
            measured, totals, LSST_TOLD, mixed, words={name: np.asarray(flag) for name, flag in zip(LSST_DOUBTS, doubts, strict=True)}
        ),
        "object_id": text(measured["object_id"]),
        "observation_id": pc.coalesce(own, epoch_ids(measured, mjd)),
        "ra": number(column(measured, "ra")),
        "dec": number(column(measured, "dec")),
    }
    return pa.table(columns | beside(measured))


def lsst_limits(measured: pa.Table) -> pa.Table:
    """Return the limits of visits in which an object was not detected, by object and second.

    `measured` has object_id, midpointMjdTai, band, diaNoise (nJy). The depth is five times the noise of the difference image; all are suspect, for
    the survey does not say how that noise compares with the error of a flux, and has left them out since schema 8.
    """
    depth = limit_from_flux_err(LIMIT_SIGMA, np.where((noise := floats(measured, "diaNoise")) > 0, noise, np.nan) * UJY_PER_NJY, AB)
    mjd = number(measured["midpointMjdTai"])
    nothing = np.zeros(measured.num_rows, bool)
    columns = {
        "survey": constant("LSST", measured.num_rows),
        "passband": text(measured["band"]),
        "time": mjd,
        "upper_limit": constant(True, measured.num_rows),
        "limiting_mag": nullable(depth),
        "limit_sigma": constant(LIMIT_SIGMA, measured.num_rows),
        "quality": pa.array(np.ones(measured.num_rows, np.int8)),
        "flags": flags(measured, nothing, ("diaNoise",), history=~nothing),
        "object_id": text(measured["object_id"]),
        "observation_id": epoch_ids(measured, mjd),
    }
    return pa.table(columns | beside(measured))


def _fluxes(measured: pa.Table, name: str) -> tuple[Floats, Floats]:
    """Return flux and error (uJy), NaN for both where one is missing."""
    flux, error = floats(measured, name) * UJY_PER_NJY, floats(measured, f"{name}Err") * UJY_PER_NJY
    there = np.isfinite(flux) & (error > 0)
    return np.where(there, flux, np.nan), np.where(there, error, np.nan)
