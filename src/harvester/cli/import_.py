"""`harvest import`: what somebody saved of a service, or observed, becomes photometry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from harvester.cli import render
from harvester.cli.options import App, define
from harvester.errors import UsageError

if TYPE_CHECKING:
    from harvester.payload import Payload
    from harvester.store import Store
    from harvester.target import Target


def _holds() -> dict[str, str]:
    """Return what each format holds: first those of the user's own photometry."""
    from harvester.own.files import FORMATS as OWN
    from harvester.saved import FORMATS

    return {name: form.holds for name, form in OWN.items()} | {name: form.holds for name, form in FORMATS.items()}


def _known(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """Return the name of a format. Raises UsageError for one that the table lacks."""
    if value not in _holds():
        raise UsageError(f"no format named '{value}'.", f"There are: {', '.join(_holds())}.", "What each holds: harvest import --formats")
    return value


def _list(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    render.table([{"format": name, "holds": holds} for name, holds in _holds().items()], ("format", "holds"), as_json=False)
    ctx.exit()


def own_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Declare what is said of photometry of one's own."""
    for option in reversed((
        click.option("--survey", metavar="LABEL", help="Your own photometry: the label of its survey, such as MY_OBS."),
        click.option("--time", metavar="SYSTEM", help="Your own: mjd_utc, jd_utc, hjd_utc, hjd-2450000_utc, bjd_tdb, ..."),
        click.option("--site", metavar="NAME", help="Your own: the observatory, where harvester knows it.  [default: the geocentre]"),
        click.option("--start", is_flag=True, help="Your own: times are those of the start of the exposure (column exptime, s)."),
        click.option("--filter", "filters", multiple=True, metavar="[WORD=]NAME[:KNOWN]", help="Your own: what a filter is, as rp=r:r(SDSS)."),
        click.option("--flux-unit", metavar="UNIT", default="uJy", show_default=True, help="Your own CSV: the unit of its column flux."),
    )):  # fmt: skip
        function = option(function)
    return function


@define("import")
@click.argument("file", metavar="FILE")
@click.option("--format", "name", callback=_known, required=True, metavar="NAME", help="What the file holds.")
@click.option("--formats", is_flag=True, is_eager=True, expose_value=False, callback=_list, help="List the formats and leave.")
@click.option("--target", "-t", required=True, metavar="NAME|RA,DEC", help="Whose photometry it is.")
@click.option("--radius", type=click.FloatRange(min=0.01, max=3600), metavar="ARCSEC", help="How near to it.  [default: the source's own]")
@own_options
def command(app: App, /, file: str, name: str, target: str, radius: float | None, **said: Any) -> int:
    """Store photometry from a file: what was saved of a service, some of which is gone, or what you observed yourself.

    Your own photometry needs a label for its survey, a time system, and what its filters are where their names do not tell.

    \b
    harvest import alerts.json --format mars --target "RR Lyr"
    harvest import my.csv --format csv --target "RR Lyr" --survey MY_OBS --time bjd_tdb --filter "V:V(AAVSO)"
    """  # noqa: D301 - \b is click's
    from harvester.cli.outcomes import Tally, show
    from harvester.follow import resolve_target
    from harvester.saved import FORMATS, read_file, store_file
    from harvester.target import parse_target

    if name in FORMATS:
        _check_saved(app, name, said)
    else:
        _check_own(said)
    payload = read_file(file, name) if name in FORMATS else None
    store = app.store(create=True)
    followed = resolve_target(parse_target(target), store, app.client(), app.settings)
    payload = payload or _own(file, name, store, followed, said)
    outcome = store_file(store, payload, followed, radius=radius, command=app.command_line(store))
    tally = Tally()
    tally.add(outcome)
    if app.json or not app.quiet:
        show([outcome], json=app.json)
    tally.report(store.place, quiet=app.quiet)
    return tally.status()


def _own(file: str, name: str, store: Store, target: Target, said: dict[str, Any]) -> Payload:
    from harvester.saved import Said, read_own

    words = said | {"time": said["time"] or "", "filters": _each(said["filters"])}
    return read_own(file, Said(form=name, **words), target, store.kind)


def _each(filters: Sequence[str]) -> tuple[str, ...]:
    return tuple(text.strip() for text in filters)


def _check_saved(app: App, name: str, said: dict[str, Any]) -> None:
    if app.emulated:
        raise UsageError("a file is not simulated.", "Simulated and measured data never mix.", "Leave --emulate out.")
    words = [option for option in ("survey", "time", "site", "start", "filters") if said[option]]
    if words:
        what = f"--{words[0].removesuffix('s')} is for photometry of your own, and {name} is a service's."
        raise UsageError(what, "What it holds says it all.", "Formats: harvest import --formats")


def _check_own(said: dict[str, Any]) -> None:
    from harvester.derive import FLUX_UNITS
    from harvester.own import checked_label

    if not said["survey"]:
        raise UsageError("whose photometry is it?", "Your own needs a label for its survey.", "Such as: --survey MY_OBS")
    checked_label(said["survey"])
    if said["flux_unit"] not in FLUX_UNITS:
        raise UsageError(f"no unit of flux named '{said['flux_unit']}'.", hint=f"Units: {', '.join(FLUX_UNITS)}.")
