"""`harvest import`: what somebody saved of a service becomes photometry."""

from __future__ import annotations

import click

from harvester.cli import render
from harvester.cli.options import App, define
from harvester.errors import UsageError


def _known(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """Return the name of a format. Raises UsageError for one that the table lacks."""
    from harvester.saved import FORMATS

    if value not in FORMATS:
        raise UsageError(f"no format named '{value}'.", f"There are: {', '.join(FORMATS)}.", "What each holds: harvest import --formats")
    return value


def _list(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from harvester.saved import FORMATS

    render.table([{"format": name, "holds": form.holds} for name, form in FORMATS.items()], ("format", "holds"), as_json=False)
    ctx.exit()


@define("import")
@click.argument("file", metavar="FILE")
@click.option("--format", "name", callback=_known, required=True, metavar="NAME", help="What the file holds.")
@click.option("--formats", is_flag=True, is_eager=True, expose_value=False, callback=_list, help="List the formats and leave.")
@click.option("--target", "-t", required=True, metavar="NAME|RA,DEC", help="Whose photometry it is.")
@click.option("--radius", type=click.FloatRange(min=0.01, max=3600), metavar="ARCSEC", help="How near to it.  [default: the source's own]")
def command(app: App, /, file: str, name: str, target: str, radius: float | None) -> int:
    """Store what a file holds that was saved of a service; some of these are gone.

    \b
    harvest import alerts.json --format mars --target "RR Lyr"
    """  # noqa: D301 - \b is click's
    from harvester.cli.outcomes import Tally, show
    from harvester.follow import resolve_target
    from harvester.saved import read_file, store_file
    from harvester.target import parse_target

    if app.emulated:
        raise UsageError("a file is not simulated.", "Simulated and measured data never mix.", "Leave --emulate out.")
    payload = read_file(file, name)
    store = app.store(create=True)
    followed = resolve_target(parse_target(target), store, app.client(), app.settings)
    outcome = store_file(store, payload, followed, radius=radius, command=app.command_line(store))
    tally = Tally()
    tally.add(outcome)
    if app.json or not app.quiet:
        show([outcome], json=app.json)
    tally.report(store.place, quiet=app.quiet)
    return tally.status()
