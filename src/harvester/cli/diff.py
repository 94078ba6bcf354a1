"""`harvest diff`: what changed between two runs or dates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import click

from harvester.cli import render
from harvester.cli.choice import selection
from harvester.cli.options import App, define, target_option

COLUMNS = ("change", "target", "filter", "bjd_tdb", "observation_id", "run", "values")
NO_LONGER = "no longer served"
UNKNOWN = "unknown"


@define("diff")
@click.option(
    "--from", "earlier", default="last-1", show_default=True, metavar="RUN|DATE", help="A run's number, last, last-1, or a date (UTC)."
)
@click.option("--to", "later", default="last", show_default=True, metavar="RUN|DATE", help="The same.")
@target_option(help="Only these targets.")
def command(app: App, /, earlier: str, later: str, targets: Sequence[str]) -> None:
    """List the points that were added, revised or withdrawn, and those that a survey no longer serves.

    A point that is no longer served is kept: the newest whole answer since --from did not hold it. Withdrawn is a limit of an exposure in which
    the object was detected after all.

    \b
    harvest diff
    harvest diff --from 2026-05-01 --to last
    """  # noqa: D301 - \b is click's
    from harvester.replay import unserved

    store = app.store()
    names = selection(store, targets, (), ())["targets"]
    before, after = store.past.state(earlier), store.past.state(later)
    rows = list(store.past.changes(before, after, names))
    told = {_point(row) for row in rows}
    lost = [row for row in unserved(store, before, after, names) if _point(row) not in told]
    rows += [{"change": UNKNOWN if "why" in row else NO_LONGER} | row for row in lost]
    render.table(rows if app.json else [_line(row) for row in rows], COLUMNS, as_json=app.json, right=("bjd_tdb", "run"))
    if not app.quiet:
        counts = Counter(row["change"] for row in rows if row["change"] != UNKNOWN)
        said = ", ".join(
            f"{counts[word]} {word}" for word in ("added", "revised", "withdrawn", NO_LONGER) if counts[word] or word != "withdrawn"
        )
        render.say(f"{before.name} to {after.name}: {said}; {len({row['target'] for row in rows})} targets.")


def _point(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["target"], row.get("filter"), row.get("observation_id")


def _line(row: dict[str, Any]) -> dict[str, Any]:
    if "why" in row:
        return row | {"values": f"{row['source']}: what is still served cannot be told: {row['why']}"}
    differing = [f"{name} {row['old'][name]} -> {row['new'][name]}" for name in row.get("old", {})]
    return row | {"bjd_tdb": row["bjd_tdb"] and f"{row['bjd_tdb']:.6f}", "values": ", ".join(differing) or f"mag {row['mag']}"}
