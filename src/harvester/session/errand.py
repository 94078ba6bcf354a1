"""Errands: the remote jobs of one question, submitted once however many runs ask (see `harvester.jobs`)."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from harvester.errors import Refused, Throttled
from harvester.jobs import Job, asked, key_of, written

if TYPE_CHECKING:
    from collections.abc import Callable

    from harvester.jobs import Jobs
    from harvester.source import Query

OVER = frozenset({"new", "unchanged", "empty", "suspicious"})
"""Outcomes that were made of the job's answer, so that asking it again would tell nothing more."""

NO_TAG = "harvester-looks"
"""The tag of no job."""

log = logging.getLogger("harvester.session")


class NotSubmitted(BaseException):  # no Exception: nothing on the way may take it for a failure of the service
    """Raised by an Inquiry in place of a job; `listed` tells whether the service listed the user's jobs."""

    def __init__(self, *, listed: bool) -> None:
        super().__init__(listed)
        self.listed = listed


class Errand:
    """The jobs of one query to one source."""

    def __init__(self, jobs: Jobs, source: str, query: Query) -> None:
        self._jobs, self._source, self._query = jobs, source, query
        self._used: list[str] = []
        self._done: set[str] = set()

    def job(self, submit: Callable[[str], str], find: Callable[[str], str | None] | None, name: str) -> str:
        """Return the service's id of a job (see `harvester.source.Http.job`). What `submit` and `find` raise passes."""
        key, now = key_of(self._query, name), datetime.now(UTC)
        known = None if key in self._done else self._jobs.get(self._source, key)
        self._done.discard(key)
        self._used.append(key)
        if known and known.is_lost(now):
            log.warning("%s: job %s of %s is taken for lost", self._source, known.remote, known.submitted)
            known = None
        if known and known.remote:
            return known.remote
        remote = self._found(known, find) if known else None
        return remote or self._submitted(Job(self._source, key, None, written(now), asked(self._query)), submit)

    def done(self) -> None:
        """The jobs used so far are over, whatever becomes of the visit."""
        self._done.update(self._used)

    def finished(self, outcome: str) -> tuple[str, ...]:
        """Return the keys of the jobs to be struck off when a visit with this kind of Outcome is stored."""
        return tuple(dict.fromkeys(key for key in self._used if outcome in OVER or key in self._done))

    def _found(self, intent: Job, find: Callable[[str], str | None] | None) -> str | None:
        """Look for a job of which a killed run had not yet learnt the id."""
        remote = find(intent.tag) if find else None
        if remote:
            self._jobs.put(replace(intent, remote=remote))
        else:
            log.warning("%s: a job of %s was perhaps submitted, but is not known there: submitting again", self._source, intent.submitted)
        return remote

    def _submitted(self, intent: Job, submit: Callable[[str], str]) -> str:
        self._jobs.put(intent)
        try:
            remote = submit(intent.tag)
        except (Refused, Throttled):  # the service has certainly not taken it
            self._jobs.forget(self._source, intent.key)
            raise
        self._jobs.put(replace(intent, remote=remote))
        return remote


class Inquiry(Errand):
    """The errand of a check: the service is asked for its list of our jobs, where it has one, and is given none."""

    def job(self, submit: Callable[[str], str], find: Callable[[str], str | None] | None, name: str) -> str:
        """Look at the list, and end there. Raises NotSubmitted."""
        if find:
            find(NO_TAG)
        raise NotSubmitted(listed=find is not None)
