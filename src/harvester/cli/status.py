"""`harvest status`: what ran last, what is due, what fails since when and why, what is pending."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from harvester.cli import render
from harvester.cli.options import App, define, target_option
from harvester.cli.runs import moment
from harvester.errors import BrokenSource

if TYPE_CHECKING:
    from harvester.store import Store
    from harvester.store.alerts import SavedQuery
    from harvester.store.visit import Rhythm

COLUMNS = ("target", "source", "outcome", "when", "points", "newest", "filters", "message")
SOURCES = ("source", "targets", "due", "next_due", "pending", "postponed", "suspicious", "failed", "last_success")
TROUBLES = ("source", "outcome", "targets", "since", "failures", "message", "target")
QUESTIONS = ("saved question", "broker", "outcome", "since", "failures", "message")
NUMBERS = ("points", "targets", "due", "pending", "postponed", "suspicious", "failed", "failures")
LAST = ("run", "started", "ended", "status", "outcomes", "command")


@define("status")
@target_option(help="Only these targets, and what is stored of them, source by source.")
def command(app: App, /, targets: Sequence[str]) -> None:
    """Say what ran last, what is due, what fails since when and why, and what is pending; also of saved questions to brokers.

    \b
    harvest status
    harvest status --target "RR Lyr"
    """  # noqa: D301 - \b is click's
    store = app.store()
    if targets:
        _of_targets(app, store, targets)
        return
    sources, troubles = store.overview(_rhythms(), datetime.now(UTC))
    runs, questions = store.runs(1, brief=not app.json), [_question(one) for one in store.alerts.saved() if one.failing_since]
    if app.json:
        tables = ("run", runs), ("source", sources), ("trouble", troubles), ("saved_query", questions)
        render.objects([{"about": about, **row} for about, rows in tables for row in rows])
        return
    if runs:
        counts = [f"{count} {name}" for name, count in runs[0]["outcomes"].items()]
        last = runs[0] | {"started": moment(runs[0]["started"]), "ended": moment(runs[0]["ended"]), "outcomes": counts}
        render.facts([("last run" if name == "run" else name, last[name]) for name in LAST])
        render.lines([""])
    render.table([_source(row) for row in sources], SOURCES, right=NUMBERS)
    if troubles:
        render.lines([""])
        render.table([_trouble(row) for row in troubles], TROUBLES, right=NUMBERS)
    if questions:
        render.lines([""])
        render.table([_asked(row) for row in questions], QUESTIONS, right=NUMBERS)
    if not runs and not app.quiet:
        render.say("Nothing has been asked yet. Begin with: harvest fetch --target NAME")


def _rhythms() -> dict[str, Rhythm]:
    """Return how often every source that can be asked wants to be; a broken one is a warning."""
    from harvester.source import load, registered
    from harvester.store.visit import Rhythm

    found = {}
    for name in registered():
        try:
            source = load(name)
        except BrokenSource as error:
            render.problem("warning", error.lines())
            continue
        if source.takes and not source.retired:
            found[name] = Rhythm(source.cadence, source.release)
    return found


def _source(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "next_due": moment(row["next_due"]), "last_success": moment(row["last_success"])}


def _trouble(row: Mapping[str, Any]) -> dict[str, Any]:
    outcome = f"{row['outcome']}: {row['error']}" if row["error"] else row["outcome"]
    return {**row, "outcome": outcome, "since": moment(row["since"]), "message": row["message"].partition("\n")[0]}


def _question(one: SavedQuery) -> dict[str, Any]:
    names = {"name": "saved_query", "broker": "broker", "outcome": "outcome", "error": "error", "failing_since": "since"}
    names |= {"failures": "failures", "last_run": "last", "trouble": "message"}
    return {word: getattr(one, name) for name, word in names.items()}


def _asked(row: Mapping[str, Any]) -> dict[str, Any]:
    return _trouble(row) | {"saved question": row["saved_query"]}


def _of_targets(app: App, store: Store, targets: Sequence[str]) -> None:
    from harvester.cli.choice import selection

    states = store.status(selection(store, targets, (), ())["targets"])
    render.table(states if app.json else [as_row(state) for state in states], COLUMNS, as_json=app.json, right=NUMBERS, wide=("filters",))


def as_row(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return one line of a target's status: what happened last, what is stored, what is wrong."""
    newest = None if state["newest"] is None else f"{state['newest']:.4f}"
    filters = [f"{name} {points}" for name, points in state["points_by_filter"].items()]
    wrong = f" ({state['failures']} in a row)" if state["failures"] > 1 else ""
    outcome = f"{state['outcome']}: {state['error']}" if state["error"] else state["outcome"]
    return {
        **state,
        "outcome": outcome,
        "when": moment(state["when"]),
        "newest": newest,
        "filters": filters,
        "message": state["message"].partition("\n")[0] + wrong,
    }
