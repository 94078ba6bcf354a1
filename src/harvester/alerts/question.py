"""What a broker is asked, checked before anybody is, and what it says beside its answer."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Self

from harvester.errors import BadQuestion
from harvester.target import parse_coordinates

if TYPE_CHECKING:
    from harvester.alerts.broker import Broker

MODES = {
    "object": "--object",
    "cone": "--cone",
    "class": "--class",
    "ssobject": "--ssobject",
    "window": "--since and --until alone",
}
"""How a broker may be asked, and the words of the command line for it. A window may narrow any of the others."""
NEAREST = 3


@dataclass(frozen=True, slots=True)
class Cone:
    """A circle on the sky: ICRS degrees, and a radius in arcseconds."""

    ra: float
    dec: float
    radius: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "RA,DEC,RADIUS": a position as anywhere, and arcseconds. Raises BadQuestion, BadCoordinates."""
        place, comma, radius = text.rpartition("," if "," in text else " ")
        position = parse_coordinates(place.strip(" ,")) if comma else None
        try:
            number = float(radius)
        except ValueError:
            number = math.nan
        if position is None or not (math.isfinite(number) and number > 0):
            example = "Write RA,DEC,RADIUS with the radius in arcseconds, such as 193.822,2.897,5 or '12:55:17 +02:53:48,5'."
            raise BadQuestion(f"'{text}' is no cone.", hint=example)
        return cls(*position, number)


