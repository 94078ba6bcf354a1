"""Photometry of the user's own: a survey label, a time system and passbands that somebody declares, as a source made on the spot.

What is declared stands with every payload, so that a replay reads a file as it was read first, and in the store, so that a label goes on meaning
the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from harvester.errors import UsageError
from harvester.own import files
from harvester.passbands import Passband, passbands, surveys
from harvester.payload import Payload
from harvester.schema import label, parts
from harvester.source import Http, Query, Source, TimeSystem, load, registered

if TYPE_CHECKING:
    from collections.abc import Iterable

NAME = "own"
"""The source that such points are from."""
LABEL = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
TIME = re.compile(r"(?:(h|b)?(m?)|(m)(h|b))jd(-\d+(?:\.\d+)?)?_(utc|ut|tai|tt|tdb|tcb)")
PLACES = {"h": "heliocentre", "b": "barycentre", "": "observatory"}
TIMES = "Such as mjd_utc, jd_utc, hjd_utc, hjd-2450000_utc, bjd_tdb, mjd_tdb."
COLOUR, MARKER = "#7F7F7F", "o"


@dataclass(frozen=True)
class Declaration:
    """What is declared of a label: how its times are counted, and what its passbands are like: a filter that is known, or empty."""

    survey: str
    time_system: TimeSystem
    passbands: Mapping[str, str]

    def source(self) -> Source:
        """Return the source that reads files of that survey."""
        bands = tuple(_band(self.survey, name, like) for name, like in self.passbands.items())
        made: Source = type("OfOwn", (Own,), {"survey": self.survey, "time_system": self.time_system, "own_passbands": bands})()
        return made

    def text(self) -> str:
        """Return the declaration as it is kept."""
        system = self.time_system
        time = {name: getattr(system, name) for name in ("format", "scale", "place", "site", "stamp")}
        return json.dumps({"survey": self.survey, "time": time, "passbands": dict(self.passbands)}, sort_keys=True)

    def merged(self, before: str | None) -> str:
        """Return what is kept of the label with what was declared earlier. Raises UsageError where the two differ."""
        if before is None:
            return self.text()
        known = declared(before)
        if known.time_system != self.time_system:
            raise UsageError(
                f"the times of {self.survey} are {known.time_system.describe().partition(';')[0]}.",
                "That was said when its first file came, and this file has others.",
                "Give it another label: --survey",
            )
        for name, like in self.passbands.items():
            if known.passbands.get(name, like) != like:
                what = f"{label(name, self.survey)} is like {known.passbands[name] or 'no known filter'}, not {like or 'unknown'}."
                raise UsageError(
                    what, "That was said when its first file came.", "Give the passband another name: --filter WORD=NAME:KNOWN"
                )
        return replace(self, passbands={**known.passbands, **self.passbands}).text()


class Own(Source):
    """Reads files of the user's own. Nobody can be asked."""

    base_url = "https://own.invalid/"
    radius, cadence = 5.0, None

    def fetch(self, query: Query, http: Http) -> Iterator[Payload]:
        """Ask nobody."""
        yield from ()

    def normalise(self, payload: Payload) -> pa.Table:
        """Read a file by what was said of it. Raises Malformed."""
        return files.read(payload)


def declared(text: str) -> Declaration:
    """Return a declaration that was kept."""
    said: dict[str, Any] = json.loads(text)
    return Declaration(said["survey"], TimeSystem(**said["time"]), said["passbands"])


def read(text: str) -> Source:
    """Return the source of a declaration that was kept."""
    return declared(text).source()


def of_payload(payload: Payload) -> Source:
    """Return the source that reads a payload of the store."""
    return read(str(payload.params["declared"]))


def time_system(text: str, *, site: str | None = None, start: bool = False) -> TimeSystem:
    """Return the time system that words such as mjd_utc, hjd_utc, bjd_tdb mean. Raises UsageError.

    >>> time_system("hjd-2450000_utc").describe()
    'JD-2450000 in UTC at the heliocentre, middle of the exposure; BJD_TDB good to 0.00043 s'
    """
    found = TIME.fullmatch(text.strip().lower())
    if found is None:
        raise UsageError(f"'{text}' is no time system.", "It is a format and a scale.", TIMES)
    place = PLACES[found[1] or found[4] or ""]
    modified = bool(found[2] or found[3])
    if modified and found[5]:
        raise UsageError(f"'{text}' is no time system.", "MJD less a number is nobody's.", TIMES)
    form = "mjd" if modified else f"jd{found[5] or ''}"
    try:
        return TimeSystem(form, found[6], place, site=site, stamp="start" if start else "mid")
    except ValueError as error:
        raise UsageError(f"{error}.", hint=TIMES) from error


