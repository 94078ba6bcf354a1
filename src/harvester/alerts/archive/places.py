"""Packets that lie on this machine in whatever way: a gzipped or a plain tar, a folder, a file of packets. All of them one after the other.

Rubin has no public archive of nights: its packets are had from brokers, in files and folders. What a packet is of is told by its bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from harvester.alerts.archive.tar import BLOCK, GZIP, MAGIC, PACKET, Member, NightError, compressed, inflated, members

CONTAINER, WIRE = b"Obj\x01", b"\x00"
OF_LSST, OF_ZTF = b"diaSource", b'"objectId"'
HEAD_BYTES, FIRST_BYTES = 64 << 10, 1 << 10
"""Where the first is found, if it is there at all, and where the second, in packets that are as they mostly are."""
ZTF, LSST = "ZTF", "LSST"


def survey_of(body: bytes) -> str:
    """Return whose packet it is, LSST's or ZTF's; what is neither is ZTF's, whose reader says what is wrong with it."""
    if OF_ZTF in body[:FIRST_BYTES]:
        return ZTF
    return LSST if body.startswith(WIRE) or body.find(OF_LSST, 0, HEAD_BYTES) >= 0 else ZTF


def packets_in(pieces: Iterable[bytes], name: str) -> Iterator[Member]:
    """Yield the packets in a file that comes in pieces: a tar, gzipped or not, or a file that is a packet itself. Raises NightError."""
    rest = iter(pieces)
    head = b""
    while len(head) < BLOCK and (piece := next(rest, b"")):
        head += piece
    whole = chain([head], rest)
    if head.startswith(GZIP):
        return members(inflated(whole))
    if head[257:262] == MAGIC:
        return members(whole)
    if head.startswith(CONTAINER) or (head.startswith(WIRE) and len(head) > len(CONTAINER)):
        body = b"".join(whole)
        return iter([Member(name, 0, len(body), body)])
    raise NightError(f"it is no archive of packets and no packet: it begins with {head[:12]!r}" if head else "it is empty")


def packets_under(folder: Path) -> Iterator[Member]:
    """Yield the packets of a folder and of those in it, by name. Raises NightError where there is none, or one cannot be read."""
    paths = sorted(path for path in folder.rglob(f"*{PACKET}") if path.is_file())
    if not paths:
        raise NightError(f"there is no packet (*{PACKET}) in it")
    for number, path in enumerate(paths):
        try:
            body = b"".join(compressed(path))
        except OSError as error:
            raise NightError(f"{path.name} cannot be read: {error.strerror}") from error
        yield Member(str(path.relative_to(folder)), number, len(body), body)
