"""`harvest sources`: what can be asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harvester.cli import render
from harvester.cli.options import COMMON, App, complete_source, define, source_option
from harvester.errors import BrokenSource, ExitStatus, UsageError
from harvester.source import registered

if TYPE_CHECKING:
    from harvester.config import ServiceSettings
    from harvester.health import Checkup

NEITHER = {"unknown", "not yet public", "unfinished"}
"""Neither well nor ill: there is nothing that could be asked."""
NO_ERRORS = {"suspicious", "postponed"} | NEITHER
CHECKED = ("source", "state", "rows", "columns", "credentials", "clock", "seconds")


@click.group("sources", params=COMMON())
def command() -> None:
    """The surveys that can be asked."""


@define("list")
def list_(app: App, /) -> None:
    """List the sources: what they serve, how often they are asked, whether anything stands in the way; a broken plug-in is a warning.

    Nobody is asked: harvest sources check does that.
    """
    from harvester.cli.source_list import COLUMNS, WHOLE, WIDE, broken_row, narrow, row

    rows = []
    for name, entry in registered().items():
        try:
            rows.append(row(entry, _own(app, name)))
        except BrokenSource as error:
            render.problem("warning", error.lines())
            rows.append(broken_row(entry))
    people = render.at_terminal() and not app.json
    render.table(narrow(rows) if people else rows, COLUMNS, as_json=app.json, wide=WIDE, whole=WHOLE)


@define("show")
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=complete_source)
@source_option(help="The same, as an option.")
def show(app: App, /, names: Sequence[str], sources: Sequence[str]) -> None:
    """Show all that an astronomer needs to know of a source: release, times, magnitudes, cuts, limits, what to cite, how to be let in."""
    from harvester.cli.source_facts import facts, wrapped

    if not (wanted := dict.fromkeys((*names, *sources))):
        raise UsageError("no source named.", hint="Name one: harvest sources show ztf_dr  All sources: harvest sources list")
    for place, name in enumerate(wanted):
        found = facts(name, _own(app, name), as_json=app.json)
        render.lines([""] if place and not app.json else [])
        render.facts(wrapped(found) if render.at_terminal() and not app.json else found, as_json=app.json)


@define("check")
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=complete_source)
def check(app: App, /, names: Sequence[str]) -> int:
    """Ask each source a small question: does it answer as it did when it was recorded, are we let in, are the clocks right.

    Exit status: 0 all are well, 1 none is, 3 some are not, 4 only credentials stand in the way.
    """
    from harvester.health import check as checked

    client, found = app.client(), []
    for name in names or registered():
        found.append(checked(name, client, app.settings))
        _report(app, found[-1], header=len(found) == 1)
    return _status(found)


def _report(app: App, found: Checkup, *, header: bool) -> None:
    """Print a line of data; say what is wrong."""
    row = asdict(found) | {"seconds": round(found.seconds, 3), "well": found.is_well}
    silent = app.quiet and (found.is_well or found.state in NEITHER)
    if app.json:
        render.objects([row])
    elif not silent:
        clock = "" if found.clock_ahead is None else f"{found.clock_ahead:+.0f} s"
        render.tab_separated([row | {"clock": clock, "columns": _drift(found)}], CHECKED, header=header)
    if found.lines and not silent:
        render.problem("warning" if found.is_well or found.state in NO_ERRORS else "error", found.lines)
    if found.clock_is_off:
        words = f"{found.source}: its clock is {abs(found.clock_ahead or 0):.0f} s {'ahead of' if (found.clock_ahead or 0) > 0 else 'behind'} ours."
        render.problem("warning", [words, "If other services say the same, this machine's clock is wrong: set it (NTP)."])


def _drift(found: Checkup) -> str:
    if found.missing is None or found.added is None:
        return ""
    return " ".join([*(f"-{name}" for name in found.missing), *(f"+{name}" for name in found.added)]) or "unchanged"


def _status(found: Sequence[Checkup]) -> int:
    bad = [one for one in found if not one.is_well and one.state not in NEITHER]
    if not bad:
        return ExitStatus.DONE
    if all(one.state == "refused" for one in bad):
        return ExitStatus.CREDENTIALS
    return ExitStatus.PARTIAL if any(one.is_well for one in found) else ExitStatus.FAILED


def _own(app: App, name: str) -> ServiceSettings | None:
    """Return what is set for a source; a simulation is shown no secrets, so nobody looks for them."""
    return None if app.emulated else app.settings.service(name)


@define("new")
@click.argument("name")
@click.option("--survey", metavar="LABEL", default="", help="The word in g(LABEL).  [default: NAME in capitals]")
@click.option(
    "--directory", metavar="DIR", type=click.Path(path_type=Path), help="Where to.  [default: harvester-NAME; with --inside: here]"
)
@click.option("--inside", is_flag=True, help="Write a source of harvester's own, into a checkout of it.")
def new(app: App, /, name: str, survey: str, directory: Path | None, *, inside: bool) -> None:
    """Write a source to begin with: an installable package with its file, entry point, recording and test.

    It passes the contract as it is, and asks nobody until every TODO in the head of its file is gone. No file is ever written over.
    """
    from harvester.skeleton import own_source, package

    if inside:
        folder = directory or Path()
        made = own_source(name, survey, checkout=folder)
    else:
        folder = directory or Path(f"harvester-{name.replace('_', '-')}")
        made = package(name, survey, folder=folder)
    render.objects([{"file": str(path)} for path in made]) if app.json else render.lines([str(path) for path in made])
    if not app.quiet:
        where = f"cd {folder} && " if folder != Path() else ""
        test = f"pytest tests/test_contract.py -k {name}" if inside else "pytest"
        render.say(f"Now: {where}pip install -e . && {test}\nThen write what is true in place of each TODO; README says in what order.")


for subcommand in (list_, show, check, new):
    command.add_command(subcommand)
