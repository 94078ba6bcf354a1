"""`harvest export`: light curves as files."""

from __future__ import annotations

from collections.abc import Sequence

import click

from harvester.cli import render
from harvester.cli.choice import selection
from harvester.cli.options import App, cut_options, define, target_option


@define("export")
@click.option(
    "-o", "--output", required=True, metavar="FILE|-", help="Where to write; - is standard output (CSV unless --format says otherwise)."
)
@click.option("--format", "form", metavar="NAME", help="parquet or csv.  [default: by the file's suffix]")
@target_option(help="Only these targets.  [default: every one]")
@cut_options
@click.option(
    "--quality", type=click.Choice(["good", "suspect", "all"]), default="all", show_default=True, help="The worst quality to let through."
)
@click.option("--as-of", metavar="RUN|DATE", help="As it was when a run had ended (12, last-1), or at a date (UTC).")
def command(
    app: App,
    /,
    output: str,
    form: str | None,
    targets: Sequence[str],
    sources: Sequence[str],
    filters: Sequence[str],
    since: float | None,
    until: float | None,
    quality: str,
    as_of: str | None,
) -> None:
    """Write light curves to a file: Parquet or CSV, with units and time scale.

    With --as-of the file is, byte for byte, what the same export gave then, by the same versions of harvester and pyarrow.

    \b
    harvest export -o rr_lyr.parquet --target "RR Lyr"
    harvest export -o - --filter "G(GAIA_DR3)" --quality good
    """  # noqa: D301 - \b is click's
    from harvester.export import export
    from harvester.store import LIGHT_CURVE

    store = app.store()
    at = store.past.state(as_of) if as_of else None
    about = store.about() | {"as_of": store.past.newest_change(at)}
    batches = store.read(**selection(store, targets, sources, filters), at=at, since=since, until=until, quality=quality)
    points = export(LIGHT_CURVE, batches, output, form=form, about=about)
    if not app.quiet and output != "-":
        render.say(f"{points} point{'s' * (points != 1)} in {output}")
