"""Groups of commands that are imported when they run, so that help and completion are immediate."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click

from harvester.errors import UsageError

Table = Mapping[str, tuple[str, str]]
"""A command's name: the module that holds it as `command`, and its line in the help."""


class LazyGroup(click.Group):
    """The commands of a table, each imported only when it is called."""

    def __init__(self, *given: Any, table: Table, **attributes: Any) -> None:
        super().__init__(*given, **attributes)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command. Its module holds it under its own name."""
        if cmd_name not in self.table:
            return None
        command = getattr(importlib.import_module(self.table[cmd_name][0]), "command")  # noqa: B009 - mypy cannot know
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.table.items()])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the nearest command for an unknown one."""
        from difflib import get_close_matches

        if args and args[0] not in self.table and not args[0].startswith("-"):
            near = get_close_matches(args[0], self.table, n=1)
            hint = f"All commands: {ctx.command_path} --help"
            raise UsageError(f"no command named '{args[0]}'.", f"Did you mean '{near[0]}'?" if near else "", hint)
        return super().resolve_command(ctx, args)
