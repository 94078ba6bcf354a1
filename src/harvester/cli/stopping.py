"""Stopping a run: the first signal lets what is under way be finished and stored, the second ends it at once."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from harvester.cli import render
from harvester.errors import ExitStatus, UsageError

if TYPE_CHECKING:
    from harvester.harvest import Stop

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
HEARD = b"stopping: what is under way is finished and stored (once more to stop at once) ...\n"
SECONDS_OF = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhd])")


@contextmanager
def heard(stop: Stop) -> Iterator[Stop]:
    """Let signals ask `stop` to end the run while the block lasts; a second one raises KeyboardInterrupt in it."""
    if threading.current_thread() is not threading.main_thread():  # signals are for the main thread alone
        yield stop
        return

    def ask(number: int, frame: object) -> None:
        if stop.asked:
            raise KeyboardInterrupt
        stop.asked = True
        os.write(2, HEARD)

    before = {name: signal.signal(name, ask) for name in SIGNALS}
    try:
        yield stop
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def finished(stop: Stop, left: int, status: int, *, again: str) -> int:
    """Return the exit status of a run that may have been stopped; say so, and how many targets are left."""
    if stop.asked:
        words = f"{left} were not asked.  For the rest: {again}" if left else "Nothing was left to be asked."
        render.problem("stopped", ["what was stored is complete.", words])
        return ExitStatus.INTERRUPTED
    if left:
        render.problem("warning", [f"the time was over: {left} were not asked.", f"For the rest: {again}"])
        return status or ExitStatus.PARTIAL
    return status


def as_seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Read '45s', '30m', '6h', '1h30m' or '1d'."""
    if value is None:
        return None
    text = value.replace(" ", "").lower()
    seconds: float = sum(float(number) * SECONDS_OF[unit] for number, unit in DURATION.findall(text))
    if DURATION.sub("", text) or not seconds:
        raise UsageError(f"--{param.opts[0].lstrip('-')}: '{value}' is no duration.", hint="Write 45s, 30m, 6h, 1h30m or 1d.")
    return seconds


def max_time_option(function: Any) -> Any:
    """Declare --max-time."""
    words = "Begin nothing new after 30m, 6h, 1h30m ...; what is under way is finished, the rest is first in line next time."
    return click.option("--max-time", callback=as_seconds, metavar="DURATION", help=words)(function)
