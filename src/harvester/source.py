"""The plug-in contract: what a source is, what it is asked, and how sources are found.

A source is one class in one file, registered under the entry point group `harvester.sources`, ours and an outsider's alike:

    [project.entry-points."harvester.sources"]
    my_survey = "my_package.my_survey:MySurvey"

`fetch` does all the input and output and yields payloads as received; `normalise` is a pure function from a payload to a table. Pacing, retry,
credentials, the payload archive, checks at the border, BJD_TDB, cross-match, versions, watermark and progress are the core's.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from string import Formatter
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Protocol, TypeVar

from harvester.description import Description, broken, columns_file, describe, layouts, package
from harvester.errors import UnknownSource
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
    "columns_file",
    "describe",
    "find",
    "layouts",
    "load",
    "made",
    "package",
    "registered",
]

GROUP = "harvester.sources"
Plugin = TypeVar("Plugin")
TODO = "TODO"


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
    def at(
        cls, ra: float, dec: float, radius: float = 1.5, *, name: str = "example", since: float | None = None, until: float | None = None
    ) -> Query:
        """Return the question about one place, as a source's `example` is; `name` for one that is asked by name."""
        return cls((Target(name, ra, dec),), radius, since, until)


class Http(Protocol):
    """What `fetch` may use of a session: every request is paced, retried, limited in size, and kept as a Payload without secrets."""

    def get(self, path: str, **params: Any) -> Payload:
        """GET a path below the source's base URL (or an absolute URL); a list value repeats its parameter.

        Two words are no parameters: `accept` lists error statuses that come back with a `doubt` in place of an error; with `idempotent=False`, for a
        service that takes a job by GET, the request is repeated only when the service has certainly done nothing yet.
        """

    def once(self, path: str, **params: Any) -> Payload:
        """GET what serves many targets, such as a list of all objects, once in a run: later calls return the same payload."""

    def post(
        self,
        path: str,
        *,
        data: Mapping[str, Any] | None = None,
        json: Mapping[str, Any] | None = None,
        idempotent: bool = True,
        **params: Any,
    ) -> Payload:
        """POST a form, or a JSON object. One that is not `idempotent` is repeated only when the service has certainly done nothing yet."""

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
    """What a service wants to see before it answers: one `header`, query `param` or `field` of every form, and how to come by it.

    `value` names the secrets in braces: "Token {token}", "{key}", or "Basic {user}:{password}", which is sent as HTTP demands; a brace that is
    itself sent is written twice. A secret TOKEN of source atlas is the variable HARVESTER_ATLAS_TOKEN, or the file that token_file names. `how`
    tells where to get one.
    """

    value: str
    how: str
    header: str = ""
    param: str = ""
    field: str = ""

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
    also_serves: ClassVar[Mapping[str, TimeSystem]] = {}
    """Further surveys that rows may be of, which their column `survey` says (null is `survey`), each with its time system."""
    relays: ClassVar[bool] = False
    """Whether the ids of things in `also_serves` are its own, not those surveys': they are not kept as theirs."""
    plain_http: ClassVar[bool] = False
    """Whether the service knows no https: what it sends could be changed on the way. Never with credentials."""
    radius: ClassVar[float] = 1.5
    """Radius of the search, arcseconds."""
    own_passbands: ClassVar[tuple[Passband, ...]] = ()
    """Passbands of a survey that harvester itself does not know."""
    limits: ClassVar[str] = ""
    """At how many sigma its upper limits are given ("5 sigma"), or "of unknown sigma"; empty for a source that has none."""
    scatter: ClassVar[float] = 0.0
    """Ids whose positions lie within this many arcseconds of one another are one thing on the sky (a survey with several ids per star)."""
    cadence: ClassVar[float | None] = 1.0
    """Days between updates; None for a fixed release, which is asked for once."""
    release: ClassVar[str] = ""
    """The survey's release that it serves, where it has releases: after a change everything is asked for again."""
    public_from: ClassVar[str] = ""
    """The day (2026-12-02) from which a release that is announced is to be public."""
    lookback: ClassVar[float] = 30.0
    """Days before the newest known epoch from which an update of an incremental source asks: points come late, and are reprocessed."""
    pace: ClassVar[Pace] = Pace()
    timeout: ClassVar[float] = 60.0
    """Seconds that the service may stay silent."""
    batch: ClassVar[int] = 1
    """Targets per query."""
    takes: ClassVar[frozenset[str]] = frozenset({"cone"})
    """How it can be asked: "cone", "ids", "names"; in no way at all where what it holds comes by night or by stream."""
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

    @property
    def is_finished(self) -> bool:
        """Whether the head of its file, and `cite`, say TODO no more. What `harvest sources new` writes does: such a source is not asked."""
        head = getattr(sys.modules.get(type(self).__module__), "__doc__", None) or ""
        return TODO not in f"{head} {self.cite}"

    def systems(self) -> Mapping[str, TimeSystem]:
        """Return the time system of each survey that rows may be of; `survey` comes first."""
        return {self.survey: self.time_system, **self.also_serves}

    def bands(self, survey: str = "") -> Mapping[str, Passband]:
        """Return the passbands that rows of a survey (its own, unless said) may have, by name; none of a survey that it does not serve."""
        wanted = survey or self.survey
        own = {band.name: band for band in self.own_passbands if band.survey == wanted}
        return own or (passbands(wanted) if wanted in self.systems() else {})

    @abstractmethod
    def fetch(self, query: Query, http: Http) -> Iterator[Payload]:
        """Ask the service; yield every answer as received. Raises SourceError; what came before it is kept, but stored only if it is `partial`."""

    @abstractmethod
    def normalise(self, payload: Payload) -> pa.Table:
        """Turn a payload into the schema's survey columns. Pure: no network, no files, no logging. Raises Malformed."""


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
    return made(find(name), Source)  # type: ignore[type-abstract] # a registered one is not


def made(entry: EntryPoint, kind: type[Plugin]) -> Plugin:
    """Import and return what an entry point names, which has to be of a kind. Raises BrokenSource (with the remedy)."""
    try:
        found = entry.load()()
    except (Exception, SystemExit) as error:  # an outsider's module may do anything at all on import
        raise broken(entry, f"{type(error).__name__}: {error}") from error
    if not isinstance(found, kind):
        raise broken(entry, f"{entry.value} is no {kind.__module__}.{kind.__name__}")
    return found
