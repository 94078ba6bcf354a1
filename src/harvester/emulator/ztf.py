"""What the simulated ZTF measured of a star: its objects, and every epoch of them with the truth beside it.

The sky is tiled by HEALPix: level 4 is a field, the six bits below it are the CCD and the quadrant; a part of the stars lies in a second
tiling too. An object is a star on one field's reference image in one filter, and its id says so, in decimal: field, filter (1), CCD (2),
quadrant (1), number (8), where the number holds the place inside the quadrant, so that an id can be turned into a position again.

A reference image was taken in the middle of each year from 2018 on; an exposure is a detection of the first object that the star stands
within 1.5 arcsec of. A star that moves fast therefore has several objects, one after another, and is lost between them.

Simplifications: bright stars do not saturate, fields have no offsets against one another, and neighbours are not blended.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from harvester.emulator import almanac
from harvester.emulator.palomar import MJD_DIGITS, SITE, Exposures, exposures
from harvester.emulator.sky import Sky
from harvester.emulator.stars import LEVEL, Star, famous, position, separation
from harvester.healpix import centre_of, pixel_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

FILTERS = {"g": 1, "r": 2, "i": 3}
REFERENCE_YEARS = np.arange(2018.5, 2025.0)
SAME_OBJECT_DEG = 1.5 / 3600.0
SOUTHERNMOST = -31.0
FIELD_LEVEL, QUADRANT_LEVEL = 4, 7
INSIDE_BITS = 2 * (LEVEL - QUADRANT_LEVEL)
TILINGS = {1: 1.0, 4001: 0.3}  # number of the first field -> part of the visits
TWICE_TILED = 0.3  # of the stars
PER_PLACE = 3  # sorts of star that may share a place: famous, host, field
CONTROL = {"g": 1499102400003467, "r": 1499202400017799, "i": 1499302400008608}
CONTROL_STAR = "NAME ZTF control"
FLAGS, FLAGGED = np.array([0, 32768, 4, 516]), (0.955, 0.985, 0.993)
BAD_EPOCH = 32768
ERROR_FLOOR = 0.015
SCATTER_DEG = 0.05 / 3600.0

# The 24 columns in the service's order, then what only the simulation knows: true time and magnitude.
SERVED = """oid:i8 expid:i4 hjd:f8 mjd:f8 mag:f4 magerr:f4 catflags:i4 filtercode:U2 ra:f8 dec:f8 chi:f4 sharp:f4 filefracday:i8 field:i4
    ccdid:u1 qid:u1 limitmag:f4 magzp:f4 magzprms:f4 clrcoeff:f4 clrcounc:f4 exptime:f4 airmass:f4 programid:i4"""
TRUE = "bjd_tdb:f8 true_mag:f8"
COLUMNS = tuple(word.partition(":")[0] for word in SERVED.split())
EPOCH = np.dtype([(name, kind) for name, _, kind in (word.partition(":") for word in f"{SERVED} {TRUE}".split())])
Epochs = np.ndarray[tuple[int], np.dtype[np.void]]


@dataclass(frozen=True)
class ZtfObject:
    """A star on one reference image: `year` is when that was taken, `ra` and `dec` (deg) where it stood then, `part` the part of visits."""

    oid: int
    star: Star
    filter: str
    year: float
    ra: float
    dec: float
    part: float

    @property
    def field(self) -> int:
        """The number of the field, as in the id."""
        return self.oid // 10**12

    @property
    def ccd(self) -> int:
        """1 to 16."""
        return self.oid // 10**9 % 100

    @property
    def quadrant(self) -> int:
        """1 to 4."""
        return self.oid // 10**8 % 10


def objects(sky: Sky, star: Star) -> list[ZtfObject]:
    """Return the objects of a star in every tiling, filter and year of reference; none south of -31 deg."""
    twice = star.name != CONTROL_STAR and float(sky.chance(star, "twice tiled", 0)) < TWICE_TILED
    return [
        ZtfObject(_oid(star, name, first, (ra, dec)), star, name, year, ra, dec, part)
        for year, ra, dec in _references(star)
        for first, part in list(TILINGS.items())[: 1 + twice]
        for name in FILTERS
    ]


def epochs(sky: Sky, star: Star, of: ZtfObject | None = None) -> Epochs:
    """Return all that is served of a star (or of one of its objects) as an array of EPOCH: served columns, and the truth beside them."""
    parts = [_epochs(sky.seed, one) for one in objects(sky, star) if of is None or one == of]
    return np.concatenate([np.empty(0, EPOCH), *parts])


def objects_near(sky: Sky, ra: float, dec: float, radius_deg: float) -> Iterator[ZtfObject]:
    """Yield the objects whose reference position is inside a cone, star by star."""
    wide = radius_deg + max(_motion_deg(star) for star in famous())
    for star in sky.stars_near(ra, dec, wide, epoch=float(REFERENCE_YEARS[0])):
        yield from (one for one in objects(sky, star) if separation(one.ra, one.dec, ra, dec) <= radius_deg)


def object_by_id(sky: Sky, oid: int) -> ZtfObject | None:
    """Return the object of an id, or None."""
    control = oid in CONTROL.values()
    place = next((s.ra, s.dec) for s in famous() if s.name == CONTROL_STAR) if control else _place(oid)
    if place is None:
        return None
    return next((one for one in objects_near(sky, *place, 2.0 * SAME_OBJECT_DEG) if one.oid == oid), None)


def _motion_deg(star: Star) -> float:
    return float(np.hypot(star.pmra, star.pmdec) / 3.6e6 * np.ptp(REFERENCE_YEARS))


def _references(star: Star) -> list[tuple[float, float, float]]:
    """Return year and position of the reference images on which the star is a new object."""
    kept: list[tuple[float, float, float]] = []
    for year, ra, dec in zip(REFERENCE_YEARS.tolist(), *(angle.tolist() for angle in position(star, REFERENCE_YEARS)), strict=True):
        new = not kept or separation(ra, dec, *kept[-1][1:]) > SAME_OBJECT_DEG
        if dec > SOUTHERNMOST and new:
            kept.append((year, ra, dec))
    return kept


def _oid(star: Star, name: str, first_field: int, place: tuple[float, float]) -> int:
    if star.name == CONTROL_STAR:
        return CONTROL[name]
    pixel = int(pixel_at(LEVEL, *place))
    quadrant = pixel >> INSIDE_BITS
    sort = 0 if star.name else star.gaia_id & 3
    number = (pixel & ((1 << INSIDE_BITS) - 1)) * PER_PLACE + sort
    ccd, quarter = (quadrant >> 2 & 15) + 1, (quadrant & 3) + 1
    return (((first_field + (quadrant >> 6)) * 10 + FILTERS[name]) * 100 + ccd) * 10**9 + quarter * 10**8 + number


def _place(oid: int) -> tuple[float, float] | None:
    field, ccd, quarter = oid // 10**12, oid // 10**9 % 100, oid // 10**8 % 10
    area = next((field - first for first in TILINGS if 0 <= field - first < 12 << 2 * FIELD_LEVEL), None)
    inside = oid % 10**8 // PER_PLACE
    if area is None or not (1 <= ccd <= 16 and 1 <= quarter <= 4) or inside >= 1 << INSIDE_BITS:
        return None
    quadrant = area << 6 | ccd - 1 << 2 | quarter - 1
    ra, dec = centre_of(LEVEL, quadrant << INSIDE_BITS | inside)
    return float(ra), float(dec)


@lru_cache(maxsize=128)
def _epochs(seed: int, one: ZtfObject) -> Epochs:
    """Measure one object; an exposure belongs to the first object of the star that it falls on."""
    sky = Sky(seed)
    ra, dec = centre_of(FIELD_LEVEL, pixel_at(FIELD_LEVEL, one.ra, one.dec))
    shots = exposures(seed, one.field, one.filter, (float(ra), float(dec)), thinned=one.part)
    star_ra, star_dec = position(one.star, 2000.0 + (shots.mjd - 51544.5) / 365.25)
    offsets = {other.year: separation(star_ra, star_dec, other.ra, other.dec) for other in objects(sky, one.star)}
    taken = offsets[one.year] <= SAME_OBJECT_DEG
    for earlier in (year for year in offsets if year < one.year):
        taken &= offsets[earlier] > SAME_OBJECT_DEG
    return _measured(sky, one, _only(shots, taken), (star_ra[taken], star_dec[taken]))


def _measured(sky: Sky, one: ZtfObject, shots: Exposures, place: tuple[NDArray[np.float64], NDArray[np.float64]]) -> Epochs:
    rows = np.zeros(len(shots.mjd), EPOCH)
    if not len(rows):
        return rows
    middle = almanac.from_site(shots.mjd + shots.exptime / 2.0 / 86400.0, SITE)
    rows["bjd_tdb"] = almanac.julian_date(middle, "tdb") + almanac.light_time(middle, *place, kind="barycentric")
    rows["hjd"] = almanac.julian_date(middle, "utc") + almanac.light_time(middle, one.ra, one.dec, kind="heliocentric")
    rows["true_mag"] = sky.magnitude(one.star, one.filter, rows["bjd_tdb"])
    _photometry(sky, one, shots, rows)
    _circumstances(sky, one, shots, rows)
    for name, angle, stretch in (("ra", place[0], np.cos(np.radians(one.dec))), ("dec", place[1], 1.0)):
        rows[name] = np.round(angle + SCATTER_DEG * sky.noise(one.star, name, shots.number) / stretch, MJD_DIGITS)
    return rows[rows["true_mag"] < rows["limitmag"]]


def _photometry(sky: Sky, one: ZtfObject, shots: Exposures, rows: Epochs) -> None:
    """Fill in magnitudes: Gaussian noise of exactly the quoted error, but for epochs flagged as bad, which are worse than they say."""
    faint = np.minimum(rows["true_mag"], 30.0)
    error = np.hypot(ERROR_FLOOR, 0.217 * 10.0 ** (0.4 * (faint - shots.limit)))
    flags = FLAGS[np.searchsorted(FLAGGED, sky.chance(one.star, f"flags {one.filter}", shots.number), side="right")]
    spoiled = np.where(flags == BAD_EPOCH, 0.2 + 0.3 * sky.noise(one.star, f"spoiled {one.filter}", shots.number), 0.0)
    rows["mag"] = faint + error * sky.noise(one.star, one.filter, shots.number) + spoiled
    rows["magerr"], rows["catflags"], rows["limitmag"] = error, flags, shots.limit


def _circumstances(sky: Sky, one: ZtfObject, shots: Exposures, rows: Epochs) -> None:
    rows["oid"], rows["filtercode"], rows["field"], rows["ccdid"], rows["qid"] = one.oid, f"z{one.filter}", one.field, one.ccd, one.quadrant
    rows["expid"], rows["mjd"], rows["exptime"], rows["airmass"] = shots.number, shots.mjd, shots.exptime, shots.airmass
    rows["programid"], rows["magzp"] = shots.program, shots.zero_point
    rows["filefracday"] = _file_stamp(shots.mjd)
    rows["chi"] = np.round(np.abs(1.0 + 0.3 * sky.noise(one.star, "chi", shots.number)), 3)
    rows["sharp"] = np.round(0.05 * sky.noise(one.star, "sharp", shots.number), 3)
    rows["magzprms"], rows["clrcounc"] = 0.02, 1e-5
    rows["clrcoeff"] = {"g": -0.05, "r": 0.09, "i": 0.0}[one.filter] + 0.01 * sky.noise(one.star, "colour term", shots.number)


def _file_stamp(mjd: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return YYYYMMDDffffff of the file of an exposure, which is named 4 s before the shutter opens."""
    opened = mjd - 4.0 / 86400.0
    days = np.datetime64("1858-11-17") + np.floor(opened).astype("timedelta64[D]")
    dates = np.char.replace(days.astype("U10"), "-", "").astype(np.int64)
    stamps: NDArray[np.int64] = dates * 10**6 + np.floor((opened % 1.0) * 1e6).astype(np.int64)
    return stamps


def _only(shots: Exposures, taken: NDArray[np.bool_]) -> Exposures:
    return Exposures(**{name: column[taken] for name, column in vars(shots).items()})
