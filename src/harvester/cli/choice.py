"""What the user chose: sources that are registered, targets that are asked for, targets and filters that are stored."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harvester.cli import render
from harvester.cli.options import App
from harvester.cli.render import Row
from harvester.errors import BadTargetFile, UsageError
from harvester.target import Target, parse_target, read_targets

if TYPE_CHECKING:
    from harvester.session import Client
    from harvester.store import Store


ALL = "all"
NEGLIGIBLE = 1e-6
"""Arcseconds by which nobody moves a target: the rounding of a position in another writing."""


def chosen_sources(app: App, names: Sequence[str]) -> list[str]:
    """Return the sources named. Raises UnknownSource, BrokenSource, Unfinished, UsageError for one that cannot be asked.

    Of "all", or where none is named: every one that can be asked. What is left out and why is said, a broken one as a warning.
    """
    from harvester.access import unfinished
    from harvester.source import load

    if not names or ALL in names:
        return _askable(app)
    for name in names:
        source = load(name)
        if source.retired:
            raise UsageError(f"source '{name}' is retired.", hint=f"Use {source.retired}.")
        if not source.takes:
            raise UsageError(
                f"source '{name}' cannot be asked about a target.", hint="Its packets come by night or by stream: harvest alerts"
            )
        if not source.is_finished:
            raise unfinished(name)
    return list(dict.fromkeys(names))


def _askable(app: App) -> list[str]:
    """Return every source that can be asked; say which are left out."""
    from harvester.access import askable

    found = askable(app.settings, simulated=app.emulated)
    for error in found.broken:
        render.problem("warning", error.lines())
    if found.without_credentials and not app.quiet:
        left_out = ", ".join(found.without_credentials)
        render.say(f"Left out, without credentials: {left_out}. How to get them: harvest sources show --source NAME")
    if found.retired and not app.quiet:
        render.say(f"Left out, retired: {', '.join(found.retired)}.")
    if found.unfinished and not app.quiet:
        render.say(f"Left out, not finished: {', '.join(found.unfinished)}. Their files still say TODO.")
    return found.names


def read_wanted(texts: Sequence[str]) -> list[Target | str]:
    """Return what --target means: positions as Targets, names as text. Raises BadCoordinates, BadTargetFile, UsageError."""
    if not texts:
        raise UsageError("no target given.", hint="Name one:  --target 'RR Lyr'  or  --target @targets.csv")
    wanted = [item for text in texts for item in _wanted(text.strip())]
    return list({item.name if isinstance(item, Target) else item: item for item in wanted}.values())


def _wanted(text: str) -> Iterator[Target | str]:
    if text in ("-", "@-"):
        yield from read_targets(sys.stdin.read(), "standard input")
    elif text.startswith("@") and text != "@-":
        yield from read_targets(_text_of(text[1:]), text[1:])
    elif not text:
        raise UsageError("an empty target was given.", hint="Name one:  --target 'RR Lyr'")
    else:
        yield parse_target(text)


def _text_of(path: str) -> str:
    try:
        return Path(path).expanduser().read_text("utf-8")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise BadTargetFile(f"{path}, line {line}: not UTF-8 text.") from error
    except OSError as error:
        raise BadTargetFile(f"target file '{path}' cannot be read.", str(error.strerror)) from error


def resolved(app: App, wanted: Sequence[Target | str], store: Store, client: Client) -> tuple[list[Target], list[Row]]:
    """Return targets with positions, and an object for each name that has none; what is wrong with it was said on standard error."""
    from harvester.follow import find_targets

    targets: dict[str, Target] = {}
    unknown: list[Row] = []
    with render.progress(len(wanted), "looking up", quiet=app.quiet or app.json) as step:
        for found in find_targets(wanted, store, client, app.settings):
            name = found.wanted if isinstance(found.wanted, str) else found.wanted.name
            if found.target:
                targets[found.target.name] = found.target
            if found.moved > NEGLIGIBLE and not app.quiet:
                render.say(f"moved {name} by {found.moved:.3g} arcsec")
            if error := found.error:
                unknown.append({"target": name, "source": None, "outcome": "failed", "error": error.kind, "message": str(error)})
                render.problem("error", error.lines())
            step(name)
    return list(targets.values()), unknown


def selection(store: Store, targets: Sequence[str], sources: Sequence[str], filters: Sequence[str]) -> dict[str, Any]:
    """Return the reader's choice, checked against the store. Raises UsageError for what it does not hold, with the nearest name."""
    names = [stored_target(store, text).name for text in targets]
    for word, wanted, held in (("filter", filters, store.filters()), ("source", sources, store.sources())):
        for name in wanted:
            if name not in held:
                near = get_close_matches(name, held, n=1)
                raise UsageError(
                    f"no {word} '{name}' in the store.", f"Did you mean '{near[0]}'?" if near else "", "What there is: harvest status"
                )
    return {"targets": names or None, "filters": list(filters) or None, "sources": list(sources) or None}


def stored_target(store: Store, text: str) -> Target:
    """Return the target of the store that a name, an alias or a position means. Raises UsageError, with the nearest name."""
    wanted = parse_target(text)
    name = wanted if isinstance(wanted, str) else wanted.name
    found = store.target(name)
    if found is None:
        near = get_close_matches(name, [target.name for target in store.targets()], n=1)
        raise UsageError(
            f"no target '{name}' in the store.",
            f"Did you mean '{near[0]}'?" if near else "",
            f"Get it first: harvest fetch --target '{name}'",
        )
    return found
