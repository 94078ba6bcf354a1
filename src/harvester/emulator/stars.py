"""A simulated star, its colours, and the catalogue of the famous ones."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from harvester.healpix import pixel_at

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

LEVEL = 18  # HEALPix level of a star's place in its Gaia id: pixels of 0.8 arcsec
COMPANION_EPOCH = 2016.0

# G minus each passband as polynomials in BP - RP. BP: a fit to dwarfs of spectral types A to M; g, r, i (AB): Gaia DR3 documentation,
# table 5.7 (SDSS), which holds for 0.3 < BP - RP < 3 in g, and outside is an extrapolation that the simulation accepts. V, R, I
# (Vega, Johnson and Cousins): the same documentation's relations.
COLOURS = {
    "G": (0.0,),
    "BP": (0.0, -0.315, -0.0915),
    "RP": (0.0, 0.685, -0.0915),
    "g": (0.2199, -0.6365, -0.1548, 0.0064),
    "r": (-0.09837, 0.08592, 0.1907, -0.1701, 0.02263),
    "i": (-0.293, 0.6404, -0.09609, -0.002104),
    "V": (-0.02704, 0.01424, -0.2156, 0.01426),
    "R": (-0.02275, 0.3961, -0.1243, -0.01396, 0.003775),
    "I": (0.01753, 0.76, -0.0991),
}
COLOUR_RANGE = (-0.3, 3.0)


@dataclass(frozen=True)
class Star:
    """What is true of one star; every service serves its own view of it.

    Positions are ICRS at epoch J2000.0 (deg), proper motions mas/yr (`pmra` holds cos dec), `parallax` mas, `period` days, `epoch` the
    BJD_TDB of maximum light (of the primary minimum for binaries and RV Tauri stars), `amplitude` the full range in G (mag). `mean` maps
    G, BP, RP (Vega, Gaia's), g, r, i (AB) and V, R, I (Vega) to the mean magnitude; for a supernova to
    that at peak, for microlensing to the baseline.
    """

    name: str
    aliases: tuple[str, ...]
    ra: float
    dec: float
    pmra: float
    pmdec: float
    parallax: float
    gaia_id: int
    otype: str
    kind: str
    period: float | None
    epoch: float
    amplitude: float
    mean: dict[str, float] = field(hash=False)
    reference: str = ""


def position(star: Star, epoch: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the barycentric ICRS position (deg) at epochs in Julian years: uniform motion along the tangent at J2000.0."""
    years = np.asarray(epoch, np.float64) - 2000.0
    ra, dec = np.radians(star.ra), np.radians(star.dec)
    east = np.array([-np.sin(ra), np.cos(ra), 0.0])
    north = np.array([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)])
    start = np.array([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
    x, y, z = np.moveaxis(start + years[..., None] * np.radians((star.pmra * east + star.pmdec * north) / 3.6e6), -1, 0)
    return np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))


def separation(ra: ArrayLike, dec: ArrayLike, ra0: ArrayLike, dec0: ArrayLike) -> NDArray[np.float64]:
    """Return angles on the sky, deg in and out."""
    half, north, south = np.radians(np.subtract(ra, ra0)) / 2, np.radians(dec), np.radians(dec0)
    square = np.sin((north - south) / 2) ** 2 + np.cos(north) * np.cos(south) * np.sin(half) ** 2
    return np.asarray(2.0 * np.degrees(np.arcsin(np.sqrt(square))), np.float64)


def magnitudes(g_mag: float, colour: float) -> dict[str, float]:
    """Return the mean magnitude in every passband for a G magnitude and a colour BP - RP."""
    inside = min(max(colour, COLOUR_RANGE[0]), COLOUR_RANGE[1])
    return {name: round(g_mag - float(np.polynomial.polynomial.polyval(inside, terms)), 4) for name, terms in COLOURS.items()}


def place_id(ra: float, dec: float, number: int) -> int:
    """Return a 64-bit id that holds the place as Gaia's do (HEALPix level 12 in the bits from 35 up), refined to level 18 below them."""
    return int(pixel_at(LEVEL, ra, dec)) << 23 | number


@cache
def famous() -> tuple[Star, ...]:
    """Return the stars of stars.toml, in its order, each followed by its companion on the sky."""
    text = files("harvester.emulator").joinpath("stars.toml").read_text(encoding="utf-8")
    stars = [_from_row(row) for row in tomllib.loads(text)["star"]]
    return tuple(star for number, primary in enumerate(stars) for star in (primary, _companion(primary, number)))


def _from_row(row: dict[str, Any]) -> Star:
    known = {key: value for key, value in row.items() if key not in {"G", "bp_rp", "place", "pm"}}
    (ra, dec), (pmra, pmdec) = row["place"], row["pm"]
    defaults = {"aliases": (), "period": None, "epoch": 2457000.0, "amplitude": 0.0, "gaia_id": 0} | known
    filled = defaults | {"aliases": tuple(defaults["aliases"]), "gaia_id": defaults["gaia_id"] or place_id(ra, dec, 0)}
    return Star(**filled, ra=ra, dec=dec, pmra=pmra, pmdec=pmdec, mean=magnitudes(row["G"], row["bp_rp"]))


def _companion(star: Star, number: int) -> Star:
    """Put a constant star, three magnitudes fainter, 2 to 4 arcsec from where the star stood at Gaia's epoch."""
    ra, dec = position(star, COMPANION_EPOCH)
    distance, angle = (2.0 + number % 21 / 10.0) / 3600.0, np.radians(137.5 * number)
    dec2 = float(dec + distance * np.cos(angle))
    ra2 = float(ra + distance * np.sin(angle) / np.cos(np.radians(dec2))) % 360.0
    mean = magnitudes(min(star.mean["G"] + 3.0, 19.5), 1.0)
    return Star("", (), ra2, dec2, 0.0, 0.0, 0.2, place_id(ra2, dec2, 0), "*", "constant", None, 2457000.0, 0.0, mean)
