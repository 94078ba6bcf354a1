"""How each fault spoils an answer (see `harvester.emulator.faults`)."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from email.utils import formatdate
from time import time

Headers = list[tuple[str, str]]
Answer = tuple[int, Headers, bytes]
MEGABYTE = 1 << 20
DRIP_BYTES = 256
NAMED = re.compile(rb"(?P<before>\A|<FIELD\b[^>]*?\bname=\")[\w.]+")
"""The first column's name, of a CSV or of a VOTable."""
PAGE = (
    b"<!DOCTYPE html>\n<html><head><title>Service temporarily unavailable</title></head><body><h1>Down for maintenance</h1></body></html>\n"
)


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


def _late(due: Due) -> Broken:
    due.sleep(due.value)
    return _whole(due.answer())


def _silent(due: Due) -> Broken:
    due.sleep(due.value)
    return _reset(due)


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


def _empty(due: Due) -> Broken:
    status, headers, _ = due.answer()
    return _whole((status, headers, b""))


def _shrunk(due: Due) -> Broken:
    status, headers, body = due.answer()
    head, *rows = body.splitlines(keepends=True) or [b""]
    return _whole((status, headers, b"".join([head, *rows[: int(len(rows) * due.value)]])))


def _renamed(due: Due) -> Broken:
    status, headers, body = due.answer()
    return _whole((status, headers, NAMED.sub(rb"\g<before>renamed", body, count=1)))


def _wrong_clock(due: Due) -> Broken:
    status, headers, body = due.answer()
    return _whole((status, _with(headers, "Date", formatdate(time() + due.value, usegmt=True)), body))


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
class Kind:
    """A kind of fault: how it strikes, and the value that it has unless one is given."""

    strike: Strike
    default: float = 0.0


KINDS = {
    "latency": Kind(_late, 1.0),
    "429": Kind(_refusal(429), 1.0),
    "403": Kind(_refusal(403), 1.0),
    "503": Kind(_refusal(503)),
    "401": Kind(_refusal(401)),
    "500": Kind(_refusal(500)),
    "502": Kind(_refusal(502)),
    "504": Kind(_refusal(504)),
    "reset": Kind(_reset),
    "silent": Kind(_silent, 600.0),
    "truncated": Kind(_truncated, 0.5),
    "drip": Kind(_drip, 0.05),
    "html": Kind(_html),
    "empty": Kind(_empty),
    "header-only": Kind(_header_only),
    "shrunk": Kind(_shrunk, 0.3),
    "renamed": Kind(_renamed),
    "wrong-type": Kind(_wrong_type),
    "wrong-clock": Kind(_wrong_clock, 3600.0),
    "giant": Kind(_giant, 64.0),
    "truncated-zip": Kind(_truncated_zip, 0.5),
}
