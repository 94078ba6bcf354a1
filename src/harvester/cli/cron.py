"""`harvest cron`: the nightly update as a line of the crontab, or as a systemd user timer."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from harvester.cli import render
from harvester.cli.choice import chosen_sources
from harvester.cli.options import COMMON, App, define, source_option
from harvester.cli.stopping import as_seconds
from harvester.config import OF_SERVICE, PREFIX, is_secret, user_config
from harvester.cron import Entry, Job, crontab, own_minute, programs, units
from harvester.errors import StoreError, UsageError

COLUMNS = ("by", "when", "store", "program", "runs", "entry")
AT = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
PASSWORD_IN_URL = re.compile(r"(://[^/@:\s]*:|[?&](?:ssl)?password=)([^@&\s]+)(@|&|$)", re.IGNORECASE)
CARRIED = (
    *(f"{name}_proxy" for name in ("http", "https", "all", "no")),
    *(f"{name}_PROXY" for name in ("HTTP", "HTTPS", "ALL", "NO")),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "PYTHONPATH"),
    *("PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGSSLMODE", "PGPASSFILE", "PGSERVICE", "PGSERVICEFILE"),
)
"""Variables beside HARVESTER_* that a nightly job needs as the user's shell has them: cron gives it hardly any."""
OF_PATHS = ("_FILE", "_DIR", "_HOME", "PATH", "PASSFILE", "SERVICEFILE")
SECRET_ELSEWHERE = ("PGPASSWORD",)
NOT_CARRIED = ("HARVESTER_STORE", "HARVESTER_CONFIG")
"""These become options of the command."""


@click.group("cron", params=COMMON())
def command() -> None:
    """The nightly update, in your crontab or as a systemd user timer: install, show, remove."""


def way_option(function: Any) -> Any:
    """Declare --crontab and --systemd."""
    function = click.option("--systemd", "way", flag_value="systemd", help="A systemd user timer.")(function)
    return click.option("--crontab", "way", flag_value="crontab", help="A line of your crontab.  [default, where there is cron]")(function)


