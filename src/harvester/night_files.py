"""Nights, and other packets, as they come: from the archive, whole or resumed, or from a file or folder of this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from harvester.alerts.archive.nights import Night
from harvester.alerts.archive.places import packets_in, packets_under
from harvester.alerts.archive.tar import Member, compressed
from harvester.errors import Malformed

if TYPE_CHECKING:
    from harvester.session import Session

PART = ".part"
Tell = Callable[[int, int], None]
"""Told of progress: bytes so far, and of how many (0 where nobody knows)."""


@dataclass
class Source:
    """A night as it comes: its pieces, of how many bytes, with which MD5 (empty: nobody checks), and where it lies."""

    name: str
    pieces: Iterable[bytes]
    url: str = ""
    md5: str = ""
    size: int | None = None
    _hash: hashlib._Hash = field(default_factory=lambda: hashlib.md5(usedforsecurity=False))

    def packets(self, tell: Tell) -> Iterator[Member]:
        """Yield the packets. Raises NightError, and Malformed at the end where the checksum is another."""
        return packets_in(self.checked(tell), self.name)

    def checked(self, tell: Tell) -> Iterator[bytes]:
        """Yield the pieces. Raises Malformed at the end where the checksum is another."""
        done = 0
        for piece in self.pieces:
            if self.md5:
                self._hash.update(piece)
            done += len(piece)
            yield piece
            tell(done, self.size or 0)
        if self.md5 and self._hash.hexdigest() != self.md5:
            raise wrong_sum(self.name)


@dataclass
class Folder(Source):
    """Packets that lie in a folder, as if they were a night."""

    place: Path = Path()

    def packets(self, tell: Tell) -> Iterator[Member]:
        """Yield the packets, by name. Raises NightError."""
        return packets_under(self.place)


def in_file(path: Path) -> Source:
    """Return a night, or packets, that lie on this machine, in a file or a folder; what was fetched was checked then."""
    if path.is_dir():
        return Folder(path.resolve().name, (), url=f"file:{path.resolve().name}", place=path)
    return Source(path.name, compressed(path), url=f"file:{path.name}", size=path.stat().st_size)


def remote(night: Night, http: Session) -> Source:
    """Return a night that is read as it comes, without a file."""
    return Source(night.name, http.download(night.name), url=f"{http.service.official_url}{night.name}", md5=night.md5, size=night.size)


def fetch(night: Night, folder: Path, http: Session, tell: Tell = lambda *_: None) -> Path:
    """Fetch a night into a folder, going on where an earlier try broke off; return its place. A file of that name is whole and checked.

    Raises SourceError; Malformed where the checksum is another (what came is thrown away) or where no gzip came. OSError for a full disk.
    """
    place, part = folder / night.name, folder / f"{night.name}{PART}"
    if place.exists():
        return place
    folder.mkdir(parents=True, exist_ok=True)
    digest, start = hashlib.md5(usedforsecurity=False), 0
    if part.exists():
        for piece in compressed(part):
            digest.update(piece)
            start += len(piece)
    file = http.download(night.name, start=start)
    with part.open("ab") as out:
        for piece in file:
            out.write(piece)
            digest.update(piece)
            tell(file.at, file.size or night.size or 0)
    _settle(part, night, digest.hexdigest())
    return part.rename(place)


def _settle(part: Path, night: Night, digest: str) -> None:
    """See that a file that came whole is the night. Raises Malformed, and throws it away, where it is not."""
    with part.open("rb") as file:
        begins = file.read(2)
    if begins != b"\x1f\x8b":
        part.unlink()
        raise Malformed(f"{night.name}: expected a gzipped archive, but received something else ({begins!r}).", hint="Try again later.")
    if night.md5 and digest != night.md5:
        part.unlink()
        raise wrong_sum(night.name)


def wrong_sum(name: str) -> Malformed:
    """Return the error for a night whose bytes are not those that the archive lists."""
    return Malformed(
        f"{name}: its MD5 is not that of the archive's list.", "It was damaged on its way, or replaced meanwhile.", "Run it again."
    )
