"""`harvest digest`: what a night brought, as a page or a mail."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harvester.cli import render
from harvester.cli.options import App, define
from harvester.errors import UsageError

if TYPE_CHECKING:
    from harvester.digest import Digest

PAGES, TEXTS = (".html", ".htm"), (".txt", ".eml", ".text")


@define("digest")
@click.option(
    "--run",
    default="last",
    show_default=True,
    metavar="RUN|DATE",
    help="A run's number, last, last-1; or all runs of a day (2026-11-21, UTC).",
)
@click.option("--text", "as_text", is_flag=True, help="Plain text, for mail.  [default without -o]")
@click.option("-o", "--output", metavar="FILE|-", help="A page (.html) or a text (.txt); - is standard output.")
def command(app: App, /, run: str, output: str | None, *, as_text: bool) -> None:
    """Tell what came, what changed its brightness, and what failed since when.

    A target has changed where new points lie far off what it usually does, in units of its own spread; the greatest change comes first. The page
    is one file with small light curves that needs no network. With -q nothing is printed where there is nothing to tell, so that cron sends no mail.

    \b
    harvest digest
    harvest digest --run last -o digest.html
    harvest update -q; harvest digest -q --text | mail -E -s digest me
    """  # noqa: D301 - \b is click's
    from harvester.digest import digest, with_pictures
    from harvester.digest.folder import write
    from harvester.digest.page import page
    from harvester.digest.text import text

    is_page = not as_text and not app.json and _is_page(output)
    store = app.store()
    found = digest(store, run)
    if app.json:
        told = "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows(found))
    else:
        told = page(with_pictures(store, found)) if is_page else text(found)
    if output and output != "-":
        write(Path(output), told)
        if not app.quiet:
            render.say(f"{found.headline[:1].upper()}{found.headline[1:]}: {output}")
    elif not (app.quiet and found.is_quiet):
        render.lines(told.removesuffix("\n").split("\n"))


def rows(found: Digest) -> list[dict[str, Any]]:
    """Return a digest as programs read it: an object for each run, target with news, and trouble; the magnitudes that are none are null."""
    news = [
        {
            "about": "target",
            "target": one.target,
            "new": one.added,
            "revised": one.revised,
            "sigma": round(one.sigma, 2),
            "changed": one.is_changed,
            "filters": [_change(change) for change in one.changes],
        }
        for one in found.news
    ]
    return [
        *({"about": "run", **run} for run in found.runs),
        *news,
        *({"about": "trouble", **row} for row in found.troubles),
        *({"about": "waiting", **row} for row in found.waiting),
    ]


def _change(change: Any) -> dict[str, Any]:
    numbers = {name: getattr(change, name) for name in ("sigma", "before", "now", "bjd_tdb")}
    known = {name: round(value, 6) if math.isfinite(value) else None for name, value in numbers.items()}
    return {"filter": change.filter, "change": change.kind, **known, "points": change.points}


def _is_page(output: str | None) -> bool:
    """Whether a page is meant. Raises UsageError for a file that is neither a page nor a text."""
    suffix = Path(output or "-").suffix.lower()
    if suffix and suffix not in (*PAGES, *TEXTS):
        raise UsageError(f"'{output}' is no digest that can be made.", hint="Name a page (.html) or a text (.txt).")
    return suffix in PAGES
