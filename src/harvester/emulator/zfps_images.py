"""What ZTF's difference images show at a place: forced fluxes of the simulated sky, with the truth beside them.

Every image is the exposure less a reference image of the same field, CCD, quadrant and filter. The reference holds the mean light of what is
always there (nothing of a supernova), and has a zero level of its own, which stays in every difference: up to two sigma of a good night.

Simplifications: the nearest star alone is measured, and that in full when it is within 1.5 arcsec of the place; bright stars do not saturate.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from harvester.emulator import almanac, chance
from harvester.emulator.palomar import DEPTH, SITE, Exposures, exposures
from harvester.emulator.sky import Sky
from harvester.emulator.stars import Star, position, separation
from harvester.emulator.ztf import FIELD_LEVEL, FILTERS, QUADRANT_LEVEL, TILINGS, objects
from harvester.healpix import centre_of, pixel_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

SEEN_DEG, SOURCE_DEG = 1.5 / 3600.0, 5.0 / 3600.0
REFERENCE_YEAR, REFERENCE_ERROR, REFERENCE_DEPTH = 2018.5, 0.015, 22.5
REFERENCE_JD = (2458198.5, 2458398.5)
TRANSIENT = ("supernova",)
ERROR_FLOOR, LEVEL_SIGMAS = 0.015, 2.0
INFOBITS, INFOBITS_UP_TO = np.array([0, 8, 1 << 25]), (0.96, 0.98)
STATUS, STATUS_UP_TO = np.array([0, 56, 61]), (0.975, 0.995)  # 61: no measurement
NULL_STATUS = 61
GOOD_SEEING = 0.97  # the part of all images that is sharp enough
MICROJANSKY_MAG = 23.9


@dataclass(frozen=True)
class Image:
    """One reference image: its field, filter, CCD (1 to 16) and quadrant (0 to 3, as this service counts), and the part of visits."""

    field: int
    filter: str
    ccd: int
    quadrant: int
    part: float

    @property
    def reference(self) -> int:
        """The id of the reference image."""
        return self.field * 10**6 + 120000 + FILTERS[self.filter] * 100 + 4 * (self.ccd - 1) + self.quadrant


@dataclass(frozen=True)
class Forced:
    """The measurements on one reference image, in order of time.

    `counts` and `counts_err` are DN of the difference (NaN where there is none), `true_mag` is the star's (inf without a star or light),
    `level_ujy` the zero level. `reference_mag` and `apart` (arcsec) are of the nearest source on the reference, None without one.
    """

    image: Image
    shots: Exposures
    counts: NDArray[np.float64]
    counts_err: NDArray[np.float64]
    infobits: NDArray[np.int64]
    status: NDArray[np.int64]
    seeing: NDArray[np.float64]
    bjd_tdb: NDArray[np.float64]
    true_mag: NDArray[np.float64]
    level_ujy: float
    reference_mag: float | None
    apart: float | None

    @property
    def pid(self) -> list[str]:
        """The ids of the exposures' images: when, which quadrant, which version."""
        quadrant = 4 * (self.image.ccd - 1) + self.image.quadrant
        return [f"{number}{quadrant:02d}15" for number in self.shots.number.tolist()]


def forced(sky: Sky, ra: float, dec: float) -> list[Forced]:
    """Return what every reference image that covers a place (deg) has of it."""
    return list(_forced(sky.seed, ra, dec))


@lru_cache(maxsize=32)
def _forced(seed: int, ra: float, dec: float) -> tuple[Forced, ...]:
    sky = Sky(seed)
    near = sky.stars_near(ra, dec, SOURCE_DEG, epoch=REFERENCE_YEAR)
    star = near[0] if near and separation(*position(near[0], REFERENCE_YEAR), ra, dec) <= SEEN_DEG else None
    return tuple(_measured(sky, image, (ra, dec), star) for image in _images(sky, (ra, dec), star))


def _images(sky: Sky, place: tuple[float, float], star: Star | None) -> Iterator[Image]:
    """Yield the references of a place; a star has those on which the light curves of the data releases have it."""
    pixel = int(pixel_at(QUADRANT_LEVEL, *place))
    seen = {one.field for one in objects(sky, star)} if star else None
    for first, part in TILINGS.items():
        field = first + (pixel >> 6)
        if place[1] > -31.0 and (seen is None or field in seen):
            yield from (Image(field, name, (pixel >> 2 & 15) + 1, pixel & 3, part) for name in FILTERS)


def _measured(sky: Sky, image: Image, place: tuple[float, float], star: Star | None) -> Forced:
    ra, dec = centre_of(FIELD_LEVEL, pixel_at(FIELD_LEVEL, *place))
    shots = exposures(sky.seed, image.field, image.filter, (float(ra), float(dec)), thinned=image.part)
    keys = ("zfps", image.reference, int(pixel_at(18, *place)), shots.number)
    middle = almanac.from_site(shots.mjd + shots.exptime / 2.0 / 86400.0, SITE)
    there = position(star, 2000.0 + (shots.mjd - 51544.5) / 365.25) if star else place
    bjd = almanac.julian_date(middle, "tdb") + almanac.light_time(middle, *there, kind="barycentric")
    mag = sky.magnitude(star, image.filter, bjd) if star else np.full(len(bjd), np.inf)
    reference, apart = _source(sky, image, place)
    level = LEVEL_SIGMAS * (2.0 * float(chance.uniform(sky.seed, "level", image.reference)) - 1.0) * float(_ujy(DEPTH[image.filter])) / 5.0
    light, sigma = _ujy(mag), _ujy(shots.limit) / 5.0
    error = np.hypot(sigma, ERROR_FLOOR * light)
    status = STATUS[np.searchsorted(STATUS_UP_TO, chance.uniform(sky.seed, "status", *keys), side="right")]
    infobits = INFOBITS[np.searchsorted(INFOBITS_UP_TO, chance.uniform(sky.seed, "infobits", *keys), side="right")]
    spoiled = np.where(infobits >= INFOBITS[-1], 0.4 * light, 0.0)
    constant = 0.0 if reference is None or apart is None or apart > SEEN_DEG * 3600.0 else _ujy(reference)
    flux = light - constant + level + error * chance.normal(sky.seed, "flux", *keys) - spoiled
    per_count = _ujy(np.round(shots.zero_point, 4))
    counts = np.where(status == NULL_STATUS, np.nan, flux / per_count)
    seeing = np.where(chance.uniform(sky.seed, "zfps seeing", shots.number) < GOOD_SEEING, 2.1, 4.1)
    return Forced(image, shots, counts, error / per_count, infobits, status, seeing, bjd, mag, level, reference, apart)


def _source(sky: Sky, image: Image, place: tuple[float, float]) -> tuple[float | None, float | None]:
    """Return magnitude and distance (arcsec) of the nearest lasting source on the reference image within 5 arcsec."""
    for star in sky.stars_near(*place, SOURCE_DEG, epoch=REFERENCE_YEAR):
        if star.kind not in TRANSIENT and star.mean[image.filter] < REFERENCE_DEPTH:
            return round(star.mean[image.filter], 3), float(separation(*position(star, REFERENCE_YEAR), *place)) * 3600.0
    return None, None


def _ujy(mag: float | NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(10.0 ** (0.4 * (MICROJANSKY_MAG - np.asarray(mag, np.float64))))
