"""The command line. Commands are imported when they run, so that help and completion are immediate."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from pathlib import Path
from typing import TextIO

import click

from harvester import __version__
from harvester.cli.lazy import LazyGroup
from harvester.cli.options import COMMON, App
from harvester.errors import ExitStatus, HarvesterError

COMMANDS = {
    "fetch": ("harvester.cli.fetch", "Get photometry now, store it, say what was new."),
    "update": ("harvester.cli.update", "Ask about everything that is due; for cron."),
    "import": ("harvester.cli.import_", "Store photometry from a file: your own, or what was saved of a service."),
    "export": ("harvester.cli.export", "Write light curves to a file, in the format of what reads it next."),
    "cite": ("harvester.cli.cite", "Print what to cite: BibTeX and acknowledgements of exactly your data."),
    "plot": ("harvester.cli.plot", "Draw a light curve: picture or terminal."),
    "digest": ("harvester.cli.digest", "What a night brought: a page to look at, or a mail."),
    "status": ("harvester.cli.status", "What ran last, what is due, what fails and since when."),
    "targets": ("harvester.cli.targets", "The targets that you follow: add, list, show, prefer, import, remove."),
    "alerts": ("harvester.cli.alerts", "Alerts: brokers, saved questions, archives, streams, stamps."),
    "xmatch": ("harvester.cli.xmatch", "What other catalogues have where targets, or the rows of a table, lie."),
    "sources": ("harvester.cli.sources", "The surveys that can be asked: list, show, check, new."),
    "diff": ("harvester.cli.diff", "Say what changed between two runs or dates."),
    "explain": ("harvester.cli.explain", "Walk one point back to where it came from."),
    "payloads": ("harvester.cli.payloads", "The answers as they came: list, show, replay, prune."),
    "quarantine": ("harvester.cli.quarantine", "Rows that could not be trusted: list, show, release."),
    "runs": ("harvester.cli.runs", "What was done, run by run: list, show."),
    "cron": ("harvester.cli.cron", "The nightly update: install, show, remove."),
    "db": ("harvester.cli.db", "The store itself: info, check, copy, vacuum, upgrade."),
    "emulate": ("harvester.cli.emulate", "Serve the simulated sky on this machine."),
    "completion": ("harvester.cli.completion", "Print the completion script of a shell."),
}


@click.group(
    cls=LazyGroup, table=COMMANDS, params=COMMON(), context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(__version__, prog_name="harvest", message="%(prog)s %(version)s")
def harvest() -> None:
    """Light curves of your targets from many sky surveys, in one schema, in one store.

    \b
    harvest fetch --source gaia_dr3 --target "RR Lyr"
    harvest plot --target "RR Lyr"
    harvest export -o rr_lyr.parquet --target "RR Lyr"
    """  # noqa: D301 - \b is click's


def main(args: list[str] | None = None) -> None:
    """Run a command and leave with its exit status: the one place where errors become text and status."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, _stop)
    if sys.stdout is None:
        sys.stdout = _nowhere()
    sys.exit(status_of(args))


def status_of(args: list[str] | None = None) -> int:
    """Run a command and return its exit status."""
    from harvester.cli import render

    app = App()
    try:
        with warnings.catch_warnings():
            warnings.showwarning = render.warning  # type: ignore[assignment] # it takes whatever else there is
            result = harvest.main(args, prog_name="harvest", standalone_mode=False, obj=app)
            sys.stdout.flush()
        return int(result) if isinstance(result, int) else ExitStatus.DONE
    except HarvesterError as error:
        render.problem("error", error.lines())
        return error.exit_status
    except click.exceptions.NoArgsIsHelpError as error:
        render.say(error.format_message())
        return ExitStatus.USAGE
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        render.problem("error", [error.format_message(), f"Help: {context.command_path if context else 'harvest'} --help"])
        return ExitStatus.USAGE
    except (KeyboardInterrupt, click.Abort):
        render.problem("stopped", ["what was stored is complete; run the same command again for the rest."])
        return ExitStatus.INTERRUPTED
    except (BrokenPipeError, SystemExit):  # nobody reads on: click leaves so, having calmed standard output
        sys.stdout = _nowhere()
        return ExitStatus.DONE
    except OSError as error:
        render.problem("error", ["standard output cannot be written.", str(error.strerror or error)])
        sys.stdout = _nowhere()
        return ExitStatus.FAILED
    finally:
        app.close()


def _nowhere() -> TextIO:
    """Return a standard output that takes anything: for the interpreter to flush on its way out."""
    return Path(os.devnull).open("w", encoding="utf-8")


def _stop(number: int, frame: object) -> None:
    """Say at once that we were heard: what is under way may take a moment to end."""
    os.write(2, b"stopping ...\n")
    raise KeyboardInterrupt
