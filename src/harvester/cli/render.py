"""What people and programs read: data on standard output, talk on standard error. The one importer of rich, and only at a terminal."""

from __future__ import annotations

import csv
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any

log = logging.getLogger(__name__)
INDENT = {"error": 7, "warning": 9, "stopped": 9}
STYLE = {"error": "bold red", "warning": "bold yellow", "stopped": "bold yellow"}
Row = Mapping[str, Any]


def problem(word: str, lines: Sequence[str]) -> None:
    """Say what went wrong on standard error: three lines at most, the first with the word before it."""
    text = f"\n{' ' * INDENT[word]}".join(printable(line) for part in lines for line in part.splitlines())
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.text import Text

        Console(stderr=True, highlight=False).print(Text.assemble((f"{word}:", STYLE[word]), f" {text}"), soft_wrap=True)
    else:
        sys.stderr.write(f"{word}: {text}\n")


def say(text: str) -> None:
    """Say something that is no data."""
    sys.stderr.write(f"{printable(text)}\n")


def warning(message: Warning | str, category: type[Warning], *_: object) -> None:
    """Say a warning of ours; those of libraries go to the log."""
    if category.__module__.startswith("harvester"):
        problem("warning", [str(message)])
    else:
        log.info("%s: %s", category.__name__, message)


def printable(text: str) -> str:
    """Return text without what a terminal would obey rather than show: names and messages come from others."""
    return text if text.isprintable() else "".join(char if char.isprintable() or char in "\t\n" else "?" for char in text)


def shortened(place: str) -> str:
    """Return a path with the home folder as ~."""
    home = os.path.expanduser("~")  # noqa: PTH111 - Path.home() fails where there is none
    return f"~{place.removeprefix(home)}" if len(home) > 1 and place.startswith(f"{home}/") else place


def at_terminal() -> bool:
    """Whether a person reads standard output."""
    return sys.stdout.isatty()


def table(
    rows: Sequence[Row],
    columns: Sequence[str],
    *,
    as_json: bool = False,
    right: Sequence[str] = (),
    wide: Sequence[str] = (),
    whole: Sequence[str] = (),
) -> None:
    """Print rows: JSON objects a line, a rich table at a terminal, tab-separated text elsewhere.

    `right` columns are numbers; `wide` ones are left out at a terminal. Where there are many, `whole` ones are never broken, and all stand closer.
    """
    if as_json:
        objects(rows)
    elif at_terminal():
        _rich_table(rows, [name for name in columns if name not in wide], right, whole)
    else:
        tab_separated(rows, columns)


def tab_separated(rows: Sequence[Row], columns: Sequence[str], *, header: bool = True) -> None:
    """Print rows as tab-separated text at once."""
    writer = csv.writer(sys.stdout, delimiter="\t", lineterminator="\n")
    writer.writerows([columns] if header else [])
    writer.writerows([_word(row.get(name)) for name in columns] for row in rows)
    sys.stdout.flush()


def objects(rows: Sequence[Row]) -> None:
    """Print one JSON object a line."""
    for row in rows:
        sys.stdout.write(json.dumps(row, ensure_ascii=False, default=str, allow_nan=False) + "\n")
    sys.stdout.flush()


def facts(pairs: Sequence[tuple[str, Any]], *, as_json: bool = False) -> None:
    """Print what is known of one thing, a line each."""
    if as_json:
        objects([{name.replace(" ", "_"): value for name, value in pairs}])
        return
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        lines = str(_word(value)).splitlines() or [""]
        sys.stdout.write(f"{name:<{width}}  {lines[0]}\n" + "".join(f"{'':<{width}}  {line}\n" for line in lines[1:]))


def lines(text: Sequence[str]) -> None:
    """Print lines as they are."""
    sys.stdout.write("".join(f"{line}\n" for line in text))


@contextmanager
def progress(total: int, what: str, *, quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """Show a bar on a terminal's standard error; the function given takes a step and says what was done."""
    with gauge(what, quiet=quiet or total == 0) as show:
        done = count()
        show("", next(done), total)
        yield lambda last: show(last, next(done), total)


@contextmanager
def gauge(what: str, *, quiet: bool = False) -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar on a terminal's standard error; the function given takes what was done last, how much is done, and the whole."""
    if quiet or not sys.stderr.isatty():
        yield lambda _last, _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[last]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None, last="")
        yield lambda last, done, total: bar.update(task, completed=done, total=total, last=printable(last))


def _rich_table(rows: Sequence[Row], columns: Sequence[str], right: Sequence[str], whole: Sequence[str]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0) if whole else (0, 1))
    for name in columns:
        shown.add_column(name, justify="right" if name in right else "left", overflow="fold", no_wrap=name in right or name in whole)
    for row in rows:
        shown.add_row(*(Text(str(_word(row.get(name)))) for name in columns))
    Console(highlight=False).print(shown)


def _word(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        value = ", ".join(str(part) for part in value)
    return printable(value) if isinstance(value, str) else value
