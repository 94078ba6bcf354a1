"""`harvest plot`: a light curve as a picture, or in the terminal."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from typing import Any

import click

from harvester.cli import render
from harvester.cli.choice import selection
from harvester.cli.options import App, cut_options, define, target_option
from harvester.errors import UsageError


@define("plot")
@target_option(help="What to draw.", required=True)
@cut_options
@click.option(
    "--quality", type=click.Choice(["good", "suspect", "all"]), default="good", show_default=True, help="The worst quality to draw."
)
@click.option("--flux", is_flag=True, help="Flux (uJy) in place of magnitudes.")
@click.option("-o", "--output", metavar="FILE", help="Picture: .png, .svg or .pdf.  [default: draw in the terminal]")
def command(
    app: App,
    /,
    targets: Sequence[str],
    sources: Sequence[str],
    filters: Sequence[str],
    since: float | None,
    until: float | None,
    quality: str,
    flux: bool,
    output: str | None,
) -> None:
    """Draw the light curve of a target: a picture with -o, else in the terminal.

    \b
    harvest plot --target "RR Lyr"
    harvest plot --target "RR Lyr" -o rr_lyr.png
    """  # noqa: D301 - \b is click's
    store = app.store()
    chosen = selection(store, targets, sources, filters)
    if len(set(chosen["targets"])) != 1:
        raise UsageError("one target at a time can be drawn.", hint="Call harvest plot once for each.")
    name = chosen.pop("targets")[0]
    light_curve = store.light_curve(name, **chosen, since=since, until=until, quality=quality)
    _draw(app, light_curve, name, output, flux=flux, simulated=store.simulated)


def _draw(app: App, light_curve: Any, name: str, output: str | None, *, flux: bool, simulated: bool) -> None:
    if output:
        from harvester.plot.figure import FigureOptions, save_figure

        save_figure(light_curve, output, FigureOptions(title=name, flux=flux, simulated=simulated))
        if not app.quiet:
            render.say(f"{light_curve.num_rows} points in {output}")
        return
    from harvester.plot.terminal import draw

    width, height = shutil.get_terminal_size((80, 24))
    tty, unicode = sys.stdout.isatty(), "utf" in (sys.stdout.encoding or "").lower()
    size = {"width": width, "height": max(16, height - 2)}
    render.lines(draw(light_curve, title=name, flux=flux, simulated=simulated, **size, colour=tty, unicode=unicode))
