"""`harvest fetch`: the main job."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from harvester.cli import render
from harvester.cli.choice import chosen_sources, read_wanted, resolved
from harvester.cli.options import App, define, interval_options, source_option, target_option
from harvester.cli.outcomes import Tally, show
from harvester.cli.stopping import finished, heard, max_time_option
from harvester.errors import ExitStatus, StoreError, UsageError
from harvester.target import Target

if TYPE_CHECKING:
    from harvester.harvest import Outcome, Stop, Task
    from harvester.session import Client
    from harvester.store import Store

CUT_SHORT = {"died": "died", "interrupted": "was interrupted", "running": "is still at work"}


@define("fetch")
@source_option(help="Survey to ask, several times for several, or all.  [default: all]")
@target_option(help="What to ask about: name, position (ICRS), file with one a line, or - for standard input.")
@click.option(
    "--radius", type=click.FloatRange(min=0.01, max=3600), metavar="ARCSEC", help="Radius of the search.  [default: the source's own]"
)
@interval_options
@click.option("--failed-of", metavar="RUN", help="Ask again for what a run did not get: its number, last, or last-1.")
@max_time_option
@click.option("-n", "--dry-run", is_flag=True, help="Print the requests, send none, store nothing.")
def command(
    app: App,
    /,
    sources: Sequence[str],
    targets: Sequence[str],
    failed_of: str | None,
    max_time: float | None,
    dry_run: bool,
    **asked: float | None,
) -> int:
    """Get photometry now, store it, say what was new.

    \b
    harvest fetch --source gaia_dr3 --source ztf_dr --target "RR Lyr"
    harvest fetch --target 291.3663,+42.7844
    harvest fetch --target @targets.csv
    harvest fetch --failed-of last
    """  # noqa: D301 - \b is click's
    from harvester.harvest import Stop, plan

    stop = Stop(max_time)
    if failed_of is not None:
        return _once_more(app, failed_of, sources, stop, dry_run=dry_run, other=[*targets, *filter(None, asked.values())])
    names = chosen_sources(app, sources)
    wanted = read_wanted(targets)

    def tasks_of(found: Sequence[Target]) -> list[Task]:
        return plan(found, names, app.settings, **asked)

    if dry_run:
        return _rehearse(app, wanted, tasks_of)
    store, client = app.store(create=True), app.client()
    found, unknown = resolved(app, wanted, store, client)
    if app.json:
        render.objects(unknown)
    return _fetched(app, tasks_of(found), store, client, stop, unknown=len(unknown))


def _once_more(app: App, run: str, sources: Sequence[str], stop: Stop, *, dry_run: bool, other: Sequence[Any]) -> int:
    """Ask again for what a run did not get, as it was asked then."""
    from harvester.harvest import again

    if other:
        raise UsageError(
            "--failed-of asks what was asked before.", hint="It goes with --source, not with --target, --radius, --since or --until."
        )
    store = app.store(insist=True)
    number, missed = store.timetable.unanswered(run)
    names = chosen_sources(app, sources or [row["source"] for row in missed]) if sources or missed else []
    tasks = again(store, [row for row in missed if row["source"] in names], app.settings)
    (status,) = {row["status"] for row in store.news.runs([number])}
    if status in CUT_SHORT and not app.quiet:
        render.say(f"Run {number} {CUT_SHORT[status]}: what it had not asked yet is not part of this.  For that: harvest update")
    if not tasks:
        if not app.quiet:
            render.say(f"Nothing failed in run {number}." if not missed else f"Nothing failed in run {number} at {', '.join(sources)}.")
        return ExitStatus.DONE
    if dry_run:
        return _rehearse(app, [], lambda _: tasks)
    return _fetched(app, tasks, store, app.client(), stop)


def _fetched(app: App, tasks: Sequence[Task], store: Store, client: Client, stop: Stop, *, unknown: int = 0) -> int:
    """Do the tasks; print each Outcome as it comes, but for a person, who gets one table at the end. Return the exit status."""
    from harvester.harvest import carry_out

    tally, waiting = Tally(), []
    planned = sum(len(task.targets) for task in tasks)
    live = app.json or not (app.quiet or render.at_terminal())
    with render.progress(planned, "harvesting", quiet=app.quiet or app.json) as step, heard(stop):

        def told(outcome: Outcome) -> None:
            step(f"{outcome.source} {outcome.target}")
            if live:
                show([outcome], json=app.json, header=not tally.total)
            elif not app.quiet:
                waiting.append(outcome)
            tally.add(outcome)

        if tasks:
            carry_out(tasks, store, client, app.settings, command=app.command_line(store), on_outcome=told, stop=stop)
    if waiting:
        show(waiting, json=False)
    tally.report(store.place, unknown=unknown, quiet=app.quiet)
    return finished(stop, planned - tally.total, tally.status(unknown=unknown), again="the same command again, or: harvest update")


def _rehearse(app: App, wanted: Sequence[Target | str], tasks_of: Callable[[list[Target]], Iterable[Task]]) -> int:
    """Print the requests that a fetch would begin with."""
    from harvester.harvest import first_requests

    for line in first_requests(wanted, tasks_of, _existing(app), app.settings, simulated=app.emulated):
        render.lines([line])
    render.say("Nothing was sent. Further requests depend on the answers.")
    return ExitStatus.DONE


def _existing(app: App) -> Store | None:
    """Return the store if it is there, to look names up in."""
    try:
        return app.store()
    except StoreError:
        return None
