"""The plug-in contract of brokers: what one is asked, what it answers, and how brokers are found.

A broker is one class in one file, registered under the entry point group `harvester.brokers`, ours and an outsider's alike:

    [project.entry-points."harvester.brokers"]
    my_broker = "my_package.my_broker:MyBroker"

`query` does all the input and output, page by page as its alerts are taken. Pacing, retry, credentials, checks of the question, what was seen
before, the store and targets are the core's. A broker that bears the name of a source shares its settings, and has to have its `base_url`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import ClassVar

from harvester.alerts.alert import Alert
from harvester.alerts.question import MODES, Feedback, Question, checked
from harvester.errors import UnknownBroker
from harvester.source import Credential, Http, Pace, made

__all__ = ["MODES", "Alert", "Broker", "Credential", "Feedback", "Http", "Pace", "Question", "find", "load", "registered"]

GROUP = "harvester.brokers"


class Broker(ABC):
    """One broker. Class attributes say what it can be asked; one method asks."""

    name: ClassVar[str]
    """As registered; every Alert bears it."""
    base_url: ClassVar[str]
    """Where the service lives; settings may point it elsewhere."""
    surveys: ClassVar[tuple[str, ...]] = ("ztf",)
    """Whose alerts it has, as `--survey` is written; the first is meant where nobody says."""
    takes: ClassVar[frozenset[str]] = frozenset(MODES)
    """How it can be asked (MODES)."""
    widest: ClassVar[float | None] = None
    """Largest radius of a cone, arcseconds."""
    options: ClassVar[Mapping[str, str]] = {}
    """What `--option NAME=VALUE` may name, each with a sentence for the user."""
    class_prefixes: ClassVar[tuple[str, ...]] = ()
    """What may be left out at the beginning of a class."""
    radius: ClassVar[float] = 1.5
    """Arcseconds within which an alert is of a target."""
    lookback: ClassVar[float] = 3.0
    """Days before the newest alert known from which a saved query asks again: alerts and classes come late."""
    pace: ClassVar[Pace] = Pace()
    timeout: ClassVar[float] = 60.0
    """Seconds that the service may stay silent."""
    plain_http: ClassVar[bool] = False
    credentials: ClassVar[tuple[Credential, ...]] = ()
    """What it must show before it is answered."""

    def classes(self, survey: str) -> Sequence[str]:
        """Return the classes known for a survey (as in `surveys`), from data that we ship; none where any name may be asked."""
        return ()

    def checked(self, question: Question) -> Question:
        """Return a question that this broker can be asked, with its survey filled in. Raises BadQuestion; asks nobody."""
        found = checked(self, question)
        self.refuse(found)
        return found

    def refuse(self, question: Question) -> None:  # noqa: B027 - most brokers refuse nothing more
        """Raise BadQuestion for what only this broker cannot do; the common checks are done. Asks nobody."""

    @abstractmethod
    def query(self, question: Question, http: Http, feedback: Feedback) -> Iterator[Alert]:
        """Yield the alerts that answer a checked question, newest first where the service can; ask for a page only when one before is used up.

        What the service itself says goes to `feedback`, and above all that an answer is not whole. The core stops at `limit`; it may
        serve here to ask for small pages. Raises SourceError.
        """


def registered() -> dict[str, EntryPoint]:
    """Return every registered broker by name, in alphabetical order; imports none."""
    return dict(_entries())


@lru_cache(maxsize=1)
def _entries() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name)}


def find(name: str) -> EntryPoint:
    """Return the entry point of a broker. Raises UnknownBroker, with the nearest name."""
    known = registered()
    if name in known:
        return known[name]
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"Did you mean '{near[0]}'?  " if near else ""
    raise UnknownBroker(f"no broker named '{name}'.", hint=f"{hint}All brokers: harvest alerts brokers")


def load(name: str) -> Broker:
    """Import and return a broker. Raises UnknownBroker or BrokenSource (with the remedy)."""
    return made(find(name), Broker)  # type: ignore[type-abstract] # a registered one is not
