"""What the simulated ASAS-SN measured of a star: V until 2018, g since 2017, each night some cameras, with the truth beside it.

Fluxes are in the survey's own scale: magnitude 0 is 3836.32 Jy in V and 3631 Jy in g. Where a star is too faint for a camera there is a row that
tells the limit: magnitude and error are 99.99, but for the flux, which is what was measured.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from harvester.emulator import almanac, chance
from harvester.emulator.sky import Sky
from harvester.emulator.stars import position

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from harvester.emulator.stars import Star

JD_OF_MJD = 2_400_000.5
CAMERAS = {"V": ("ba", "be", "bc"), "g": ("bi", "bE", "bn", "bF")}
NIGHTS = {"V": (57_000, 58_400), "g": (58_000, 60_900)}
OFTEN = {"V": 0.15, "g": 0.2}  # part of the nights on which a camera takes the star
ZERO_POINT_MJY = {"V": 3_836_320.0, "g": 3_631_000.0}
DEPTH = {"V": 17.3, "g": 18.3}  # 5 sigma
CATALOGUE_YEAR = 2015.5
FLOOR_MAG = 0.01  # error of the brightest
NONE = 99.99
GRADES, GRADED = np.array(["G", "B", "U"]), (0.93, 0.99)
BAD_MAG = 0.5
EPOCH = np.dtype(
    [(name, "f8") for name in ("jd", "flux", "flux_err", "mag", "mag_err", "limit", "fwhm", "bjd_tdb", "true_mag")]
    + [("image_id", "U20"), ("camera", "U2"), ("quality", "U1"), ("filter", "U1")]
)
Epochs = np.ndarray[tuple[int], np.dtype[np.void]]


def star_id(star: Star) -> int:
    """Return the survey's number of a star."""
    return star.gaia_id >> 5


@lru_cache(maxsize=64)
def epochs(seed: int, star: Star) -> Epochs:
    """Return all that is served of a star, camera by camera."""
    parts = [_epochs(seed, star, band, camera) for band, cameras in CAMERAS.items() for camera in cameras]
    return np.concatenate(parts)


def _epochs(seed: int, star: Star, band: str, camera: str) -> Epochs:
    nights = np.arange(*NIGHTS[band])
    nights = nights[chance.uniform(seed, "asassn", star.gaia_id, camera, nights) < OFTEN[band]]
    rows = np.zeros(len(nights), EPOCH)
    rows["jd"] = np.round(nights + chance.uniform(seed, "asassn hour", star.gaia_id, camera, nights) + JD_OF_MJD, 7)
    seen = almanac.from_geocentre(rows["jd"] - JD_OF_MJD)
    place = position(star, 2000.0 + (rows["jd"] - 2_451_545.0) / 365.25)
    rows["bjd_tdb"] = almanac.julian_date(seen, "tdb") + almanac.light_time(seen, *place, kind="barycentric")
    rows["true_mag"] = Sky(seed).magnitude(star, band, rows["bjd_tdb"])
    rows["camera"], rows["filter"] = camera, band
    rows["image_id"] = _names(camera, nights.tolist())
    _photometry(Sky(seed), star, nights, rows)
    return rows


def _names(camera: str, nights: Sequence[int]) -> list[str]:
    return [f"coadd_{camera}{night:06d}" for night in nights]


def _photometry(sky: Sky, star: Star, nights: NDArray[np.int64], rows: Epochs) -> None:
    """Measure with Gaussian noise of the quoted error; rows of grade B are off by more than that."""
    if not len(rows):
        return
    band, camera = str(rows["filter"][0]), str(rows["camera"][0])
    rows["limit"] = np.round(DEPTH[band] + 0.4 * sky.noise(star, f"asassn depth {camera}", nights), 3)
    rows["fwhm"] = np.round(1.5 + 0.15 * np.abs(sky.noise(star, f"asassn seeing {camera}", nights)), 2)
    rows["quality"] = GRADES[np.searchsorted(GRADED, sky.chance(star, f"asassn grade {camera}", nights), side="right")]
    zero = ZERO_POINT_MJY[band]
    truth = zero * 10.0 ** (-0.4 * rows["true_mag"])
    error = np.hypot(FLOOR_MAG * truth, zero * 10.0 ** (-0.4 * rows["limit"]) / 5.0)
    spoiled = np.where(rows["quality"] == "B", 10.0 ** (0.4 * BAD_MAG), 1.0)
    rows["flux"], rows["flux_err"] = truth * spoiled + error * sky.noise(star, f"asassn {camera}", nights), error
    seen = rows["flux"] > 5.0 * (zero * 10.0 ** (-0.4 * rows["limit"]) / 5.0)
    safe = np.where(seen, rows["flux"], zero)
    rows["mag"] = np.where(seen, -2.5 * np.log10(safe / zero), NONE)
    rows["mag_err"] = np.where(seen, 2.5 / np.log(10.0) * error / safe, NONE)
