"""Faults on demand: what may go wrong with an answer, how often, and how to say so.

    SERVICE:FAULT[=VALUE][:WHEN]        irsa:429:0.2    gaia:latency=3    sesame:503:x2    *:reset:x1    gaia:429=60    irsa:html:@3-5,9

SERVICE is a service of the emulator (gaia, irsa, sesame, simbad) or * for each of them. WHEN is a rate between 0 and 1 (one request in
five: 0.2), xN for the first N requests alone, or a script of requests by number, counted from 1 (@3-5,9 or @7-); without it every request
is struck. The first fault in the list that is due strikes.

    fault        what the client sees                                    VALUE                       default
    latency      the right answer, late                                  seconds                     1
    429          Too Many Requests with Retry-After                      Retry-After, s              1
    403          Forbidden, with Retry-After: some throttle so           Retry-After, s; 0: none     1
    503          Service Unavailable                                     Retry-After, s; 0: none     0
    401          Unauthorized                                            -
    500          Internal Server Error                                   -
    502          Bad Gateway                                             -
    504          Gateway Timeout                                         -
    reset        the connection is reset before any answer               -
    silent       the connection is reset after a long silence            seconds                     600
    truncated    a body that ends before its Content-Length              the part that is sent       0.5
    drip         the right answer in small pieces                        seconds between pieces      0.05
    html         status 200 with a web page in place of the data         -
    empty        status 200 and nothing                                  -
    header-only  the first line of the answer alone                      -
    shrunk       whole, but with the first lines alone                   the part that is sent       0.3
    renamed      the first column has another name                       -
    wrong-type   the right answer, said to be application/octet-stream   -
    wrong-clock  the right answer, with a Date that is off               seconds ahead               3600
    giant        an answer that goes on                                  megabytes                   64
    truncated-zip  an archive that ends early, with a fitting length     the part that is sent       0.5
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock

from harvester.emulator import chance
from harvester.emulator.strikes import KINDS, Answer, Broken, Due
from harvester.errors import UsageError

GRAMMAR = re.compile(r"(?P<service>\*|[a-z_]+):(?P<kind>[a-z0-9-]+)(?:=(?P<value>[0-9.]+))?(?::(?P<when>x[0-9]+|@[0-9,-]+|[0-9.]+))?")
SPAN = re.compile(r"([1-9][0-9]*)(?:(-)([1-9][0-9]*)?)?")


@dataclass(frozen=True)
class Fault:
    """One thing that may go wrong: `rate` is the part of all requests that it strikes; `script` says which instead.

    A script is spans of numbers, the last included; the first request is number 1.
    """

    service: str
    kind: str
    value: float
    rate: float = 1.0
    script: tuple[tuple[int, float], ...] | None = None

    def due(self, number: int, deviate: float) -> bool:
        """Tell whether it strikes the request of this number (0 is the first), given a uniform deviate."""
        if self.script is None:
            return deviate < self.rate
        return any(first <= number + 1 <= last for first, last in self.script)

    def strike(self, answer: Callable[[], Answer], sleep: Callable[[float], None]) -> Broken:
        """Return the spoiled answer; a reset is raised as ConnectionResetError, for the server to carry out."""
        return KINDS[self.kind].strike(Due(self.value, answer, sleep))


@dataclass
class Faults:
    """The faults of every service. Which requests a rate strikes follows from `seed` and the number of the request alone.

    `script` maps a service, or "*", to faults or to their text without the service: `Faults({"irsa": ["429:x2", "reset:0.1"]})`.
    """

    script: Mapping[str, Sequence[Fault | str]] = field(default_factory=dict)
    seed: int = 1

    def __post_init__(self) -> None:
        listed = [(service, fault) for service, faults in self.script.items() for fault in faults]
        self._faults = [parse_fault(f"{service}:{fault}") if isinstance(fault, str) else fault for service, fault in listed]
        self._seen: dict[str, int] = {}
        self._counting = Lock()

    @classmethod
    def parse(cls, texts: Iterable[str], *, seed: int = 1) -> Faults:
        """Return the faults that a user wrote."""
        made = cls(seed=seed)
        made._faults = [parse_fault(text) for text in texts]
        return made

    def next_for(self, service: str) -> Fault | None:
        """Count a request to a service and return the fault that strikes it, if any."""
        with self._counting:
            number = self._seen.get(service, 0)
            self._seen[service] = number + 1
        for order, fault in enumerate(self._faults):
            if fault.service in {service, "*"} and fault.due(number, float(chance.uniform(self.seed, service, order, number))):
                return fault
        return None


def parse_fault(text: str) -> Fault:
    """Return the fault that `text` asks for, in the grammar above; raise UsageError if it asks for none."""
    match = GRAMMAR.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            f"cannot read the fault '{text}'.",
            "It is written SERVICE:FAULT[=VALUE][:WHEN].",
            "For instance: irsa:429:0.2, gaia:latency=3, sesame:503:x2",
        )
    kind, when = match["kind"], match["when"] or "1"
    if kind not in KINDS:
        raise UsageError(f"no fault named '{kind}'.", f"There are: {', '.join(KINDS)}.")
    try:
        value = float(match["value"] or KINDS[kind].default)
        rate, script = (float(when), None) if when[0].isdigit() or when[0] == "." else (1.0, _script(when))
    except ValueError:
        raise UsageError(f"cannot read a number in the fault '{text}'.") from None
    if not 0.0 <= rate <= 1.0:
        raise UsageError(f"the rate of '{text}' is not between 0 and 1.", "", "To strike the first N requests write xN.")
    return Fault(match["service"], kind, value, rate, script)


def _script(when: str) -> tuple[tuple[int, float], ...]:
    """Read "x2", or "@3-5,9" and "@7-". Raises ValueError."""
    if when.startswith("x"):
        return ((1, int(when[1:])),)
    spans = [SPAN.fullmatch(part) for part in when[1:].split(",")]
    if not all(spans):
        raise ValueError(when)
    return tuple((int(span[1]), float(span[3] or ("inf" if span[2] else span[1]))) for span in spans if span)
