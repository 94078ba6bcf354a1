"""`harvest sources`: what can be asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from harvester.cli import render
from harvester.cli.options import COMMON, App, define, source_option
from harvester.errors import BrokenSource
from harvester.source import Source, describe, find, load, registered


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


def _facts(source: Source) -> list[tuple[str, Any]]:
    system = source.time_system
    facts: list[tuple[str, Any]] = [
        ("survey", source.survey),
        ("filters", _filters(source)),
        ("time system", system.describe()),
        (
            "time budget",
            f"{system.total_sigma_s:.2g} s in BJD_TDB (1 sigma), of which {system.sigma_s:g} s is the survey's own; our conversion adds 3 us",
        ),
        ("radius", f'{source.radius:g}"'),
        ("asked by", sorted(source.takes)),
        ("targets per query", source.batch),
        ("cadence", "once per release" if source.cadence is None else f"every {source.cadence:g} days"),
        ("pace", f"{source.pace.per_second:g} requests a second, {source.pace.at_once} at once"),
        ("credentials", list(source.credentials) or "none"),
        ("service", source.base_url),
        ("cite", list(source.cite)),
        ("acknowledge", source.acknowledgement),
    ]
    return [*facts, ("retired", f"use {source.retired}")] if source.retired else facts


def _filters(source: Source) -> list[str]:
    from harvester.schema import label

    return [f"{label(name, source.survey)} {band.system}" for name, band in source.bands().items()]


for subcommand in (list_, show):
    command.add_command(subcommand)
