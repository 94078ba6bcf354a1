"""`harvest alerts`: what brokers, archives and streams of alerts tell."""

from __future__ import annotations

import click

from harvester.cli.lazy import LazyGroup
from harvester.cli.options import COMMON

COMMANDS = {
    "brokers": ("harvester.cli.alerts.brokers", "The brokers that can be asked, and how."),
    "query": ("harvester.cli.alerts.query", "Ask a broker for alerts: object, cone, class, solar-system object, window."),
    "saved": ("harvester.cli.alerts.saved", "Questions that are asked again: list, run, remove."),
    "archive": ("harvester.cli.alerts.archive", "ZTF's nightly archives: list, get, ingest, show, count, find."),
    "listen": ("harvester.cli.alerts.listen", "Hear alerts as they come, and store them."),
    "dead": ("harvester.cli.alerts.dead", "Messages of streams that could not be read: list, show, retry, drop."),
    "stamps": ("harvester.cli.alerts.stamps", "Draw the three stamps of an alert."),
}


@click.group("alerts", cls=LazyGroup, table=COMMANDS, params=COMMON())
def command() -> None:
    """What brokers, archives and streams of alerts tell."""
