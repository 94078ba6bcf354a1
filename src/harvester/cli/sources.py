"""`harvest sources`: what can be asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from harvester.cli import render
from harvester.cli.options import COMMON, App, complete_source, define, source_option
from harvester.errors import BrokenSource, ExitStatus
from harvester.source import Source, describe, find, load, registered

if TYPE_CHECKING:
    from harvester.health import Checkup
    from harvester.times import TimeSystem

NEITHER = {"unknown", "not yet public"}
"""Neither well nor ill: there is nothing that could be asked."""
NO_ERRORS = {"suspicious", "postponed"} | NEITHER
CHECKED = ("source", "state", "rows", "columns", "credentials", "clock", "seconds")


@click.group("sources", params=COMMON())
def command() -> None:
    """The surveys that can be asked."""


@define("list")
def list_(app: App, /) -> None:
    """List the sources, from their files' own words; a broken plug-in is a warning."""
    rows = []
    for entry in registered().values():
        try:
            about = describe(entry)
        except BrokenSource as error:
            render.problem("warning", error.lines())
            continue
        rows.append({"source": about.name, "what": about.title, "release": about.facts.get("release", ""), "package": about.package})
    render.table(rows, ("source", "what", "release", "package"), as_json=app.json)


@define("show")
@source_option(help="Which ones.", required=True)
def show(app: App, /, sources: Sequence[str]) -> None:
    """Show all that an astronomer needs to know of a source: release, times, magnitudes, limits, what to cite."""
    for name in sources:
        about, source = describe(find(name)), load(name)
        words = [(word, text) for word, text in about.facts.items() if word != "cite"]
        render.facts([("source", name), ("what", about.title), ("package", about.package), *words, *_facts(source)], as_json=app.json)


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


def _facts(source: Source) -> list[tuple[str, Any]]:
    systems = source.systems()
    one = len(systems) == 1
    facts: list[tuple[str, Any]] = [
        ("survey", source.survey if one else list(systems)),
        ("filters", _filters(source)),
        ("time system", _per_survey({survey: system.describe() for survey, system in systems.items()})),
        ("time budget", _per_survey({survey: _budget(system) for survey, system in systems.items()})),
        ("radius", f'{source.radius:g}"'),
        ("asked by", sorted(source.takes)),
        ("targets per query", source.batch),
        ("cadence", "once per release" if source.cadence is None else f"every {source.cadence:g} days"),
        ("pace", f"{source.pace.per_second:g} requests a second, {source.pace.at_once} at once"),
        ("credentials", [f"{one.header or one.param or one.field}: {one.value}" for one in source.credentials] or "none"),
        *([("how to get them", source.credentials[0].how)] if source.credentials else []),
        ("service", source.base_url),
        ("cite", list(source.cite)),
        ("acknowledge", source.acknowledgement),
    ]
    return [*facts, ("retired", f"use {source.retired}")] if source.retired else facts


def _per_survey(said: Mapping[str, str]) -> str | list[str]:
    """Return what is said of the only survey, or of each, without saying the same twice."""
    surveys: dict[str, list[str]] = {}
    for survey, words in said.items():
        surveys.setdefault(words, []).append(survey)
    return next(iter(surveys)) if len(surveys) == 1 else [f"{', '.join(names)}: {words}" for words, names in surveys.items()]


def _budget(system: TimeSystem) -> str:
    own = f"of which {system.sigma_s:g} s is the survey's own"
    return f"{system.total_sigma_s:.2g} s in BJD_TDB (1 sigma), {own}; our conversion adds 3 us"


def _filters(source: Source) -> list[str]:
    from harvester.schema import label

    return [f"{label(name, survey)} {band.system}" for survey in source.systems() for name, band in source.bands(survey).items()]


for subcommand in (list_, show, check):
    command.add_command(subcommand)
