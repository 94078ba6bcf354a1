"""The options that every command has, and what they give: settings, store, client."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harvester import __version__
from harvester.errors import UsageError, WrongKind

if TYPE_CHECKING:
    from harvester.config import Settings
    from harvester.emulator.server import Running
    from harvester.session import Client
    from harvester.store import Store

NAME_SERVICES = ("sesame", "simbad", "xmatch")
STREAMS = ("hop",)
"""Streams of alerts that bear no source's name."""
MJD_OF_UNIX = 40587.0
JD_OF_MJD = 2_400_000.5


@dataclass
class App:
    """One invocation: what was said on the command line, and what follows from it, made when first wanted."""

    said: dict[str, Any] = field(default_factory=dict)
    opened: ExitStack = field(default_factory=ExitStack)
    logs: dict[str, ExitStack] = field(default_factory=dict)

    @property
    def json(self) -> bool:
        """Whether output is one JSON object a line."""
        return bool(self.said.get("json"))

    @property
    def quiet(self) -> bool:
        """Whether to be silent when all goes well."""
        return bool(self.said.get("quiet"))

    @property
    def emulated(self) -> bool:
        """Whether the simulated sky answers in place of the surveys."""
        return bool(self.said.get("emulate"))

    @cached_property
    def settings(self) -> Settings:
        """The settings of this invocation; with --emulate every service is the emulator's."""
        from harvester.cli.render import problem
        from harvester.config import read_settings

        settings = read_settings(store=self.said.get("store"), config=self.said.get("config"), simulated=self.emulated)
        _hide_secrets(settings)
        for doubt in (*settings.doubts, *_unknown_services(settings)):
            problem("warning", doubt)
        if not self.emulated:
            return settings
        from harvester.harvest import simulated

        return simulated(settings, self.emulator.url)

    def store(self, *, create: bool = False, insist: bool = False) -> Store:
        """Open the store. `create`: make it if it is not there; with it or with `insist` its kind (real or simulated) must be this command's."""
        from harvester.store import Store

        store = self.opened.enter_context(
            Store.open(self.settings.store, simulated=self.emulated if create or insist else None, create=create)
        )
        if self.emulated and not store.simulated:
            raise WrongKind(
                f"the store '{store.place}' is real.", hint="--emulate goes with a store of its own: leave --store out, or name another."
            )
        return store

    def command_line(self, store: Store) -> str:
        """Return what was typed, for the store to keep; a store's address without its password."""
        return " ".join(sys.argv[1:]).replace(str(self.said.get("store") or store.place), store.place)

    def client(self) -> Client:
        """Make the client that all requests of this invocation go through."""
        from harvester.session import Client

        return self.opened.enter_context(Client(contact=self.settings.contact, version=__version__, loopback_only=self.emulated))

    @cached_property
    def emulator(self) -> Running:
        """The simulated sky, served on a free port of this machine while the command runs."""
        from harvester.emulator.app import Emulator
        from harvester.emulator.server import serve

        return self.opened.enter_context(serve(Emulator()))

    def listen(self, name: str, value: Any) -> None:
        """Let the log be heard: on the terminal (`verbose`, how loud) or in a file (`log_file`); what was said last holds."""
        from harvester.logs import to_file, to_terminal

        if name in self.logs:
            self.logs.pop(name).close()
        log = to_file(Path(value)) if name == "log_file" else to_terminal(logging.DEBUG if value > 1 else logging.INFO)
        self.logs[name] = ExitStack()
        self.logs[name].enter_context(log)

    def close(self) -> None:
        """Close everything that was opened, last first, and the logs at the very end."""
        self.opened.close()
        for log in self.logs.values():
            log.close()


def _hide_secrets(settings: Settings) -> None:
    """Keep the secrets of this invocation out of its logs."""
    from harvester.logs import hide, secrets_of

    services = settings.services.values()
    secrets = [secret for service in services for secret in service.secrets.values()]
    hide.learn(secrets_of(settings.store, secrets, [service.base_url or "" for service in services], os.environ))


