"""Remote jobs: what a service works on for us between two runs.

Some services take a question now and answer it in hours. Such a job is written down before it is submitted and again as soon as the service has
named it, so that no run submits anew what an earlier one did, however that one ended.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from harvester.source import Query

LONGEST = timedelta(days=30)
"""Services keep jobs for days to a month: an older one is taken for lost, and the question is submitted anew."""
TAG_DIGITS = 16
SAID_ELSEWHERE = frozenset({"ids", "aliases"})
"""What may become known of a target while its job is under way, and changes nothing of the question."""


@dataclass(frozen=True, slots=True)
class Job:
    """One job of one source. `remote` is the service's own id or URL, None while nobody knows whether the service has taken it.

    `key` is a digest of what was asked; `submitted` an ISO moment (UTC); `state` what was asked, as `asked` writes it: a run that takes
    the answer must ask the same.
    """

    source: str
    key: str
    remote: str | None
    submitted: str
    state: str = ""

    @property
    def tag(self) -> str:
        """A word that no other submission has, to be left with the service so that the job can be found there."""
        return f"{self.key[:TAG_DIGITS]}-{''.join(filter(str.isdigit, self.submitted))}"

    def is_lost(self, now: datetime) -> bool:
        """Whether the service has long forgotten it."""
        return now - datetime.fromisoformat(self.submitted) > LONGEST


class Jobs(Protocol):
    """Where jobs are written down. What `put` was given survives the death of this process once it returns; safe for threads."""

    def get(self, source: str, key: str) -> Job | None:
        """Return a job, or None."""

    def put(self, job: Job) -> None:
        """Write a job down, in place of an earlier one of the same source and key."""

    def forget(self, source: str, key: str) -> None:
        """Strike a job off."""


class ShortMemory:
    """Jobs that this process alone knows: for a check, or a test."""

    def __init__(self) -> None:
        self._jobs: dict[tuple[str, str], Job] = {}

    def get(self, source: str, key: str) -> Job | None:
        """Return a job, or None."""
        return self._jobs.get((source, key))

    def put(self, job: Job) -> None:
        """Remember a job."""
        self._jobs[job.source, job.key] = job

    def forget(self, source: str, key: str) -> None:
        """Strike a job off."""
        self._jobs.pop((source, key), None)


def asked(query: Query) -> str:
    """Return what makes a question the same question, as JSON: `targets` (their names), `radius`, `since`, `until`, `options`."""
    said: dict[str, Any] = {"targets": [target.name for target in query.targets]}
    return json.dumps(said | {"radius": query.radius, "since": query.since, "until": query.until, "options": dict(query.options)})


def key_of(query: Query, name: str = "") -> str:
    """Return the digest of a question, positions and motions included; `name` tells the jobs of one question apart."""
    places = [{word: value for word, value in asdict(target).items() if word not in SAID_ELSEWHERE} for target in query.targets]
    return hashlib.sha256(json.dumps([asked(query), places, name], default=str).encode()).hexdigest()


def written(moment: datetime) -> str:
    """Return a moment as the store writes it."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
