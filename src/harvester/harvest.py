"""The engine: targets and sources become tasks, tasks become visits, visits go into the store one by one.

A task is a small value that any executor can carry. `visits` does the work of one task (ask, normalise, conform, match, convert the times) and
touches no store; `run` hands each visit to the store in a transaction of its own. One failing source never stops another.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from harvester import __version__
from harvester.delivery import Delivery, Share, deliver
from harvester.errors import BrokenSource, HarvesterError, Malformed, SourceError, Throttled
from harvester.follow import NAME_SERVICES, name_session
from harvester.payload import Payload
from harvester.resolve import resolve
from harvester.session import Client, DryRun, Service, Session
from harvester.source import Pace, Query, Source, find, load, package, registered
from harvester.store.visit import SUCCESSES, Counts, Visit
from harvester.target import Target

if TYPE_CHECKING:
    from harvester.config import Settings
    from harvester.store import Store

log = logging.getLogger(__name__)

AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Task:
    """One question to one source: targets (as many as it takes at once), radius in arcseconds, interval in MJD (UTC)."""

    source: str
    targets: tuple[Target, ...]
    radius: float
    since: float | None = None
    until: float | None = None

    @property
    def query(self) -> Query:
        """The same, as the source is asked."""
        return Query(self.targets, self.radius, self.since, self.until)

    @property
    def nothing(self) -> str:
        """The kind of Outcome when nothing came: a window without data says nothing about the rest."""
        return "empty" if self.since is None and self.until is None else "unchanged"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened to one (Target, Source): `kind` is new, unchanged, empty, suspicious, postponed or failed; `error` the class of a failure."""

    target: str
    source: str
    kind: str
    error: str = ""
    message: str = ""
    counts: Counts = Counts()
    neighbours: int = 0
    ambiguous: bool = False
    seconds: float = 0.0
    retry_after: float | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the survey's answer is known and believed."""
        return self.kind in SUCCESSES


def plan(
    targets: Sequence[Target],
    sources: Iterable[str],
    settings: Settings,
    *,
    radius: float | None = None,
    since: float | None = None,
    until: float | None = None,
) -> list[Task]:
    """Return the tasks that ask every source about every target, in batches as large as each source takes. Raises UnknownSource, BrokenSource."""
    tasks = []
    for name in sources:
        source = load(name)
        wide = radius or settings.service(name).radius or source.radius
        batches = (tuple(targets[first : first + source.batch]) for first in range(0, len(targets), source.batch))
        tasks += [Task(name, batch, wide, since, until) for batch in batches]
    return tasks


def run(
    tasks: Sequence[Task],
    store: Store,
    client: Client,
    settings: Settings,
    *,
    command: str = "",
    executor: Executor | None = None,
    on_outcome: Callable[[Outcome], None] = lambda _: None,
) -> list[Outcome]:
    """Do the tasks, several at once; write each visit in one transaction as it comes; return an Outcome per (Target, Source).

    A failure of a source becomes an Outcome. What the store cannot do (StoreError) ends the run: nothing after it could be kept.
    """
    outcomes: list[Outcome] = []
    with store.run(command, __version__) as writer, executor or ThreadPoolExecutor(AT_ONCE) as pool:
        for visit, outcome in _as_they_come(pool, tasks, client, settings):
            outcomes.append(stored(outcome, writer.visit(visit)))
            on_outcome(outcomes[-1])
    return outcomes


def _as_they_come(pool: Executor, tasks: Sequence[Task], client: Client, settings: Settings) -> Iterator[tuple[Visit, Outcome]]:
    """Yield visits as their tasks end. Whatever stops this, such as Ctrl-C, stops the tasks that wait as well."""
    futures = [pool.submit(visits, task, client, settings) for task in tasks]
    try:
        for future in as_completed(futures):
            yield from future.result()
    finally:
        if not all(future.done() for future in futures):
            pool.shutdown(wait=False, cancel_futures=True)
            client.close()


def visits(task: Task, client: Client, settings: Settings) -> list[tuple[Visit, Outcome]]:
    """Ask one source, and return what has to be stored for each target, with its Outcome as far as it is known before storing."""
    start = monotonic()
    source = load(task.source)
    payloads: list[Payload] = []
    try:
        for payload in source.fetch(task.query, session_for(task.source, source, client, settings)):
            payloads.append(payload)  # noqa: PERF402 - what came before a failure is kept
        found = _shared(task, deliver(source, payloads))
    except SourceError as error:
        found = _failed(task, source, payloads, error)
    except HarvesterError:
        raise
    except Exception as error:
        log.exception("bug in source %s", task.source)
        found = _failed(task, source, payloads, bug(task.source, error))
    seconds = (monotonic() - start) / len(task.targets)
    asked: dict[str, Any] = {"radius": task.radius, "since": task.since, "until": task.until, "source_version": package(find(task.source))}
    return [(replace(visit, seconds=seconds, **asked), replace(outcome, seconds=seconds)) for visit, outcome in found]


