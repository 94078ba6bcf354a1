"""`harvest alerts dead`: messages of streams that could not be read."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from harvester.cli import render
from harvester.cli.options import COMMON, App, define
from harvester.errors import ExitStatus, UsageError

if TYPE_CHECKING:
    from harvester.store.streams import Letter, Streams

COLUMNS = ("id", "broker", "topic", "partition", "offset", "time", "reason")
NUMBERS = ("id", "partition", "offset")


def chosen_options(function: Any) -> Any:
    """Declare --broker, --topic and --id: which messages."""
    for option in (
        click.option("--id", "ids", multiple=True, type=int, metavar="N", help="Only these, by number."),
        click.option("--topic", "topics", multiple=True, metavar="NAME", help="Only of these topics."),
        click.option("--broker", metavar="NAME", help="Only of this broker."),
    ):
        function = option(function)
    return function


@click.group("dead", params=COMMON())
def command() -> None:
    """Messages of streams, and packets of nights, that could not be read: list, show, retry, drop.

    A packet of LSST whose schema is younger than this version can be read once its schema is known: lay it, as Rubin's registry gives it
    (https://rubin-alert-schemas.slac.stanford.edu/schema-registry), into schemas/NUMBER.avsc in your data folder, and retry.
    """


@define("list")
@chosen_options
def list_(app: App, /, **chosen: Any) -> None:
    """List the messages and why each could not be read."""
    render.table(_chosen(app.store().streams, **chosen), COLUMNS, as_json=app.json, right=NUMBERS)


@define("show")
@click.option("--id", "number", required=True, type=int, metavar="N", help="The message, by number.")
@click.option("--body", is_flag=True, help="Write the message itself to standard output, byte for byte.")
def show(app: App, /, number: int, *, body: bool) -> None:
    """Show one message: where it stood, why it could not be read, how it begins."""
    letter = app.store().streams.letter(number)
    if letter is None:
        raise UsageError(f"there is no message number {number}.", hint="All of them: harvest alerts dead list")
    if body:
        sys.stdout.buffer.write(letter.body)
        sys.stdout.buffer.flush()
        return
    facts = [(name, getattr(letter, name)) for name in ("topic", "partition", "offset", "time", "reason")]
    facts += [("headers", ", ".join(f"{name}={value}" for name, value in letter.headers.items()))]
    facts += [("key", repr(letter.key[:60])), ("bytes", len(letter.body)), ("begins", repr(letter.body[:60]))]
    render.facts(facts, as_json=app.json)


@define("retry")
@chosen_options
def retry(app: App, /, **chosen: Any) -> int:
    """Read messages again with today's code: what can be read now is stored, and is listed no more.

    Of followed targets only: nothing becomes a target here.
    """
    from harvester.listen import read_again

    store = app.store(insist=True)
    rows = _chosen(store.streams, **chosen)
    still: list[dict[str, Any]] = []
    points = 0
    for broker in sorted({row["broker"] for row in rows}):
        own = {row["id"]: _letter(store.streams, row["id"]) for row in rows if row["broker"] == broker}
        report, reasons = read_again(broker, own, store, command=app.command_line(store))
        points += report.new
        still += [row | {"reason": reasons[row["id"]]} for row in rows if row["id"] in reasons]
    if app.json or still:
        render.table(still, COLUMNS, as_json=app.json, right=NUMBERS)
    if not app.quiet:
        render.say(f"{len(rows) - len(still)} of {len(rows)} could be read now: {points} new points.")
    return ExitStatus.PARTIAL if still else ExitStatus.DONE


@define("drop")
@chosen_options
@click.option("--all", "everything", is_flag=True, help="All that there are.")
def drop(app: App, /, *, everything: bool, **chosen: Any) -> None:
    """Throw messages away for good."""
    if not everything and not any(chosen.values()):
        raise UsageError("which messages are to go was not said.", hint="Name --id, --topic or --broker, or say --all.")
    streams = app.store(insist=True).streams
    gone = streams.drop([row["id"] for row in _chosen(streams, **chosen)])
    if not app.quiet:
        render.say(f"{gone} message{'s' * (gone != 1)} thrown away.")


def _chosen(streams: Streams, *, broker: str | None, topics: Sequence[str], ids: Sequence[int]) -> list[dict[str, Any]]:
    rows = streams.letters(broker, topics)
    if unknown := set(ids) - {row["id"] for row in rows}:
        raise UsageError(f"there is no message number {min(unknown)} there.", hint="All of them: harvest alerts dead list")
    return [row for row in rows if not ids or row["id"] in ids]


def _letter(streams: Streams, number: int) -> Letter:
    found = streams.letter(number)
    if found is None:
        raise UsageError(f"message number {number} has gone meanwhile.")
    return found


for subcommand in (list_, show, retry, drop):
    command.add_command(subcommand)
