"""The simulated alert stream of ZTF: what every broker of it knows of one star, whatever they make of it.

An alert comes of a public exposure in g or r on which the star differs from the reference image by five sigma. Its history are the exposures of
the 30 days before it: those without a detection are limits, and from October 2023 on all are measured by force as well. The reference image
holds the star at its mean magnitude; a supernova is not on it, its neighbour there is a galaxy four pixels away.

Simplifications: bright stars do not saturate, a star that has moved away from its place on the reference image is lost, and constant stars
give no alerts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from harvester.emulator import almanac
from harvester.emulator.palomar import SITE, Exposures, exposures
from harvester.emulator.sky import Sky
from harvester.emulator.stars import Star, famous, position, separation
from harvester.emulator.transients import first_light, is_transient, seen_from, transients
from harvester.emulator.ztf import FIELD_LEVEL, FILTERS, SOUTHERNMOST
from harvester.healpix import centre_of, pixel_at

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

NIGHTS = (58270, 61330)  # MJD: from June 2018 on
FORCED_SINCE = 60230.0  # MJD of the first packets with forced photometry
HISTORY_DAYS, PUBLIC_EXPTIME_S = 30.0, 30.0
SIGMA, PHOTON_FLOOR = 5.0, 0.01
PIXEL_DEG = 1.012 / 3600.0
REFERENCE_YEAR = 2018.5
SAME_DEG = 1.3 * PIXEL_DEG
SCATTER_DEG = 0.08 / 3600.0
HOST_DEG, HOST_MAG = 4.0 * PIXEL_DEG, 18.9
FIRST_DAY = 57754  # MJD from which nid counts
JD_OF_MJD = 2400000.5
LETTERS = "abcdefghijklmnopqrstuvwxyz"
ZERO = 23.9  # magnitude of 1 uJy
DETECTION = """jd:f8 fid:i4 pid:i8 candid:i8 nid:i4 rcid:i4 positive:? magpsf:f8 sigmapsf:f8 diffmaglim:f8 ra:f8 dec:f8 magnr:f8 sigmagnr:f8
    distnr:f8 ranr:f8 decnr:f8 rb:f8 drb:f8 nbad:i4 fwhm:f8 elong:f8 magdiff:f8 exptime:f8 magzpsci:f8"""
FORCED = "forcediffimflux:f8 forcediffimfluxunc:f8"
TRUE = "bjd_tdb:f8 true_mag:f8"
EPOCH = np.dtype([(name, kind) for name, _, kind in (word.partition(":") for word in f"{DETECTION} {FORCED} {TRUE}".split())])
Epochs = np.ndarray[tuple[int], np.dtype[np.void]]


@dataclass(frozen=True)
class Stream:
    """What ZTF's alerts tell of one star.

    `detections`, `limits` and `forced` are arrays of EPOCH, in order of time, with the truth (BJD_TDB, total magnitude) beside each. A
    detection's magpsf is that of the size of the difference; `distnr` is in pixels. A limit has its diffmaglim alone.
    """

    oid: str
    star: Star
    ra: float
    dec: float
    detections: Epochs
    limits: Epochs
    forced: Epochs


def near(sky: Sky, ra: float, dec: float, radius_deg: float) -> list[Stream]:
    """Return the streams of the objects in a cone (deg), nearest first."""
    wide = radius_deg + 40.0 / 3600.0  # Barnard's star in two years; whoever moves farther is lost
    stars = sky.stars_near(ra, dec, wide, epoch=REFERENCE_YEAR)
    found = [(float(separation(one.ra, one.dec, ra, dec)), one) for star in stars if (one := stream(sky, star))]
    return [one for distance, one in sorted(found, key=lambda pair: pair[0]) if distance <= radius_deg]


def by_id(sky: Sky, oid: str) -> Stream | None:
    """Return the stream of an object that is famous, or was found in a cone before."""
    star = _known(sky.seed).get(oid)
    if star is None:
        star = _transients(sky.seed).get(oid[5:])
    if star is None:
        star = next((star for star in famous() if _letters(sky.seed, star) == oid[5:]), None)
    found = stream(sky, star) if star else None
    return found if found and found.oid == oid else None


def stream(sky: Sky, star: Star) -> Stream | None:
    """Return the alerts of a star, of a transient those so far; None where it never gave one."""
    if is_transient(star) and first_light(star) > sky.now:
        return None
    found = _stream(sky.seed, star)
    if found and is_transient(star):
        found = _so_far(found, sky.now + JD_OF_MJD)
    if found:
        _known(sky.seed)[found.oid] = star
    return found


def _so_far(found: Stream, jd: float) -> Stream | None:
    """Return what was observed up to a JD, None before the first alert."""
    detections = found.detections[found.detections["jd"] <= jd]
    if not len(detections):
        return None
    last = detections["jd"][-1]
    history = {name: rows[rows["jd"] <= last] for name, rows in (("limits", found.limits), ("forced", found.forced))}
    return replace(found, detections=detections, **history)


@lru_cache(maxsize=8)
def _transients(seed: int) -> dict[str, Star]:
    """Return the transients by the letters of their names."""
    return {_letters(seed, star): star for star in transients(seed)}


@lru_cache(maxsize=8)
def _known(_seed: int) -> dict[str, Star]:
    """Return the stars whose objects were handed out, by the objects' names: a name cannot be turned back into a place."""
    return {}


