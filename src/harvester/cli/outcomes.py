"""Outcomes as users and programs read them, counted as they come: a run of 10^5 targets needs no room for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harvester.cli import render
from harvester.errors import ExitStatus

if TYPE_CHECKING:
    from harvester.harvest import Outcome

COLUMNS = ("source", "target", "outcome", "filter", "new", "revised", "total")
NUMBERS = ("new", "revised", "total")
KINDS = ("new", "unchanged", "empty", "suspicious", "postponed", "pending", "failed")
BY_SOURCE = ("source", *KINDS, "points", "revised", "quarantined")
MOST_REMARKS = 20
"""Of remarks on single targets only the first are said; the store has all of them."""
KEPT = {"postponed": " (postponed)", "suspicious": " (suspicious; what was stored before stays)"}


@dataclass
class Trouble:
    """What went wrong at one source in one way: how often, and a few of the Outcomes."""

    count: int = 0
    examples: list[Outcome] = field(default_factory=list)


@dataclass
class Tally:
    """What became of a run so far. A source with more than `few` troubles is told of in one message."""

    few: int = 3
    kinds: Counter[tuple[str, str]] = field(default_factory=Counter)
    points: Counter[tuple[str, str]] = field(default_factory=Counter)
    troubles: dict[tuple[str, str, str], Trouble] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    partly: bool = False
    """Whether a visit that did not succeed brought something all the same."""

    def add(self, outcome: Outcome) -> None:
        """Count an Outcome."""
        self.kinds[outcome.source, outcome.kind] += 1
        for name in ("new", "revised", "quarantined", "known_elsewhere"):
            self.points[outcome.source, name] += getattr(outcome.counts, name)
        if outcome.troubled:
            self.partly |= bool(outcome.counts.by_filter)
            trouble = self.troubles.setdefault((outcome.source, outcome.kind, outcome.error), Trouble())
            trouble.count += 1
            trouble.examples += [outcome] if trouble.count <= max(self.few, 1) else []
        elif outcome.message and len(self.remarks) < MOST_REMARKS and (remark := _remark(outcome)) not in self.remarks:
            self.remarks.append(remark)

    @property
    def total(self) -> int:
        """How many Outcomes there are."""
        return sum(self.kinds.values())

    @property
    def bad(self) -> int:
        """How many of them are trouble."""
        return sum(trouble.count for trouble in self.troubles.values())

    def by_source(self) -> list[dict[str, Any]]:
        """Return a row per source (BY_SOURCE)."""
        return [
            {"source": name, **{kind: self.kinds[name, kind] for kind in KINDS}, "points": self.points[name, "new"]}
            | {column: self.points[name, column] for column in ("revised", "quarantined")}
            for name in dict.fromkeys(source for source, _ in self.kinds)
        ]

    def report(self, place: str, *, unknown: int = 0, quiet: bool = False) -> None:
        """Say what failed or deserves a look, and unless `quiet`, how it went in all."""
        self.complain()
        if not quiet:
            for line in (*self.remarks, self.summary(place, unknown=unknown)):
                render.say(line)

    def complain(self) -> None:
        """Say what failed or deserves a look: single targets where a source has few, else one message for the source."""
        for source in dict.fromkeys(source for source, _, _ in self.troubles):
            found = {(kind, error): trouble for (name, kind, error), trouble in self.troubles.items() if name == source}
            count = sum(trouble.count for trouble in found.values())
            if count > self.few:
                render.problem(_word(*(kind for kind, _ in found)), self._of_many(source, count, found))
                continue
            for outcome in (outcome for trouble in found.values() for outcome in trouble.examples):
                render.problem(_word(outcome.kind), _of_one(outcome))

    def _of_many(self, source: str, count: int, found: Mapping[tuple[str, str], Trouble]) -> list[str]:
        """Return how many targets have which trouble, and what was said of the first of the most."""
        asked = sum(self.kinds[source, kind] for kind in KINDS)
        ways = [f"{trouble.count} {kind} ({error})" if error else f"{trouble.count} {kind}" for (kind, error), trouble in found.items()]
        example = max(found.values(), key=lambda trouble: (trouble.examples[0].kind == "failed", trouble.count)).examples[0]
        head, *rest = example.message.splitlines() or [example.kind]
        return [
            f"{source}: {count} of {asked} did not succeed: {', '.join(ways)}.",
            f"{example.target}: {head.removeprefix(f'{source}: ')}",
            *rest[:1],
        ]

    def summary(self, place: str, *, unknown: int = 0) -> str:
        """Return the last line: what failed, how much was new, and where it lies."""
        new, revised, held = (sum(self.points[key] for key in self.points if key[1] == name) for name in ("new", "revised", "quarantined"))
        bad = unknown + self.bad
        pending = sum(self.kinds[key] for key in self.kinds if key[1] == "pending")
        words = [f"{bad} of {unknown + self.total} did not succeed"] if bad else []
        words += [f"{new} new point{'s' * (new != 1)}"] if new or bad else ["Nothing new"]
        words += [f"{revised} revised"] if revised else []
        words += [f"{held} in quarantine"] if held else []
        words += [f"{pending} pending"] if pending else []
        shared = {source: count for (source, name), count in sorted(self.points.items()) if name == "known_elsewhere" and count}
        told = ", ".join(f"{source} {count}" for source, count in shared.items())
        words += [f"{sum(shared.values())} that another source had delivered ({told})"] if shared else []
        return f"{', '.join(words)}. Store: {render.shortened(place)}"

    def status(self, *, unknown: int = 0) -> int:
        """Return the exit status: 0 all done or under way; 1 a bug, or nothing succeeded; 3 some did; 4 only credentials stood in the way.

        A host that asks us to wait, and an answer that is not believed, are no complete failure.
        """
        if not self.troubles and not unknown:
            return ExitStatus.DONE
        if any(error == "bug" for _, _, error in self.troubles):
            return ExitStatus.FAILED
        if not unknown and all(error == "refused" for _, _, error in self.troubles):
            return ExitStatus.CREDENTIALS
        answered = any(kind == "suspicious" or error == "throttled" for _, kind, error in self.troubles)
        return ExitStatus.PARTIAL if self.bad < self.total or answered or self.partly else ExitStatus.FAILED


def show(outcomes: Sequence[Outcome], *, json: bool, header: bool = True) -> None:
    """Print Outcomes: JSON objects, a table at a terminal, tab-separated rows elsewhere."""
    if json:
        render.objects([as_object(outcome) for outcome in outcomes])
        return
    rows = [row for outcome in outcomes for row in rows_of(outcome)]
    if render.at_terminal():
        render.table(rows, COLUMNS, right=NUMBERS)
    else:
        render.tab_separated(rows, COLUMNS, header=header)


def rows_of(outcome: Outcome) -> Iterator[dict[str, Any]]:
    """Yield a row per filter, or one without a filter where nothing came."""
    told = f"{outcome.kind}: {outcome.error}" if outcome.error else outcome.kind
    head = {"source": outcome.source, "target": outcome.target, "outcome": told}
    if not outcome.counts.by_filter:
        yield head
    for name, part in sorted(outcome.counts.by_filter.items()):
        yield {**head, "filter": name, "new": part.new, "revised": part.revised, "total": part.total}


def as_object(outcome: Outcome) -> dict[str, Any]:
    """Return an Outcome as it stands in JSON."""
    counts = outcome.counts
    return {
        "target": outcome.target,
        "source": outcome.source,
        "outcome": outcome.kind,
        "error": outcome.error,
        "message": outcome.message,
        "new": counts.new,
        "revised": counts.revised,
        "known": counts.known,
        "known_elsewhere": counts.known_elsewhere,
        "quarantined": counts.quarantined,
        "filters": {
            name: {"new": part.new, "revised": part.revised, "total": part.total} for name, part in sorted(counts.by_filter.items())
        },
        "neighbours": outcome.neighbours,
        "ambiguous": outcome.ambiguous,
        "seconds": round(outcome.seconds, 3),
    }


def _remark(outcome: Outcome) -> str:
    """Return what is worth knowing although it is no trouble; an error that is none (see NotYetPublic) is of the source, whatever the target."""
    said = outcome.message.splitlines()[0].removeprefix(f"{outcome.source}: ").rstrip(".")
    return f"{outcome.source}: {said}." if outcome.error else f"{outcome.source}: {outcome.target}: {said}."


def _word(*kinds: str) -> str:
    return "error" if "failed" in kinds else "warning"


def _of_one(outcome: Outcome) -> list[str]:
    lines = outcome.message.splitlines() or [outcome.kind]
    head = lines[0] if lines[0].startswith(outcome.source) else f"{outcome.source}: {lines[0]}"
    return [f"{outcome.target}: {head}{KEPT.get(outcome.kind, '')}", *lines[1:3]]
