"""`harvest export`: light curves as files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from harvester.cli import render
from harvester.cli.choice import selection
from harvester.cli.derived import derivation, derived_options
from harvester.cli.options import App, cut_options, define, target_option
from harvester.errors import UsageError

FORMATS = "parquet dataset nested csv ecsv votable fits jsonl aavso bhtom tom sncosmo snana pylima rtmodel"
TIME = "bjd_tdb, mjd (UTC) or survey (as the survey counts).  [default: the format's own, bjd_tdb where it has none]"


def _list(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from harvester.export import FORMATS

    rows = [{"format": name, "suffixes": form.suffixes, "times": form.times, "holds": form.holds} for name, form in FORMATS.items()]
    render.table(rows, ("format", "suffixes", "times", "holds"), as_json=False)
    ctx.exit()


@define("export")
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="FILE|FOLDER|-",
    help="Where to write; - is standard output (CSV unless --format says otherwise).",
)
@click.option("--format", "form", metavar="NAME", help=f"{', '.join(FORMATS.split())}.  [default: by the file's suffix]")
@click.option("--formats", is_flag=True, is_eager=True, expose_value=False, callback=_list, help="List the formats and leave.")
@click.option("--time", type=click.Choice(["bjd_tdb", "mjd", "survey"]), help=TIME)
@click.option("--partition", metavar="target|healpix[:ORDER]", help="How a dataset is cut into folders.  [default: target]")
@click.option("--obscode", metavar="CODE", help="AAVSO's code of the observer, for the format aavso.")
@target_option(help="Only these targets.  [default: every one]")
@cut_options
@click.option(
    "--quality",
    type=click.Choice(["good", "suspect", "all"]),
    default="all",
    show_default=True,
    help="The worst quality to let through.",
)
@derived_options
@click.option("--as-of", metavar="RUN|DATE", help="As it was when a run had ended (12, last-1), or at a date (UTC).")
def command(
    app: App,
    /,
    output: str,
    form: str | None,
    time: str | None,
    partition: str | None,
    obscode: str | None,
    targets: Sequence[str],
    sources: Sequence[str],
    filters: Sequence[str],
    since: float | None,
    until: float | None,
    quality: str,
    as_of: str | None,
    **derived: Any,
) -> None:
    """Write light curves to a file, with units, time scale and origin, for whatever reads them next.

    What a format has no place for stays out, and is said. Derived columns are made for the file alone. With --as-of the file is, byte for byte,
    what the same export gave then, by the same versions of harvester and pyarrow.

    \b
    harvest export -o rr_lyr.parquet --target "RR Lyr"
    harvest export -o - --filter "G(GAIA_DR3)" --quality good
    harvest export -o rr_lyr.vot --target "RR Lyr" --time mjd --error-floor survey
    """  # noqa: D301 - \b is click's
    from harvester.export import export, format_of, time_of
    from harvester.light_curves import light_curves
    from harvester.store import Cut

    name = format_of(output, form)
    time = time_of(name, time)
    options = _options(name, {"partition": partition, "obscode": obscode}, derived["flux_unit"])
    wanted = derivation(time, **derived)
    store = app.store()
    at = None if as_of is None else store.past.state(as_of)
    chosen = selection(store, targets, sources, filters)
    cut = Cut(chosen["filters"], since, until, quality, chosen["sources"])
    found = light_curves(store, cut, wanted, targets=chosen["targets"], at=at)
    points = export(found.schema, found.batches, output, form=form, about=found.about, known=found.known, time=time, options=options)
    if not app.quiet and output != "-":
        render.say(f"{points} point{'s' * (points != 1)} in {output}")


def _options(form: str, said: dict[str, str | None], flux_unit: str) -> dict[str, str]:
    """Return the options of a format. Raises UsageError for one that is another's."""
    from harvester.export import FORMATS
    from harvester.export.dataset import order_of

    for name, of in (("partition", "dataset"), ("obscode", "aavso")):
        if said[name] and form != of:
            raise UsageError(f"--{name} is for the format {of}, not {form}.", hint=f"Add: --format {of}")
    if said["partition"] and said["partition"] != "target":
        order_of(said["partition"])
    if flux_unit != "uJy" and FORMATS[form].fixed_flux:
        raise UsageError(f"{form} has no place for a unit of flux.", hint="Leave --flux-unit out.")
    return {name: value for name, value in said.items() if value}
