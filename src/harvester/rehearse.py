"""A dry run: the requests with which a run would begin. Nothing is sent, nothing is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from harvester import __version__
from harvester.access import session_for
from harvester.errors import Refused
from harvester.follow import NAME_SERVICES, name_session
from harvester.resolve import resolve
from harvester.session import Client, DryRun
from harvester.source import load
from harvester.target import Target

if TYPE_CHECKING:
    from harvester.config import Settings
    from harvester.jobs import Job
    from harvester.store import Store
    from harvester.task import Task


def first_requests(
    wanted: Sequence[Target | str],
    tasks_of: Callable[[list[Target]], Iterable[Task]],
    store: Store | None,
    settings: Settings,
    *,
    simulated: bool = False,
) -> Iterator[str]:
    """Yield the requests, a line each, with which looking up and fetching would begin; a simulation needs no credentials."""
    targets = []
    with closing(_Rehearsal(settings, store, simulated=simulated)) as rehearsal:
        for item in wanted:
            known = item if isinstance(item, Target) else _known(item, store)
            if known:
                targets.append(known)
            else:
                yield from rehearsal.look_up(str(item))
        for task in tasks_of(targets):
            yield from rehearsal.ask(task)


def first_of_each(tasks: Iterable[Task], store: Store, settings: Settings, *, simulated: bool = False) -> Iterator[tuple[Task, list[str]]]:
    """Yield tasks with the requests with which each would begin, none where credentials are missing."""
    with closing(_Rehearsal(settings, store, simulated=simulated)) as rehearsal:
        for task in tasks:
            yield task, rehearsal.ask(task)


class _Rehearsal:
    """A client that sends nothing, and what it would have sent."""

    def __init__(self, settings: Settings, store: Store | None, *, simulated: bool) -> None:
        self._said: list[str] = []
        self._settings = settings
        self._jobs = _Glimpse(store) if store else None
        self._client = Client(contact=settings.contact, version=__version__, loopback_only=simulated, dry_run=True, on_request=self._note)

    def ask(self, task: Task) -> list[str]:
        """Return the requests of a task, up to the first on whose answer the others depend."""
        source = load(task.source)
        try:
            session = session_for(task.source, source, self._client, self._settings, query=task.query, jobs=self._jobs)
        except Refused:
            return []
        return self._until_sent(partial(list, source.fetch(task.query, session)))

    def look_up(self, name: str) -> list[str]:
        """Return the requests that look for a name."""
        services = {service: name_session(service, self._client, self._settings) for service in NAME_SERVICES}
        return self._until_sent(partial(resolve, name, **services))

    def close(self) -> None:
        """Let go of the client."""
        self._client.close()

    def _until_sent(self, work: Callable[[], object]) -> list[str]:
        self._said = []
        with suppress(DryRun):
            work()
        return self._said

    def _note(self, method: str, url: str, params: Mapping[str, Any]) -> None:
        """Note a request as one line; a form is shown after the URL."""
        form = f" {urlencode(params)}" if method == "POST" and params else ""
        self._said.append(f"{method} {url}{form}")


class _Glimpse:
    """The remote jobs of a store, to be looked at only."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, source: str, key: str) -> Job | None:
        """Return a job, or None."""
        return self._store.jobs.get(source, key)

    def put(self, job: Job) -> None:
        """Leave the store as it is."""

    def forget(self, source: str, key: str) -> None:
        """Leave the store as it is."""


def _known(name: str, store: Store | None) -> Target | None:
    if store is None:
        return None
    return store.target(name) or store.cached_name(name)