def _unknown_services(settings: Settings) -> Iterator[tuple[str, ...]]:
    """Yield a message for each source or service that is set and that nobody knows."""
    if not settings.services:
        return
    from difflib import get_close_matches

    from harvester.alerts import broker
    from harvester.source import registered

    known = [*registered(), *broker.registered(), *NAME_SERVICES, *STREAMS]
    for name in settings.services:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            yield (
                f"settings for '{name}', which is no source.",
                f"Did you mean '{near[0]}'?" if near else "",
                "All sources: harvest sources list",
            )


def COMMON() -> list[click.Parameter]:  # noqa: N802 - a fresh copy of a constant
    """Return the options that every command and the program itself take, in any place."""

    def option(*names: str, **attributes: Any) -> click.Option:
        return click.Option(names, expose_value=False, callback=_keep, **attributes)

    return [
        option("--store", metavar="PATH|URL", help="The store: a SQLite file or postgresql://...  [default: in your data folder]"),
        option("--config", metavar="FILE", help="Configuration file in place of ./harvester.toml and your own."),
        option("--emulate", is_flag=True, help="Ask the simulated sky; needs no network, uses a store of its own."),
        option("--json", is_flag=True, help="One JSON object a line on standard output."),
        option("-q", "--quiet", is_flag=True, help="Silent when all goes well."),
        option("-v", "--verbose", count=True, help="Say every request (-v) and more (-vv)."),
        option("--log-file", metavar="FILE", envvar="HARVESTER_LOG_FILE", help="Write a log, a JSON object a line; rotates at 10 MB."),
    ]


def define(name: str, **attributes: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """Declare a command that takes the common options; its function gets the App first."""

    def decorate(function: Callable[..., Any]) -> click.Command:
        @wraps(function)
        def with_app(*given: Any, **options: Any) -> Any:
            return function(click.get_current_context().obj, *given, **options)

        made = click.command(name, cls=click.Command, **attributes)(with_app)
        made.params += COMMON()
        return made

    return decorate


def target_option(**attributes: Any) -> Callable[[Any], Any]:
    """Declare --target, several times, completed from the store's names."""
    return click.option("--target", "-t", "targets", multiple=True, metavar="NAME|RA,DEC|@FILE|-", **attributes)


def source_option(**attributes: Any) -> Callable[[Any], Any]:
    """Declare --source, several times, completed from the registered names."""
    return click.option("--source", "-s", "sources", multiple=True, metavar="NAME", shell_complete=complete_source, **attributes)


def interval_options(function: Any) -> Any:
    """Declare --since and --until, each a date or an MJD."""
    for name in ("until", "since"):
        function = click.option(f"--{name}", callback=as_mjd, metavar="DATE|MJD", help=f"Only epochs {name} then (UTC).")(function)
    return function


def cut_options(function: Any) -> Any:
    """Declare --source, --filter, --since and --until: which part of a light curve is read."""
    filters = click.option("--filter", "filters", multiple=True, metavar="NAME", help="Only these filters, such as 'g(ZTF_DR)'.")
    return source_option(help="Only what came from these sources.")(filters(interval_options(function)))


def complete_source(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the registered names that begin like that."""
    from harvester.source import registered

    return [name for name in registered() if name.startswith(incomplete)]


def as_mjd(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Read '2024-05-01', '2024-05-01T12:00' or an MJD (a JD is told by its size)."""
    if value is None:
        return None
    if re.fullmatch(r"\d+(\.\d*)?", value):
        number = float(value)
        return number - JD_OF_MJD if number > JD_OF_MJD else number
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise UsageError(f"--{param.name}: '{value}' is no date.", hint="Write 2024-05-01, 2024-05-01T12:00 or an MJD.") from error
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return moment.timestamp() / 86400 + MJD_OF_UNIX


def as_moment(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Read a date or an MJD as a moment in the store's own writing."""
    mjd = as_mjd(ctx, param, value)
    if mjd is None:
        return None
    return datetime.fromtimestamp((mjd - MJD_OF_UNIX) * 86400, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """Note what was said, before or after the command's name; -v and --log-file take effect at once."""
    if value and param.name:
        ctx.ensure_object(App).said[param.name] = value
    if value and param.name in {"verbose", "log_file"}:
        ctx.ensure_object(App).listen(param.name, value)
