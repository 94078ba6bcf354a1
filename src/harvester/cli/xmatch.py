"""`harvest xmatch`: what other catalogues have where yours lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harvester.cli import render
from harvester.cli.choice import read_wanted, resolved, stored_target
from harvester.cli.options import App, define, target_option
from harvester.errors import ExitStatus, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from harvester.crossmatch import Wanted
    from harvester.target import Target

HEAD = ("target", "catalogue", "separation")
NUMBERS = ("separation",)


@define("xmatch")
@click.option("--catalog", metavar="NAME|FILE", help="vizier:II/246/out, simbad, gaia ..., or a table: Parquet, CSV, VOTable, FITS.")
@target_option(help="Which targets; names that are new are followed from now on.")
@click.option("--all", "every", is_flag=True, help="Every target of the store.")
@click.option("--table", metavar="FILE", help="The rows of a table in place of targets: CSV, Parquet, VOTable, FITS.")
@click.option("--ra", default="", metavar="COLUMN", help="The table's right ascension, degrees.  [default: by its usual names]")
@click.option("--dec", default="", metavar="COLUMN", help="The table's declination, degrees.")
@click.option("--catalog-ra", default="", metavar="COLUMN", help="The right ascension of a catalogue that is a file.")
@click.option("--catalog-dec", default="", metavar="COLUMN", help="Its declination.")
@click.option("--radius", type=float, default=2.0, show_default=True, metavar="ARCSEC", help="CDS takes up to 180, files up to 3600.")
@click.option("--best/--all-matches", default=True, show_default=True, help="The nearest alone, or all within the radius.")
@click.option("--columns", metavar="NAME,...", help="Only these columns of the catalogue.  [default: all]")
@click.option(
    "--epoch", type=click.FloatRange(1800, 2200), metavar="YEAR", help="Where targets stood then.  [default: 2000, as CDS compares]"
)
@click.option("-o", "--output", metavar="FILE", help="Write Parquet or CSV in place of printing.")
@click.option("-n", "--dry-run", is_flag=True, help="Print the first request and how many there would be, send none, store nothing.")
@click.option("--show", is_flag=True, help="Show what is stored of targets, and ask nobody.")
@click.option("--list", "word", metavar="WORD", help="List the catalogues of CDS with this word in their name; '' for all.")
def command(app: App, /, targets: Sequence[str], every: bool, table: str | None, **said: Any) -> int:
    """Find what other catalogues have where targets, or the rows of a table, lie.

    Targets are sought where their proper motion puts them in J2000, where CDS has moved the stars of its catalogues; for a file with another epoch
    say --epoch. Their matches are stored with catalogue, time, radius, run and the answer as it came. Rows of a table are sought as they stand.

    \b
    harvest xmatch --catalog vizier:II/246/out --target "RR Lyr"
    harvest xmatch --catalog gaia --table stars.csv --ra RA --dec DEC -o matched.parquet
    harvest xmatch --catalog my_catalogue.parquet --all --radius 1 --all-matches
    harvest xmatch --show --target "RR Lyr"
    """  # noqa: D301 - \b is click's
    if said["word"] is not None:
        return _listed(app, said["word"])
    _check(targets, table, said, every=every)
    if said["show"]:
        return _shown(app, _names(app, targets), None, said["output"])
    from harvester.crossmatch import Wanted, catalogue_of

    if said["output"]:
        from harvester.export import format_of

        format_of(said["output"], None)
    columns = tuple(word.strip() for word in said["columns"].split(",") if word.strip()) if said["columns"] else None
    catalogue = catalogue_of(said["catalog"], said["catalog_ra"], said["catalog_dec"])
    wanted = Wanted(catalogue, said["radius"], said["best"], columns)
    if said["dry_run"]:
        return _rehearse(app, targets, table, wanted, said)
    return _table(app, table, wanted, said) if table else _targets(app, targets, wanted, said)


def _check(targets: Sequence[str], table: str | None, said: Mapping[str, Any], *, every: bool) -> None:
    """Raise UsageError for what does not go together."""
    if said["show"]:
        if table:
            raise UsageError("--show goes with targets: what a table has is not stored.")
        return
    if not said["catalog"]:
        raise UsageError("no catalogue given.", hint="Name one:  --catalog vizier:II/246/out, simbad, gaia, or a file")
    if sum(map(bool, (targets, every, table))) != 1:
        raise UsageError("one of --target, --all and --table is needed, and no two.")
    if table and said["epoch"] is not None:
        raise UsageError("--epoch goes with targets: the rows of a table are sought as they stand.")
    if not table and (said["ra"] or said["dec"]):
        raise UsageError("--ra and --dec go with --table.")


def _names(app: App, targets: Sequence[str]) -> list[str] | None:
    store = app.store()
    return [stored_target(store, text).name for text in targets] or None


def _targets(app: App, texts: Sequence[str], wanted: Wanted, said: Mapping[str, Any]) -> int:
    from harvester.crossmatch import session, targets_matched
    from harvester.xmatch.cds import EPOCH

    store, client = app.store(create=bool(texts), insist=True), app.client()
    found, unknown = resolved(app, read_wanted(texts), store, client) if texts else (store.targets(), [])
    if not found and not unknown:
        raise UsageError("the store follows no target.", hint="Add one:  harvest targets add --target 'RR Lyr'")
    if found:
        with render.gauge("matching", quiet=app.quiet or app.json) as show:
            targets_matched(
                found,
                wanted,
                store,
                session(client, app.settings),
                epoch=EPOCH if said["epoch"] is None else said["epoch"],
                command=app.command_line(store),
                step=lambda done, total: show(wanted.name, done, total),
            )
        _shown(app, [target.name for target in found] if texts else None, wanted.name, said["output"])
    if not unknown:
        return ExitStatus.DONE
    return ExitStatus.PARTIAL if found else ExitStatus.FAILED


def _rehearse(app: App, texts: Sequence[str], table: str | None, wanted: Wanted, said: Mapping[str, Any]) -> int:
    """Print the first request."""
    from harvester.crossmatch import placed, positions, rehearsed
    from harvester.xmatch.cds import EPOCH
    from harvester.xmatch.files import TableFile

    if table:
        ra, dec = positions(TableFile(Path(table).expanduser(), said["ra"], said["dec"]))
    else:
        found = _known(app, texts)
        ra, dec = placed(found, EPOCH if said["epoch"] is None else said["epoch"])
    request, requests = rehearsed(ra, dec, wanted, app.settings, simulated=app.emulated)
    render.lines([request] if request else [])
    asked = f"{requests} request{'s' * (requests != 1)} or more" if request else "a file of this machine, no request"
    if not app.quiet:
        render.say(f"{len(ra)} position{'s' * (len(ra) != 1)} would be sought in {wanted.name}: {asked}. Nothing was sent or stored.")
    return ExitStatus.DONE


def _known(app: App, texts: Sequence[str]) -> list[Target]:
    """Return targets without asking anybody; of a name that nobody looked up the place is not known. Raises UsageError."""
    from harvester.target import Target

    if not texts:
        return app.store(insist=True).targets()
    wanted = read_wanted(texts)
    return [item if isinstance(item, Target) else stored_target(app.store(insist=True), item) for item in wanted]


def _table(app: App, table: str, wanted: Wanted, said: Mapping[str, Any]) -> int:
    from harvester.crossmatch import session, table_matched
    from harvester.xmatch.files import TableFile

    file = TableFile(Path(table).expanduser(), said["ra"], said["dec"])
    with render.gauge("matching", quiet=app.quiet or app.json) as show:
        http = session(app.client(), app.settings)
        found, sought = table_matched(file, wanted, http, step=lambda done, total: show(wanted.name, done, total))
    _put(app, found, said["output"], wanted.name)
    if not app.quiet:
        own = len({*map(str, zip(*(found[name].to_pylist() for name in (file.ra, file.dec)), strict=True))})
        render.say(f"{found.num_rows} match{'es' * (found.num_rows != 1)} of {own} of {sought} positions in {wanted.name}.")
    return ExitStatus.DONE


def _shown(app: App, names: Sequence[str] | None, catalogue: str | None, output: str | None) -> int:
    """Show, or write to a file, what is stored of targets."""
    from harvester.store.matches import Matches

    told = Matches(app.store()).newest(names, catalogue)
    if output:
        import pyarrow as pa

        rows = [{name: row[name] for name in HEAD} | row["columns"] for row in told if row["rank"]]
        _put(app, pa.Table.from_pylist(_even(rows)), output, catalogue or "")
    elif app.json:
        render.objects(told)
    else:
        for held in dict.fromkeys(row["catalogue"] for row in told):
            rows = [{name: row[name] for name in HEAD} | row["columns"] for row in told if row["catalogue"] == held and row["rank"]]
            render.table(rows, list(dict.fromkeys(name for row in rows for name in row)) or HEAD, right=NUMBERS)
    if not app.quiet:
        without = len({row["target"] for row in told if not row["rank"]})
        matched = len({row["target"] for row in told if row["rank"]})
        render.say(
            f"{matched} target{'s' * (matched != 1)} with a match, {without} without." if told else "Nothing is stored; nobody was asked."
        )
    return ExitStatus.DONE


def _put(app: App, table: pa.Table, output: str | None, catalogue: str) -> None:
    if output:
        from harvester import __version__
        from harvester.export import save

        rows = save(
            table,
            output,
            about={"catalogue": catalogue, "data": "simulated" if app.emulated else "", "software": f"harvester {__version__}"},
        )
        if not app.quiet:
            render.say(f"{rows} row{'s' * (rows != 1)} in {output}")
        return
    from harvester.store.matches import plain

    rows_ = [{name: plain(value) for name, value in row.items()} for row in table.to_pylist()]
    render.table(rows_, table.column_names, as_json=app.json)


def _even(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Give every row all columns: Arrow takes them from the first."""
    names = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name) for name in names} for row in rows]


def _listed(app: App, word: str) -> int:
    from harvester.crossmatch import session
    from harvester.xmatch.cds import tables

    found = [name for name in tables(session(app.client(), app.settings)) if word.lower() in name.lower()]
    render.table([{"catalogue": name if name == "simbad" else f"vizier:{name}"} for name in found], ("catalogue",), as_json=app.json)
    return ExitStatus.DONE
