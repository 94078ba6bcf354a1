"""`harvest plot`: light curves as pictures, or in the terminal."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import click

from harvester.cli import render
from harvester.cli.choice import selection
from harvester.cli.options import JD_OF_MJD, App, as_mjd, cut_options, define, target_option
from harvester.errors import ExportError, UsageError

if TYPE_CHECKING:
    from harvester.plot.picture import Picture, Wishes
    from harvester.store import Store

AUTO: Literal["auto"] = "auto"


def _as_period(ctx: click.Context, param: click.Parameter, value: str | None) -> float | Literal["auto"] | None:
    """Read a number of days, or auto."""
    if value is None or value == AUTO:
        return value
    try:
        return float(value)
    except ValueError as error:
        raise UsageError(f"--fold: '{value}' is no period.", hint="Write a number of days, or auto.") from error


@define("plot")
@target_option(help="What to draw.", required=True)
@cut_options
@click.option(
    "--quality",
    type=click.Choice(["good", "suspect", "all"]),
    default="good",
    show_default=True,
    help="The worst quality to draw; suspect points are hollow, bad ones crossed out.",
)
@click.option("--mark-revised", is_flag=True, help="Ring the points that the survey has revised.")
@click.option("--flux", is_flag=True, help="Flux in place of magnitudes.")
@click.option("--fold", callback=_as_period, metavar="DAYS|auto", help="Fold with a period, or with the best that is found.")
@click.option("--epoch", callback=as_mjd, metavar="DATE|MJD|BJD", help="Where phase 0 is.  [default: at maximum light, or in eclipse]")
@click.option("--offset-filters", is_flag=True, help="Shift the filters apart.")
@click.option("--compress-gaps", is_flag=True, help="Leave out long times without a point.")
@click.option("--grid", is_flag=True, help="Several targets in one picture in PDF, too.")
@click.option(
    "--size", type=click.Choice(["page", "column", "slide"]), default="page", show_default=True, help="The width that it is made for."
)
@click.option("-o", "--output", metavar="FILE", help="Picture: .png, .svg, .pdf or .html.  [default: draw in the terminal]")
def command(
    app: App,
    /,
    targets: Sequence[str],
    sources: Sequence[str],
    filters: Sequence[str],
    since: float | None,
    until: float | None,
    quality: str,
    output: str | None,
    grid: bool,
    size: str,
    epoch: float | None,
    **wishes: Any,
) -> None:
    """Draw light curves: pictures with -o, else in the terminal.

    An HTML page needs no network: zoom, choose filters, and point at a measurement to see where it comes from. Several targets are pages of a
    PDF or an HTML page, a grid in PNG and SVG.

    \b
    harvest plot --target "RR Lyr"
    harvest plot --target "RR Lyr" --fold auto -o rr_lyr.png
    """  # noqa: D301 - \b is click's
    from harvester.plot.files import check, save
    from harvester.plot.picture import Wishes

    wanted = Wishes(epoch=None if epoch is None else epoch + JD_OF_MJD, **wishes)
    page = bool(output) and check(output or "") == ".html"
    store = app.store()
    chosen = selection(store, targets, sources, filters)
    names = list(dict.fromkeys(chosen.pop("targets")))
    if output:
        check(output, len(names), grid=grid)
    cut = chosen | {"since": since, "until": until, "quality": quality}
    made = _pictures(store, names, cut, wanted, traced=page or wanted.mark_revised)
    if output:
        pictures = list(made)
        save(pictures, output, size=size, grid=grid)
        _tell(app, pictures, output)
    else:
        _to_terminal(app, made)


def _pictures(store: Store, names: Sequence[str], cut: dict[str, Any], wishes: Wishes, *, traced: bool) -> Iterator[Picture]:
    """Yield a picture of each target; one of several that cannot be drawn is a warning. Raises ExportError where none can."""
    from harvester.plot.picture import picture

    drawn, failed = 0, None
    for name in names:
        light_curve = store.light_curve(name, **cut)
        if traced:
            origins = store.past.origins(name, light_curve)
            for column in origins.column_names:
                light_curve = light_curve.append_column(column, origins[column])
        try:
            yield picture(light_curve, wishes, title=name, simulated=store.simulated)
            drawn += 1
        except ExportError as error:
            failed = error
            if len(names) > 1:
                render.problem("warning", [f"{name}: {error}", *error.lines()[1:]])
    if failed and not drawn:
        raise failed


def _tell(app: App, pictures: Sequence[Picture], output: str) -> None:
    if app.json:
        render.objects([_facts(one) | {"output": output} for one in pictures])
    elif not app.quiet:
        for one in pictures:
            if one.period:
                render.say(f"{one.title}: period {one.period.days} d; {one.period.words}")
        points = sum(_facts(one)["points"] for one in pictures)
        render.say(f"{points} points in {output}" if len(pictures) == 1 else f"{points} points of {len(pictures)} targets in {output}")


def _to_terminal(app: App, pictures: Iterator[Picture]) -> None:
    from harvester.plot.terminal import draw

    width, height = shutil.get_terminal_size((80, 24))
    tty, unicode = sys.stdout.isatty(), "utf" in (sys.stdout.encoding or "").lower()
    for number, one in enumerate(pictures):
        if app.json:
            render.objects([_facts(one)])
            continue
        lines = draw(one, width=width, height=max(16, height - 2), colour=tty, unicode=unicode)
        render.lines([*([""] if number else []), *lines])


def _facts(one: Picture) -> dict[str, Any]:
    """Return what a program may want to know of a picture."""
    found = one.period
    rows = {row for line in one.lines for row in line.series.row.tolist()}
    period = {"period": found.days, "epoch": found.epoch, "false_alarm": found.false_alarm} if found else {}
    return {"target": one.title, "points": len(rows), "omitted": one.omitted, "simulated": one.simulated} | period