def checked_label(text: str) -> str:
    """Return a label for a survey of one's own. Raises UsageError for one that harvester itself serves or knows."""
    if not LABEL.fullmatch(text):
        raise UsageError(f"'{text}' is no label of a survey.", "It has letters, digits and _, and begins with a letter.")
    served = {survey for name in registered() for survey in _served(name)} | set(surveys())
    taken = {survey.casefold(): survey for survey in served}
    if text.casefold() in taken:
        what = f"'{taken[text.casefold()]}' is a survey that harvester knows, and its points come from there."
        raise UsageError(what, "Yours would pass for them.", f"Give them a label of their own, such as MY_{text}.")
    return text


def resolved(words: Sequence[str], said: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return, for the filters that a file names, the passband of each, and what each passband is like (see `Declaration`).

    `said` are [WORD=]NAME[:KNOWN]: WORD as in the file (left out: NAME itself, or the only filter of the file), NAME of the passband, KNOWN a
    filter such as r(SDSS), which alone stands for both. A word that is itself a known filter needs nothing said. Raises UsageError.
    """
    given = [_mapping(text) for text in said]
    meaning: dict[str, str] = {}
    likes: dict[str, str] = {}
    for word in words:
        name, like = _meant(word, given, alone=len(words) == 1)
        if likes.setdefault(name, like) != like:
            what = f"'{word}' would be {name}, like {like or 'no known filter'}, but {name} is like {likes[name] or 'no known filter'} already."
            raise UsageError(what, "One label cannot mean both.", f"Name it: --filter '{word}=NAME:KNOWN'")
        meaning[word] = name
    return meaning, likes


def _meant(word: str, given: Sequence[tuple[str, str, str]], *, alone: bool) -> tuple[str, str]:
    """Return passband and likeness of a file's filter. Raises UsageError for one that nobody explains."""
    named = [(name, like) for said, name, like in given if said == word and word]
    same = [(name, like) for said, name, like in given if not said and name == word]
    only = [(name, like) for said, name, like in given if not said] if alone and len(given) == 1 else []
    found = next(iter([*named, *same, *only]), None) or _known(word)
    if found is None:
        what = f"what filter is '{word}'?" if word else "in what filter is the file?"
        example = f"--filter '{word}=NAME:KNOWN', as in '{word}=r:r(SDSS)'" if word else "--filter 'NAME:KNOWN', as in 'r:r(SDSS)'"
        raise UsageError(what, "The file does not tell.", f"Say it: {example}")
    return found


def _mapping(text: str) -> tuple[str, str, str]:
    """Read [WORD=]NAME[:KNOWN]. Raises UsageError."""
    word, _, rest = text.rpartition("=")
    name, colon, like = rest.partition(":")
    known = _known(like if colon else name)
    if colon and known is None:
        raise UsageError(f"'{like}' is no filter that harvester knows.", hint="Write it as r(SDSS); all: harvest sources show")
    name = known[0] if known and not colon else name
    if not name or re.search(r"[\s()=:,;]", name):
        raise UsageError(f"'{text}' names no filter.", hint="Write [WORD=]NAME[:KNOWN], such as 'rp=r:r(SDSS)'.")
    return word, name, known[1] if known else ""


def _known(word: str) -> tuple[str, str] | None:
    """Return passband and filter that a word means: r(SDSS), or as BHTOM writes them, GaiaSP(r) and GaiaSP/r."""
    known = {survey.casefold(): survey for survey in surveys()}
    inside = re.fullmatch(r"([^()/]+)[(/]([^()/]+)\)?", word.strip())
    pairs = [parts(word.strip())] + ([(inside[2], inside[1])] if inside else [])
    for name, survey in pairs:
        of = known.get(survey.casefold())
        if of and name in passbands(of):
            return name, label(name, of)
    return None


def _band(survey: str, name: str, like: str) -> Passband:
    if not like:
        return Passband(survey=survey, name=name, system="other", colour=COLOUR, marker=MARKER)
    passband, of = parts(like)
    return replace(passbands(of)[passband], survey=survey, name=name)


def _served(name: str) -> Iterable[str]:
    from harvester.errors import BrokenSource

    try:
        return load(name).systems()
    except BrokenSource:
        return ()
