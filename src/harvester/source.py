"""The plug-in contract: what a source is, what it is asked, and how sources are found.

A source is one class in one file, registered under the entry point group `harvester.sources`, ours and an outsider's alike:

    [project.entry-points."harvester.sources"]
    my_survey = "my_package.my_survey:MySurvey"

`fetch` does all the input and output and yields payloads as received; `normalise` is a pure function from a payload to a table. Pacing, retry,
credentials, the payload archive, checks at the border, BJD_TDB, cross-match, versions, watermark and progress are the core's.
"""

from __future__ import annotations

import ast
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Protocol

from harvester.errors import BrokenSource, UnknownSource
from harvester.passbands import Passband, passbands
from harvester.target import Target
from harvester.times import TimeSystem

if TYPE_CHECKING:
    import pyarrow as pa

    from harvester.payload import Payload

__all__ = [
    "Credential",
    "Description",
    "Http",
    "Pace",
    "Query",
    "Source",
    "TimeSystem",
    "describe",
    "find",
    "layouts",
    "load",
    "registered",
]

GROUP = "harvester.sources"


@dataclass(frozen=True, slots=True)
class Pace:
    """The politeness limit of a host: requests a second, and requests under way at once."""

    per_second: float = 2.0
    at_once: int = 2


@dataclass(frozen=True, slots=True)
class Query:
    """What a source is asked: targets (as many as its `batch` allows), a radius in arcseconds, and an interval in MJD (UTC)."""

    targets: tuple[Target, ...]
    radius: float
    since: float | None = None
    until: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def target(self) -> Target:
        """The only target, for sources that take one at a time."""
        (target,) = self.targets
        return target

    @classmethod
    def at(cls, ra: float, dec: float, radius: float = 1.5, *, since: float | None = None, until: float | None = None) -> Query:
        """Return the question about one place, as a source's `example` is."""
        return cls((Target("example", ra, dec),), radius, since, until)


class Http(Protocol):
    """What `fetch` may use of a session: every request is paced, retried, limited in size, and kept as a Payload without secrets."""

    def get(self, path: str, **params: Any) -> Payload:
        """GET a path below the source's base URL (or an absolute URL); a list value repeats its parameter."""

    def post(self, path: str, *, data: Mapping[str, Any] | None = None, idempotent: bool = True, **params: Any) -> Payload:
        """POST a form. One that is not `idempotent` is repeated only when the service has certainly done nothing yet."""

    def wait(self, seconds: float) -> None:
        """Wait, interruptibly, for a service that has to be polled."""

    def job(self, submit: Callable[[str], str], find: Callable[[str], str | None] | None = None, *, name: str = "") -> str:
        """Return the service's id (or URL) of the job that answers this query; submitted once, however many runs ask.

        `submit(tag)` posts the question (with `idempotent=False`) and returns the id. Where an earlier run was killed before it learnt the id,
        `find(tag)` looks for the job among the service's own and returns its id or None; without it the question is submitted again. `tag` is
        a word to leave with the service for that purpose. A query that needs several jobs names them.
        """

    def pending(self, why: str, seconds: float) -> NoReturn:
        """End this visit: the job is not done. The next run from `seconds` on will be given the same id by `job`. Raises Pending."""

    def done(self) -> None:
        """Say that the jobs of this query are over, though it may still fail: a next `job` submits anew.

        Where all went well there is no need: the jobs of an answered query are struck off when its answer is stored.
        """


@dataclass(frozen=True, slots=True)
class Credential:
    """What a service wants to see before it answers: one `header` or query `param`, and how to come by it.

    `value` names the secrets in braces: "Token {token}", "{key}", or "Basic {user}:{password}", which is sent as HTTP demands. A secret
    TOKEN of source atlas is the variable HARVESTER_ATLAS_TOKEN, or the file that token_file names. `how` tells where to get one.
    """

    value: str
    how: str
    header: str = ""
    param: str = ""

    @property
    def secrets(self) -> tuple[str, ...]:
        """The names of the secrets in `value`."""
        return tuple(name for _, name, _, _ in Formatter().parse(self.value) if name)


class Source(ABC):
    """One survey endpoint. Class attributes say what it is; two methods do the work."""

    survey: ClassVar[str]
    """The word inside `g(ZTF_DR)`: who observed."""
    base_url: ClassVar[str]
    """Where the service lives; settings may point it elsewhere."""
    time_system: ClassVar[TimeSystem]
    radius: ClassVar[float] = 1.5
    """Radius of the search, arcseconds."""
    own_passbands: ClassVar[tuple[Passband, ...]] = ()
    """Passbands of a survey that harvester itself does not know."""
    scatter: ClassVar[float] = 0.0
    """Ids whose positions lie within this many arcseconds of one another are one thing on the sky (a survey with several ids per star)."""
    cadence: ClassVar[float | None] = 1.0
    """Days between updates; None for a fixed release, which is asked for once."""
    release: ClassVar[str] = ""
    """The survey's release that it serves, where it has releases: after a change everything is asked for again."""
    lookback: ClassVar[float] = 30.0
    """Days before the newest known epoch from which an update of an incremental source asks: points come late, and are reprocessed."""
    pace: ClassVar[Pace] = Pace()
    timeout: ClassVar[float] = 60.0
    """Seconds that the service may stay silent."""
    batch: ClassVar[int] = 1
    """Targets per query."""
    takes: ClassVar[frozenset[str]] = frozenset({"cone"})
    """How it can be asked: "cone", "ids", "names"."""
    incremental: ClassVar[bool] = False
    """Whether `since` and `until` are honoured by the service."""
    credentials: ClassVar[tuple[Credential, ...]] = ()
    """What it must show before it is answered."""
    example: ClassVar[Query | None] = None
    """A small question to which the service certainly has photometry: `harvest sources check` asks it."""
    serves_alerts: ClassVar[bool] = False
    retired: ClassVar[str] = ""
    """For a service that is gone: what to use instead."""
    cite: ClassVar[tuple[str, ...]] = ()
    """Bibcodes of the papers to cite."""
    acknowledgement: ClassVar[str] = ""

    def bands(self) -> Mapping[str, Passband]:
        """Return the passbands that rows may have, by name."""
        return {band.name: band for band in self.own_passbands} or passbands(self.survey)

    @abstractmethod
    def fetch(self, query: Query, http: Http) -> Iterator[Payload]:
        """Ask the service; yield every answer as received. Raises SourceError."""

    @abstractmethod
    def normalise(self, payload: Payload) -> pa.Table:
        """Turn a payload into the schema's survey columns. Pure: no network, no files, no logging. Raises Malformed."""


