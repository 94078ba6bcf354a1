"""The shapes of simulated light curves: how far a star stands from its mean magnitude, at a phase or a time.

They are made to be recognised and folded, not to model stars. Each kind's shape runs over one cycle from brightest (0) to faintest (1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from harvester.emulator.stars import Star

    Floats = NDArray[np.float64]

# The range in each passband, in units of that in G: hot pulsation and outbursts are larger in the blue.
COLOURED = {"BP": 1.2, "G": 1.0, "RP": 0.75, "g": 1.25, "r": 0.9, "i": 0.7, "V": 1.1, "R": 0.9, "I": 0.7}
GREY = dict.fromkeys(COLOURED, 1.0)
ECLIPSE_WIDTH = 0.03  # of the period, one sigma
SECONDARY = 0.4  # depth of the second eclipse
OUTBURST_RISE, OUTBURST_DECAY = 0.02, 0.08  # of the recurrence time
EINSTEIN_DAYS = 30.0
SUPERNOVA_RISE = 18.0  # days from first light to peak
GRID = (np.arange(20000) + 0.5) / 20000


def offset(star: Star, passband: str, bjd_tdb: Floats) -> Floats:
    """Return magnitude minus `star.mean[passband]` at BJD_TDB (full JD); inf where there is no light yet."""
    if star.kind == "constant":
        return np.zeros_like(bjd_tdb)
    if star.kind in TRANSIENT:
        return TRANSIENT[star.kind](star, bjd_tdb - star.epoch)
    shape, scale = CYCLE[star.kind]
    assert star.period is not None, f"{star.name}: a {star.kind} repeats"
    phase = ((bjd_tdb - star.epoch) / star.period) % 1.0
    return star.amplitude * scale[passband] * (shape(phase) - float(shape(GRID).mean()))


def _pulse(rise: float) -> Callable[[Floats], Floats]:
    """Brightest at phase 0, a slow fall and a rise that takes the fraction `rise` of the cycle."""

    def shape(phase: Floats) -> Floats:
        way = np.where(phase < 1.0 - rise, phase / (1.0 - rise), (1.0 - phase) / rise)
        return 0.5 - 0.5 * np.cos(np.pi * way)

    return shape


def _eclipses(phase: Floats) -> Floats:
    first, second = np.minimum(phase, 1.0 - phase), np.abs(phase - 0.5)
    return np.exp(-0.5 * (first / ECLIPSE_WIDTH) ** 2) + SECONDARY * np.exp(-0.5 * (second / ECLIPSE_WIDTH) ** 2)


def _twice(deeper: float) -> Callable[[Floats], Floats]:
    """Two waves in a cycle, the minimum at phase 0 deeper than that at 0.5 (contact binaries, ellipsoidal stars, RV Tauri stars)."""
    wave, tilt = 0.5 * (1.0 - deeper), 0.5 * deeper
    brightest = -wave - tilt**2 / (8.0 * wave)
    return lambda phase: (wave * np.cos(4.0 * np.pi * phase) + tilt * np.cos(2.0 * np.pi * phase) - brightest) / (0.5 - brightest)


def _outburst(phase: Floats) -> Floats:
    return np.where(phase > 1.0 - OUTBURST_RISE, (1.0 - phase) / OUTBURST_RISE, 1.0 - np.exp(-phase / OUTBURST_DECAY))


def _supernova(_star: Star, days: Floats) -> Floats:
    fall = np.where(days < 25.0, 0.1 * days, 2.5 + 0.015 * (days - 25.0))
    rise = np.where(days < -SUPERNOVA_RISE, np.inf, 4.0 * (days / SUPERNOVA_RISE) ** 2)
    return np.where(days < 0.0, rise, fall)


def _lens(star: Star, days: Floats) -> Floats:
    """Microlensing of a point source, without colour (Paczynski 1986ApJ...304....1P); `star.amplitude` is the peak's height."""
    peak = 10.0 ** (0.4 * star.amplitude)
    nearest: float = 2.0 * (peak / np.sqrt(peak**2 - 1.0) - 1.0)
    square = nearest + (days / EINSTEIN_DAYS) ** 2
    brighter: Floats = 2.5 * np.log10((square + 2.0) / np.sqrt(square * (square + 4.0)))
    return -brighter


CYCLE: dict[str, tuple[Callable[[Floats], Floats], dict[str, float]]] = {
    "rrlyr": (_pulse(0.15), COLOURED),
    "cepheid": (_pulse(0.3), COLOURED),
    "mira": (_pulse(0.42), COLOURED),
    "rvtau": (_twice(0.3), COLOURED),
    "outburst": (_outburst, COLOURED),
    "eclipsing": (_eclipses, GREY),
    "contact": (_twice(0.1), GREY),
    "ellipsoidal": (_twice(0.2), GREY),
}
TRANSIENT: dict[str, Callable[[Star, Floats], Floats]] = {"supernova": _supernova, "microlensing": _lens}
