"""The work of one task: ask a source, normalise, conform, match, convert the times. Touches the store for remote jobs only."""

from __future__ import annotations

import logging
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any

from harvester.access import session_for
from harvester.computing import Compute, here
from harvester.delivery import Share, Shared
from harvester.errors import HarvesterError, Malformed, SourceError
from harvester.logs import hide
from harvester.payload import Payload
from harvester.plan import rhythm
from harvester.source import Source, find, load, package
from harvester.store.visit import Visit
from harvester.task import Outcome, Task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harvester.config import Settings
    from harvester.jobs import Jobs
    from harvester.session import Client, Session

log = logging.getLogger(__name__)

Found = list[tuple[Visit, Outcome]]
"""What has to be stored for each target of a task, with its Outcome as far as it is known before storing."""


def visits(task: Task, client: Client, settings: Settings, jobs: Jobs | None = None, *, compute: Compute = here) -> Found:
    """Ask one source, and `compute` what it said; every failure of its becomes an Outcome. `jobs` remembers its remote jobs.

    Raises StoreError, UnknownSource.
    """
    start = monotonic()
    source = load(task.source)
    payloads: list[Payload] = []
    session: Session | None = None
    try:
        session = session_for(task.source, source, client, settings, query=task.query, jobs=jobs)
        failure = _heard(source, task, session, payloads)
        found = _found(task, source, payloads, compute(task, source, payloads))
        found = _but(failure, found, payloads) if failure else found
    except SourceError as error:
        found = _failed(task, source, payloads, error)
    except HarvesterError:
        raise
    except Exception as error:
        log.exception("bug in source %s", task.source)
        found = _failed(task, source, payloads, bug(task.source, error))
    seconds = (monotonic() - start) / len(task.targets)
    asked: dict[str, Any] = {"radius": task.radius, "since": task.since, "until": task.until, "source_version": package(find(task.source))}
    told = [
        (replace(visit, seconds=seconds, rhythm=rhythm(source, outcome.retry_after), **asked), replace(outcome, seconds=seconds))
        for visit, outcome in found
    ]
    return _with_jobs(told, session)


def _heard(source: Source, task: Task, session: Session, payloads: list[Payload]) -> SourceError | None:
    """Take in what a source yields; return a failure that leaves what came standing. Raises every other."""
    try:
        for payload in source.fetch(task.query, session):
            payloads.append(payload)  # noqa: PERF402 - what came before a failure is kept
    except SourceError as error:
        if not error.partial:
            raise
        return error
    return None


def _but(failure: SourceError, found: Found, payloads: list[Payload]) -> Found:
    """Return visits that store what came, and are failures all the same, with the answer that could not be read."""
    kept, message = _kept(payloads, failure), "\n".join(failure.lines())
    return [
        (
            replace(visit, payloads=kept, outcome=failure.outcome, error_kind=failure.kind, message=message),
            replace(outcome, kind=failure.outcome, error=failure.kind, message=message, retry_after=failure.retry_after),
        )
        for visit, outcome in found
    ]


def bug(name: str, error: Exception) -> SourceError:
    """Return an unexpected error of a source as one that the user can report."""
    what = hide(f"{name}: {type(error).__name__}: {error}")
    return SourceError(what[:300], "This is a bug of the source, not of the survey.", "Please report it with the output of -v.")


def _with_jobs(found: Found, session: Session | None) -> Found:
    """Let the remote jobs that are over be struck off together with the last visit: until then a run that is killed asks for the answer again."""
    visit, outcome = found[-1]
    over = session.finished_jobs(outcome.kind) if session else ()
    return [*found[:-1], (replace(visit, finished_jobs=over), outcome)]


def _found(task: Task, source: Source, payloads: Sequence[Payload], shared: Shared) -> Found:
    """Return a visit for every target of a task, with its share of the answer."""
    return [_visit(task, source, payloads, (share, shared.doubt)) for share in shared.shares]


def _visit(task: Task, source: Source, payloads: Sequence[Payload], told: tuple[Share, str]) -> tuple[Visit, Outcome]:
    survey, (share, doubt) = source.survey, told
    also_ids = {other: found.object_ids for other, found in share.matches.items() if other != survey and not source.relays}
    lost = share.lost or ("" if share.rows.num_rows else doubt)
    kind = "suspicious" if lost else "new" if share.rows.num_rows else task.nothing
    message = lost or share.remarks()
    outcome = Outcome(share.target.name, task.source, kind, "", message, neighbours=share.neighbours, ambiguous=share.ambiguous)
    visit = Visit(share.target, task.source, survey, share.rows, payloads, share.rejected, kind, "", message)
    return replace(visit, object_ids=share.matches[survey].object_ids, also_ids=also_ids), outcome


def _failed(task: Task, source: Source, payloads: list[Payload], error: SourceError) -> Found:
    """Return a visit without an answer for every target of a task; what came is kept, the answer that could not be read as well."""
    kept, message = _kept(payloads, error), "\n".join(error.lines())
    return [
        (
            Visit(target, task.source, source.survey, None, kept, None, error.outcome, error.kind, message, ()),
            Outcome(target.name, task.source, error.outcome, error.kind, message, retry_after=error.retry_after),
        )
        for target in task.targets
    ]


def _kept(payloads: list[Payload], error: SourceError) -> list[Payload]:
    """Return what came, and the answer that could not be read."""
    unreadable = error.payload if isinstance(error, Malformed) and isinstance(error.payload, Payload) else None
    return [*payloads, unreadable] if unreadable and unreadable not in payloads else payloads
