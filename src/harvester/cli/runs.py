"""`harvest runs`: what was done, run by run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from harvester.cli import render
from harvester.cli.options import COMMON, App, define

LISTED = ("run", "started", "seconds", "status", "targets", "sources", "outcomes", "new", "revised", "command")
NUMBERS = ("run", "seconds", "targets", "sources", "new", "revised", "known", "quarantined")
SHOWN = ("source", "target", "outcome", "new", "revised", "known", "quarantined", "seconds", "message")
GOOD = ("new", "unchanged", "empty")


@click.group("runs", params=COMMON())
def command() -> None:
    """What was done, run by run: list, show."""


@define("list")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, metavar="N", help="The newest so many.")
def list_(app: App, /, limit: int) -> None:
    """List the runs, newest first: when, how they ended, and how many visits ended how."""
    rows = app.store().runs(limit)
    render.table(rows if app.json else [_line(row) for row in rows], LISTED, as_json=app.json, right=NUMBERS, wide=("sources", "revised"))


@define("show")
@click.argument("run", default="last", metavar="[RUN]")
@click.option("--failed", is_flag=True, help="Only what did not succeed.")
def show(app: App, /, run: str, *, failed: bool) -> None:
    """Show a run (its number, last or last-1): what happened to every target and source.

    With --json an object for each, as harvest fetch printed it. What failed is asked for again by: harvest fetch --failed-of RUN
    """
    about, visits = app.store().visits(run)
    rows = [row for row in visits if not failed or row["outcome"] not in GOOD]
    if app.json:
        render.objects([{"run": about["run"], **row} for row in rows])
        return
    facts = [(name, value) for name, value in _line(about).items() if name in (*LISTED, "ended", "version")]
    render.facts(facts)
    if rows:
        render.lines([""])
        render.table([as_row(row) for row in rows], SHOWN, right=NUMBERS, wide=("known", "seconds"))


def as_row(visit: Mapping[str, Any]) -> dict[str, Any]:
    """Return a visit as a person reads it: the class of a failure beside the Outcome, the first line of what was said."""
    outcome = f"{visit['outcome']}: {visit['error']}" if visit["error"] else visit["outcome"]
    return {**visit, "outcome": outcome, "message": visit["message"].partition("\n")[0], "seconds": f"{visit['seconds']:.2f}"}


def _line(row: Mapping[str, Any]) -> dict[str, Any]:
    counts = [f"{count} {name}" for name, count in row["outcomes"].items()]
    return {**row, "started": moment(row["started"]), "ended": moment(row["ended"]), "outcomes": counts}


def moment(text: str | None) -> str:
    """Return a moment of the store to the second, as people read it (UTC)."""
    return (text or "")[:19].replace("T", " ")


for subcommand in (list_, show):
    command.add_command(subcommand)
