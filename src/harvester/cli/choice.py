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
from harvester.errors import BadTargetFile, BrokenSource, ResolveError, UsageError
from harvester.target import Target, parse_target, read_targets

if TYPE_CHECKING:
    from harvester.session import Client
    from harvester.store import Store


ALL = "all"


def chosen_sources(app: App, names: Sequence[str]) -> list[str]:
    """Return the sources named. Raises UnknownSource, BrokenSource, Unfinished, UsageError for one that is retired.

    Of "all", or where none is named: every one that can be asked. What is left out and why is said, a broken one as a warning.
    """
    from harvester.access import unfinished
    from harvester.source import load

    if not names or ALL in names:
        return _askable(app)
    for name in names:
        if (source := load(name)).retired:
            raise UsageError(f"source '{name}' is retired.", hint=f"Use {source.retired}.")
        if not source.is_finished:
            raise unfinished(name)
    return list(dict.fromkeys(names))


def _askable(app: App) -> list[str]:
    """Return every source that is not broken, not retired, and has its credentials; a simulation takes any."""
    from harvester.access import missing
    from harvester.source import load, registered

    chosen, retired, rough, unknown = list[str](), list[str](), list[str](), list[str]()
    for name in registered():
        try:
            source = load(name)
        except BrokenSource as error:
            render.problem("warning", error.lines())
            continue
        bare = not app.emulated and missing(name, source, app.settings)
        (retired if source.retired else unknown if bare else chosen if source.is_finished else rough).append(name)
    if unknown and not app.quiet:
        render.say(f"Left out, without credentials: {', '.join(unknown)}. How to get them: harvest sources show --source NAME")
    if retired and not app.quiet:
        render.say(f"Left out, retired: {', '.join(retired)}.")
    if rough and not app.quiet:
        render.say(f"Left out, not finished: {', '.join(rough)}. Their files still say TODO.")
    return chosen


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
    from harvester.follow import resolve_target

    found: dict[str, Target] = {}
    unknown: list[Row] = []
    with render.progress(len(wanted), "looking up", quiet=app.quiet or app.json) as step:
        for item in wanted:
            try:
                before = store.target(item.name) if isinstance(item, Target) else None
                target = resolve_target(item, store, client, app.settings)
                found[target.name] = target
                _say_move(app, before, target)
            except ResolveError as error:
                unknown.append({"target": str(item), "source": None, "outcome": "failed", "error": error.kind, "message": str(error)})
                render.problem("error", error.lines())
            step(str(item if isinstance(item, str) else item.name))
    return list(found.values()), unknown


def _say_move(app: App, before: Target | None, after: Target) -> None:
    if before and before.apart(after) > 0 and not app.quiet:
        render.say(f"moved {after.name} by {before.apart(after):.3g} arcsec")


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