@dataclass(frozen=True, slots=True)
class Question:
    """What a broker is asked: one of object, cone, class, solar-system object, or a window alone; the window (MJD, UTC) may narrow each.

    `survey` is one of the broker's, "" its first; `class_name` is as the broker spells it, and `unlisted` if it may be one that we do not
    know; `limit` is how many alerts are wanted at most; `options` are the broker's own.
    """

    survey: str = ""
    object_id: str | None = None
    cone: Cone | None = None
    class_name: str | None = None
    ssobject: str | None = None
    since: float | None = None
    until: float | None = None
    limit: int | None = None
    unlisted: bool = False
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def modes(self) -> tuple[str, ...]:
        """How it asks: one word if it is sound."""
        said = {"object": self.object_id, "cone": self.cone, "class": self.class_name, "ssobject": self.ssobject}
        found = tuple(mode for mode, value in said.items() if value is not None)
        return found or (("window",) if self.since is not None or self.until is not None else ())

    @property
    def mode(self) -> str:
        """How a checked question asks: one of MODES."""
        (mode,) = self.modes
        return mode

    def as_json(self) -> str:
        """Return it as text for the store; it holds no secret."""
        return json.dumps({key: value for key, value in asdict(self).items() if value not in (None, "", {}, False)}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return what `as_json` wrote."""
        said: dict[str, Any] = json.loads(text)
        cone = said.pop("cone", None)
        return cls(**said, cone=Cone(**cone) if cone else None)

    def told(self) -> str:
        """Return it as people read it."""
        cone = self.cone and f"{self.cone.ra:.6g},{self.cone.dec:.6g},{self.cone.radius:g}"
        said: dict[str, Any] = {
            "survey": self.survey,
            "object": self.object_id,
            "cone": cone,
            "class": self.class_name,
            "ssobject": self.ssobject,
        }
        said |= {"since": self.since, "until": self.until, "limit": self.limit, **self.options}
        return ", ".join(f"{key} {value}" for key, value in said.items() if value not in (None, ""))


class Feedback:
    """What a broker says beside its alerts. `hear` is told each sentence as it comes, and whether the answer lacks something because of it."""

    def __init__(self, hear: Callable[[str, bool], None] = lambda _text, _lacking: None) -> None:
        self._hear = hear
        self.notes: list[str] = []
        self.lacking: list[str] = []

    def note(self, text: str) -> None:
        """Hand on what is worth knowing: a warning of the service, a name it does not know."""
        self._keep(self.notes, text, lacking=False)

    def incomplete(self, text: str) -> None:
        """Say that the answer is not whole, and why: a limit of the service, a page that failed. It is never passed off as whole."""
        self._keep(self.lacking, text, lacking=True)

    @property
    def whole(self) -> bool:
        """Whether all that was asked for came, as far as anybody knows."""
        return not self.lacking

    def _keep(self, kept: list[str], text: str, *, lacking: bool) -> None:
        if text not in kept:
            kept.append(text)
            self._hear(text, lacking)


def checked(broker: Broker, question: Question) -> Question:
    """Return a question with its survey and class as the broker writes them. Raises BadQuestion for one that it cannot be asked."""
    _one_mode(broker, question)
    survey = _survey(broker, question.survey)
    if question.since is not None and question.until is not None and question.since >= question.until:
        raise BadQuestion("--since has to lie before --until.")
    if question.limit is not None and question.limit < 1:
        raise BadQuestion("--limit has to be 1 or more.")
    if question.cone and broker.widest and question.cone.radius > broker.widest:
        raise BadQuestion(f"a radius of {question.cone.radius:g} arcsec is too large.", f"{broker.name} takes {broker.widest:g} at most.")
    for name in question.options:
        if name not in broker.options:
            raise BadQuestion(f"{broker.name} has no option '{name}'.", _near(name, broker.options), _listed("Options", broker.options))
    class_name = question.class_name and _class(broker, survey, question)
    return replace(question, survey=survey, class_name=class_name)


def _one_mode(broker: Broker, question: Question) -> None:
    takes = [words for mode, words in MODES.items() if mode in broker.takes]
    if not question.modes:
        raise BadQuestion("nothing was asked.", hint=f"{broker.name} takes one of: {', '.join(takes)}.")
    if len(question.modes) > 1:
        said = " and ".join(MODES[mode] for mode in question.modes)
        raise BadQuestion(f"{said} do not go together.", f"{broker.name} is asked in one way at a time: {', '.join(takes)}.")
    if question.mode not in broker.takes:
        raise BadQuestion(f"{broker.name} cannot be asked by {MODES[question.mode]}.", hint=f"It takes: {', '.join(takes)}.")


def _survey(broker: Broker, said: str) -> str:
    if not said:
        return broker.surveys[0]
    if said.lower() not in broker.surveys:
        raise BadQuestion(f"{broker.name} has no survey '{said}'.", hint=f"It has: {', '.join(broker.surveys)}.")
    return said.lower()


def _class(broker: Broker, survey: str, question: Question) -> str:
    """Return a class as the broker spells it: case does not count. Raises BadQuestion with the nearest names."""
    known, said = broker.classes(survey), str(question.class_name)
    exact = {name.casefold(): name for name in reversed(known)} | {name: name for name in known}
    ways = [f"{prefix}{said}" for prefix in ("", *broker.class_prefixes)]
    found = next((exact[word] for way in ways for word in (way, way.casefold()) if word in exact), None)
    if known and not found and not question.unlisted:
        hint = f"All of them: harvest alerts query --broker {broker.name} --survey {survey} --classes  (ask anyway: --unlisted-class)"
        raise BadQuestion(f"{broker.name} has no class '{said}' of {survey}.", _near(said, known), hint)
    return found or said


def _near(said: str, known: Iterable[str]) -> str:
    """Return the names nearest to what was said, wherever in them it may stand."""
    folded = {name.casefold(): name for name in known}
    within = [name for word, name in folded.items() if said.casefold() in word]
    near = [folded[word] for word in get_close_matches(said.casefold(), folded, n=NEAREST, cutoff=0.4)]
    found = list(dict.fromkeys([*near, *within]))[:NEAREST]
    return f"Did you mean {' or '.join(repr(name) for name in found)}?" if found else ""


def _listed(what: str, known: Mapping[str, str]) -> str:
    return f"{what}: {', '.join(known)}." if known else ""
