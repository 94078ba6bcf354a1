"""`harvest db`: the store itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from harvester.cli import render
from harvester.cli.options import COMMON, App, define
from harvester.errors import ExitStatus

UNIX_EPOCH_JD = 2_440_587.5
BINARY = (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))


@click.group("db", params=COMMON())
def command() -> None:
    """Info, upgrade, check, vacuum and copy: the store itself."""


@define("info")
def info(app: App, /) -> None:
    """Say where the store is, whether it is real or simulated, its version, what it holds and how large it is."""
    found = app.store().info()
    render.facts(list((found if app.json else _readable(found)).items()), as_json=app.json)


@define("upgrade")
def upgrade(app: App, /) -> None:
    """Bring an older store to this version."""
    from harvester.store import Store

    before, after = Store.upgrade(app.settings.store)
    if not app.quiet:
        render.say(f"upgraded from {before} to {after}" if before != after else f"already at {after}")


@define("check")
def check(app: App, /) -> int:
    """Look for damage: references, hashes, keys, versions, counts. Exit status 1 if there is any; nothing is changed."""
    from harvester.store.check import CHECKS

    store = app.store()
    found = []
    with render.progress(len(CHECKS), "checking", quiet=app.quiet or app.json) as step:
        for finding in store.check():
            found.append(finding)
            step(finding.check)
    broken = [finding for finding in found if finding.problems]
    if app.json:
        render.objects([asdict(finding) for finding in found])
    elif broken or not app.quiet:
        render.table([_result(asdict(finding)) for finding in found], ("check", "result", "promise", "examples"))
    if len(found) < len(CHECKS):
        render.say(f"{len(CHECKS) - len(found)} checks were left out: they need what is missing.")
    return ExitStatus.FAILED if broken else ExitStatus.DONE


@define("vacuum")
def vacuum(app: App, /) -> None:
    """Give back the room of what was deleted, and refresh what the database knows of its tables."""
    before, after = app.store().vacuum()
    if app.json:
        render.objects([{"bytes_before": before, "bytes_after": after}])
    elif not app.quiet:
        render.say(f"{_bytes(before)} before, {_bytes(after)} after")


@define("copy")
@click.option("--to", "place", required=True, metavar="PATH|URL", help="A new file or an empty PostgreSQL database.")
def copy(app: App, /, place: str) -> None:
    """Copy the store to a new place, SQLite or PostgreSQL, and prove that every row arrived.

    \b
    harvest db copy --to postgresql://me@server/lightcurves
    harvest db copy --to backup.db
    """  # noqa: D301 - \b is click's
    store = app.store()
    with render.gauge("copying", quiet=app.quiet or app.json) as report:
        copied = store.copy(place, report)
    if app.json:
        render.objects([asdict(table) for table in copied])
    elif not app.quiet:
        rows = sum(table.rows for table in copied)
        render.say(f"{rows} rows in {len(copied)} tables copied and compared. The store at the old place is as it was.")


def _readable(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `db info` knows in words for people."""
    shown = {name.replace("_", " "): value for name, value in found.items()}
    shown["points by source"] = _pairs({name: f"{points}" for name, points in found["points_by_source"].items()})
    shown["bytes by table"] = _pairs({name: _bytes(size) for name, size in found["bytes_by_table"].items()})
    shown |= {name: _date(shown[name]) for name in ("first epoch", "last epoch")}
    shown["bytes"] = f"{found['bytes']} ({_bytes(found['bytes'])})"
    if found["bytes_per_point"] is not None:
        shown["bytes per point"] = f"{found['bytes_per_point']:.1f} without payloads"
    return shown


def _pairs(words: Mapping[str, str]) -> str:
    width = max(map(len, words), default=0)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in words.items())


def _date(bjd: float | None) -> str:
    if bjd is None:
        return ""
    day = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=bjd - UNIX_EPOCH_JD)
    return f"{bjd:.5f} BJD_TDB ({day:%Y-%m-%d})"


def _bytes(size: int) -> str:
    unit, scale = next(((unit, scale) for unit, scale in BINARY if size >= scale), ("B", 1))
    return f"{size / scale:.1f} {unit}" if scale > 1 else f"{size} B"


def _result(finding: Mapping[str, Any]) -> dict[str, Any]:
    problems = finding["problems"]
    more = [f"and {problems - len(finding['examples'])} more"] if problems > len(finding["examples"]) else []
    result = "ok" if not problems else f"{problems} problem{'s' * (problems != 1)}"
    return {**finding, "result": result, "examples": "\n".join([*finding["examples"], *more])}


for subcommand in (info, upgrade, check, vacuum, copy):
    command.add_command(subcommand)
