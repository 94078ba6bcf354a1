"""The nightly job as cron and systemd are told of it: pure text, and the two programs that take it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from harvester.errors import CronError

ENV = "/usr/bin/env"
FIRST_HOUR, HOURS = 3, 3
"""Unless told, a job begins between 3 and 6 o'clock, local time: the surveys' night is over, and people are asleep."""


@dataclass(frozen=True, slots=True)
class Job:
    """One nightly command: `words` are run in `folder` with `environment` added, every day at `hour`:`minute`, local time.

    `place` is the store that it keeps, as messages show it: a store has one job, so it is also the job's name. No part holds a secret.
    """

    place: str
    words: tuple[str, ...]
    folder: str = "/"
    environment: Mapping[str, str] = field(default_factory=dict)
    hour: int = FIRST_HOUR
    minute: int = 0

    def __post_init__(self) -> None:
        for text in (self.place, self.folder, *self.argv):
            if not text.isprintable():
                raise CronError(f"{text!r} cannot be written into a timetable.", "It holds a control character.", "Name it otherwise.")
        if self.environment and "=" in self.words[0]:
            raise CronError(f"'{self.words[0]}' cannot be run by {ENV}.", "The path of the program holds '='.", "Install it elsewhere.")

    @property
    def argv(self) -> tuple[str, ...]:
        """The words with their environment, the same for every shell."""
        added = tuple(f"{name}={value}" for name, value in sorted(self.environment.items()))
        return (ENV, *added, *self.words) if added else self.words


@dataclass(frozen=True, slots=True)
class Entry:
    """A job as it was found in a timetable, the crontab's or systemd's (`way`).

    Its store, when it runs ("HH:MM", or as somebody wrote it), its program, and its line or file.
    """

    way: str
    place: str
    when: str
    program: str
    text: str


def own_minute(place: str) -> tuple[int, int]:
    """Return hour and minute for a store: always the same ones, and others for other stores, so that surveys are not asked all at once.

    >>> own_minute("harvest.db") == own_minute("harvest.db")
    True
    """
    after = int.from_bytes(sha256(place.encode()).digest()[:4], "big") % (HOURS * 60)
    return FIRST_HOUR + after // 60, after % 60
