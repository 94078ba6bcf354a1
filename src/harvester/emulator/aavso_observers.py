"""What the simulated observers of variable stars reported: estimates by eye, and cameras with filters, with the truth beside them.

Stars that have a name have reports; nobody watched the others. A report tells the time at the centre of the Earth, and a magnitude, to as
many digits as its kind of observer prints: the truth beside it is that of the time as printed. Who could not see the star says fainter than what.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from harvester.emulator import almanac, chance
from harvester.emulator.sky import Sky
from harvester.emulator.stars import famous, position

if TYPE_CHECKING:
    from harvester.emulator.stars import Star

EVENINGS = np.arange(57_000, 61_000)  # MJD: from the end of 2014
JD_OF_MJD = 2_400_000.5
NUMBERS = 1_210_000_000  # the first number of a report
GRADES, GRADED = np.array(["Z", "V", "U", "T"]), (0.6, 0.85, 0.98)
DISCREPANT_MAG = 1.0
FEW_MAG = 0.5  # a comparison star that is still seen may be so much brighter than the faintest that could be
REPORT = np.dtype(
    [(name, "f8") for name in ("jd", "mag", "error", "bjd_tdb", "true_mag")] + [("fainter", "?"), ("val", "U1"), ("number", "i8")]
)
Reports = np.ndarray[tuple[int], np.dtype[np.void]]


@dataclass(frozen=True)
class Observer:
    """Who: code, kind, band as printed and passband of the truth; on which part of evenings; digits of JD and magnitude; depth and error (mag)."""

    code: str
    kind: str
    band: str
    passband: str
    often: float
    digits: tuple[int, int]
    faintest: float
    error: float


OBSERVERS = (
    Observer("SIMA", "Visual", "Vis.", "V", 0.05, (4, 1), 13.5, 0.15),
    Observer("SIMB", "CCD", "V", "V", 0.05, (5, 3), 16.5, 0.010),
    Observer("SIMC", "CCD", "R", "R", 0.03, (5, 3), 16.5, 0.015),
    Observer("SIMB", "CCD", "I", "I", 0.03, (5, 3), 16.0, 0.015),
    Observer("SIMD", "DSLR", "SG", "g", 0.02, (5, 3), 16.0, 0.020),
)


def watched() -> dict[str, Star]:
    """Return every star that observers know, by its number in their catalogue (AUID)."""
    return {_auid(number): star for number, star in enumerate(famous()) if star.name and star.kind != "constant"}


def plain_name(star: Star) -> str:
    """Return a star's name without the words that tell what it is: "RR Lyr", not "V* RR Lyr"."""
    return star.name.removeprefix("NAME ").removeprefix("V* ").removeprefix("* ")


@lru_cache(maxsize=64)
def reports(seed: int, star: Star, observer: Observer) -> Reports:
    """Return all reports of one observer in one band on a star, in order of time; `error` is NaN for estimates by eye."""
    lucky = EVENINGS[chance.uniform(seed, "evening", star.gaia_id, observer.band, EVENINGS) < observer.often]
    rows = np.zeros(len(lucky), REPORT)
    hour = chance.uniform(seed, "hour", star.gaia_id, observer.band, lucky)
    rows["jd"] = np.round(lucky + hour + JD_OF_MJD, observer.digits[0])
    seen = almanac.from_geocentre(rows["jd"] - JD_OF_MJD)
    place = position(star, 2000.0 + (rows["jd"] - 2_451_545.0) / 365.25)
    rows["bjd_tdb"] = almanac.julian_date(seen, "tdb") + almanac.light_time(seen, *place, kind="barycentric")
    rows["true_mag"] = Sky(seed).magnitude(star, observer.passband, rows["bjd_tdb"])
    rows["number"] = NUMBERS + (famous().index(star) * len(EVENINGS) + lucky - EVENINGS[0]) * len(OBSERVERS) + OBSERVERS.index(observer)
    _estimated(Sky(seed), star, observer, rows)
    return rows


def _estimated(sky: Sky, star: Star, observer: Observer, rows: Reports) -> None:
    """Fill in what is said of the brightness; a discrepant report is off by more than its error tells."""
    key = rows["number"]
    rows["fainter"] = rows["true_mag"] > observer.faintest
    rows["val"] = GRADES[np.searchsorted(GRADED, sky.chance(star, f"grade {observer.band}", key), side="right")]
    mistaken = np.where(rows["val"] == "T", DISCREPANT_MAG, 0.0)
    estimate = np.minimum(rows["true_mag"], 30.0) + observer.error * sky.noise(star, observer.band, key) + mistaken
    faintest = observer.faintest - FEW_MAG * sky.chance(star, f"faintest {observer.band}", key)
    rows["mag"] = np.round(np.where(rows["fainter"], faintest, estimate), observer.digits[1])
    rows["error"] = np.nan if observer.kind == "Visual" else observer.error


def _auid(number: int) -> str:
    """Return the number of a star as the catalogue writes it: three digits, three letters, three digits."""
    return f"000-B{chr(ord('B') + number // 900)}S-{100 + number % 900}"
