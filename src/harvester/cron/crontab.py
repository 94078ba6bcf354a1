"""A user's crontab: one line for each store, and not a byte of any other line is touched.

A line is ours when it is no comment, goes to a folder and runs something there, and ends in MARK and the store. In a crontab a bare % ends the
command, and what cron makes of a backslash differs from one to the next: a % is escaped outside of quotes, where it means the same to every cron
and shell, and a backslash is refused.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from harvester.cron import ENV, Entry, Job
from harvester.errors import CronError

WAY, MARK = "crontab", " # harvest update of "
OURS = re.compile(r" cd .+ && ")
DAILY = re.compile(r"(?P<minute>\d+) (?P<hour>\d+) \* \* \*")


def line(job: Job) -> str:
    """Return the line of a job. Raises CronError for what no crontab can hold.

    >>> line(Job("/data/a.db", ("/bin/harvest", "--store", "/data/a.db", "update", "-q"), hour=4, minute=17))
    '17 4 * * * cd / && /bin/harvest --store /data/a.db update -q # harvest update of /data/a.db'
    """
    if any("\\" in text for text in (job.place, job.folder, *job.argv)):
        raise CronError(
            "a backslash cannot be written into a crontab.", "Every cron reads it otherwise.", "Take:  harvest cron install --systemd"
        )
    words = " ".join(_quoted(word) for word in job.argv)
    return f"{job.minute} {job.hour} * * * cd {_quoted(job.folder)} && {words}{_mark(job.place)}"


def with_job(text: str, job: Job) -> str:
    """Return a crontab with the job's line: in the place of the store's old one, or at the end."""
    lines, new = text.splitlines(keepends=True), f"{line(job)}\n"
    places = [number for number, old in enumerate(lines) if _is_of(old, job.place)]
    if not places:
        return text + ("\n" if text and not text.endswith("\n") else "") + new
    lines[places[0]] = new
    return "".join(old for number, old in enumerate(lines) if number not in places[1:])


def without(text: str, place: str) -> str:
    """Return a crontab without the line of a store."""
    return "".join(old for old in text.splitlines(keepends=True) if not _is_of(old, place))


def entries(text: str) -> Iterator[Entry]:
    """Yield every job of ours in a crontab."""
    for old in text.splitlines():
        if MARK in old and _is_command(old):
            command, _, place = old.replace("\\%", "%").rpartition(MARK)
            when, _, words = command.partition(" cd ")
            yield Entry(WAY, place, _when(when), _program(words), old)


def _when(fields: str) -> str:
    daily = DAILY.fullmatch(fields)
    return f"{int(daily['hour']):02}:{int(daily['minute']):02}" if daily else fields


def _program(words: str) -> str:
    try:
        run = shlex.split(words.partition(" && ")[2])
    except ValueError:  # somebody's own quotes
        return ""
    return next((word for word in run if word != ENV and "=" not in word), "")


def _is_of(old: str, place: str) -> bool:
    return _is_command(old) and old.rstrip("\r\n").endswith(_mark(place))


def _is_command(old: str) -> bool:
    """Whether a line is no comment, and of the form that `line` gives it: another may end in the same words."""
    return not old.lstrip().startswith("#") and OURS.search(old) is not None


def _mark(place: str) -> str:
    return MARK + place.replace("%", "\\%")


def _quoted(word: str) -> str:
    return "\\%".join(shlex.quote(part) if part else "" for part in word.split("%")) or "''"
