"""`harvest alerts archive`: ZTF's nights of alert packets, fetched, read into the store, and looked through."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harvester.cli import render
from harvester.cli.alerts.night_choice import (
    archive_session,
    chosen_nights,
    file_named,
    folder_of,
    gauged,
    kept_nights,
    mjd_of,
    night_here,
    night_source,
    packet_in,
    read_cone,
    remote_nights,
    reported,
    status_of,
    wanted_alerts,
)
from harvester.cli.options import COMMON, App, as_mjd, define
from harvester.errors import ExitStatus, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from harvester.alerts.archive.nights import Night

LISTED = ("date", "name", "size", "posted", "here", "store", "alerts", "refused", "trouble")
READ = ("name", "scope", "state", "alerts", "used", "refused", "points", "trouble")
FOUND = ("candid", "object_id", "mjd", "ra", "dec", "filter", "mag", "rb", "drb")
PASSBANDS = {1: "g(ZTF)", 2: "r(ZTF)", 3: "i(ZTF)"}

nights_argument = click.argument("nights", nargs=-1, required=True, metavar="NIGHT...")
folder_option = click.option("--folder", metavar="PATH", help="Where nights lie on this machine.  [default: in your data folder]")


@click.group("archive", params=COMMON())
def command() -> None:
    """ZTF's nightly archives: list, get, ingest, show, count, find.

    A NIGHT is a UT date (2025-01-03), the name of a file of the archive, or the path of a file or folder on this machine. No night is ever un-tarred.
    """


@define("list")
@click.option("--since", callback=as_mjd, metavar="DATE|MJD", help="Only nights since then.")
@click.option("--until", callback=as_mjd, metavar="DATE|MJD", help="Only nights until then.")
@click.option("--local", is_flag=True, help="Only what is on this machine or in the store; asks nobody.")
@folder_option
def list_(app: App, /, *, since: float | None, until: float | None, local: bool, folder: str | None) -> None:
    """List the nights: size, whether they are on this machine, and what became of them in the store."""
    place = folder_of(app, folder)
    remote = [] if local else remote_nights(app)
    rows = _lines(remote, place, kept_nights(app))
    inside = [row for row in rows if (since is None or mjd_of(row["date"]) >= since) and (until is None or mjd_of(row["date"]) <= until)]
    render.table(inside, LISTED, as_json=app.json, right=("size", "alerts", "refused"))


@define("get")
@nights_argument
@folder_option
@click.option("--index/--no-index", default=False, help="Make the index, too, by which one alert is found in no time.")
def get(app: App, /, nights: Sequence[str], folder: str | None, index: bool) -> int:
    """Fetch nights, checked by their MD5; one that broke off goes on where it stopped."""
    from harvester.alerts.archive.index import build
    from harvester.nights import fetch

    place, http, statuses = folder_of(app, folder), archive_session(app), list[int]()
    for night in chosen_nights(app, nights):
        with reported(night.name, statuses), gauged(app, f"{night.name} ") as tell:
            path = fetch(night, place, http, tell)
            if index:
                build(path)
            render.lines([str(path)])
    return status_of(statuses)


@define("ingest")
@click.argument("nights", nargs=-1, metavar="NIGHT...")
@click.option("--followed", is_flag=True, help="Only alerts of followed targets (the default).")
@click.option("--cone", metavar="RA,DEC,RADIUS", help="Only alerts around a position (ICRS; arcseconds): each object becomes a target.")
@click.option("--all", "everything", is_flag=True, help="Every alert: each object becomes a target.")
@click.option(
    "--follow/--no-follow",
    default=None,
    help="Whether harvest update asks about the new targets.  [default: those of --cone, not those of --all]",
)
@click.option("--due", is_flag=True, help="The nights that were missing or broke off before.")
@click.option("--again", is_flag=True, help="Also nights that were read to their end.")
@folder_option
def ingest(app: App, /, nights: Sequence[str], folder: str | None, **said: Any) -> int:
    """Read nights into the store: detections, limits and forced photometry of the alerts' objects.

    A night that is not on this machine is read as it comes, without a file. One that is missing or breaks off stays due; an empty one is done.

    NIGHT may also be a folder of packets, or a file of them, such as brokers pass on of LSST: whose packets they are is told by what they hold.

    The targets that --all makes are kept, and harvest update does not ask about them: there are 100,000 in a night. To have some of them followed:
    harvest targets follow.
    """
    from harvester.nights import ingest as read_in
    from harvester.store.nights import Nights

    wanted, store = wanted_alerts(said), app.store(create=True)
    kept = Nights(store)
    if said["due"]:
        nights = [*nights, *(row["name"] for row in kept.listed() if row["state"] == "due" and row["scope"] == wanted.scope)]
    if not nights:
        raise UsageError("no night given.", hint="Name one (2025-01-03, or a file), or --due.")
    rows, statuses = list[dict[str, Any]](), list[int]()
    for name in dict.fromkeys(nights):
        file = file_named(name)
        if kept.is_done(file, wanted.scope) and not said["again"]:
            rows.append({"name": file, "scope": wanted.scope, "state": "done before"})
            continue
        with reported(file, statuses), gauged(app, f"{file} ") as tell:
            source = night_source(app, name, folder_of(app, folder), wanted)
            done = read_in(store, source, wanted, command=app.command_line(store), tell=tell)
            rows.append({name: getattr(done, name) for name in READ})
    if app.json or not app.quiet:
        render.table(rows, READ, as_json=app.json, right=("alerts", "used", "refused", "points"))
    return status_of(statuses)


@define("count")
@nights_argument
@folder_option
def count(app: App, /, nights: Sequence[str], folder: str | None) -> int:
    """Count the alerts of nights."""
    from harvester.alerts.archive.tar import packets_of

    statuses, rows = list[int](), list[dict[str, Any]]()
    for name in nights:
        with reported(name, statuses):
            rows.append({"name": file_named(name), "alerts": sum(1 for _ in packets_of(night_here(app, name, folder), most=0))})
    render.table(rows, ("name", "alerts"), as_json=app.json, right=("alerts",))
    return status_of(statuses)


@define("find")
@nights_argument
@click.option("--object", "object_id", metavar="ID", help="Only alerts of this object.")
@click.option("--candid", metavar="N", help="Only the alert of this candid.")
@click.option("--cone", metavar="RA,DEC,RADIUS", help="Only alerts around a position (ICRS; arcseconds).")
@click.option("--csv", "as_csv", is_flag=True, help="Only candid, ra and dec, as CSV: what a cross-match takes.")
@folder_option
def find(app: App, /, nights: Sequence[str], folder: str | None, *, as_csv: bool, **said: str | None) -> int:
    """List the alerts of nights: all, or those of an object, a candid or a cone."""
    from harvester.alerts.archive.tar import packets_of
    from harvester.nights import headlines, matching
    from harvester.packets.ztf import HEAD_BYTES

    cone, statuses, seen = read_cone(said["cone"]), list[int](), 0
    for name in nights:
        with reported(name, statuses):
            for rows in headlines(packets_of(night_here(app, name, folder), most=HEAD_BYTES)):
                chosen = matching(rows, object_id=said["object_id"], candid=said["candid"], cone=cone)
                _print(app, chosen, as_csv=as_csv, header=not seen)
                seen += 1
    return status_of(statuses)


@define("show")
@click.argument("candid", type=int)
@click.argument("nights", nargs=-1, required=True, metavar="NIGHT...")
@folder_option
def show(app: App, /, candid: int, nights: Sequence[str], folder: str | None) -> int:
    """Show what the packet of one alert says; a night gets its index the first time."""
    from harvester.packets.whole import facts_of

    for name in nights:
        body = packet_in(night_here(app, name, folder), candid)
        if body is not None:
            facts = facts_of(body)
            if app.json:
                render.objects([facts])
            else:
                render.facts([(key, value) for key, value in facts.items() if value is not None])
            return ExitStatus.DONE
    raise UsageError(
        f"no alert {candid} in {', '.join(map(file_named, nights))}.", hint="Another night? An alert is in the night of its UT date."
    )


def _print(app: App, rows: pa.Table, *, as_csv: bool, header: bool) -> None:
    found = rows.to_pylist()
    if as_csv:
        render.lines([*(["candid,ra,dec"] if header else []), *(f"{row['candid']},{row['ra']!r},{row['dec']!r}" for row in found)])
        return
    told = [row | {"filter": PASSBANDS.get(int(row["fid"] or 0)), "mag": row["magpsf"]} for row in found]
    shown = [{name: row[name] for name in FOUND} for row in told]
    if app.json:
        render.objects(shown)
    else:
        render.tab_separated(shown, FOUND, header=header)


def _lines(remote: list[Night], place: Path, kept: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row per night: what the archive, this machine and the store know of it."""
    from harvester.alerts.archive.nights import date_of

    rows = {night.name: {"date": night.date, "name": night.name, "size": night.size, "posted": night.posted} for night in remote}
    for path in sorted(place.glob("*.tar.gz*")) if place.is_dir() else []:
        name = path.name.partition(".tar.gz")[0] + ".tar.gz"
        if path.name in (name, f"{name}.part"):
            row = rows.setdefault(name, {"date": date_of(name), "name": name, "size": path.stat().st_size, "posted": ""})
            row["here"] = "yes" if path.name == name else "part"
    for one in kept:
        row = rows.setdefault(one["name"], {"date": one["date"], "name": one["name"], "size": one["size"], "posted": ""})
        row["store"] = f"{one['state']} ({one['scope']})"
        row |= {name: one[name] for name in ("alerts", "refused", "trouble")}
    return sorted(rows.values(), key=lambda row: (str(row["date"]), str(row["name"])))


for subcommand in (list_, get, ingest, show, count, find):
    command.add_command(subcommand)
