"""The digest as a page: one file that loads nothing and runs no script, for a desk, a phone, the dark, a printer and a screen reader.

Names and messages of others are text in it, never markup; its Content-Security-Policy forbids every request.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from harvester.digest import words
from harvester.digest.gather import SIGNIFICANT, Digest, TargetNews, counted

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
MOST_FILTERS, MOST_ROWS = 3, 1000
REST_HEAD = ("Target", ""), ("New", ' class="number"'), ("Revised", ' class="number"'), ("Brightness", "")
TROUBLE_HEAD = ("Source", "What", "Targets", "Since (UTC)", "Last said")
HOW = (
    f"A target has changed where the good new points of a night lie {SIGNIFICANT:.0f} sigma or more off the median of what was known in the same "
    "filter. Sigma is how far the target itself usually strays on that side, or its error, whichever is greater; so a variable star that does what "
    "it always did has not changed. In the pictures brightness runs upwards, and new points stand on a tinted ground."
)


def page(found: Digest, *, overview: str = "") -> str:
    """Return the text of the page; `overview` is a link to other digests."""
    title = f"{_date(found)}: {found.headline}"
    others = [one for one in found.news if not one.is_changed]
    parts = [
        _cards("changed", "Changed brightness", found.changed),
        _troubles("failed", "Did not succeed", found.troubles),
        _troubles("waiting", "Put off, or under way", found.waiting),
        _cards("new", "Other new points", [one for one in others if one.picture]),
        _rest("more", "New points without a picture", [one for one in others if not one.picture]),
    ]
    parts = [part for part in parts if part[2]]
    sections = "".join(
        f'<section aria-labelledby="{name}"><h2 id="{name}">{heading}</h2>{body}</section>\n' for name, heading, body in parts
    )
    return framed(title, f"{_header(found, overview, parts)}<main>\n{sections}</main>\n{_footer(found)}")


def framed(title: str, body: str) -> str:
    """Return a whole page; `title` is text, `body` markup."""
    style = files("harvester.digest").joinpath("page.css").read_text("utf-8")
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<meta name="color-scheme" content="light dark">\n'
        f'<link rel="icon" href="data:,">\n<title>{_safe(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n{body}</body>\n</html>\n'
    )


def _header(found: Digest, overview: str, parts: Sequence[tuple[str, str, str]]) -> str:
    badge = '<p><strong class="simulated">SIMULATED DATA: nothing here was measured</strong></p>' if found.simulated else ""
    runs = "".join(f"<li>{_safe(line)}</li>" for line in words.of_runs(found.runs)) or "<li>nothing was asked</li>"
    links = "".join(f'<li><a href="#{name}">{heading}</a></li>' for name, heading, _ in parts)
    links += f'<li><a href="{escape(overview)}">All digests</a></li>' if overview else ""
    navigation = f'<nav aria-label="Parts of this page"><ul>{links}</ul></nav>' if links else ""
    lead = found.headline[:1].upper() + found.headline[1:]
    head = f'<h1>Light curves, {_date(found)}</h1>{badge}<p class="lead">{_safe(lead)}.</p>'
    return f'<header>\n{head}<ul class="runs">{runs}</ul>{navigation}</header>\n'


def _cards(name: str, heading: str, news: Sequence[TargetNews]) -> tuple[str, str, str]:
    return name, f"{heading} ({len(news)})", f'<ul class="cards">{"".join(map(_card, news))}</ul>' if news else ""


def _card(one: TargetNews) -> str:
    told = "".join(f"<li>{_safe(change.filter)}: {_arrow(words.told(change))}</li>" for change in one.changes[:MOST_FILTERS])
    more = len(one.changes) - MOST_FILTERS
    told += f'<li class="soft">and {counted(more, "more filter")}</li>' if more > 0 else ""
    return (
        f'<li><h3>{_safe(one.target)}</h3><p class="verdict {_side(one)}">{_mark(one)}{_safe(words.verdict(one))}</p>{one.picture}'
        f'<ul class="filters">{told}</ul><p class="soft">{_safe(words.came(one))}</p></li>\n'
    )


def _rest(name: str, heading: str, news: Sequence[TargetNews]) -> tuple[str, str, str]:
    head = "".join(f'<th scope="col"{kind}>{word}</th>' for word, kind in REST_HEAD)
    rows = (
        f'<tr><th scope="row">{_safe(one.target)}</th><td class="number" data-of="new">{one.added}</td>'
        f'<td class="number" data-of="revised">{one.revised}</td><td>{_safe(words.verdict(one))}</td></tr>'
        for one in news[:MOST_ROWS]
    )
    left = f"; the first {MOST_ROWS} are shown, all are listed by: harvest diff" if len(news) > MOST_ROWS else ""
    table = _table(head, rows, f"Ordered by how far they are from usual{left}.")
    return name, f"{heading} ({len(news)})", table if news else ""


def _troubles(name: str, heading: str, rows: Sequence[Mapping[str, Any]]) -> tuple[str, str, str]:
    head = "".join(f'<th scope="col">{word}</th>' for word in TROUBLE_HEAD)
    caption = "As the last visits ended; since: the first in vain since the last that succeeded."
    return name, heading, _table(head, map(_trouble, rows), caption) if rows else ""


def _trouble(row: Mapping[str, Any]) -> str:
    how = f"{row['outcome']}: {row['error']}" if row["error"] else row["outcome"]
    bad = ' class="bad"' if row["outcome"] == "failed" else ""
    return (
        f'<tr><th scope="row">{_safe(row["source"])}</th><td{bad}>{_safe(how)}</td><td data-of="targets">{row["targets"]}</td>'
        f'<td data-of="since">{words.moment(row["since"])}</td><td>{_safe(words.example(row))}</td></tr>'
    )


def _table(head: str, rows: Iterable[str], caption: str) -> str:
    body = "\n".join(rows)
    return f'<div class="wide"><table class="stack"><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _footer(found: Digest) -> str:
    versions = sorted({run["version"] for run in found.runs})
    by = f"harvester {_safe(', '.join(versions))}" if versions else "harvester"
    return f"<footer><p>{HOW}</p><p>{by}, store {_safe(found.store)}, made {words.moment(found.made)} UTC.</p></footer>\n"


def _date(found: Digest) -> str:
    return (found.runs[-1]["started"] if found.runs else found.made)[:10]


def _side(one: TargetNews) -> str:
    return "" if not one.is_changed else "up" if one.sigma > 0 else "down"


def _mark(one: TargetNews) -> str:
    return {"up": '<span aria-hidden="true">▲ </span>', "down": '<span aria-hidden="true">▼ </span>'}.get(_side(one), "")


def _arrow(said: str) -> str:
    return _safe(said).replace("-&gt;", "→")


def _safe(said: str) -> str:
    return escape(words.plain(said))
