"""What the engine is given and what it gives back: tasks and Outcomes, small values that any executor can carry."""

from __future__ import annotations

from dataclasses import dataclass

from harvester.source import Query
from harvester.store.visit import NOT_FAILED, SUCCESSES, Counts
from harvester.target import Target


@dataclass(frozen=True, slots=True)
class Task:
    """One question to one source: targets (as many as it takes at once), radius in arcseconds, interval in MJD (UTC)."""

    source: str
    targets: tuple[Target, ...]
    radius: float
    since: float | None = None
    until: float | None = None

    @property
    def query(self) -> Query:
        """The same, as the source is asked."""
        return Query(self.targets, self.radius, self.since, self.until)

    @property
    def nothing(self) -> str:
        """The kind of Outcome when nothing came: a window without data says nothing about the rest."""
        return "empty" if self.since is None and self.until is None else "unchanged"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened to one (Target, Source).

    `kind` is new, unchanged, empty, suspicious, postponed, pending or failed; `error` the class of a failure, or why it was put off.
    """

    target: str
    source: str
    kind: str
    error: str = ""
    message: str = ""
    counts: Counts = Counts()
    neighbours: int = 0
    ambiguous: bool = False
    seconds: float = 0.0
    retry_after: float | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the survey's answer is known and believed."""
        return self.kind in SUCCESSES

    @property
    def troubled(self) -> bool:
        """Whether something stood in the way. What is still to come (`pending`: a remote job, a release) is no trouble."""
        return self.kind not in NOT_FAILED
