"""A few bodies of the solar system, as surveys of alerts meet them: a detection here and there, each an object of its own to ZTF.

Their names are real; where they stand is not: each goes round the ecliptic at its own pace.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harvester.emulator import chance

NAMES = {
    "4209": ("4209", "Briggs"),
    "8467": ("8467", "Benoitcarry", "1981 EE20"),
    "18582": ("18582",),
    "225088": ("225088", "Gonggong", "2007 OR10"),
    "10P": ("10P", "10P/Tempel"),
}
"""What a body is called in ZTF's packets, and the names under which it is found."""
NIGHTS = (60800, 62200)
MET, TILT_DEG = 0.12, 23.44
LETTERS = "abcdefghijklmnopqrstuvwxyz"
CANDID_DAY0 = 57754


@dataclass(frozen=True)
class Meeting:
    """One detection: `mjd` (UTC), place (deg), magnitude, `number` of the night, ZTF's name and candid for it."""

    mjd: float
    ra: float
    dec: float
    mag: float
    number: int
    object_id: str
    candid: int


def found_under(name: str) -> str | None:
    """Return the packets' name of a body, whatever blanks and capitals it is asked with; None if nobody knows it."""
    folded = name.replace(" ", "").casefold()
    return next((own for own, names in NAMES.items() if folded in {known.replace(" ", "").casefold() for known in names}), None)


def meetings(seed: int, body: str, until: float) -> list[Meeting]:
    """Return the detections of a body up to an MJD, the newest first."""
    nights = np.arange(*NIGHTS)
    met = nights[chance.uniform(seed, "asteroid", body, nights) < MET]
    return [_meeting(seed, body, int(night)) for night in met[::-1].tolist() if night + 0.5 <= until]


def _meeting(seed: int, body: str, night: int) -> Meeting:
    moment, start, pace, noise = (float(chance.uniform(seed, word, body, night if word in DRAWN else 0)) for word in WORDS)
    mjd = round(night + 0.2 + 0.25 * moment, 7)
    longitude = np.radians(360.0 * start + (0.1 + 0.2 * pace) * (mjd - NIGHTS[0]))
    ra = float(np.degrees(np.arctan2(np.cos(np.radians(TILT_DEG)) * np.sin(longitude), np.cos(longitude))) % 360.0)
    dec = float(np.degrees(np.arcsin(np.sin(np.radians(TILT_DEG)) * np.sin(longitude))))
    letters = "".join(LETTERS[int(26 * float(chance.uniform(seed, "asteroid name", body, night, place)))] for place in range(7))
    candid = (night - CANDID_DAY0) * 10**15 + int(moment * 1e5) * 10**10 + 15_015_000
    mag = round(17.5 + noise, 6)
    return Meeting(mjd, round(ra, 7), round(dec, 7), mag, night, f"ZTF{int((mjd - 51544.0) / 365.25):02d}{letters}", candid)


WORDS = ("asteroid moment", "asteroid start", "asteroid pace", "asteroid noise")
DRAWN = {"asteroid moment", "asteroid noise"}
