"""The words of a digest: what is said of runs, targets, changes and troubles, the same on the page and in the mail."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from harvester.digest.change import APPEARED, FIRST, SHORT, VANISHED, Change
from harvester.digest.gather import TargetNews, counted

UNIX_EPOCH_JD = 2_440_587.5
MOST_SIGMA = 1000
NO_SUCH_DATE = "an unknown date"


def plain(text: str) -> str:
    """Return text of others without what is no letter: nothing of it may steer a terminal, or hide what follows."""
    return "".join(letter if letter.isprintable() else " " if letter in "\t\n" else "?" for letter in text)


def moment(text: str | None) -> str:
    """Return a moment of the store (UTC) to the minute."""
    return (text or "")[:16].replace("T", " ")


def day(bjd_tdb: float) -> str:
    """Return the calendar date of a full Julian date.

    >>> day(2461365.7)
    '2026-11-20'
    """
    if not math.isfinite(bjd_tdb):
        return NO_SUCH_DATE
    return str((datetime(1970, 1, 1) + timedelta(days=bjd_tdb - UNIX_EPOCH_JD)).date())  # noqa: DTZ001 - a date alone


def of_runs(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line for each run: when, what, and how it ended."""
    return [
        f"run {run['run']}, {moment(run['started'])} to {moment(run['ended'])[11:] or '?'} UTC: {_ended(run['status'])}; {_outcomes(run)}"
        for run in runs
    ]


def verdict(one: TargetNews) -> str:
    """Return in few words what became of a target's brightness."""
    change = one.changes[0] if one.changes else None
    if change is None:
        return "no good new point"
    if math.isnan(change.sigma):
        return "first light curve" if one.is_first else "history too short to compare" if change.kind == SHORT else change.kind
    if not one.is_changed:
        return f"as usual ({sigma(change)})"
    return f"{_by(change)}{change.kind}, {sigma(change)}"


def told(change: Change) -> str:
    """Return what changed in one filter."""
    now, points = _mag(change.now), counted(change.points, "point")
    if change.kind == APPEARED:
        return f"{now} ({points} on {day(change.bjd_tdb)}); limits before were {_mag(change.before)}; {sigma(change)} above zero"
    if change.kind == VANISHED:
        return f"{_mag(change.before)} -> fainter than {now} on {day(change.bjd_tdb)}; at least {sigma(change)}"
    if math.isnan(change.sigma):
        return f"{now} ({points}), {change.kind}" if change.points else change.kind
    return f"{_mag(change.before)} -> {now} on {day(change.bjd_tdb)} ({points}); {sigma(change)} {change.kind}"


def came(one: TargetNews) -> str:
    """Return how much came of a target, and in which filters."""
    counts = [counted(one.added, "new point")] if one.added else []
    counts += [f"{one.revised} revised"] if one.revised else []
    return f"{', '.join(counts)} in {', '.join(one.filters)}"


def trouble(row: Mapping[str, Any]) -> str:
    """Return what went wrong at one source, how often and since when."""
    how = f"{row['outcome']} ({row['error']})" if row["error"] else row["outcome"]
    return f"{how}, {counted(row['targets'], 'target')}, since {moment(row['since'])} UTC"


def example(row: Mapping[str, Any]) -> str:
    """Return what was said of the newest such target, empty if nothing was."""
    message = " ".join(plain(row["message"]).split())
    return f"{plain(row['target'])}: {message.removeprefix(row['source'] + ': ')}" if message else ""


def sigma(change: Change) -> str:
    """Return a significance; thousands are all the same.

    >>> sigma(Change("g(ZTF)", "brighter", sigma=-12.3)), sigma(Change("g(ZTF)", "brighter", sigma=12345.6))
    ('12 sigma', 'over 1000 sigma')
    """
    size = abs(change.sigma)
    if size > MOST_SIGMA:
        return f"over {MOST_SIGMA} sigma"
    return f"{size:.0f} sigma" if size >= 10 else f"{size:.1f} sigma"


def _by(change: Change) -> str:
    size = abs(change.now - change.before)
    return f"{size:.2f} mag " if math.isfinite(size) and change.kind not in {APPEARED, VANISHED, FIRST} else ""


def _mag(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "no positive flux"


def _ended(status: str) -> str:
    return {"running": "still at work", "died": "died before its end"}.get(status, status)


def _outcomes(run: Mapping[str, Any]) -> str:
    counts = [f"{count} {name}" for name, count in run["outcomes"].items()]
    rows = [f"{run[name]} rows {word}" for name, word in (("revised", "revised"), ("quarantined", "in quarantine")) if run[name]]
    asked = f"{counted(run['targets'], 'target')} at {counted(run['sources'], 'source')}"
    return "; ".join([asked, ", ".join(counts) or "nothing asked", *rows])
