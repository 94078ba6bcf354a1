"""`harvest quarantine`: rows that could not be trusted, and their release."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import click

from harvester.cli import render
from harvester.cli.choice import selection
from harvester.cli.options import COMMON, App, define, source_option, target_option

COUNTED = ("source", "reason", "rows", "targets")
COLUMNS = ("id", "target", "source", "reason", "run", "sha256", "row")


@click.group("quarantine", params=COMMON())
def command() -> None:
    """Rows that could not be trusted: list, show, release."""


@define("list")
@target_option(help="Only these targets.")
@source_option(help="Only these sources.")
def list_(app: App, /, targets: Sequence[str], sources: Sequence[str]) -> None:
    """Say how many rows are in quarantine, and why."""
    held = _held(app, targets, sources)
    counts = Counter((row["source"], row["reason"]) for row in held)
    whose = {key: {row["target"] for row in held if (row["source"], row["reason"]) == key} for key in counts}
    rows = [{"source": key[0], "reason": key[1], "rows": count, "targets": len(whose[key])} for key, count in sorted(counts.items())]
    render.table(rows, COUNTED, as_json=app.json, right=("rows", "targets"))


@define("show")
@target_option(help="Only these targets.")
@source_option(help="Only these sources.")
def show(app: App, /, targets: Sequence[str], sources: Sequence[str]) -> None:
    """Show the rows, as the survey sent them."""
    rows = _held(app, targets, sources)
    shown = [row | {"sha256": (row["sha256"] or "")[:12], "row": _told(row["row"])} for row in rows]
    render.table(rows if app.json else shown, COLUMNS, as_json=app.json, right=("id", "run"))


@define("release")
@target_option(help="Only these targets.")
@source_option(help="Only these sources.")
def release(app: App, /, targets: Sequence[str], sources: Sequence[str]) -> int:
    """Read the payloads of these rows again: what conforms to today's code becomes photometry and leaves quarantine."""
    from harvester.cli.payloads import replayed
    from harvester.store import Chosen

    store = app.store()
    before = _held(app, targets, sources)
    pairs = {(row["target"], row["source"]) for row in before}
    statuses = [
        replayed(app, store, Chosen([target for target, name in pairs if name == source], [source]))
        for source in sorted({source for _, source in pairs})
    ]
    after = {row["id"] for row in store.archive.quarantined()}
    freed = sum(row["id"] not in after for row in before)
    if not app.quiet:
        pruned = sum(not row["releasable"] for row in before)
        kept = f"; {pruned} cannot be read again, their payloads were pruned" if pruned else ""
        render.say(f"{freed} of {len(before)} rows released{kept}.")
    return max(statuses, default=0)


def _held(app: App, targets: Sequence[str], sources: Sequence[str]) -> list[dict[str, Any]]:
    store = app.store()
    found = selection(store, targets, sources, ())
    return store.archive.quarantined(found["targets"], found["sources"])


def _told(row: object) -> str:
    return " ".join(f"{name}={value}" for name, value in row.items()) if isinstance(row, dict) else ""


for subcommand in (list_, show, release):
    command.add_command(subcommand)
