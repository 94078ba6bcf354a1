"""`harvest completion`: the script that a shell reads to complete our words."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from harvester.cli import render
from harvester.cli.options import App, define


@define("completion")
@click.option("--shell", type=click.Choice(["bash", "zsh", "fish"]), default="bash", show_default=True)
def command(app: App, /, shell: str) -> None:
    """Print the completion script of a shell.

    \b
    eval "$(harvest completion --shell bash)"
    """  # noqa: D301 - \b is click's
    from harvester.cli import harvest

    maker = get_completion_class(shell)
    if maker is not None:
        render.lines([maker(harvest, {}, "harvest", "_HARVEST_COMPLETE").source()])