def _duration(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Check a duration, and keep it as it was written."""
    as_seconds(ctx, param, value)
    return value and value.replace(" ", "")


@define("install")
@way_option
@click.option("--at", "at", metavar="HH:MM", help="When, in local time.  [default: between 3 and 6, a minute of this store's own]")
@click.option("--max-time", callback=_duration, metavar="DURATION", help="End an update after so long: 90m, 6h.")
@source_option(help="Update these sources only.  [default: every one]")
@click.option("-n", "--dry-run", is_flag=True, help="Print what would be written; change nothing.")
def install(app: App, /, way: str | None, at: str | None, max_time: str | None, sources: Sequence[str], dry_run: bool) -> None:
    """Have this store updated every night, by: harvest update -q.

    Again is the same as once; another time or option replaces the store's entry. No other entry is touched, and no secret is written.

    \b
    harvest cron install --at 04:30
    harvest --store postgresql://me@server/lightcurves cron install --systemd
    """  # noqa: D301 - \b is click's
    if sources:
        chosen_sources(app, sources)
    way = way or ("crontab" if programs.has("crontab") or not programs.has("systemctl") else "systemd")
    more = [*(word for name in sources for word in ("--source", name)), *(("--max-time", max_time) if max_time else ())]
    job = _job(app, more, at)
    for secret in _secrets(os.environ):
        render.problem(
            "warning", [f"{secret} is a secret: it is not written into a timetable.", "At night it will be missing, unless a file holds it.",
                        "Write into your configuration: token_file = 'PATH'"]
        )  # fmt: skip
    if dry_run:
        render.lines([crontab.line(job)] if way == "crontab" else [*units.service(job).splitlines(), *units.timer(job).splitlines()])
        return
    programs.install(job, way)
    _remind(app, job, way)


@define("show")
def show(app: App, /) -> None:
    """List the nightly updates of all your stores: when, and by which program."""
    rows = [_row(entry) for entry in programs.entries()]
    render.table(rows, COLUMNS, as_json=app.json, wide=("entry",))
    if not rows and not app.quiet:
        render.say("Nothing is installed. Begin with: harvest cron install")
    for row in rows:
        if not row["runs"]:
            render.problem(
                "warning", [f"the update of {row['store']} cannot run.", f"No program at {row['program']}.", "Again: harvest cron install"]
            )


@define("remove")
@click.option("--all", "every", is_flag=True, help="Those of all stores.")
def remove(app: App, /, every: bool) -> None:
    """Remove the nightly update of this store, and nothing else; the store stays as it is."""
    mine = _place(app)[0]
    found = [entry for entry in programs.entries() if every or entry.place == mine]
    for entry in found:
        programs.remove(entry)
    if not app.quiet:
        render.say(f"{len(found)} removed." if found else "Nothing was installed for this store. What there is: harvest cron show")


def _job(app: App, more: Sequence[str], at: str | None) -> Job:
    place, store_words = _place(app)
    settings = app.settings
    named = app.said.get("config") or os.environ.get(f"{PREFIX}CONFIG")
    config = ("--config", str(Path(named).expanduser().absolute())) if named else ()
    here = any(origin != str(user_config()) for origin in settings.origins)
    log = ("--log-file", str(Path(app.said["log_file"]).expanduser().absolute())) if app.said.get("log_file") else ()
    emulate = ("--emulate",) if app.emulated else ()
    words = (*_program(), *emulate, *store_words, *config, *log, "update", "-q", *more)
    hour, minute = _time(at) if at else own_minute(place)
    return Job(place, words, str(Path.cwd()) if here else "/", dict(_carried(os.environ)), hour, minute)


def _program() -> tuple[str, ...]:
    """Return how to run this very installation, wherever the job is started."""
    beside = Path(sys.executable).with_name("harvest")
    return (str(beside),) if beside.is_file() else (sys.executable, "-m", "harvester")


def _place(app: App) -> tuple[str, tuple[str, ...]]:
    """Return the store as messages show it, and the words that name it; a password may stand in the configuration alone."""
    place = app.settings.store
    if "://" not in place:
        path = str(Path(place).expanduser().absolute())
        return path, ("--store", path)
    if not PASSWORD_IN_URL.search(place):
        return place, ("--store", place)
    if app.said.get("store") or os.environ.get(f"{PREFIX}STORE"):
        raise UsageError(
            "the store's address holds a password, which is not written into a timetable.",
            "Every program of yours could read it there.",
            "Put it into ~/.pgpass and leave it out of --store.",
        )
    return PASSWORD_IN_URL.sub(r"\1***\3", place), ()


def _time(at: str) -> tuple[int, int]:
    found = AT.fullmatch(at)
    if not found:
        raise UsageError(f"--at: '{at}' is no time of day.", hint="Write 04:30.")
    return int(found[1]), int(found[2])


def _carried(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the variables that the job needs; a relative path is made absolute, a secret left out."""
    secret = set(_secrets(environ))
    for name, value in environ.items():
        ours = name == f"{PREFIX}CONTACT" or (name.startswith(PREFIX) and name.lower().endswith(tuple(f"_{key}" for key in OF_SERVICE)))
        if value and name not in secret and (ours or name in CARRIED):
            yield name, os.pathsep.join(map(os.path.abspath, value.split(os.pathsep))) if name.endswith(OF_PATHS) else value


def _secrets(environ: Mapping[str, str]) -> list[str]:
    """Return the names of variables that a night would want and that must not be written down."""
    return [
        name
        for name, value in sorted(environ.items())
        if (name not in NOT_CARRIED and is_secret(name))
        or name in SECRET_ELSEWHERE
        or ((name.startswith(PREFIX) or name in CARRIED) and name not in NOT_CARRIED and PASSWORD_IN_URL.search(value))
    ]


def _row(entry: Entry) -> dict[str, Any]:
    there = Path(entry.program).is_file() and os.access(entry.program, os.X_OK)
    return {"by": entry.way, "when": entry.when, "store": entry.place, "program": entry.program, "runs": there, "entry": entry.text}


def _remind(app: App, job: Job, way: str) -> None:
    if not app.quiet:
        asleep = " The machine must be on then." if way == "crontab" else " Without a login it needs: loginctl enable-linger"
        render.say(f"Every day at {job.hour:02}:{job.minute:02}: harvest update of {render.shortened(job.place)}.{asleep}")
    if any(entry.place == job.place and entry.way != way for entry in programs.entries()):
        render.problem(
            "warning", ["this store is updated by crontab and by systemd.", "", "Once is enough: harvest cron remove, then install."]
        )
    try:
        app.store()
    except StoreError as error:
        render.problem("warning", [*error.lines()[:2], "The update needs a store with targets: harvest fetch --target NAME"])


for subcommand in (install, show, remove):
    command.add_command(subcommand)
