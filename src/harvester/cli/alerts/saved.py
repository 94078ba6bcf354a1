"""`harvest alerts saved`: questions to brokers that are asked again, for what is new."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from harvester.cli import render
from harvester.cli.alerts.shown import Shown
from harvester.cli.options import COMMON, App, define
from harvester.cli.runs import moment
from harvester.cli.stopping import finished, heard, max_time_option
from harvester.errors import ExitStatus, UsageError

if TYPE_CHECKING:
    from harvester.alert_search import Asked
    from harvester.lanes import Stop
    from harvester.store import Store
    from harvester.store.alerts import SavedQuery

COLUMNS = ("name", "broker", "question", "targets", "alerts", "last_run", "newest", "failures", "failing_since", "trouble")
NUMBERS = ("alerts", "newest", "failures")


@click.group("saved", params=COMMON())
def command() -> None:
    """List, run and remove the questions that are asked again (saved by: harvest alerts query --save NAME)."""


@define("list")
def list_(app: App, /) -> None:
    """List the saved questions, and how they did."""
    render.table([_row(one) for one in app.store().alerts.saved()], COLUMNS, as_json=app.json, right=NUMBERS, wide=("trouble",))


@define("run")
@click.option("--name", "names", multiple=True, metavar="NAME", help="Which ones.")
@click.option("--all", "every", is_flag=True, help="All of them.")
@max_time_option
def run(app: App, /, names: Sequence[str], every: bool, max_time: float | None) -> int:
    """Ask saved questions for what is new since they were asked last; harvest update does so too.

    Alerts that a question has told before are not told again.

    \b
    harvest alerts saved run --name early
    harvest alerts saved run --all --json
    """  # noqa: D301 - \b is click's
    from harvester.harvest import Stop

    if every == bool(names):
        raise UsageError("name the questions, or take all.", hint="harvest alerts saved run --name NAME  or  --all")
    store = app.store(insist=True)
    chosen = store.alerts.saved(None if every else names)
    if not chosen and not app.quiet:
        render.say("There is no saved question. Save one: harvest alerts query ... --save NAME")
    return ask(app, store, chosen, Stop(max_time))


@define("remove")
@click.option("--name", "names", multiple=True, required=True, metavar="NAME", help="Which ones.")
def remove(app: App, /, names: Sequence[str]) -> None:
    """Forget saved questions; the alerts and targets that they brought stay."""
    store = app.store()
    for one in store.alerts.saved(names):
        store.alerts.remove(one.name)
        if not app.quiet:
            render.say(f"removed {one.name}")


def ask(app: App, store: Store, questions: Sequence[SavedQuery], stop: Stop | None = None) -> int:
    """Ask questions one after another, and print what is new; return the exit status."""
    from harvester.harvest import Stop

    stop = stop or Stop()
    with heard(stop), Shown(app, query="") as shown:
        results = results_of(app, store, questions, stop, shown=shown)
    for result in results:
        report(app, result)
    return finished(stop, len(questions) - len(results), status(results), again="harvest alerts saved run --all")


def results_of(app: App, store: Store, questions: Sequence[SavedQuery], stop: Stop, *, shown: Shown | None = None) -> list[Asked]:
    """Ask questions until the stop; return what became of those that were asked. One that fails stops none of the others."""
    from harvester.alert_search import ask_again

    client, found = app.client(), list[Any]()
    for one in questions:
        if stop.called:
            break
        if shown:
            shown.beside = {"query": one.name}
        found.append(ask_again(one, store, client, app.settings, on_alert=shown or _unheard, stop=stop))
    return found


def report(app: App, result: Asked) -> None:
    """Say what became of a question: trouble always, the rest unless it is to be quiet."""
    head = f"{result.query} ({result.broker})"
    complain(result)
    if app.quiet:
        return
    for note in result.notes:
        render.say(f"{head}: {note}")
    targets = f", {len(result.targets)} new target{'s' * (len(result.targets) != 1)}" if result.targets else ""
    render.say(f"{head}: {result.alerts} new alert{'s' * (result.alerts != 1)}{targets}.")


def complain(result: Asked) -> None:
    """Say what a question lacks."""
    head = f"{result.query} ({result.broker})"
    if result.outcome == "failed":
        first, *rest = result.message.splitlines()
        render.problem("error", [f"{head}: {first}", *rest[:2]])
    elif result.troubled:
        render.problem(
            "warning", [f"{head}: {result.outcome}: {result.message.splitlines()[0]}", "It is asked for the same again next time."]
        )


def still_failing(questions: Sequence[SavedQuery]) -> None:
    """Say which questions got no whole answer last time, since when and why: a line each, with the class of the failure."""
    for one in questions:
        if one.failing_since:
            how = f"{one.outcome}: {one.error}" if one.error else one.outcome
            often = f", {one.failures} times" if one.failures > 1 else ""
            what = f"saved question {one.name} ({one.broker}): {how} since {moment(one.failing_since)}{often}."
            render.problem("warning", [what, _first(one.trouble)])


def _first(text: str) -> str:
    return text.partition("\n")[0]


def status(results: Sequence[Asked]) -> int:
    """Return the exit status of questions: 0 all answered whole, 1 a bug or all failed, 3 some lack something, 4 for credentials alone."""
    troubled = [result for result in results if result.troubled]
    failed = [result for result in troubled if result.outcome == "failed"]
    if not troubled:
        return ExitStatus.DONE
    if len(failed) == len(troubled) and all(result.error == "refused" for result in failed):
        return ExitStatus.CREDENTIALS
    bugs = any(result.error == "bug" for result in failed)
    return ExitStatus.FAILED if bugs or len(failed) == len(results) else ExitStatus.PARTIAL


def as_object(result: Asked) -> dict[str, Any]:
    """Return what became of a question as it stands in JSON."""
    told = {name: getattr(result, name) for name in ("broker", "outcome", "error", "message", "alerts")}
    return {"saved_query": result.query, **told, "targets": list(result.targets), "notes": list(result.notes)}


def _unheard(_alert: Any) -> None:
    """Take an alert that nobody reads."""


def _row(one: SavedQuery) -> dict[str, Any]:
    from harvester.alerts.question import Question

    told = {name: getattr(one, name) for name in ("name", "broker", "alerts", "last_run", "newest", "failures", "failing_since", "trouble")}
    return told | {"question": Question.from_json(one.question).told(), "targets": one.add_targets, "trouble": one.trouble.split("\n")[0]}


for subcommand in (list_, run, remove):
    command.add_command(subcommand)
