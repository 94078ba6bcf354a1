"""`harvest targets`: what you follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from harvester.cli import render
from harvester.cli.choice import read_wanted, resolved, stored_target
from harvester.cli.options import COMMON, App, define, target_option
from harvester.errors import ExitStatus, UsageError
from harvester.target import Target

if TYPE_CHECKING:
    from harvester.store import Store

COLUMNS = ("name", "ra", "dec", "epoch", "pmra", "pmdec", "parallax", "priority", "followed", "points", "aliases")
NUMBERS = ("ra", "dec", "epoch", "pmra", "pmdec", "parallax", "priority", "points")
WIDE = ("epoch", "parallax", "priority", "followed", "aliases")
LOWEST, HIGHEST = -1000, 1000
SHOWN = 10


@click.group("targets", params=COMMON())
def command() -> None:
    """Add, list, show, prefer, follow, import and remove your targets."""


@define("add")
@target_option(help="Name, position (ICRS), file with one a line, or -.", required=True)
@click.option("--name", metavar="TEXT", help="What to call a target that is given by its position.")
@click.option("--pmra", type=float, metavar="MAS/YR", help="Proper motion in right ascension, with cos(dec).")
@click.option("--pmdec", type=float, metavar="MAS/YR", help="Proper motion in declination.")
@click.option("--parallax", type=float, metavar="MAS")
@click.option("--epoch", type=float, metavar="YEAR", help="Julian year of the position.  [default: 2000]")
def add(app: App, /, targets: Sequence[str], name: str | None, **values: float | None) -> int:
    """Follow targets, without asking any survey yet.

    \b
    harvest targets add --target "RR Lyr"
    harvest targets add --target 269.452077,+4.693365 --name "Barnard's star" --pmra -801.551 --pmdec 10362.394
    """  # noqa: D301 - \b is click's
    given = {key: value for key, value in values.items() if value is not None}
    wanted = read_wanted(targets)
    if (given or name) and (len(wanted) != 1 or isinstance(wanted[0], str)):
        raise UsageError("--name, --pmra, --pmdec, --parallax and --epoch go with one --target that is a position.")
    if isinstance(wanted[0], Target):
        wanted[0] = replace(wanted[0], **given, **({"name": name} if name else {}))  # type: ignore[arg-type]
    return _follow(app, wanted)


@define("import")
@click.option("--file", "file", required=True, metavar="FILE|-", help="CSV with name, ra, dec ..., or one name or position a line.")
def import_(app: App, /, file: str) -> int:
    """Follow every target of a file (an example: configs/targets.example.csv)."""
    return _follow(app, read_wanted([file if file == "-" else f"@{file}"]))


@define("list")
@click.option("--followed/--not-followed", "followed", default=None, help="Only those that harvest update asks about, or only the others.")
def list_(app: App, /, followed: bool | None) -> None:
    """List the targets with their positions and points."""
    store = app.store()
    known = _Known(store)
    rows = [row for row in map(known.row, store.targets()) if followed in {None, row["followed"]}]
    render.table(rows, COLUMNS, as_json=app.json, right=NUMBERS, wide=WIDE)


@define("show")
@target_option(help="Which ones.", required=True)
def show(app: App, /, targets: Sequence[str]) -> None:
    """Show all that is known of a target."""
    store = app.store()
    known = _Known(store)
    for text in targets:
        target = stored_target(store, text)
        ids = [(f"id {survey}", found) for survey, found in sorted(target.ids.items())]
        row = known.row(target)
        render.facts([(key, row[key]) for key in COLUMNS] + ids + _matches(store, target.name), as_json=app.json)


@define("prefer")
@target_option(help="Which ones.", required=True)
@click.option("--priority", type=click.IntRange(LOWEST, HIGHEST), required=True, help="The higher, the sooner; all begin with 0.")
def prefer(app: App, /, targets: Sequence[str], priority: int) -> None:
    """Say which targets harvest update asks about first: it matters when the time is short (--max-time) or a service slow.

    \b
    harvest targets prefer --target "SN 2026abc" --priority 10
    """  # noqa: D301 - \b is click's
    store = app.store()
    names = [stored_target(store, text).name for text in targets]
    store.timetable.prefer(names, priority)
    if not app.quiet:
        render.say(f"priority {priority}: {', '.join(names)}")


@define("follow")
@target_option(help="Which ones.", required=True)
def follow(app: App, /, targets: Sequence[str]) -> None:
    """Let harvest update ask about targets that are only kept, such as those of: harvest alerts archive ingest --all.

    \b
    harvest targets follow --target ZTF18abudxnw
    harvest targets follow --target @interesting.txt
    """  # noqa: D301 - \b is click's
    _heed(app, targets, followed=True)


@define("unfollow")
@target_option(help="Which ones.", required=True)
def unfollow(app: App, /, targets: Sequence[str]) -> None:
    """Keep targets and their light curves, and ask nobody about them any more: harvest update passes them over."""
    _heed(app, targets, followed=False)


@define("remove")
@target_option(help="Which ones.", required=True)
@click.option("--with-photometry", is_flag=True, help="Remove their stored light curves as well.")
def remove(app: App, /, targets: Sequence[str], with_photometry: bool) -> None:
    """Stop following targets. Stored photometry is lost only when you say so."""
    store = app.store()
    for name in [stored_target(store, text).name for text in targets]:
        points = store.remove_target(name, force=with_photometry)
        if not app.quiet:
            render.say(f"removed {name}" + (f" and {points} points" if points else ""))


def _matches(store: Store, name: str) -> list[tuple[str, str]]:
    """Return what other catalogues have there (see `harvest xmatch`): the nearest, and when it was sought."""
    from harvester.store.matches import Matches

    told = [row for row in Matches(store).newest([name]) if row["rank"] < 2]
    how = {row["catalogue"]: f"sought within {row['radius']:g} arcsec on {row['time'][:10]}, run {row['run']}" for row in told}
    what = {row["catalogue"]: "nothing" if not row["rank"] else _shortly(row["columns"], row["separation"]) for row in told}
    return [(f"match {catalogue}", f"{what[catalogue]}\n{how[catalogue]}") for catalogue in how]


def _shortly(columns: Mapping[str, Any], separation: float) -> str:
    first = ", ".join(f"{name} {value}" for name, value in list(columns.items())[:4])
    return f"{first} at {separation:.2f} arcsec"


def _follow(app: App, wanted: Sequence[Target | str]) -> int:
    store = app.store(create=True)
    before = len(store.targets())
    found, unknown = resolved(app, wanted, store, app.client())
    added = len(store.targets()) - before
    if not app.quiet:
        render.say(f"{added} target{'s' * (added != 1)} added, {len(found) - added} already followed.")
    if not unknown:
        return ExitStatus.DONE
    return ExitStatus.PARTIAL if found else ExitStatus.FAILED


def _heed(app: App, texts: Sequence[str], *, followed: bool) -> None:
    store = app.store()
    wanted = [item if isinstance(item, str) else item.name for item in read_wanted(texts)]
    names = [stored_target(store, name).name for name in wanted]
    store.timetable.heed(names, followed=followed)
    if not app.quiet:
        render.say(f"{'followed' if followed else 'kept, and not followed'}: {', '.join(names[:SHOWN])}" + _more(len(names)))


def _more(count: int) -> str:
    return f" and {count - SHOWN} more" if count > SHOWN else ""


class _Known:
    """What the store knows of its targets beside what they are."""

    def __init__(self, store: Store) -> None:
        self._points, self._priorities, self._resting = store.points(), store.timetable.priorities(), store.timetable.unfollowed()

    def row(self, target: Target) -> dict[str, Any]:
        """Return a target as it is shown."""
        numbers = {key: getattr(target, key) for key in ("epoch", "pmra", "pmdec", "parallax")}
        place = {"ra": round(target.ra, 7), "dec": round(target.dec, 7)}
        told = {"priority": self._priorities.get(target.name, 0), "followed": target.name not in self._resting}
        points = self._points.get(target.name, 0)
        return {"name": target.name, **place, **numbers, **told, "points": points, "aliases": list(target.aliases)}


for subcommand in (add, import_, list_, show, prefer, follow, unfollow, remove):
    command.add_command(subcommand)
