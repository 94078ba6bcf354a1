"""`harvest cite`: what a paper with these data has to cite."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from harvester.cli import render
from harvester.cli.choice import selection
from harvester.cli.options import App, cut_options, define, target_option

if TYPE_CHECKING:
    from harvester.cite import Row
    from harvester.store import Store


@define("cite")
@target_option(help="Only what is behind these targets.  [default: every one]")
@cut_options
@click.option("--quality", type=click.Choice(["good", "suspect", "all"]), default="all", show_default=True, help="As you exported.")
@click.option(
    "--format", "form", type=click.Choice(["bibtex", "text"]), default="bibtex", show_default=True,
    help="bibtex: a .bib file with the acknowledgements as comments; text: for reading.",
)  # fmt: skip
def command(
    app: App,
    /,
    targets: Sequence[str],
    sources: Sequence[str],
    filters: Sequence[str],
    since: float | None,
    until: float | None,
    quality: str,
    form: str,
) -> None:
    """Print what to cite and whom to thank: exactly the surveys, releases, services and software behind these points.

    \b
    harvest cite --target "RR Lyr" > rr_lyr.bib
    harvest cite --format text
    """  # noqa: D301 - \b is click's
    from harvester.cite import citations, entry

    store = app.store()
    chosen = selection(store, targets, sources, filters)
    behind, names = _behind(store, chosen, (since, until, quality)), chosen["targets"]
    found = citations(behind, named=_named(store, names), releases=store.own.releases(names))
    if app.json:
        papers = [{"bibcode": bibcode, "bibtex": entry(bibcode)} for bibcode in found.bibcodes]
        render.objects([{"data": [asdict(one) for one in found.data], "acknowledgements": found.acknowledgements, "papers": papers}])
        return
    if not found.data:
        render.say("Nothing is stored of these, so there is nothing to cite.")
        return
    render.lines((found.text() if form == "text" else found.bibtex()).splitlines())
    _warn(store, found.gone)


def _behind(store: Store, chosen: dict[str, Any], cut: tuple[float | None, float | None, str]) -> list[Row]:
    """Return sources, filters and points of a choice: counted by the store, or by reading where it is cut in time or quality."""
    since, until, quality = cut
    if (since, until, quality) != (None, None, "all"):
        return _read(store, chosen, cut)
    rows = store.own.behind(chosen["targets"])
    wanted = chosen["sources"], chosen["filters"]
    return [row for row in rows if all(names is None or name in names for name, names in zip(row, wanted, strict=False))]


def _read(store: Store, chosen: dict[str, Any], cut: tuple[float | None, float | None, str]) -> list[Row]:
    from harvester.store import Cut

    since, until, quality = cut
    counts = Counter[tuple[str, str]]()
    for batch in store.read(chosen["targets"], Cut(chosen["filters"], since, until, quality, chosen["sources"])):
        for source, label, points in _counted(batch):
            counts[source, label] += points
    return [(source, label, points) for (source, label), points in sorted(counts.items())]


def _counted(batch: Any) -> list[Row]:
    import pyarrow as pa

    grouped = pa.Table.from_batches([batch]).group_by(["source", "filter"]).aggregate([([], "count_all")])
    return [(row["source"], row["filter"], row["count_all"]) for row in grouped.to_pylist()]


def _named(store: Store, targets: Sequence[str] | None) -> bool:
    """Return whether the position of a target was looked up by its name."""
    names = targets if targets is not None else [target.name for target in store.targets()]
    return any(store.cached_name(name) is not None for name in names)


def _warn(store: Store, gone: Sequence[str]) -> None:
    if gone:
        lines = [f"what {', '.join(gone)} wants to be cited is not known.", "It is not installed any more.", "Install it, and ask again."]
        render.problem("warning", lines)
    if store.simulated:
        render.problem("warning", ["these data are simulated: no survey has observed them."])
