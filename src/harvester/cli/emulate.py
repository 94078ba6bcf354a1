"""`harvest emulate`: the simulated sky as a server for people and for other programs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event

import click

from harvester.cli import render
from harvester.cli.options import App, define
from harvester.errors import UsageError


@define("emulate")
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="Port on this machine; 0 takes a free one.")
@click.option(
    "--fault", "faults", multiple=True, metavar="SERVICE:FAULT[=VALUE][:WHEN]", help="Misbehave: irsa:429:0.2 strikes one in five."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Which requests a rate strikes follows from it.")
@click.option("--latency", type=click.FloatRange(min=0), default=0.0, metavar="SECONDS", help="Added to every answer.")
@click.option("--recordings", metavar="FOLDER", help="Replay recorded answers (FOLDER/index.toml) before the simulated ones.")
@click.option("--list-faults", is_flag=True, help="Explain the faults there are.")
def command(app: App, /, port: int, faults: Sequence[str], seed: int, latency: float, recordings: str | None, list_faults: bool) -> None:
    """Serve the simulated sky on this machine until Ctrl-C.

    Each service answers below its own host's name, such as http://127.0.0.1:8765/gea.esac.esa.int/tap-server/tap/sync.
    http://127.0.0.1:8765/_emulator/counts tells how politely each was asked.
    """
    from harvester.emulator import faults as known
    from harvester.emulator.app import Emulator
    from harvester.emulator.recordings import read_recordings
    from harvester.emulator.server import serve

    if list_faults:
        render.lines((known.__doc__ or "").splitlines())
        return
    recorded = read_recordings(Path(recordings)) if recordings else ()
    try:
        emulator = Emulator(faults=known.Faults.parse(faults, seed=seed), recordings=recorded, latency=latency)
        with serve(emulator, port) as server:
            render.lines([server.url])
            sys.stdout.flush()
            with suppress(KeyboardInterrupt):
                Event().wait()
    except OSError as error:
        raise UsageError(f"port {port} cannot be used.", str(error.strerror), "Take another:  --port 0  takes a free one.") from error
