"""`harvest fetch`: the main job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from harvester.cli import render
from harvester.cli.choice import chosen_sources, read_wanted, resolved
from harvester.cli.options import App, define, interval_options, source_option, target_option
from harvester.errors import ExitStatus, StoreError
from harvester.target import Target

if TYPE_CHECKING:
    from harvester.harvest import Outcome, Task
    from harvester.session import Client
    from harvester.store import Store

COLUMNS = ("source", "target", "outcome", "filter", "new", "revised", "total")
NUMBERS = ("new", "revised", "total")


@define("fetch")
@source_option(help="Survey to ask, several times for several.  [default: every one]")
@target_option(help="What to ask about: name, position (ICRS), file with one a line, or - for standard input.")
@click.option(
    "--radius", type=click.FloatRange(min=0.01, max=3600), metavar="ARCSEC", help="Radius of the search.  [default: the source's own]"
)
@interval_options
@click.option("-n", "--dry-run", is_flag=True, help="Print the requests, send none, store nothing.")
def command(
    app: App,
    /,
    sources: Sequence[str],
    targets: Sequence[str],
    radius: float | None,
    since: float | None,
    until: float | None,
    dry_run: bool,
) -> int:
    """Get photometry now, store it, say what was new.

    \b
    harvest fetch --source gaia_dr3 --source ztf_dr --target "RR Lyr"
    harvest fetch --target 291.3663,+42.7844
    harvest fetch --target @targets.csv
    """  # noqa: D301 - \b is click's
    from harvester.harvest import plan

    names = chosen_sources(sources)
    wanted = read_wanted(targets)
    if dry_run:
        return _rehearse(app, names, wanted, radius, since, until)
    store, client = app.store(create=True), app.client()
    found, unknown = resolved(app, wanted, store, client)
    tasks = plan(found, names, app.settings, radius=radius, since=since, until=until)
    outcomes = _run(app, tasks, store, client) if tasks else []
    if app.json:
        render.objects(unknown)
    report(app, outcomes, len(unknown), store.place)
    return status(outcomes, len(unknown))


def _run(app: App, tasks: Sequence[Task], store: Store, client: Client) -> list[Outcome]:
    """Do the tasks; print each Outcome as it comes, but for a person, who gets one table at the end."""
    from harvester.harvest import run

    live = app.json or not (app.quiet or render.at_terminal())
    seen: list[Outcome] = []
    with render.progress(sum(len(task.targets) for task in tasks), "harvesting", quiet=app.quiet or app.json) as step:

        def told(outcome: Outcome) -> None:
            step(f"{outcome.source} {outcome.target}")
            if live:
                show(app, [outcome], header=not seen)
            seen.append(outcome)

        outcomes = run(tasks, store, client, app.settings, command=app.command_line(store), on_outcome=told)
    if not live and not app.quiet:
        show(app, outcomes)
    return outcomes


def show(app: App, outcomes: Sequence[Outcome], *, header: bool = True) -> None:
    """Print Outcomes: JSON objects, a table at a terminal, tab-separated rows elsewhere."""
    if app.json:
        render.objects([as_object(outcome) for outcome in outcomes])
        return
    rows = [row for outcome in outcomes for row in rows_of(outcome)]
    if render.at_terminal():
        render.table(rows, COLUMNS, right=NUMBERS)
    else:
        render.tab_separated(rows, COLUMNS, header=header)


def report(app: App, outcomes: Sequence[Outcome], unknown: int, place: str) -> None:
    """Say what failed or deserves a look, and how it went in all."""
    for outcome in outcomes:
        if not outcome.succeeded:
            render.problem("error" if outcome.kind == "failed" else "warning", _complaint(outcome))
        elif outcome.message and not app.quiet:
            render.say(f"{outcome.source}: {outcome.target}: {outcome.message}.")
    if not app.quiet:
        render.say(summary(outcomes, unknown, place))


def rows_of(outcome: Outcome) -> list[dict[str, Any]]:
    """Return a row per filter, or one without a filter where nothing came."""
    head = {
        "source": outcome.source,
        "target": outcome.target,
        "outcome": outcome.kind if not outcome.error else f"{outcome.kind}: {outcome.error}",
    }
    by_filter = outcome.counts.by_filter
    if not by_filter:
        return [head]
    return [
        {**head, "filter": name, "new": part.new, "revised": part.revised, "total": part.total} for name, part in sorted(by_filter.items())
    ]


def as_object(outcome: Outcome) -> dict[str, Any]:
    """Return an Outcome as it stands in JSON."""
    counts = outcome.counts
    return {
        "target": outcome.target,
        "source": outcome.source,
        "outcome": outcome.kind,
        "error": outcome.error,
        "message": outcome.message,
        "new": counts.new,
        "revised": counts.revised,
        "known": counts.known,
        "known_elsewhere": counts.known_elsewhere,
        "quarantined": counts.quarantined,
        "filters": {
            name: {"new": part.new, "revised": part.revised, "total": part.total} for name, part in sorted(counts.by_filter.items())
        },
        "neighbours": outcome.neighbours,
        "ambiguous": outcome.ambiguous,
        "seconds": round(outcome.seconds, 3),
    }


def summary(outcomes: Sequence[Outcome], unknown: int, place: str) -> str:
    """Return the last line: what failed, how much was new, and where it lies."""
    new, revised, held = (sum(getattr(outcome.counts, name) for outcome in outcomes) for name in ("new", "revised", "quarantined"))
    bad = unknown + sum(not outcome.succeeded for outcome in outcomes)
    words = [f"{bad} of {unknown + len(outcomes)} did not succeed"] if bad else []
    words += [f"{new} new point{'s' * (new != 1)}"] if new or bad else ["Nothing new"]
    words += [f"{revised} revised"] if revised else []
    words += [f"{held} in quarantine"] if held else []
    return f"{', '.join(words)}. Store: {render.shortened(place)}"


def status(outcomes: Sequence[Outcome], unknown: int) -> int:
    """Return the exit status: 0 all done; 1 a bug, or nothing succeeded; 3 some did, or was put off; 4 only credentials stood in the way."""
    bad = [outcome for outcome in outcomes if not outcome.succeeded]
    if not bad and not unknown:
        return ExitStatus.DONE
    if any(outcome.error == "bug" for outcome in bad):
        return ExitStatus.FAILED
    if not unknown and all(outcome.error == "refused" for outcome in bad):
        return ExitStatus.CREDENTIALS
    partly = len(bad) < len(outcomes) or any(outcome.kind in ("suspicious", "postponed") for outcome in bad)
    return ExitStatus.PARTIAL if partly else ExitStatus.FAILED


def _complaint(outcome: Outcome) -> list[str]:
    lines = outcome.message.splitlines() or [outcome.kind]
    head = lines[0] if lines[0].startswith(outcome.source) else f"{outcome.source}: {lines[0]}"
    kept = {"postponed": " (postponed)", "suspicious": " (suspicious; what was stored before stays)"}.get(outcome.kind, "")
    return [f"{outcome.target}: {head}{kept}", *lines[1:3]]


def _rehearse(
    app: App, names: Sequence[str], wanted: Sequence[Target | str], radius: float | None, since: float | None, until: float | None
) -> int:
    """Print the requests that a fetch would begin with."""
    from harvester.harvest import first_requests, plan

    def tasks_of(targets: list[Target]) -> list[Task]:
        return plan(targets, names, app.settings, radius=radius, since=since, until=until)

    render.lines(first_requests(wanted, tasks_of, _existing(app), app.settings))
    render.say("Nothing was sent. Further requests depend on the answers.")
    return ExitStatus.DONE


def _existing(app: App) -> Store | None:
    """Return the store if it is there, to look names up in."""
    try:
        return app.store()
    except StoreError:
        return None
