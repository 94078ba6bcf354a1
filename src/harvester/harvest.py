"""The engine: a plan's tasks become visits, visits go into the store as they come.

Threads ask, normalise and convert, a lane of them for every host; the thread that called writes, each visit whole or not
at all. One failing source never stops another.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from harvester import __version__
from harvester.access import session_for
from harvester.alerts import broker as brokers
from harvester.computing import Beside
from harvester.errors import BrokenSource, Refused
from harvester.follow import NAME_SERVICES
from harvester.lanes import Crew, Lane, Stop
from harvester.plan import Plan, again, due, plan
from harvester.rehearse import first_of_each, first_requests
from harvester.source import load, registered
from harvester.store.visit import Counts
from harvester.task import Outcome, Task
from harvester.visiting import Found, bug, visits
from harvester.xmatch import service as xmatch

if TYPE_CHECKING:
    from harvester.config import Settings
    from harvester.session import Client
    from harvester.store import Store

__all__ = [
    "Outcome", "Plan", "Stop", "Task", "again", "base_urls", "bug", "carry_out", "due", "first_of_each", "first_requests", "plan", "run", "simulated",
    "stored", "visits",
]  # fmt: skip

log = logging.getLogger(__name__)

MOST_THREADS = 32
"""Threads of a lane, however much its pace allows."""


def run(
    tasks: Iterable[Task] | Plan,
    store: Store,
    client: Client,
    settings: Settings,
    *,
    command: str = "",
    executor: Executor | None = None,
    on_outcome: Callable[[Outcome], None] = lambda _: None,
    stop: Stop | None = None,
) -> list[Outcome]:
    """Do the tasks; return an Outcome per (Target, Source), in the order in which they came. See `carry_out`, which needs no room for them."""
    outcomes: list[Outcome] = []

    def keep(outcome: Outcome) -> None:
        outcomes.append(outcome)
        on_outcome(outcome)

    carry_out(tasks, store, client, settings, command=command, executor=executor, on_outcome=keep, stop=stop)
    return outcomes


def carry_out(
    tasks: Iterable[Task] | Plan,
    store: Store,
    client: Client,
    settings: Settings,
    *,
    command: str = "",
    executor: Executor | None = None,
    on_outcome: Callable[[Outcome], None] = lambda _: None,
    stop: Stop | None = None,
) -> None:
    """Do the tasks, as many at once as each host's pace allows; write each visit, whole or not at all, as it comes, then tell its Outcome.

    A failure of a source becomes an Outcome. Once `stop` says so no task is begun; those under way are finished and stored. What the store cannot
    do (StoreError) ends the run at once: nothing after it could be kept. So does KeyboardInterrupt. An `executor` does the work of the tasks
    elsewhere than in the threads of the lanes.
    """
    stop = stop or Stop()
    client.clock.ending = lambda: stop.asked
    jobs = store.jobs

    def do(task: Task) -> Found:
        if executor:
            return executor.submit(visits, task, client, settings, jobs).result()
        return visits(task, client, settings, jobs, compute=beside)

    crew = Crew(lanes(tasks, client, settings), do, stop)
    with Beside() as beside, store.run(command, __version__) as writer, closing(crew.results(client.close)) as results:
        for done in results:
            visited = [one for found in done for one in found]
            for (_, outcome), counts in zip(visited, writer.visits([visit for visit, _ in visited]), strict=True):
                on_outcome(stored(outcome, counts))
        if stop.asked or crew.left_over:
            writer.status = "interrupted" if stop.asked else "partial"


def lanes(tasks: Iterable[Task] | Plan, client: Client, settings: Settings) -> list[Lane]:
    """Return the tasks by host. Raises UnknownSource, BrokenSource."""
    found: dict[str, Lane] = {}
    for name, line in _lines(tasks).items():
        lane = _lane(name, client, settings)
        found.setdefault(lane.host, lane).lines.append(line)
    return list(found.values())


def base_urls() -> dict[str, str]:
    """Return where every source, broker and name service stands, for the emulator to take its place; what is broken stands nowhere."""
    places = {**NAME_SERVICES, xmatch.NAME: xmatch.URL}
    for known, find in ((brokers.registered(), brokers.load), (registered(), load)):
        for name in known:
            try:
                places[name] = find(name).base_url
            except BrokenSource:
                log.debug("broken source %s left out", name)
    return places


def simulated(settings: Settings, emulator_url: str) -> Settings:
    """Return settings with which the emulator answers in place of every source and name service."""
    services = {
        name: replace(settings.service(name), base_url=f"{emulator_url}/{url.partition('://')[2]}", at_once=8, per_second=1000.0)
        for name, url in base_urls().items()
    }
    return replace(settings, services={**settings.services, **services})


def stored(outcome: Outcome, counts: Counts) -> Outcome:
    """Return the Outcome as the store knows it: whether anything was new, whether something was there before."""
    return replace(outcome, kind=counts.outcome or outcome.kind, message=counts.message or outcome.message, counts=counts)


def _lines(tasks: Iterable[Task] | Plan) -> dict[str, Iterator[Task]]:
    if isinstance(tasks, Plan):
        return tasks.lines
    by_source: dict[str, list[Task]] = {}
    for task in tasks:
        by_source.setdefault(task.source, []).append(task)
    return {name: iter(line) for name, line in by_source.items()}


def _lane(name: str, client: Client, settings: Settings) -> Lane:
    """Return an empty lane for the host of a source. More threads than requests may be under way: some are normalising."""
    try:
        session = session_for(name, load(name), client, settings)
    except Refused:  # nobody is asked
        return Lane(name, 1, lambda: None, deque())
    at_once = session.service.pace.at_once
    return Lane(session.service.paced_host, min(at_once + (at_once + 1) // 2, MOST_THREADS), lambda: session.resting, deque())
