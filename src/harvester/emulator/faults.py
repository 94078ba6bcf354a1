"""Faults on demand: what may go wrong with an answer, how often, and how to say so.

    SERVICE:FAULT[=VALUE][:WHEN]        irsa:429:0.2    gaia:latency=3    sesame:503:x2    *:reset:x1    gaia:429=60

SERVICE is a service of the emulator (gaia, irsa, sesame, simbad) or * for each of them. WHEN is a rate between 0 and 1 (one request in
five: 0.2) or xN for the first N requests alone; without it every request is struck. The first fault in the list that is due strikes.

    fault        what the client sees                                    VALUE                       default
    latency      the right answer, late                                  seconds                     1
    429          Too Many Requests with Retry-After                      Retry-After, s              1
    503          Service Unavailable                                     Retry-After, s; 0: none     0
    500          Internal Server Error                                   -
    reset        the connection is reset before any answer               -
    truncated    a body that ends before its Content-Length              the part that is sent       0.5
    drip         the right answer in small pieces                        seconds between pieces      0.05
    html         status 200 with a web page in place of the data         -
    header-only  the first line of the answer alone                      -
    wrong-type   the right answer, said to be application/octet-stream   -
    giant        an answer that goes on                                  megabytes                   64
    truncated-zip  an archive that ends early, with a fitting length     the part that is sent       0.5
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock

from harvester.emulator import chance
from harvester.errors import UsageError

Headers = list[tuple[str, str]]
Answer = tuple[int, Headers, bytes]
MEGABYTE = 1 << 20
DRIP_BYTES = 256
PAGE = (
    b"<!DOCTYPE html>\n<html><head><title>Service temporarily unavailable</title></head><body><h1>Down for maintenance</h1></body></html>\n"
)
GRAMMAR = re.compile(r"(?P<service>\*|[a-z_]+):(?P<kind>[a-z0-9-]+)(?:=(?P<value>[0-9.]+))?(?::(?P<when>x[0-9]+|[0-9.]+))?")


@dataclass(frozen=True)
class Broken:
    """An answer as it leaves the emulator: `body` may sleep, stop short or never end."""

    status: int
    headers: Headers
    body: Iterable[bytes]


@dataclass(frozen=True)
class Due:
    """A strike to be carried out: the fault's value, the answer that would have been, and how to wait."""

    value: float
    answer: Callable[[], Answer]
    sleep: Callable[[float], None]


@dataclass(frozen=True)
class Fault:
    """One thing that may go wrong: `rate` is the part of all requests that it strikes, `first` limits it to the first so many."""

    service: str
    kind: str
    value: float
    rate: float = 1.0
    first: int | None = None

    def due(self, number: int, deviate: float) -> bool:
        """Tell whether it strikes the request of this number (0 is the first), given a uniform deviate."""
        return deviate < self.rate if self.first is None else number < self.first

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
        rate, first = (1.0, int(when[1:])) if when.startswith("x") else (float(when), None)
    except ValueError:
        raise UsageError(f"cannot read a number in the fault '{text}'.") from None
    if not 0.0 <= rate <= 1.0:
        raise UsageError(f"the rate of '{text}' is not between 0 and 1.", "", "To strike the first N requests write xN.")
    return Fault(match["service"], kind, value, rate, first)


def _late(due: Due) -> Broken:
    due.sleep(due.value)
    return _whole(due.answer())


def _refusal(status: int) -> Strike:
    def strike(due: Due) -> Broken:
        retry = [("Retry-After", f"{due.value:g}")] if due.value else []
        return _whole((status, [("Content-Type", "text/html"), *retry], PAGE))

    return strike


def _reset(_due: Due) -> Broken:
    raise ConnectionResetError("fault on demand: reset")


def _truncated(due: Due) -> Broken:
    status, headers, body = due.answer()
    kept = min(int(len(body) * due.value), max(len(body) - 1, 0))
    return Broken(status, _with(headers, "Content-Length", str(max(len(body), 1))), [body[:kept]])


def _drip(due: Due) -> Broken:
    status, headers, body = due.answer()

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(body), DRIP_BYTES):
            due.sleep(due.value)
            yield body[start : start + DRIP_BYTES]

    return Broken(status, headers, pieces())


def _html(_due: Due) -> Broken:
    return _whole((200, [("Content-Type", "text/html")], PAGE))


def _header_only(due: Due) -> Broken:
    status, headers, body = due.answer()
    return _whole((status, headers, body[: body.find(b"\n") + 1]))


def _wrong_type(due: Due) -> Broken:
    status, headers, body = due.answer()
    return _whole((status, _with(headers, "Content-Type", "application/octet-stream"), body))


def _giant(due: Due) -> Broken:
    status, headers, body = due.answer()
    unit = (body or b"\n") * (MEGABYTE // max(len(body), 1) + 1)
    pieces = int(due.value)
    return Broken(status, _with(headers, "Content-Length", str(pieces * len(unit))), (unit for _ in range(pieces)))


def _truncated_zip(due: Due) -> Broken:
    status, headers, body = due.answer()
    archive = body if zipfile.is_zipfile(io.BytesIO(body)) else _zipped(body)
    return _whole((status, _with(headers, "Content-Type", "application/zip"), archive[: int(len(archive) * due.value)]))


def _zipped(body: bytes) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        writer.writestr("data", body)
    return archive.getvalue()


def _whole(answer: Answer) -> Broken:
    status, headers, body = answer
    return Broken(status, _with(headers, "Content-Length", str(len(body))), [body])


def _with(headers: Headers, name: str, value: str) -> Headers:
    return [*((key, old) for key, old in headers if key.casefold() != name.casefold()), (name, value)]


Strike = Callable[[Due], Broken]


@dataclass(frozen=True)
class _Kind:
    strike: Strike
    default: float = 0.0


KINDS = {
    "latency": _Kind(_late, 1.0),
    "429": _Kind(_refusal(429), 1.0),
    "503": _Kind(_refusal(503)),
    "500": _Kind(_refusal(500)),
    "reset": _Kind(_reset),
    "truncated": _Kind(_truncated, 0.5),
    "drip": _Kind(_drip, 0.05),
    "html": _Kind(_html),
    "header-only": _Kind(_header_only),
    "wrong-type": _Kind(_wrong_type),
    "giant": _Kind(_giant, 64.0),
    "truncated-zip": _Kind(_truncated_zip, 0.5),
}
