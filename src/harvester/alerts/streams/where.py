"""Which alerts are wanted: a condition in words, and cones on the sky. Nothing is executed: the text is read by a grammar of its own.

    drb > 0.9 and mag < 19 and class in (SN, 'SN candidate')
    (class = AGN or class is missing) and packet.rf_snia_vs_nonia >= 0.5

A comparison with what an alert does not say is false, so that nothing is let through by its silence.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from harvester.alerts.question import Cone
from harvester.alerts.streams.hearing import SCORES, Heard
from harvester.errors import BadQuestion

TOKEN = re.compile(
    r"\s*(?:(<=|>=|!=|==|[<>=(),])|'([^']*)'|\"([^\"]*)\"|([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?![\w.])|([\w.+:/-]+))"
)
OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
WORDS = {"class": "classification", "filter": "filter", "survey": "survey", "object": "object_id"}
NUMBERS = {"mag": "mag", "ra": "ra", "dec": "dec", "mjd": "mjd"}
PACKET = "packet."
NAMES = (*WORDS, *NUMBERS, *SCORES)
DEEPEST = 50
EXAMPLE = "Such as: --where \"drb > 0.9 and mag < 19 and class in (SN, 'SN candidate')\""

Test = Callable[[Heard], bool]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What decides which alerts become targets: `passes` says so of an alert."""

    test: Test | None = None
    cones: Sequence[Cone] = ()

    def passes(self, heard: Heard) -> bool:
        """Whether an alert is wanted: the condition holds, and it lies in one of the cones, where there are any."""
        return (self.test is None or self.test(heard)) and (not self.cones or any(_within(heard, cone) for cone in self.cones))


def wanted(where: str = "", cones: Iterable[str] = ()) -> Wanted:
    """Return what `--where` and `--cone` say. Raises BadQuestion."""
    return Wanted(_Reader(where).whole() if where.strip() else None, [Cone.parse(text) for text in cones])


def _within(heard: Heard, cone: Cone) -> bool:
    if heard.alert.ra is None or heard.alert.dec is None:
        return False
    ra, dec, ra0, dec0 = map(math.radians, (heard.alert.ra, heard.alert.dec, cone.ra, cone.dec))
    half = math.sin((dec - dec0) / 2) ** 2 + math.cos(dec) * math.cos(dec0) * math.sin((ra - ra0) / 2) ** 2
    return math.degrees(2 * math.asin(min(1.0, math.sqrt(half)))) * 3600.0 <= cone.radius


def _value(name: str) -> Callable[[Heard], Any]:
    """Return how to find what a name stands for in an alert; None where it does not say."""
    if name.startswith(PACKET):
        path = name.removeprefix(PACKET).split(".")
        return lambda heard: _inside(heard.fields, path)
    if name in SCORES:
        return lambda heard: heard.alert.score if name == "score" and name not in heard.scores else heard.scores.get(name)
    slot = WORDS.get(name) or NUMBERS[name]
    return lambda heard: getattr(heard.alert, slot) or (None if name in WORDS else getattr(heard.alert, slot))


def _inside(fields: Any, path: Sequence[str]) -> Any:
    """Return what stands at a path of keys; its first key may also stand in the alert's own measurement."""
    for key in path:
        if not isinstance(fields, Mapping):
            return None
        own = fields.get("candidate") or fields.get("diaSource")
        fields = fields[key] if key in fields else own.get(key) if isinstance(own, Mapping) else None
    return fields


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


