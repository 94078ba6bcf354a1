"""Flux and magnitude: pure functions of arrays, with the units in their names.

A zero point is the flux density of magnitude 0 in Jy and belongs to a passband (`passbands.toml`), whether its system is AB or Vega.
A passband without one (None) cannot be converted: NotConvertible is raised, never a guess made. All arguments broadcast; NaN is
missing, and stays missing. A magnitude of a flux that is not positive is NaN, silently: negative fluxes are good data without one.
What no float64 can hold becomes infinite, silently, for `conform` to reject.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from harvester.errors import HarvesterError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

AB_ZEROPOINT_JY = 10 ** (-0.4 * 48.60) * 1e23
"""Flux density of AB magnitude 0: 3630.7805 Jy (Oke and Gunn 1983ApJ...266..713O). Not 3631: only so do 23.9 (uJy) and 31.4 (nJy) agree."""
MAG_PER_RELATIVE_FLUX = 2.5 / math.log(10)
"""The derivative of magnitude by ln(flux), 1.0857: what turns a relative error into an error in magnitudes."""
UJY_PER_JY = 1e6


class NotConvertible(HarvesterError, ValueError):
    """Magnitudes of a passband without a zero point cannot become fluxes, nor fluxes magnitudes."""


def flux_from_mag(mag: ArrayLike, zeropoint_jy: float | None) -> Floats:
    """Return flux (uJy) for magnitudes of a passband.

    >>> flux_from_mag([15.0, np.nan], 3269.858).round(3)
    array([3269.858,      nan])
    """
    with np.errstate(over="ignore"):
        return _zero_ujy(zeropoint_jy) * 10.0 ** (-0.4 * _floats(mag))


def mag_from_flux(flux_ujy: ArrayLike, zeropoint_jy: float | None) -> Floats:
    """Return magnitudes for fluxes (uJy); NaN for fluxes that are not positive.

    >>> mag_from_flux([3630.780547701, 0.0, -5.0], AB_ZEROPOINT_JY).round(6)
    array([15., nan, nan])
    """
    return -2.5 * (np.log10(_positive(_floats(flux_ujy))) - math.log10(_zero_ujy(zeropoint_jy)))


def mag_err_from_flux(flux: ArrayLike, flux_err: ArrayLike) -> Floats:
    """Return errors in magnitude, 2.5/ln(10) * flux_err/flux, for fluxes in any one unit; NaN for fluxes that are not positive.

    >>> mag_err_from_flux([200.0, -3.0], [2.0, 2.0]).round(6)
    array([0.010857,      nan])
    """
    with np.errstate(over="ignore"):
        return MAG_PER_RELATIVE_FLUX * _floats(flux_err) / _positive(_floats(flux))


def flux_err_from_mag(mag: ArrayLike, mag_err: ArrayLike, zeropoint_jy: float | None) -> Floats:
    """Return errors of the flux (uJy): the flux times mag_err * ln(10)/2.5.

    >>> flux_err_from_mag([15.0], [0.01], 3269.858).round(4)
    array([30.1165])
    """
    return flux_from_mag(mag, zeropoint_jy) * _floats(mag_err) / MAG_PER_RELATIVE_FLUX


def flux_from_counts(counts_per_s: ArrayLike, mag_zero: float, zeropoint_jy: float | None) -> Floats:
    """Return flux (uJy) for count rates whose magnitude is `mag_zero` - 2.5 log10(rate).

    Linear and signed: errors of rates convert alike. `mag_zero` and `zeropoint_jy` must belong to the same system.

    >>> flux_from_counts([1e4, -1e4], 25.6873668671, 3269.858).round(2)  # Gaia DR3 G, e-/s
    array([ 1736.13, -1736.13])
    """
    return _floats(counts_per_s) * flux_from_mag(mag_zero, zeropoint_jy)


def limit_from_flux_err(n: float, flux_err_ujy: ArrayLike, zeropoint_jy: float | None) -> Floats:
    """Return the upper limit in magnitudes at `n` sigma: that of n * flux_err (uJy), whatever the flux that was measured.

    >>> limit_from_flux_err(5, [10.0, 1.0], AB_ZEROPOINT_JY).round(3)
    array([19.653, 22.153])
    """
    if not n > 0:
        raise ValueError(f"an upper limit at {n} sigma is none")
    return mag_from_flux(n * _floats(flux_err_ujy), zeropoint_jy)


def total_from_difference(difference_ujy: ArrayLike, reference_ujy: ArrayLike, *, sign: ArrayLike = 1) -> Floats:
    """Return total flux (uJy): the reference's plus the difference's, NaN where there is no reference.

    `sign` is -1 where the survey gives only the size of a difference and the target has faded (ZTF's isdiffpos = f), else +1.

    >>> total_from_difference([30.0, 30.0, 30.0], [100.0, 100.0, np.nan], sign=[1, -1, 1])
    array([130.,  70.,  nan])
    """
    signs = _floats(sign)
    if not np.isin(signs, (-1.0, 1.0)).all():
        raise ValueError("the sign of a difference is +1 or -1")
    return _floats(reference_ujy) + signs * _floats(difference_ujy)


def total_or_difference(
    difference_ujy: ArrayLike, difference_err_ujy: ArrayLike, mag: ArrayLike, mag_err: ArrayLike, *, zeropoint_jy: float | None
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Return flux and its error (uJy), and where that is total: difference plus reference where `mag` and `mag_err` of the reference are known.

    Elsewhere it is the difference alone.

    >>> flux, err, total = total_or_difference([30.0, -7.0], [3.0, 2.0], [18.9, np.nan], [0.04, np.nan], zeropoint_jy=AB_ZEROPOINT_JY)
    >>> flux.round(2), err.round(2), total
    (array([130.,  -7.]), array([4.75, 2.  ]), array([ True, False]))
    """
    alone, alone_err = _floats(difference_ujy), _floats(difference_err_ujy)
    total = total_from_difference(alone, flux_from_mag(mag, zeropoint_jy))
    both_err = np.hypot(alone_err, flux_err_from_mag(mag, mag_err, zeropoint_jy))
    total_err = np.where(alone_err < 0, alone_err, both_err)  # an impossible error stays one, for `conform` to see
    known = np.isfinite(_floats(mag)) & np.isfinite(_floats(mag_err))
    return np.where(known, total, alone), np.where(known, total_err, alone_err), known


def baseline(flux: ArrayLike, group: ArrayLike, quiet: ArrayLike, *, least: int = 25) -> Floats:
    """Return the zero level of each row: the median flux of the `quiet` rows of its group, NaN where those are fewer than `least`.

    Difference images have a level of their own for each reference image (field, CCD, quadrant, filter), which is no light of the target:
    `group` tells them apart, `quiet` are good rows from long before or after the event. Subtract it where it is a number.

    >>> baseline([1.0, 3.0, 50.0, 9.0], ["a", "a", "a", "b"], [True, True, False, True], least=2)
    array([ 2.,  2.,  2., nan])
    """
    measured, calm, groups = _floats(flux), np.asarray(quiet, bool), np.asarray(group)
    level = np.full(measured.shape, np.nan)
    for name in np.unique(groups):
        here = groups == name
        values = measured[here & calm & np.isfinite(measured)]
        if len(values) >= least:
            level[here] = np.median(values)
    return level


def ab_from_vega(mag: ArrayLike, zeropoint_jy: float | None) -> Floats:
    """Return AB magnitudes for those of a passband whose zero point is given.

    >>> ab_from_vega([15.0], 3269.858).round(4)  # Gaia DR3 G
    array([15.1137])
    """
    return _floats(mag) + _ab_minus(zeropoint_jy)


def vega_from_ab(mag_ab: ArrayLike, zeropoint_jy: float | None) -> Floats:
    """Return magnitudes in the system of a passband, whose zero point is given, for AB magnitudes.

    >>> vega_from_ab([14.6732], 309.540).round(4)  # WISE W1
    array([12.])
    """
    return _floats(mag_ab) - _ab_minus(zeropoint_jy)


def _ab_minus(zeropoint_jy: float | None) -> float:
    return 2.5 * math.log10(AB_ZEROPOINT_JY * UJY_PER_JY / _zero_ujy(zeropoint_jy))


def _zero_ujy(zeropoint_jy: float | None) -> float:
    if zeropoint_jy is None or not (math.isfinite(zeropoint_jy) and zeropoint_jy > 0):
        raise NotConvertible(
            "magnitudes and fluxes of this passband cannot be converted into each other.",
            f"Its zero point is {'not known' if zeropoint_jy is None else f'impossible: {zeropoint_jy} Jy'}.",
        )
    return zeropoint_jy * UJY_PER_JY


def _positive(flux: Floats) -> Floats:
    return np.where(flux > 0, flux, np.nan)


def _floats(values: ArrayLike) -> Floats:
    return np.asarray(values, np.float64)
