"""`harvest status`: what is stored, when it was asked, what fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harvester.cli import render
from harvester.cli.choice import selection
from harvester.cli.options import App, define, target_option

COLUMNS = ("target", "source", "outcome", "when", "points", "newest", "filters", "message")


@define("status")
@target_option(help="Only these targets.")
def command(app: App, /, targets: Sequence[str]) -> None:
    """Say for each target and source what is stored, when it was last asked, and what fails."""
    store = app.store()
    names = selection(store, targets, (), ())["targets"]
    states = store.status(names)
    rows = states if app.json else [as_row(state) for state in states]
    render.table(rows, COLUMNS, as_json=app.json, right=("points",), wide=("filters",))
    if not rows and not app.quiet:
        render.say("Nothing has been asked yet. Begin with: harvest fetch --target NAME")


def as_row(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return one line of the status: what happened last, what is stored, what is wrong."""
    newest = None if state["newest"] is None else f"{state['newest']:.4f}"
    filters = [f"{name} {points}" for name, points in state["points_by_filter"].items()]
    when = state["when"][:16].replace("T", " ")
    wrong = f" ({state['failures']} in a row)" if state["failures"] > 1 else ""
    outcome = f"{state['outcome']}: {state['error']}" if state["error"] else state["outcome"]
    return {
        **state,
        "outcome": outcome,
        "when": when,
        "newest": newest,
        "filters": filters,
        "message": state["message"].partition("\n")[0] + wrong,
    }
