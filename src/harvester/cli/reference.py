"""The generated parts of README: the table of sources, the schema, the reference of the command line.

`python -m harvester.cli.reference README.md` writes them anew between their marks; `--check` only says whether they are current.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from copy import copy
from functools import partial
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import click

from harvester.cli.options import COMMON
from harvester.source import describe, load, registered

PACKAGE = "harvester"
EXAMPLE = "tests/plugin/src/tiny_survey/tiny.py"
WIDTH: dict[str, Any] = {"max_content_width": 100, "terminal_width": 100}
SCHEMA_TABLE = """\
| column | meaning |
|---|---|
| `target`, `filter`, `source` | whose point, `passband(survey)` such as `g(ZTF_DR)`, and where it came from |
| `bjd_tdb` | barycentric Julian date in TDB of the middle of the exposure (days) |
| `time`, `exptime` | the survey's own time in its own system (`harvest sources show`), and the exposure (s) |
| `mag`, `mag_err` | in the passband's own system, AB or Vega; null for limits and for flux <= 0 |
| `flux`, `flux_err` | uJy, signed; served, or by the passband's zero point |
| `upper_limit`, `limiting_mag`, `limit_sigma` | a limit is a row of its own, never a magnitude with an odd error |
| `quality`, `flags` | 0 good, 1 suspect, 2 bad by the survey's own cuts; the survey's flags verbatim |
| `object_id`, `observation_id`, `ra`, `dec`, `facility`, `observer` | the survey's own ids, place and observer, where given |"""


def source_table() -> str:
    """Return a row per source that we ship."""
    rows = ["| `--source` | what | filters | release | times |", "|---|---|---|---|---|"]
    return "\n".join(rows + [_source_row(entry) for entry in registered().values() if entry.dist and entry.dist.name == PACKAGE])


def schema_table() -> str:
    """Return the columns of a light curve, in eight rows."""
    return SCHEMA_TABLE


def command_reference() -> str:
    """Return the usage of every command."""
    from harvester.cli import harvest

    context = click.Context(harvest, info_name="harvest", **{**harvest.context_settings, **WIDTH})
    return "\n\n".join(f"```text\n{text}\n```" for text in _helps(harvest, context))


def example_source(root: Path) -> str:
    """Return the whole file of the source that our tests install as an outsider's."""
    return f"```python\n{(root / EXAMPLE).read_text('utf-8')}```"


def renewed(text: str, root: Path) -> str:
    """Return a page with its generated parts made anew; `root` is the checkout that it stands in."""
    parts = {"sources": source_table, "schema": schema_table, "example": partial(example_source, root), "commands": command_reference}
    for name, make in parts.items():
        begin, end = f"<!-- {name}: generated -->", f"<!-- {name}: end -->"
        text = re.sub(f"{begin}.*?{end}", lambda _, b=begin, m=make, e=end: f"{b}\n{m()}\n{e}", text, flags=re.DOTALL)  # type: ignore[misc]
    return text


def _source_row(entry: EntryPoint) -> str:
    about, source = describe(entry), load(entry.name)
    filters = " ".join(f"`{name}({survey})`" for survey in source.systems() for name in source.bands(survey))
    times = dict.fromkeys(system.describe() for system in source.systems().values())
    return f"| `{about.name}` | {about.title} | {filters} | {about.facts['release']} | {'; '.join(times)} |"


def _helps(command: click.Command, context: click.Context) -> Iterator[str]:
    """Yield the help of a command and of those below it; the options that all have stand at the first alone."""
    yield _own(command, context).get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner:
                yield from _helps(inner, click.Context(inner, parent=context, info_name=name, **WIDTH))


def _own(command: click.Command, context: click.Context) -> click.Command:
    shared = {option.name for option in COMMON()} if context.parent else set()
    shown = copy(command)
    shown.params = [option for option in command.params if option.name not in shared]
    return shown


def main(arguments: list[str]) -> int:
    """Write or check the files named; return an exit status."""
    check = "--check" in arguments
    stale = []
    for name in arguments:
        if name == "--check":
            continue
        path = Path(name)
        text = path.read_text("utf-8")
        if (new := renewed(text, path.resolve().parent)) != text:
            stale.append(name)
            if not check:
                path.write_text(new, "utf-8")
    if stale and check:
        sys.stderr.write(f"not current: {', '.join(stale)}. Run: make docs\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
