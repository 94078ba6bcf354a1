"""`harvest alerts brokers`: who can be asked, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harvester.cli import render
from harvester.cli.options import App, define
from harvester.errors import BrokenSource

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

COLUMNS = ("broker", "surveys", "asked_by", "widest_arcsec", "options", "credentials", "what")


@define("brokers")
def command(app: App, /) -> None:
    """List the brokers that can be asked: whose alerts they have, by what, and whether they want credentials."""
    from harvester.alerts.broker import registered

    rows = []
    for entry in registered().values():
        try:
            rows.append(_row(app, entry))
        except BrokenSource as error:
            render.problem("warning", error.lines())
    render.table(rows, COLUMNS, as_json=app.json, right=("widest_arcsec",), wide=("options",))


def _row(app: App, entry: EntryPoint) -> dict[str, Any]:
    from harvester.access import missing
    from harvester.alerts.broker import MODES, load
    from harvester.description import describe

    broker = load(entry.name)
    lacking = missing(entry.name, broker, app.settings)
    wanted = f"missing: {', '.join(lacking)}" if lacking else "there" if broker.credentials else "none needed"
    return {
        "broker": entry.name,
        "surveys": list(broker.surveys),
        "asked_by": [mode for mode in MODES if mode in broker.takes],
        "widest_arcsec": broker.widest,
        "options": list(broker.options),
        "credentials": wanted,
        "what": describe(entry).title,
    }