@dataclass(frozen=True, slots=True)
class Description:
    """What the docstring at the head of a source's file says, read without importing it."""

    name: str
    package: str
    title: str
    facts: Mapping[str, str]


def registered() -> dict[str, EntryPoint]:
    """Return every registered source by name, in alphabetical order; imports none."""
    return dict(_entries(entry_points))


@lru_cache(maxsize=1)
def _entries(look_up: Callable[..., EntryPoints]) -> dict[str, EntryPoint]:
    """Look the sources up, once in a process: it means reading a file of every installed package, and every task asks."""
    return {entry.name: entry for entry in sorted(look_up(group=GROUP), key=lambda entry: entry.name)}


def find(name: str) -> EntryPoint:
    """Return the entry point of a source. Raises UnknownSource, with the nearest name."""
    known = registered()
    if name in known:
        return known[name]
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"Did you mean '{near[0]}'?  " if near else ""
    raise UnknownSource(f"no source named '{name}'.", hint=f"{hint}All sources: harvest sources list")


def load(name: str) -> Source:
    """Import and return a source. Raises UnknownSource or BrokenSource (with the remedy)."""
    entry = find(name)
    try:
        made = entry.load()()
    except Exception as error:  # an outsider's module may raise anything at all on import
        raise _broken(entry, f"{type(error).__name__}: {error}") from error
    if not isinstance(made, Source):
        raise _broken(entry, f"{entry.value} is no harvester.source.Source")
    return made


def describe(entry: EntryPoint) -> Description:
    """Return title and facts ("time", "cite" ...) from the docstring of a source's file, which is parsed, not imported.

    Raises BrokenSource when the file is not there or does not parse.
    """
    try:
        docstring = ast.get_docstring(ast.parse(_file(entry.module).read_text("utf-8"))) or ""
    except (OSError, SyntaxError, ValueError) as error:
        raise _broken(entry, str(error)) from error
    title, _, rest = docstring.partition("\n")
    return Description(entry.name, package(entry), title.rstrip("."), _facts(rest))


def layouts(entry: EntryPoint) -> list[tuple[str, ...]]:
    """Return the columns that a source's recordings have, in each layout that is known; empty if nobody wrote them down.

    They stand beside the source's file in `<module>.columns.txt`, a name a line, layouts apart by an empty line;
    `python -m harvester.testing recordings` writes them.
    """
    try:
        text = columns_file(entry).read_text("utf-8")
    except OSError:
        return []
    return [tuple(block.split("\n")) for block in text.strip().split("\n\n") if block]


def columns_file(entry: EntryPoint) -> Path:
    """Return where a source's columns are written down. Raises OSError when the source's own file is not there."""
    return _file(entry.module).with_suffix(".columns.txt")


@lru_cache
def package(entry: EntryPoint) -> str:
    """Return name and version of the package that a source comes from, empty where it was not installed as one."""
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else ""


def _facts(docstring: str) -> dict[str, str]:
    """Read `word: value` lines; an indented or plain line continues the value above it."""
    facts: dict[str, str] = {}
    word = ""
    for line in docstring.splitlines():
        head, colon, tail = line.partition(": ")
        if colon and head.isalpha() and head.islower():
            word = head
            facts[word] = tail.strip()
        elif word and line.startswith(" "):
            facts[word] += f" {line.strip()}"
        else:
            word = ""
    return facts


def _file(module: str) -> Path:
    """Find a module's file without importing its packages."""
    path: list[str] | None = None
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        name = ".".join(parts[:depth])
        specs = (finder.find_spec(name, path) for finder in sys.meta_path if hasattr(finder, "find_spec"))
        spec = next((spec for spec in specs if spec), None)
        if spec is None:
            raise OSError(f"no module named '{name}'")
        path = list(spec.submodule_search_locations or [])
    if spec is None or not spec.origin:
        raise OSError(f"module '{module}' has no file")
    return Path(spec.origin)


def _broken(entry: EntryPoint, why: str) -> BrokenSource:
    name = entry.dist.name if entry.dist else entry.module.partition(".")[0]
    return BrokenSource(f"source '{entry.name}' of package '{name}' is broken.", why, f"Upgrade or remove it: pip install -U {name}")
