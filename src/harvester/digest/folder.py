"""A folder of digests, a page a day: YYYY-MM-DD.html, the newest as latest.html, and index.html that lists them. Each appears whole or not at all."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html import escape, unescape
from pathlib import Path
from typing import TYPE_CHECKING

from harvester.digest.gather import digest, with_pictures
from harvester.digest.page import framed, page
from harvester.errors import ExportError
from harvester.plot.files import whole_file

if TYPE_CHECKING:
    from harvester.store import Store

LATEST, INDEX = "latest.html", "index.html"
PAGE = re.compile(r"\d{4}-\d{2}-\d{2}\.html")
TITLE = re.compile(r"<title>([^<]*)</title>")
HEAD_BYTES = 4096


def ready(folder: Path) -> None:
    """Make the folder and see that pages can be written there, before a night's work is done. Raises ExportError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExportError(
            f"'{folder}' cannot be made.", f"{error.strerror or error}.", "Name a folder for digests where you may write."
        ) from error
    trial = folder / ".harvest-digest"
    with whole_file(trial) as handle:
        handle.write(b"")
    trial.unlink(missing_ok=True)


def write_day(store: Store, folder: Path, date: str = "") -> Path:
    """Write the digest of all runs that began on a date (UTC) into a folder that is ready; return the page.

    Unless given it is the date on which the newest run began, so that one that lasts past midnight is whole. An earlier page of
    that day is replaced: what it told is in the new one. Raises ExportError, StoreError.
    """
    newest = [] if date else store.runs(1)
    date = date or (newest[0]["started"][:10] if newest else datetime.now(UTC).date().isoformat())
    text = page(with_pictures(store, digest(store, date)), overview=INDEX)
    write(folder / f"{date}.html", text)
    pages = sorted((path for path in folder.iterdir() if PAGE.fullmatch(path.name)), reverse=True)
    if pages[0].stem == date:
        write(folder / LATEST, text)
    write(folder / INDEX, _index(pages))
    return folder / f"{date}.html"


def write(file: Path, text: str) -> None:
    """Write a text that appears whole or not at all. Raises ExportError."""
    with whole_file(file) as handle:
        handle.write(text.encode())


def _index(pages: list[Path]) -> str:
    lines = "".join(f'<li><a href="{path.name}">{escape(_title(path))}</a></li>\n' for path in pages)
    links = f'<nav aria-label="Digests"><ul><li><a href="{LATEST}">The newest</a></li></ul></nav>'
    return framed("Digests", f"<header><h1>Light curves, day by day</h1>{links}</header>\n<main><ul>\n{lines}</ul></main>\n")


def _title(path: Path) -> str:
    """Return what a page says of itself in one line."""
    with path.open("rb") as handle:
        found = TITLE.search(handle.read(HEAD_BYTES).decode("utf-8", "replace"))
    return unescape(found[1]) if found else path.stem
