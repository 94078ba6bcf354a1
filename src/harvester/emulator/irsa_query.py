"""The parameters of nph_light_curves: what they mean, and which the service refuses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harvester.emulator.ztf import Epochs

RELEASES = ("ztf_dr20", "ztf_dr21", "ztf_dr22", "ztf_dr23", "ztf_dr24")  # only the five newest are kept at hand
KNOWN = ("POS", "CIRCLE", "ID", "BANDNAME", "BAND", "MAG", "NOBS_MIN", "TIME", "BAD_CATFLAGS_MASK", "COLLECTION", "FORMAT")
NOT_WITH_ID = ("BAND", "BANDNAME", "NOBS_MIN", "MAG")
FORMATS = ("VOTABLE", "IPAC_TABLE", "CSV", "TSV", "HTML")
BAND_NAMES = {"g": "g", "r": "r", "i": "i", "1": "g", "2": "r", "3": "i"}
BAND_EDGES = {"g": (4.087e-7, 5.522e-7), "r": (5.600e-7, 7.316e-7), "i": (7.027e-7, 8.883e-7)}  # metres, SVO Filter Profile Service
MOST_DEG = 0.1667
EVERYTHING = (-np.inf, np.inf)


class BadQuery(Exception):
    """The service answers 400 with this text."""


class UnknownRelease(Exception):
    """The release asked for is not held."""


@dataclass(frozen=True)
class LightCurveQuery:
    """One question: a cone (ra, dec, radius; deg) or ids, and what to leave out. Intervals are closed."""

    cone: tuple[float, float, float] | None
    ids: tuple[int, ...]
    filters: tuple[str, ...]
    mag: tuple[float, float]
    time: tuple[float, float]
    fewest: int
    mask: int
    format: str

    @classmethod
    def read(cls, params: Sequence[tuple[str, str]]) -> LightCurveQuery:
        """Understand the parameters. Raises BadQuery or UnknownRelease."""
        given: dict[str, list[str]] = {}
        for name, value in params:
            given.setdefault(name.upper(), []).append(value.strip())
        _check(given)
        last = {name: values[-1] for name, values in given.items()}
        return cls(
            cone=_cone(last),
            ids=tuple(_whole("ID", word) for value in given.get("ID", ()) for word in value.split(",")),
            filters=_filters(last),
            mag=_interval("MAG", last),
            time=_interval("TIME", last),
            fewest=_whole("NOBS_MIN", last.get("NOBS_MIN", "0")),
            mask=_whole("BAD_CATFLAGS_MASK", last.get("BAD_CATFLAGS_MASK", "0")),
            format=_format(last),
        )

    def chosen(self, rows: Epochs) -> Epochs:
        """Return what is asked for of one object: all or none by its median magnitude and number of epochs, then by epoch."""
        if len(rows) < max(self.fewest, 1) or not self.mag[0] <= np.median(rows["mag"]) <= self.mag[1]:
            return np.empty(0, rows.dtype)
        inside = (rows["mjd"] >= self.time[0]) & (rows["mjd"] <= self.time[1])
        chosen: Epochs = rows[inside & (rows["catflags"] & self.mask == 0)]
        return chosen


def _check(given: Mapping[str, Sequence[str]]) -> None:
    for name in given:
        if name not in KNOWN:
            raise BadQuery(f"Unrecognized parameter: {name}")
    if not {"POS", "CIRCLE", "ID"} & given.keys():
        raise BadQuery("At least one of POS, CIRCLE or ID must be given")
    for name in NOT_WITH_ID:
        if "ID" in given and name in given:
            raise BadQuery(f"ID cannot be combined with {name}")
    release = given.get("COLLECTION", RELEASES)[-1]
    if release not in RELEASES:
        raise UnknownRelease(f"Unknown collection: {release}")


def _cone(last: Mapping[str, str]) -> tuple[float, float, float] | None:
    text = f"CIRCLE {last['CIRCLE']}" if "CIRCLE" in last else last.get("POS", "")
    if not text:
        return None
    match = re.fullmatch(r"circle\s+(\S+)\s+(\S+)\s+(\S+)", text, re.IGNORECASE)
    if match is None:
        raise BadQuery(f"POS must be CIRCLE ra dec radius: {text}")
    ra, dec, radius = (_real("POS", word) for word in match.groups())
    if not (0.0 <= ra <= 360.0 and -90.0 <= dec <= 90.0 and 0.0 < radius <= MOST_DEG):
        raise BadQuery(f"POS out of range (radius at most {MOST_DEG} deg): {text}")
    return ra, dec, radius


def _filters(last: Mapping[str, str]) -> tuple[str, ...]:
    words = last.get("BANDNAME", "g,r,i").split(",")
    for word in words:
        if word.strip() not in BAND_NAMES:
            raise BadQuery(f"BANDNAME must be of g, r, i, 1, 2, 3: {word}")
    low, high = _interval("BAND", last)
    named = {BAND_NAMES[word.strip()] for word in words}
    return tuple(name for name, (blue, red) in BAND_EDGES.items() if name in named and low <= red and blue <= high)


def _format(last: Mapping[str, str]) -> str:
    form = last.get("FORMAT", "VOTABLE").upper()
    if form not in FORMATS:
        raise BadQuery(f"FORMAT must be one of {', '.join(FORMATS)}: {form}")
    return form


def _interval(name: str, last: Mapping[str, str]) -> tuple[float, float]:
    if name not in last:
        return EVERYTHING
    ends = [_real(name, word) for word in last[name].split()]
    if not 1 <= len(ends) <= 2 or ends[0] > ends[-1]:
        raise BadQuery(f"{name} must be one or two numbers in order: {last[name]}")
    return ends[0], ends[-1]


def _real(name: str, word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        raise BadQuery(f"{name}: not a number: {word}") from None
    if np.isnan(value):
        raise BadQuery(f"{name}: not a number: {word}")
    return value


def _whole(name: str, word: str) -> int:
    if not word.strip().isdecimal():
        raise BadQuery(f"{name}: not a whole number: {word}")
    return int(word)