@lru_cache(maxsize=1024)
def _stream(seed: int, star: Star) -> Stream | None:
    if star.dec < SOUTHERNMOST or star.kind == "constant":
        return None
    sky = Sky(seed)
    place = tuple(float(angle) for angle in position(star, REFERENCE_YEAR))
    epochs = np.concatenate([_measured(sky, star, (place[0], place[1]), name) for name in ("g", "r")])
    epochs = epochs[np.argsort(epochs["jd"])]
    detected = np.isfinite(epochs["magpsf"])
    if not detected.any():
        return None
    mjd = epochs["jd"] - 2400000.5
    recent = _in_a_history(mjd, mjd[detected])
    forced = recent & (mjd > FORCED_SINCE - HISTORY_DAYS) & (mjd < mjd[detected][-1])
    limits = recent & ~detected
    ra, dec = (float(np.median(epochs[name][detected])) for name in ("ra", "dec"))
    name = f"ZTF{int((mjd[detected][0] - 51544.0) / 365.25):02d}{_letters(seed, star)}"
    return Stream(name, star, ra, dec, epochs[detected], epochs[limits], epochs[forced & _late(mjd, detected)])


def _late(mjd: Floats, detected: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell which exposures stand in the history of an alert that has forced photometry."""
    return _in_a_history(mjd, mjd[detected & (mjd > FORCED_SINCE)])


def _in_a_history(mjd: Floats, alerts: Floats) -> NDArray[np.bool_]:
    """Tell which exposures lie within the 30 days before an alert."""
    following = np.searchsorted(alerts, mjd, side="left")
    after = np.append(alerts, np.inf)[following]
    return after - mjd <= HISTORY_DAYS


def _letters(seed: int, star: Star) -> str:
    return "".join(LETTERS[int(deviate * 26)] for deviate in Sky(seed).chance(star, "ZTF name", np.arange(7)))


def _measured(sky: Sky, star: Star, place: tuple[float, float], name: str) -> Epochs:
    """Measure the star on every public exposure on which it still stands where it stood on the reference image."""
    area = pixel_at(FIELD_LEVEL, *place)
    field = 1 + int(area)
    ra0, dec0 = (float(angle) for angle in centre_of(FIELD_LEVEL, area))
    shots = exposures(sky.seed, field, name, (ra0, dec0), span=seen_from(star, NIGHTS))
    ra, dec = position(star, 2000.0 + (shots.mjd - 51544.5) / 365.25)
    shown = (shots.program == 1) & (shots.exptime == PUBLIC_EXPTIME_S) & (separation(ra, dec, *place) <= SAME_DEG)
    shots = Exposures(**{word: column[shown] for word, column in vars(shots).items()})
    rows = np.zeros(len(shots.mjd), EPOCH)
    if not len(rows):
        return rows
    middle = almanac.from_site(shots.mjd + shots.exptime / 2.0 / 86400.0, SITE)
    rows["bjd_tdb"] = almanac.julian_date(middle, "tdb") + almanac.light_time(middle, ra[shown], dec[shown], kind="barycentric")
    rows["true_mag"] = sky.magnitude(star, name, rows["bjd_tdb"])
    _identify(sky, star, shots, rows)
    rows["fid"] = FILTERS[name]
    for angle, value, stretch in (("ra", ra[shown], np.cos(np.radians(place[1]))), ("dec", dec[shown], 1.0)):
        rows[angle] = np.round(value + SCATTER_DEG * sky.noise(star, f"alert {angle}", shots.number) / stretch, 7)
    _refer(star, place, name, rows)
    _difference(sky, star, shots, rows)
    return rows


def _identify(sky: Sky, star: Star, shots: Exposures, rows: Epochs) -> None:
    """Number an exposure as ZTF does: day, fraction of the day, CCD quadrant, product, and for a candidate its place in the list."""
    rcid = int(float(sky.chance(star, "rcid", 0)) * 64)
    nid = np.floor(shots.mjd).astype(np.int64) - FIRST_DAY
    rows["jd"], rows["nid"], rows["rcid"], rows["exptime"] = np.round(shots.mjd + 2400000.5, 7), nid, rcid, shots.exptime
    rows["pid"] = ((nid * 10**5 + np.floor(shots.mjd % 1.0 * 1e5).astype(np.int64)) * 100 + rcid) * 100 + 15
    rows["candid"] = rows["pid"] * 10**6 + 10_000 + (sky.chance(star, "tblid", shots.number) * 120).astype(np.int64)


def _refer(star: Star, place: tuple[float, float], name: str, rows: Epochs) -> None:
    """Fill in the nearest thing on the reference image: the star itself, or a galaxy beside a supernova."""
    new = star.kind == "supernova"
    rows["magnr"], rows["sigmagnr"] = round(HOST_MAG if new else star.mean[name], 3), 0.02
    rows["ranr"], rows["decnr"] = round(place[0], 7), round(place[1] + (HOST_DEG if new else 0.0), 7)
    rows["distnr"] = np.round(separation(rows["ra"], rows["dec"], rows["ranr"], rows["decnr"]) / PIXEL_DEG, 6)


def _difference(sky: Sky, star: Star, shots: Exposures, rows: Epochs) -> None:
    """Subtract the reference and measure: noise of exactly the quoted error, from the sky and from the light itself."""
    total, name = 10.0 ** (-0.4 * (rows["true_mag"] - ZERO)), rows["fid"][0]
    reference = 0.0 if star.kind == "supernova" else 10.0 ** (-0.4 * (rows["magnr"] - ZERO))
    error = np.hypot(10.0 ** (-0.4 * (shots.limit - ZERO)) / SIGMA, PHOTON_FLOOR * total)
    flux = total - reference + error * sky.noise(star, f"alert {name}", shots.number)
    found = np.abs(flux) > SIGMA * error
    rows["positive"], rows["diffmaglim"] = flux > 0, np.round(shots.limit, 4)
    rows["magpsf"] = np.where(found, np.round(ZERO - 2.5 * np.log10(np.abs(flux)), 6), np.nan)
    rows["sigmapsf"] = np.where(found, np.round(2.5 / np.log(10.0) * error / np.abs(flux), 8), np.nan)
    rows["magzpsci"] = np.round(shots.zero_point, 6)
    scale = 10.0 ** (0.4 * (rows["magzpsci"] - ZERO))
    rows["forcediffimflux"], rows["forcediffimfluxunc"] = np.round(flux * scale, 6), np.round(error * scale, 6)
    draw = {word: sky.chance(star, f"alert {word} {name}", shots.number) for word in ("rb", "drb", "nbad", "fwhm", "elong", "magdiff")}
    rows["rb"] = np.round(np.where(draw["rb"] < 0.08, 0.3 + 3.0 * draw["rb"], 0.7 + 0.3 * draw["rb"]), 6)
    rows["drb"], rows["nbad"] = np.round(1.0 - 0.2 * draw["drb"] ** 4, 6), draw["nbad"] < 0.03
    rows["fwhm"], rows["elong"] = np.round(1.5 + 2.0 * draw["fwhm"], 2), np.round(1.0 + 0.15 * draw["elong"], 3)
    rows["magdiff"] = np.round(0.12 * (draw["magdiff"] - 0.5), 6)
