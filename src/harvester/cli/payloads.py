"""`harvest payloads`: the answers as they came, and what today's code makes of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harvester.cli import render
from harvester.cli.choice import selection
from harvester.cli.options import COMMON, App, as_moment, define, source_option, target_option
from harvester.errors import ExitStatus, ExportError, UsageError

if TYPE_CHECKING:
    from harvester.store import Chosen, Store

COLUMNS = ("sha256", "size", "source", "target", "run", "time", "role", "url")
SHOWN_OF_A_HASH = 12
CONTROL = {code: f"\\x{code:02x}" for code in [*range(32), *range(0x7F, 0xA0)] if chr(code) not in "\t\n"}


@click.group("payloads", params=COMMON())
def command() -> None:
    """The answers as the surveys sent them: list, show, replay, prune."""


def choice_options(function: Any) -> Any:
    """Declare the options that choose requests."""
    for name in ("until", "since"):
        function = click.option(f"--{name}", callback=as_moment, metavar="DATE", help=f"Only what came {name} then (UTC).")(function)
    function = click.option("--run", type=int, metavar="N", help="Only what this run brought.")(function)
    return target_option(help="Only these targets.")(source_option(help="Only these sources.")(function))


def chosen(store: Store, targets: Sequence[str], sources: Sequence[str], **when: Any) -> Chosen:
    """Return what the options choose, checked against the store. Raises UsageError."""
    from harvester.store import Chosen

    found = selection(store, targets, sources, ())
    return Chosen(found["targets"], found["sources"], **when)


@define("list")
@choice_options
def list_(app: App, /, targets: Sequence[str], sources: Sequence[str], **when: Any) -> None:
    """List what came, a line per request: hash, size, from where, for whom.

    A payload that came again is listed again, and stored once.
    """
    store = app.store()
    rows = store.archive.listed(chosen(store, targets, sources, **when))
    render.table(rows if app.json else [_line(row) for row in rows], COLUMNS, as_json=app.json, right=("size", "run"), wide=("url",))


@define("show")
@click.option("--payload", "prefix", required=True, metavar="HASH", help="Its SHA-256, or the beginning of it.")
@click.option("-o", "--output", default="-", show_default=True, metavar="FILE|-", help="Where to write the body, byte for byte.")
def show(app: App, /, prefix: str, output: str) -> None:
    """Print or save a payload as it was received.

    At a terminal control characters are shown, not sent; files and pipes get the bytes.
    """
    sha256, kind, body = app.store().archive.body(prefix)
    if body is None:
        raise UsageError(f"payload {sha256[:SHOWN_OF_A_HASH]} was pruned.", "Its hash and where it came from are still known.")
    if output != "-":
        _save(body, output)
        if not app.quiet:
            render.say(f"{len(body)} bytes ({kind or 'of unknown type'}) in {output}")
    elif sys.stdout.isatty():
        sys.stdout.write(_harmless(body))
    else:
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()


@define("replay")
@choice_options
def replay(app: App, /, targets: Sequence[str], sources: Sequence[str], **when: Any) -> int:
    """Read stored payloads again with today's code, as a run without the network.

    What is read differently becomes a revision. Everything that came after the chosen ones is read again too, so that no older value comes
    back over a newer one.
    """
    store = app.store()
    return replayed(app, store, chosen(store, targets, sources, **when))


def replayed(app: App, store: Store, what: Chosen) -> int:
    """Replay payloads, print what changed, and return the exit status."""
    from harvester.cli.outcomes import Tally, show
    from harvester.replay import replay

    outcomes = replay(store, what, command=app.command_line(store))
    if not outcomes:
        render.say("Nothing to read again. What there is: harvest payloads list")
        return ExitStatus.DONE
    if app.json or not app.quiet:
        show(outcomes, json=app.json)
    tally = Tally()
    for outcome in outcomes:
        tally.add(outcome)
    tally.report(store.place, quiet=app.quiet)
    return tally.status()


@define("prune")
@click.option("--older-than", "days", required=True, type=click.FloatRange(min=0), metavar="DAYS", help="Since they came last.")
@click.option("-n", "--dry-run", is_flag=True, help="Only say what would go.")
def prune(app: App, /, days: float, dry_run: bool) -> None:
    """Remove old bodies; hashes and requests stay, and so does every point.

    A pruned payload cannot be shown or read again.
    """
    count, size = app.store().archive.prune(_days_ago(days), dry_run=dry_run)
    if app.json:
        render.objects([{"payloads": count, "bytes": size, "dry_run": dry_run}])
    elif not app.quiet:
        bodies = f"{count} bod{'y' if count == 1 else 'ies'} of {size} bytes"
        render.say(f"{bodies} would go." if dry_run else f"{bodies} removed. The file shrinks with: harvest db vacuum")


def _days_ago(days: float) -> str:
    """Return the moment so many days ago as the store writes it. Raises UsageError for one that no calendar has."""
    try:
        moment = datetime.now(UTC) - timedelta(days=days)
    except (OverflowError, ValueError) as error:
        raise UsageError(f"--older-than: {days:g} days ago there was no date.", hint="Write 365, or 0.5.") from error
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _line(row: dict[str, Any]) -> dict[str, Any]:
    gone = "" if row["stored"] is not None else " (pruned)"
    return row | {"sha256": row["sha256"][:SHOWN_OF_A_HASH] + gone, "role": row["role"] + (" (doubted)" if row["doubt"] else "")}


def _save(body: bytes, output: str) -> None:
    try:
        Path(output).expanduser().write_bytes(body)
    except OSError as error:
        raise ExportError(f"'{output}' cannot be written.", str(error.strerror)) from error


def _harmless(body: bytes) -> str:
    """Return bytes as text that a terminal cannot mistake for commands."""
    return body.decode("utf-8", "backslashreplace").translate(CONTROL)


for subcommand in (list_, show, replay, prune):
    command.add_command(subcommand)
