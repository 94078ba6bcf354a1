"""A systemd user timer and its service: two files for each store, named after it, that say who made them and for what."""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from harvester.cron import Entry, Job

WAY = "systemd"
MADE = "# Made by: harvest cron install. Do away with it by: harvest cron remove"
STORE, PROGRAM = "# Store: ", "# Program: "
HEAD = re.compile(f"{re.escape(MADE)}\n{STORE}(?P<place>.+)\n{PROGRAM}(?P<program>.+)\n")
DAILY = re.compile(r"^OnCalendar=\*-\*-\* (\d\d:\d\d):00$", re.MULTILINE)
ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "%": "%%", "$": "$$"})


def name(place: str) -> str:
    """Return what the two units of a store are called, without their endings.

    >>> name("/data/harvest.db")
    'harvest-7b1f9f09'
    """
    return f"harvest-{sha256(place.encode()).hexdigest()[:8]}"


def service(job: Job) -> str:
    """Return the service: one update. Told to stop, it finishes and stores what is under way."""
    words = " ".join(f'"{word.translate(ESCAPES)}"' for word in job.argv)
    return (
        f"{_head(job)}\n[Unit]\nDescription=Light curves: what is due, into {job.place.replace('%', '%%')}\n\n"
        f"[Service]\nType=oneshot\nWorkingDirectory={job.folder.replace('%', '%%')}\nExecStart={words}\nNice=10\nTimeoutStopSec=15min\n"
    )


def timer(job: Job) -> str:
    """Return the timer. A machine that was off or asleep at the time catches up when it wakes."""
    return (
        f"{_head(job)}\n[Unit]\nDescription=Light curves, every night, into {job.place.replace('%', '%%')}\n\n"
        f"[Timer]\nOnCalendar=*-*-* {job.hour:02}:{job.minute:02}:00\nPersistent=true\n\n[Install]\nWantedBy=timers.target\n"
    )


def entries(folder: Path) -> Iterator[Entry]:
    """Yield every job of ours in a folder of units; its text is the timer's path."""
    for path in sorted(folder.glob("harvest-*.timer")):
        text = path.read_text("utf-8", "replace")
        head = HEAD.match(text)
        if head:
            when = DAILY.search(text)
            yield Entry(WAY, head["place"], when[1] if when else "by hand", head["program"], str(path))


def _head(job: Job) -> str:
    return f"{MADE}\n{STORE}{job.place}\n{PROGRAM}{job.words[0]}"
