"""The schedule: when each source is to be asked about each target again, as the store keeps it and as the planner reads it.

The rules are pure functions of the last answers and of this moment. Moments come from the machine's clock, which may have been wrong: a visit
due later than any rule allows is due at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import ColumnElement, Connection, Join, and_, case, false, func, not_, or_, select, true

from harvester.store.rows import now as this_moment
from harvester.store.tables import schedule, source, target, visit
from harvester.store.visit import SUCCESSES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from harvester.store.record import Scheduled
    from harvester.store.visit import Rhythm, Visit

JD_OF_MJD, MJD_OF_UNIX = 2_400_000.5, 40_587.0
EARLY = timedelta(hours=6)
"""A nightly run that begins a few minutes sooner than the last one still finds its work: a visit is due a little before its cadence is over."""
FIRST_RETRY, LAST_RETRY = timedelta(hours=2), timedelta(days=7)
LONGEST_EMPTY = timedelta(days=30)
ISO_MS = len("2026-11-21T03:00:00.000")
POLL = timedelta(hours=1)
MARGIN = timedelta(days=1)
SHRUNK = "sent less than half of the rows of this target that it sent before"
DAYS_ALIKE = 3
BELIEVED = f"sends less than half of the rows of this target that it once sent: believed, for it said the same on {DAYS_ALIKE} days"
ANSWERED = (*SUCCESSES, "suspicious")
MOST_SHRUNK = 50
"""Answers that are looked at, newest first: more than come in the days that it takes."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The targets that are due at one source, in the order in which they are to be asked: the highest priority first, then the longest due.

    `since` is the moment (MJD, UTC) up to which all is known of each; NaN where everything has to be asked for.
    """

    target_ids: NDArray[np.int64]
    since: NDArray[np.float64]

    def of(self, target_ids: Sequence[int]) -> Waiting:
        """Return the part that is of some targets."""
        chosen = np.isin(self.target_ids, target_ids)
        return Waiting(self.target_ids[chosen], self.since[chosen])


def entry(delivered: Visit, before: Scheduled | None, outcome: str, rows: int) -> dict[str, Any]:
    """Return what a visit changes in its row of the schedule, apart from watermark and digests; `before` is the row as it was.

    `rows` are the measurements that were `served`.

    `last_success` is when all was known up to that moment: an answer to a question about another part of time leaves it as it was, and does
    not count as the visit that was due.
    """
    succeeded, covers, moment = outcome in SUCCESSES, _covers(delivered, before), this_moment()
    values: dict[str, Any] = {"failures": 0 if succeeded else (before.failures if before else 0) + (outcome in {"failed", "suspicious"})}
    if succeeded and covers:
        values["last_success"] = moment
    if succeeded and covers and delivered.since is None:
        values["served"] = rows
        values["release"] = delivered.rhythm.release if delivered.rhythm else None
    if delivered.rhythm and covers:
        values["next_due"] = next_due(outcome, delivered.rhythm, before, failures=values["failures"], moment=moment)
    return values


def next_due(outcome: str, rhythm: Rhythm, before: Scheduled | None, *, failures: int, moment: str) -> str | None:
    """Return the moment of the next visit, None where there is nothing to be asked before the next release.

    What was put off keeps its place in the line. After failures in a row the wait doubles from two hours to a week at most, but is no longer than
    the cadence; a target that a source does not know is asked about after ever longer times, up to a month.
    """
    now, cadence = datetime.fromisoformat(moment), None if rhythm.cadence is None else timedelta(days=rhythm.cadence)
    asked = timedelta(seconds=min(rhythm.retry_after or 0.0, LAST_RETRY.total_seconds()))
    usual = None if cadence is None else cadence - min(cadence / 4, EARLY)
    if outcome == "postponed":
        return _written(now + asked) if asked else min(moment, before.next_due or moment) if before else moment
    if outcome == "pending":
        return _written(now + (asked or POLL))
    if outcome not in SUCCESSES:
        doubled = FIRST_RETRY * 2.0 ** min(failures - 1, 10)
        return _written(now + max(asked, min(doubled, LAST_RETRY, usual or LAST_RETRY)))
    if usual is None or cadence is None:
        return None
    if outcome == "empty" and before and before.last_success and before.served == 0:
        in_vain = 2 * (now - datetime.fromisoformat(before.last_success))
        return _written(now + max(usual, min(in_vain, LONGEST_EMPTY)))
    return _written(now + usual)


def shrinkage(connection: Connection, delivered: Visit, before: Scheduled | None, rows: tuple[int, int], *, ids: tuple[int, int]) -> str:
    """Return SHRUNK for a full answer that has less than half the measurements of the last one that was believed, BELIEVED once it is the new normal.

    `rows` are the measurements, and the rows with repeats, from the source to the target (`ids`). An answer to a narrower search may shrink.
    """
    if before is None or delivered.replayed or delivered.rows is None or (delivered.since, delivered.until) != (None, None):
        return ""
    if 2 * rows[0] >= (before.served or 0):
        return ""
    here = and_(visit.c.target_id == ids[0], visit.c.source_id == ids[1], visit.c.since.is_(None), visit.c.until.is_(None))
    successes = select(visit.c.radius).where(here, visit.c.outcome.in_(SUCCESSES))
    radius = connection.execute(successes.order_by(visit.c.id.desc()).limit(1)).scalar_one_or_none()
    if radius is not None and delivered.radius is not None and delivered.radius < radius:
        return ""
    sent = sum((visit.c[name] for name in ("revised", "known", "known_elsewhere")), visit.c.new)
    answers = select(func.substr(visit.c.time, 1, len("2026-11-21")), sent, visit.c.message).where(here, visit.c.outcome.in_(ANSWERED))
    last = connection.execute(answers.order_by(visit.c.id.desc()).limit(MOST_SHRUNK)).all()
    alike = [(this_moment()[:10], rows[1])]
    alike += [(day, count) for day, count, message in takewhile(lambda answer: answer[2].startswith(SHRUNK), last)]
    return BELIEVED if _is_settled(alike) else SHRUNK


def _is_settled(answers: Sequence[tuple[str, int]]) -> bool:
    """Whether the newest of some answers (days and rows), and those before it that agree with it within a tenth, came on enough days.

    >>> _is_settled([("2026-11-21", 300), ("2026-11-20", 301), ("2026-11-20", 300), ("2026-11-18", 299)])
    True
    >>> _is_settled([("2026-11-21", 300), ("2026-11-21", 300), ("2026-11-20", 100), ("2026-11-18", 300)])
    False
    """
    newest = answers[0][1]
    alike = takewhile(lambda answer: 10 * abs(answer[1] - newest) <= newest, answers)
    return len({day for day, _ in alike}) >= DAYS_ALIKE


def waiting(connection: Connection, source_name: str, rhythm: Rhythm, now: datetime) -> Waiting:
    """Return what is due at a source now. Memory is needed for one row per due target."""
    joined, wanted = _pairs(connection, source_name, rhythm)
    complete = and_(schedule.c.served.is_not(None), schedule.c.release == rhythm.release)
    columns = target.c.id, case((complete, schedule.c.watermark)), func.substr(schedule.c.last_success, 1, ISO_MS)
    line = target.c.priority.desc(), func.coalesce(schedule.c.next_due, _written(now)), target.c.id
    result = connection.execute(select(*columns).select_from(joined).where(wanted, _due(rhythm, now)).order_by(*line))
    rows = result.cursor.fetchall() if result.cursor else []
    result.close()
    ids, watermarks, successes = zip(*rows, strict=True) if rows else ((), (), ())
    return Waiting(np.array(ids, np.int64), _known(watermarks, successes, latest=mjd(now)))


def counted(connection: Connection, rhythms: Mapping[str, Rhythm], now: datetime) -> dict[str, dict[str, Any]]:
    """Return a row for every source that was ever asked, or that `rhythms` names.

    Keys: targets (asked about), last_success, newest (BJD_TDB of the newest epoch delivered), due (now; None without a rhythm), next_due (of the
    rest). One walk over the schedule, whatever the number of sources; targets that were never asked about are due.
    """
    followed = connection.execute(select(func.count()).select_from(target)).scalar_one()
    numbers: dict[str, int] = dict(connection.execute(select(source.c.name, source.c.id)).all())
    due, later = _of_each(rhythms, numbers, now)
    told = (
        func.count().label("targets"),
        func.max(schedule.c.last_success).label("last_success"),
        func.max(schedule.c.watermark).label("newest"),
    )
    counts = func.count().filter(due).label("due"), func.min(schedule.c.next_due).filter(later).label("next_due")
    found = select(schedule.c.source_id, *told, *counts).group_by(schedule.c.source_id)
    names = {number: name for name, number in numbers.items()}
    rows = {names[row.pop("source_id")]: row for row in map(dict, connection.execute(found).mappings())}
    never = {"targets": 0, "last_success": None, "newest": None, "due": 0, "next_due": None}
    for name in sorted({*rows, *rhythms}):
        row = rows.setdefault(name, dict(never))
        row["due"] = followed - row["targets"] + row["due"] if name in rhythms else None
    return rows


def unanswered(connection: Connection, run_id: int) -> list[dict[str, Any]]:
    """Return what a run did not get: target and source (names), radius, since and until of each visit that failed, or was put off."""
    last = select(func.max(visit.c.id)).where(visit.c.run_id == run_id).group_by(visit.c.target_id, visit.c.source_id)
    told = target.c.name.label("target"), source.c.name.label("source"), visit.c.radius, visit.c.since, visit.c.until
    bad = and_(visit.c.id.in_(last), visit.c.outcome.in_(["failed", "postponed", "suspicious"]))
    found = select(*told).select_from(visit.join(target).join(source)).where(bad).order_by(source.c.name, visit.c.id)
    return [dict(row) for row in connection.execute(found).mappings()]


def _covers(delivered: Visit, before: Scheduled | None) -> bool:
    """Whether a question leaves no gap between what is known already and this moment."""
    if delivered.until is not None:
        return False
    if delivered.since is None:
        return True
    if before is None or before.served is None or before.last_success is None:
        return False
    known = (mjd(datetime.fromisoformat(before.last_success)), *([before.watermark - JD_OF_MJD] if before.watermark is not None else []))
    return bool(delivered.since <= min(known))


def mjd(moment: datetime) -> float:
    """Return a moment as MJD (UTC).

    >>> mjd(datetime(2026, 11, 21, tzinfo=UTC))
    61365.0
    """
    return moment.timestamp() / 86_400 + MJD_OF_UNIX


def _due(rhythm: Rhythm, now: datetime) -> ColumnElement[bool]:
    """Return the condition that a visit is due. A new release makes it so at once, but for what is being tried again already."""
    told = schedule.c.next_due
    in_time = or_(told.is_(None), told <= _written(now), told > _beyond(rhythm, now))
    if rhythm.cadence is None:
        return in_time
    return or_(in_time, and_(schedule.c.release.is_not(None), schedule.c.release != rhythm.release, schedule.c.failures == 0))


def _of_each(rhythms: Mapping[str, Rhythm], numbers: Mapping[str, int], now: datetime) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Return the conditions that a row of the schedule is due, and that it will be later; sources of which the same holds share theirs."""
    alike: dict[tuple[bool, str, str], tuple[Rhythm, list[int]]] = {}
    for name, rhythm in rhythms.items():
        if name in numbers:
            same = rhythm.cadence is None, rhythm.release, _beyond(rhythm, now)
            alike.setdefault(same, (rhythm, []))[1].append(numbers[name])
    if not alike:
        return false(), false()
    parts = [(schedule.c.source_id.in_(ids), _wanted(rhythm), _due(rhythm, now)) for rhythm, ids in alike.values()]
    due = case(*((here, and_(wanted, due)) for here, wanted, due in parts), else_=false())
    later = case(*((here, and_(wanted, not_(due))) for here, wanted, due in parts), else_=false())
    return due, later


