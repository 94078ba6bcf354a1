"""What a paper has to cite: exactly the surveys, releases, services and software behind chosen points, as BibTeX and as sentences.

Papers and acknowledgements are what each source declares. A service that passes on several surveys is cited with those that the points are of.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from harvester import __version__, own
from harvester.light_curves import installed
from harvester.schema import parts
from harvester.source import describe, find

if TYPE_CHECKING:
    from harvester.source import Source

SOFTWARE = f"""@software{{harvester,
  author = {{{{harvester developers}}}},
  title = {{{{harvester: light curves of your targets from many sky surveys}}}},
  version = {{{__version__}}},
}}"""
ENTRY = re.compile(r"^@\w+\{([^,]+),\n.*?^\}", re.MULTILINE | re.DOTALL)
FIELD = re.compile(r"^  (\w+) = \{(.*)\},$", re.MULTILINE)
ACCENT = re.compile(r"\\['\"vH]\{?(\w)\}?|\\(L)")
ADS = "https://ui.adsabs.harvard.edu/abs/"
Row = tuple[str, str, int]
"""Source, filter, number of points."""


@dataclass(frozen=True)
class Behind:
    """A source behind the points: its title and release, the filters and number of points that came from it."""

    source: str
    title: str
    release: str
    filters: tuple[str, ...]
    points: int


@dataclass(frozen=True)
class Citations:
    """What stands behind chosen points: sources, sentences of thanks, bibcodes; each once, the data's first."""

    data: tuple[Behind, ...]
    acknowledgements: tuple[str, ...]
    bibcodes: tuple[str, ...]
    gone: tuple[str, ...] = ()
    """Sources that are not installed any more: nobody can tell what they want to be cited."""

    def bibtex(self) -> str:
        """Return a .bib file: what the data are and the acknowledgements as comments, then an entry per paper."""
        comments = [*(f"% {line}" for line in _told(self.data)), "%", *(f"% {line}" for line in self.acknowledgements)]
        return "\n".join(comments) + "\n\n" + "\n\n".join([*map(entry, self.bibcodes), SOFTWARE]) + "\n"

    def text(self) -> str:
        """Return the same for people: data, acknowledgements, references."""
        papers = [*map(reference, self.bibcodes), f"harvester {__version__} (software)"]
        blocks = ("Data", list(_told(self.data))), ("Acknowledgements", list(self.acknowledgements)), ("References", papers)
        return "\n\n".join("\n".join([title, *(f"  {line}" for line in lines)]) for title, lines in blocks) + "\n"


def citations(rows: Iterable[Row], *, named: bool, releases: Mapping[str, Sequence[str]]) -> Citations:
    """Return what stands behind points, of `releases` by source; `named` says that positions were looked up by name.

    Without points there is nothing.
    """
    by_source: dict[str, list[tuple[str, int]]] = {}
    for source, label, points in rows:
        by_source.setdefault(source, []).append((label, points))
    if not by_source:
        return Citations((), (), ())
    found = {name: installed(name) for name in by_source if name != own.NAME}
    told = [_of_source(source, [label for label, _ in by_source[name]]) for name, source in found.items() if source]
    told += [_facts()[key] for key in ("software", *(["names"] if named else []))]
    return Citations(
        tuple(_behind(name, found.get(name), filters, releases) for name, filters in by_source.items()),
        tuple(dict.fromkeys(sentence for one in told for sentence in one["acknowledgement"] if sentence)),
        tuple(dict.fromkeys(bibcode for one in told for bibcode in one["cite"])),
        tuple(name for name, source in found.items() if source is None),
    )


def entry(bibcode: str) -> str:
    """Return the BibTeX entry of a paper; for one that harvester does not know, where to find it."""
    return entries().get(bibcode) or f"@misc{{{bibcode},\n  howpublished = {{\\url{{{ADS}{bibcode}}}}},\n}}"


def reference(bibcode: str) -> str:
    r"""Return a paper as a line of a list of references.

    >>> reference("2019PASP..131a8003M")
    'Masci et al. 2019, Publications of the Astronomical Society of the Pacific 131, 018003 (2019PASP..131a8003M)'
    """
    found = dict(FIELD.findall(entry(bibcode)))
    if "author" not in found:
        return f"{ADS}{bibcode}"
    authors = _plain(found["author"]).split(" and ")
    who = authors[0].partition(",")[0] + (" et al." if len(authors) > 1 else "")
    where = found.get("journal") or found.get("booktitle") or f"arXiv:{found.get('eprint', '')}"
    volume = " ".join(filter(None, [where, found.get("volume", "")]))
    return f"{who} {found['year']}, {', '.join(filter(None, [volume, found.get('pages', '')]))} ({bibcode})"


@cache
def entries() -> Mapping[str, str]:
    """Return the BibTeX entries that harvester ships, by bibcode."""
    text = (files("harvester") / "data" / "citations.bib").read_text("utf-8")
    return {found[1]: found[0] for found in ENTRY.finditer(text)}


def papers_of(survey: str) -> tuple[str, ...]:
    """Return the bibcodes that are cited for a survey, whoever passed its points on."""
    return tuple(_facts()["survey"].get(survey, {"cite": ()})["cite"])


@cache
def _facts() -> Mapping[str, Any]:
    facts: dict[str, Any] = tomllib.loads((files("harvester") / "data" / "citations.toml").read_text("utf-8"))
    for one in (*facts["survey"].values(), facts["software"], facts["names"]):
        one["acknowledgement"] = [one["acknowledgement"]]
    return facts


def _of_source(source: Source, filters: Sequence[str]) -> dict[str, list[str]]:
    """Return papers and sentences of a source for filters: of the surveys that it passes on, those of these filters."""
    surveys = dict.fromkeys(parts(label)[1] for label in filters)
    present = [bibcode for survey in surveys for bibcode in papers_of(survey)]
    absent = {bibcode for survey in source.systems() if survey not in surveys for bibcode in papers_of(survey)} - set(present)
    thanks = [sentence for survey in surveys for sentence in _facts()["survey"].get(survey, {"acknowledgement": []})["acknowledgement"]]
    return {"cite": [*(code for code in source.cite if code not in absent), *present], "acknowledgement": [source.acknowledgement, *thanks]}


def _behind(name: str, source: Source | None, filters: Sequence[tuple[str, int]], releases: Mapping[str, Sequence[str]]) -> Behind:
    labels, points = tuple(label for label, _ in filters), sum(count for _, count in filters)
    title = (
        describe(find(name)).title.partition(":")[0]
        if source
        else "your own photometry"
        if name == own.NAME
        else "a source that is not installed"
    )
    release = ", ".join(releases.get(name, [])) or (source.release if source else "")
    return Behind(name, title, release, labels, points)


def _told(data: Iterable[Behind]) -> Iterator[str]:
    for one in data:
        release = f", release {one.release}" if one.release else ""
        yield f"{one.title} (source {one.source}{release}): {one.points} points in {', '.join(one.filters)}"


def _plain(text: str) -> str:
    return re.sub(r"[{}]", "", ACCENT.sub(lambda found: found[1] or found[2], text))
