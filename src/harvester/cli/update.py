"""`harvest update`: everything that is due, for cron and for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harvester.cli import render
from harvester.cli.choice import chosen_sources, read_wanted
from harvester.cli.options import MJD_OF_UNIX, App, define, source_option, target_option
from harvester.cli.outcomes import BY_SOURCE, Tally, show
from harvester.cli.stopping import finished, heard, max_time_option
from harvester.errors import ExitStatus, HarvesterError, UsageError

if TYPE_CHECKING:
    from harvester.harvest import Outcome, Plan, Stop, Task
    from harvester.store import Store
    from harvester.store.alerts import SavedQuery

REQUESTS = ("source", "targets", "since", "request")
NAMES_SHOWN = 3
SHOWN = 100
"""Questions to each source that a dry run prints, for people: a thousand take a second to be made."""


@define("update")
@source_option(help="Survey to ask, several times for several, or all.  [default: all]")
@target_option(help="Only these targets of the store: name, file with one a line, or - for standard input.")
@max_time_option
@click.option("--wait", is_flag=True, help="Wait while another update of this store is at work.  [default: leave the work to it]")
@click.option("--digest", "folder", metavar="DIR", help="Write the day's digest there: YYYY-MM-DD.html, latest.html and index.html.")
@click.option("-n", "--dry-run", is_flag=True, help="Print what is due and the first requests (--json: all), send none, store nothing.")
def command(
    app: App,
    /,
    sources: Sequence[str],
    targets: Sequence[str],
    max_time: float | None,
    folder: str | None,
    *,
    wait: bool,
    dry_run: bool,
) -> int:
    """Ask about everything that is due: for cron, or whenever you like.

    Saved questions to brokers (harvest alerts query --save) are asked first, unless it is for some sources or targets only: the targets that
    they bring are due at once.

    A source is asked again after its own cadence, a fixed release once. What failed is tried again, what was put off comes first. With -q it is
    silent when all goes well.

    \b
    harvest update
    harvest update -q --max-time 6h --digest ~/public_html/digests
    harvest update -n
    """  # noqa: D301 - \b is click's
    from harvester.harvest import Stop, due

    store, names = app.store(insist=True), chosen_sources(app, sources)
    chosen = _followed(store, targets) if targets else None
    questions = [] if sources or targets else store.alerts.saved()
    if dry_run:
        return _rehearse(app, store, due(store, names, app.settings, targets=chosen), questions)
    if folder:
        _ready(folder)
    with _turn(app, store, wait=wait) as mine:
        if not mine:
            if not app.quiet:
                render.say("Another update is at work on this store; it does what is due. To wait for it: harvest update --wait")
            return ExitStatus.DONE
        stop = Stop(max_time)
        status = _brokers_asked(app, store, questions, stop)
        plan = due(store, names, app.settings, targets=chosen)
        if stop.asked and not plan.targets:
            return finished(stop, 0, status, again="harvest update")
        status = _worse(status, _updated(app, store, plan, stop) if plan.targets else _nothing(app, store, plan))
        _still_failing(store, questions)
        return _digested(app, store, folder, status) if folder else status


@contextmanager
def _turn(app: App, store: Store, *, wait: bool) -> Iterator[bool]:
    """Be the only update of a store while the block lasts; give False where another is, and is not waited for."""
    with store.alone() as mine:
        if mine or not wait:
            yield mine
            return
    if not app.quiet:
        render.say("Another update is at work on this store; waiting until it is done.")
    with store.alone(wait=True) as mine:
        yield mine


def _ready(folder: str) -> None:
    """See that a digest can be written, before anyone is asked. Raises ExportError."""
    from harvester.digest.folder import ready

    ready(Path(folder).expanduser())


def _digested(app: App, store: Store, folder: str, status: int) -> int:
    """Write the digest of the day; the run is done and stored, whatever becomes of it. Return the exit status."""
    from harvester.digest.folder import write_day

    try:
        page = write_day(store, Path(folder).expanduser())
    except HarvesterError as error:
        render.problem("error", error.lines())
        return status or ExitStatus.PARTIAL
    if not app.quiet:
        render.say(f"Digest: {render.shortened(str(page))}")
    return status


def _followed(store: Store, texts: Sequence[str]) -> list[str]:
    """Return the names of the store's own targets that are meant. Raises UsageError for one that it does not follow."""
    found, resting = [], store.timetable.unfollowed()
    for item in read_wanted(texts):
        name = item if isinstance(item, str) else item.name
        target = store.target(name)
        if target is None:
            raise UsageError(f"no target '{name}' in the store.", hint=f"Follow it: harvest targets add --target '{name}'")
        if target.name in resting:
            raise UsageError(
                f"'{target.name}' is kept, but not followed.", hint=f"Follow it: harvest targets follow --target '{target.name}'"
            )
        found.append(target.name)
    return found


