"""`harvest db`: the store itself."""

from __future__ import annotations

import click

from harvester.cli import render
from harvester.cli.options import COMMON, App, define


@click.group("db", params=COMMON())
def command() -> None:
    """The store itself."""


@define("info")
def info(app: App, /) -> None:
    """Say where the store is, whether it is real or simulated, its version, and what it holds."""
    render.facts(list(app.store().info().items()), as_json=app.json)


@define("upgrade")
def upgrade(app: App, /) -> None:
    """Bring an older store to this version."""
    from harvester.store import Store

    before, after = Store.upgrade(app.settings.store)
    if not app.quiet:
        render.say(f"upgraded from {before} to {after}" if before != after else f"already at {after}")


for subcommand in (info, upgrade):
    command.add_command(subcommand)
