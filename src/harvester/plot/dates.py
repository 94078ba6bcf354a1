"""Ticks for the axes: round numbers, and calendar dates for Julian dates (days)."""

from __future__ import annotations

import math

import numpy as np

UNIX_EPOCH_JD = 2_440_587.5
MONTHS_PER_STEP = (1200, 600, 240, 120, 60, 24, 12, 6, 4, 3, 2, 1)
HOURS_PER_STEP = (240, 120, 48, 24, 12, 6, 3, 1)
DAYS_PER_MONTH = 30.436875


def round_ticks(low: float, high: float, most: int) -> list[float]:
    """Return at most `most` round numbers (1, 2, 2.5 or 5 times a power of ten apart) within the interval (low < high), ascending.

    >>> round_ticks(11.2, 13.1, 5)
    [11.5, 12.0, 12.5, 13.0]
    """
    power = 10.0 ** math.floor(math.log10((high - low) / (most + 1)))
    return next(ticks for factor in (1, 2, 2.5, 5, 10, 20, 25, 50, 100) if len(ticks := _multiples(low, high, factor * power)) <= most)


def date_ticks(first_jd: float, last_jd: float, most: int) -> list[tuple[float, str]]:
    """Return at most `most` round calendar dates within the interval, as Julian date and label; none within less than an hour or so.

    >>> date_ticks(2458000.5, 2459000.5, 4)
    [(2458119.5, '2018'), (2458484.5, '2019'), (2458849.5, '2020')]
    """
    span_days = last_jd - first_jd
    best: list[tuple[float, str]] = []
    for months in MONTHS_PER_STEP:
        if span_days / (months * DAYS_PER_MONTH) <= most + 1:
            best = _better(best, _every_months(first_jd, last_jd, months), most)
    for hours in HOURS_PER_STEP:
        if span_days * 24 / hours <= most + 1:
            best = _better(best, _every_hours(first_jd, last_jd, hours), most)
    return best


def _multiples(low: float, high: float, step: float) -> list[float]:
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def _better(best: list[tuple[float, str]], finer: list[tuple[float, str]], most: int) -> list[tuple[float, str]]:
    return finer if len(best) < len(finer) <= most else best


def _every_months(first_jd: float, last_jd: float, months: int) -> list[tuple[float, str]]:
    first = np.datetime64("1970-01-01") + np.timedelta64(math.floor(first_jd - UNIX_EPOCH_JD), "D")
    since_1970 = int(first.astype("datetime64[M]").astype(int))
    years_aligned = since_1970 + 1970 * 12
    start = years_aligned // months * months - 1970 * 12
    count = int((last_jd - first_jd) / (months * DAYS_PER_MONTH)) + 3
    dates = np.array([start + months * index for index in range(count)]).astype("datetime64[M]")
    return _within(dates.astype("datetime64[s]"), first_jd, last_jd, 4 if months % 12 == 0 else 7)


def _every_hours(first_jd: float, last_jd: float, hours: int) -> list[tuple[float, str]]:
    start = math.floor((first_jd - UNIX_EPOCH_JD) * 24 / hours)
    stop = math.ceil((last_jd - UNIX_EPOCH_JD) * 24 / hours)
    seconds = np.arange(start, stop + 1) * hours * 3600
    return _within(seconds.astype("datetime64[s]"), first_jd, last_jd, 10 if hours % 24 == 0 else 16)


def _within(dates: np.ndarray, first_jd: float, last_jd: float, length: int) -> list[tuple[float, str]]:
    jds = dates.astype(np.int64) / 86_400 + UNIX_EPOCH_JD
    labels = [str(date)[:length].replace("T", " ") for date in dates]
    return [(float(jd), label) for jd, label in zip(jds, labels, strict=True) if first_jd <= jd <= last_jd]