def _brokers_asked(app: App, store: Store, questions: Sequence[SavedQuery], stop: Stop) -> int:
    """Ask the saved questions, and say how they did; return the exit status as far as they go. No failure of a broker ends the update."""
    if not questions:
        return ExitStatus.DONE
    from harvester.cli.alerts.saved import as_object, report, results_of, status

    with heard(stop):
        results = results_of(app, store, questions, stop)
    for result in results:
        if app.json:
            render.objects([as_object(result)])
        report(app, result)
    return status(results)


def _still_failing(store: Store, questions: Sequence[SavedQuery]) -> None:
    """Say at the end which saved questions fail, since when and why: what was said when they were asked is long gone."""
    if questions:
        from harvester.cli.alerts.saved import still_failing

        still_failing(store.alerts.saved([one.name for one in questions]))


def _worse(brokers: int, sources: int) -> int:
    """Return the exit status of both parts of an update: only where all failed alike it failed so."""
    if brokers == sources or not brokers:
        return sources
    return ExitStatus.PARTIAL if sources in {ExitStatus.DONE, ExitStatus.CREDENTIALS} else sources


def _updated(app: App, store: Store, plan: Plan, stop: Stop) -> int:
    """Do what is due; JSON has every Outcome, a person and a file get a row per source."""
    from harvester.harvest import carry_out

    tally = Tally(few=0)
    with render.progress(plan.targets, "updating", quiet=app.quiet or app.json) as step, heard(stop):

        def told(outcome: Outcome) -> None:
            step(f"{outcome.source} {outcome.target}")
            if app.json:
                show([outcome], json=True)
            tally.add(outcome)

        carry_out(plan, store, app.client(), app.settings, command=app.command_line(store), on_outcome=told, stop=stop)
    if not (app.json or app.quiet):
        render.table(tally.by_source(), BY_SOURCE, right=BY_SOURCE[1:])
    tally.report(store.place, quiet=app.quiet)
    return finished(stop, plan.targets - tally.total, tally.status(), again="harvest update")


def _nothing(app: App, store: Store, plan: Plan) -> int:
    """Say when something will be due."""
    if app.quiet:
        return ExitStatus.DONE
    moment = store.timetable.next_due({part.source: part.rhythm for part in plan.parts}, datetime.now(UTC))
    render.say(f"Nothing is due. Next: {moment[:16].replace('T', ' ')} UTC." if moment else "Nothing is due.")
    return ExitStatus.DONE


def _rehearse(app: App, store: Store, plan: Plan, questions: Sequence[SavedQuery]) -> int:
    """Print the questions of the plan, each with the request with which it would begin: all as JSON, else the first of each source."""
    from harvester.harvest import first_of_each

    for one in questions if not app.quiet else ():
        render.say(f"{one.broker} is asked first: saved question {one.name}. The targets that it brings are due as well.")
    first = True
    for line in plan.lines.values():
        for task, requests in first_of_each(islice(line, None if app.json else SHOWN), store, app.settings, simulated=app.emulated):
            rows = [_row(task, request, whole=app.json) for request in requests or [""]]
            if app.json:
                render.objects(rows)
            else:
                render.tab_separated(rows, REQUESTS, header=first)
            first = False
    for part in plan.parts if not app.quiet else ():
        more = f" The first {SHOWN} of {part.questions} questions are shown; all: --json" if part.questions > SHOWN and not app.json else ""
        render.say(f"{part.source}: {part.targets} due.{more}")
    if not app.quiet:
        render.say("Nothing was sent. Further requests depend on the answers.")
    return ExitStatus.DONE


def _row(task: Task, request: str, *, whole: bool) -> dict[str, Any]:
    names = [target.name for target in task.targets]
    if not whole and len(names) > NAMES_SHOWN:
        names = [*names[:NAMES_SHOWN], f"and {len(names) - NAMES_SHOWN} more"]
    return {"source": task.source, "targets": names, "since": _date(task.since), "request": request}


def _date(mjd: float | None) -> str | None:
    return None if mjd is None else str((datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=mjd - MJD_OF_UNIX)).date())
