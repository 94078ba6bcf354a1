"""What the answers of brokers have in common: words that stand for nothing, fluxes, times of other scales, dates as text."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any

import numpy as np

from harvester.alerts.alert import MJD_OF_UNIX
from harvester.payload import NULL_WORDS
from harvester.scales import tai_from_utc, utc_from_tai

ZERO_NJY = 31.4
"""AB magnitude of 1 nJy."""


def said(value: Any) -> str | None:
    """Return what a service says as text without blanks around it, None for the words that stand for nothing."""
    word = "" if value is None else str(value).strip()
    return None if word in NULL_WORDS else word


def number(value: Any) -> float | None:
    """Return a number, or text that is one; None for anything else, NaN and infinity included."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None


def ab_mag(flux_njy: Any) -> float | None:
    """Return the AB magnitude of the size of a flux in nJy, its sign lost as in a magnitude of ZTF; None where there is no flux.

    >>> print(round(ab_mag(24162.1953125), 4))
    20.4422
    """
    flux = number(flux_njy)
    return ZERO_NJY - 2.5 * math.log10(abs(flux)) if flux else None


def utc_of_tai(mjd: float) -> float:
    """Return an MJD of TAI in UTC.

    >>> print(round((61000.0 - utc_of_tai(61000.0)) * 86400, 4))
    37.0
    """
    day = np.array([math.floor(mjd)])
    whole, fraction = utc_from_tai(day, np.array([mjd]) - day)
    return float(whole[0] + fraction[0])


def tai_of_utc(mjd: float) -> float:
    """Return an MJD of UTC in TAI."""
    day = np.array([math.floor(mjd)])
    return float(day[0] + tai_from_utc(day, np.array([mjd]) - day)[0])


def mjd_of(date: Any) -> float | None:
    """Return the MJD of a date as text, "2026-02-09 03:46:46.998" or with a T, UTC unless it says otherwise; None for what is no date.

    >>> print(round(mjd_of("2026-02-09 03:46:46.998"), 6))
    61080.157488
    """
    try:
        read = datetime.fromisoformat(said(date) or "")
    except ValueError:
        return None
    return ((read if read.tzinfo else read.replace(tzinfo=UTC)) - MJD_OF_UNIX).total_seconds() / 86400.0


def date_of(mjd: float) -> datetime:
    """Return the date and time (UTC) of an MJD."""
    return datetime.fromtimestamp((mjd - 40587.0) * 86400.0, UTC)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a sentence that names the three words nearest to one that is not known, empty where none is near.

    >>> nearest("SN1a", ["SN Ia", "AGN"])
    ' The nearest: SN Ia.'
    """
    folded = {name.casefold(): name for name in known}
    near = [folded[name] for name in get_close_matches(word.casefold(), folded, n=3, cutoff=0.4)]
    return f" The nearest: {', '.join(near)}." if near else ""


def as_payload(record: Any) -> bytes:
    """Return a record as JSON; NaN, which is none, becomes null."""
    return json.dumps(_without_nan(record), ensure_ascii=False).encode()


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