def session_for(name: str, source: Source, client: Client, settings: Settings) -> Session:
    """Return the source's own view of the client: its base URL, pace and timeout, as the settings have them."""
    own = settings.service(name)
    pace = Pace(own.per_second or source.pace.per_second, own.at_once or source.pace.at_once)
    return client.session(Service(name, own.base_url or source.base_url, pace, source.base_url, timeout_s=own.timeout or source.timeout))


def base_urls() -> dict[str, str]:
    """Return where every source and name service stands, for the emulator to take its place; a broken source stands nowhere."""
    places = dict(NAME_SERVICES)
    for name in registered():
        try:
            places[name] = load(name).base_url
        except BrokenSource:
            log.debug("broken source %s left out", name)
    return places


def first_requests(
    wanted: Sequence[Target | str], tasks_of: Callable[[list[Target]], list[Task]], store: Store | None, settings: Settings
) -> list[str]:
    """Return the requests, a line each, with which looking up and fetching would begin. Nothing is sent, nothing is stored."""
    said: list[str] = []
    with Client(
        contact=settings.contact, version=__version__, dry_run=True, on_request=lambda *request: said.append(_request_line(*request))
    ) as client:
        targets = []
        for item in wanted:
            known = item if isinstance(item, Target) else _known(item, store)
            if known:
                targets.append(known)
            else:
                services = {name: name_session(name, client, settings) for name in NAME_SERVICES}
                _until_sent(partial(resolve, str(item), **services))
        for task in tasks_of(targets):
            source = load(task.source)
            _until_sent(partial(list, source.fetch(task.query, session_for(task.source, source, client, settings))))
    return said


def _known(name: str, store: Store | None) -> Target | None:
    if store is None:
        return None
    return store.target(name) or store.cached_name(name)


def _request_line(method: str, url: str, params: Mapping[str, Any]) -> str:
    """Return a request as one line; a form is shown after the URL."""
    form = f" {urlencode(params)}" if method == "POST" and params else ""
    return f"{method} {url}{form}"


def stored(outcome: Outcome, counts: Counts) -> Outcome:
    """Return the Outcome as the store knows it: whether anything was new, whether something was there before."""
    return replace(outcome, kind=counts.outcome or outcome.kind, message=counts.message or outcome.message, counts=counts)


def _until_sent(work: Callable[[], object]) -> None:
    try:
        work()
    except DryRun:
        return


def _shared(task: Task, delivery: Delivery) -> list[tuple[Visit, Outcome]]:
    """Give each target its share; rejected rows that are nobody's stay with the first, so that none is lost."""
    windowed = task.since is not None or task.until is not None
    shares = [delivery.share(target, task.radius, windowed=windowed) for target in task.targets]
    shares[0] = shares[0].with_rejected(delivery.unclaimed(shares))
    return [_visit(task, delivery, share) for share in shares]


def _visit(task: Task, delivery: Delivery, share: Share) -> tuple[Visit, Outcome]:
    survey, match = delivery.source.survey, share.match
    lost = share.lost or ("" if share.rows.num_rows else delivery.doubt)
    kind = "suspicious" if lost else "new" if share.rows.num_rows else task.nothing
    message = lost or share.remarks(survey)
    outcome = Outcome(share.target.name, task.source, kind, "", message, neighbours=match.neighbours, ambiguous=match.ambiguous)
    visit = Visit(share.target, task.source, survey, share.rows, delivery.payloads, share.rejected, kind, "", message, match.object_ids)
    return visit, outcome


def _failed(task: Task, source: Source, payloads: list[Payload], error: SourceError) -> list[tuple[Visit, Outcome]]:
    """Return a failed or postponed visit for every target of a task; what came is kept, the answer that could not be read as well."""
    unreadable = error.payload if isinstance(error, Malformed) and isinstance(error.payload, Payload) else None
    kept = [*payloads, unreadable] if unreadable and unreadable not in payloads else payloads
    kind = "postponed" if isinstance(error, Throttled) else "failed"
    retry_after = error.retry_after if isinstance(error, Throttled) else None
    message = "\n".join(error.lines())
    return [
        (
            Visit(target, task.source, source.survey, None, kept, None, kind, error.kind, message, ()),
            Outcome(target.name, task.source, kind, error.kind, message, retry_after=retry_after),
        )
        for target in task.targets
    ]


def bug(name: str, error: Exception) -> SourceError:
    """Return an unexpected error of a source as one that the user can report."""
    what = f"{name}: {type(error).__name__}: {error}"
    return SourceError(what[:300], "This is a bug of the source, not of the survey.", "Please report it with the output of -v.")