class _Reader:
    """Reads a condition: any of several joined by `or`, each of several joined by `and`, each a comparison, or a condition in brackets."""

    def __init__(self, text: str) -> None:
        self._text, self._next, self._deep = text, 0, 0
        self._tokens = list(self._tokenised())

    def whole(self) -> Test:
        """Return the condition. Raises BadQuestion."""
        test = self._any()
        if self._next < len(self._tokens):
            raise self._wrong(f"'{self._tokens[self._next].text}' does not fit here")
        return test

    def _tokenised(self) -> Iterable[_Token]:
        place, text = 0, self._text.rstrip()
        while place < len(text):
            found = TOKEN.match(text, place)
            if not found:
                raise BadQuestion(f"--where cannot be read at '{text[place : place + 20].strip()}'.", hint=EXAMPLE)
            kind = ("sign", "quoted", "quoted", "number", "word")[(found.lastindex or 1) - 1]
            yield _Token(kind, found[found.lastindex or 0], place)
            place = found.end()

    def _any(self) -> Test:
        tests = [self._all()]
        while self._took("or"):
            tests.append(self._all())
        return tests[0] if len(tests) == 1 else lambda heard: any(test(heard) for test in tests)

    def _all(self) -> Test:
        tests = [self._one()]
        while self._took("and"):
            tests.append(self._one())
        return tests[0] if len(tests) == 1 else lambda heard: all(test(heard) for test in tests)

    def _one(self) -> Test:
        self._deep += 1
        if self._deep > DEEPEST:
            raise self._wrong("its brackets are too deep")
        try:
            if self._took("not"):
                test = self._one()
                return lambda heard: not test(heard)
            if self._took("("):
                inner = self._any()
                self._expect(")")
                return inner
            return self._comparison()
        finally:
            self._deep -= 1

    def _comparison(self) -> Test:
        name = self._name()
        value = _value(name)
        if self._took("is"):
            missing = not self._took("not")
            self._expect("missing")
            return lambda heard: (value(heard) is None) == missing
        if self._took("in"):
            words = [_folded(word) for word in self._list()]
            return lambda heard: value(heard) is not None and _folded(value(heard)) in words
        sign = self._sign()
        return _compared(value, sign, self._operand(name, sign))

    def _name(self) -> str:
        token = self._take("a name")
        if token.kind != "word" or (token.text not in NAMES and not token.text.startswith(PACKET)):
            near = get_close_matches(token.text, NAMES, n=1)
            hint = f"Did you mean '{near[0]}'?" if near else f"Known: {', '.join(NAMES)}, and {PACKET}FIELD for any field of the packet."
            raise BadQuestion(f"--where: an alert has no '{token.text}'.", hint, EXAMPLE)
        return token.text

    def _sign(self) -> str:
        token = self._take("a comparison")
        if token.text not in OPERATORS or token.kind != "sign":
            raise self._wrong(f"'{token.text}' is no comparison: < <= > >= = != in is")
        return token.text

    def _operand(self, name: str, sign: str) -> str | float:
        token = self._take("a value")
        if token.kind == "number":
            return float(token.text)
        if token.kind == "sign" or name in NUMBERS or name in SCORES or (sign not in {"=", "==", "!="}):
            raise self._wrong(f"'{token.text}' is no number, and {name} {sign} wants one")
        return token.text

    def _list(self) -> list[str]:
        self._expect("(")
        words = [self._take("a value").text]
        while self._took(","):
            words.append(self._take("a value").text)
        self._expect(")")
        return words

    def _take(self, what: str) -> _Token:
        if self._next >= len(self._tokens):
            raise self._wrong(f"it ends where {what} should stand")
        self._next += 1
        return self._tokens[self._next - 1]

    def _took(self, text: str) -> bool:
        here = self._tokens[self._next] if self._next < len(self._tokens) else None
        if here is None or here.kind in {"quoted", "number"} or here.text != text:
            return False
        self._next += 1
        return True

    def _expect(self, text: str) -> None:
        if not self._took(text):
            raise self._wrong(f"'{text}' is missing")

    def _wrong(self, why: str) -> BadQuestion:
        return BadQuestion(f'--where "{self._text}" cannot be read.', f"{why[0].upper()}{why[1:]}.", EXAMPLE)


def _compared(value: Callable[[Heard], Any], sign: str, operand: str | float) -> Test:
    compare = OPERATORS[sign]

    def test(heard: Heard) -> bool:
        found = value(heard)
        if found is None:
            return False
        if isinstance(operand, str):
            return compare(_folded(found), _folded(operand))
        try:
            number = float(found)
        except (TypeError, ValueError):
            return False
        return math.isfinite(number) and compare(number, operand)

    return test


def _folded(value: Any) -> str:
    return str(value).strip().casefold()