def _pairs(connection: Connection, source_name: str, rhythm: Rhythm) -> tuple[Join, ColumnElement[bool]]:
    """Return each target beside its row of a source's schedule, if there is one, and whether it is followed and there is anything to ask."""
    number = connection.execute(select(source.c.id).where(source.c.name == source_name)).scalar_one_or_none()
    own = and_(schedule.c.target_id == target.c.id, schedule.c.source_id == (number or 0))
    return target.outerjoin(schedule, own), and_(target.c.followed, _wanted(rhythm))


def _wanted(rhythm: Rhythm) -> ColumnElement[bool]:
    """Return the condition that there is anything to ask for: a fixed release is had once, and then no more."""
    return true() if rhythm.cadence is not None else or_(schedule.c.release.is_(None), schedule.c.release != rhythm.release)


def _beyond(rhythm: Rhythm, now: datetime) -> str:
    """Return the moment after which no rule puts a visit."""
    return _written(now + max(timedelta(days=rhythm.cadence or 0.0), LONGEST_EMPTY, LAST_RETRY) + MARGIN)


def _known(watermarks: Sequence[float | None], successes: Sequence[str | None], *, latest: float) -> NDArray[np.float64]:
    """Return the moments (MJD) up to which all is known: no later than the newest point, the last success, and `latest`."""
    newest = np.array(watermarks, np.float64) - JD_OF_MJD
    moments = np.array(successes, "datetime64[ms]")
    asked = np.where(np.isnat(moments), np.nan, moments.astype(np.int64) / 86_400_000 + MJD_OF_UNIX)
    return np.minimum(np.minimum(newest, asked), latest)


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
