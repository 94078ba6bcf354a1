"""Nights of alert packets: fetched, read into the store without ever being un-tarred, and looked through."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harvester import __version__
from harvester.alerts.archive.nights import Night, date_of
from harvester.alerts.archive.tar import Member, NightError, batches, compressed, inflated, members
from harvester.elsewhere import Elsewhere
from harvester.errors import Malformed, NotYetPublic, SourceError
from harvester.intake import intake
from harvester.packets import ztf_rows
from harvester.packets.ztf import HEAD_BYTES, ztf_headlines
from harvester.payload import Payload
from harvester.sky import Sky, Things
from harvester.source import load
from harvester.store.nights import DUE, NightRead, Nights, refusals

if TYPE_CHECKING:
    from harvester.session import Session
    from harvester.store import Store
    from harvester.store.run import Run
    from harvester.store.visit import Counts

SOURCE, SURVEY = "ztf_alerts", "ZTF"
BATCH = 256
PART = ".part"
Tell = Callable[[int, int], None]
"""Told of progress: bytes so far, and of how many (0 where nobody knows)."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which alerts of a night: `all`, those of followed targets (`followed`), or those in a cone (deg, deg, arcsec)."""

    scope: str
    cone: tuple[float, float, float] | None = None

    @classmethod
    def in_cone(cls, ra: float, dec: float, radius: float) -> Wanted:
        """Return the alerts in a cone."""
        return cls(f"cone:{ra:.6f},{dec:+.6f},{radius:g}", (ra, dec, radius))


ALL, FOLLOWED = Wanted("all"), Wanted("followed")


@dataclass
class Source:
    """A night as it comes: its pieces, of how many bytes, with which MD5 (empty: nobody checks), and where it lies."""

    name: str
    pieces: Iterable[bytes]
    url: str = ""
    md5: str = ""
    size: int | None = None
    _hash: hashlib._Hash = field(default_factory=lambda: hashlib.md5(usedforsecurity=False))

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


def in_file(path: Path) -> Source:
    """Return a night that lies on this machine; what was fetched was checked then."""
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


def ingest(store: Store, night: Source, wanted: Wanted, *, command: str = "", tell: Tell = lambda *_: None) -> NightRead:
    """Read a night into the store, a batch of packets in a transaction; return what became of it.

    What cannot be decoded becomes a dead letter, and the rest goes on. A night that is missing or breaks off stays due, with the reason; what came
    of it is stored, and comes as known the next time. Raises StoreError, and SourceError for what made it stay due.
    """
    read = NightRead(night.name, wanted.scope, date_of(night.name), md5=night.md5, size=night.size)
    nights = Nights(store)
    with store.run(command, __version__) as run:
        intaker = _Intake(run, night, wanted, Sky.of(store.targets()))
        try:
            for batch in batches(members(inflated(night.checked(tell))), BATCH):
                intaker.take(batch)
        except (NightError, SourceError) as error:
            run.status = "partial" if intaker.read.alerts else "failed"
            why = error.what if isinstance(error, SourceError) else str(error)
            nights.keep(replace(intaker.counted(read), state=DUE, trouble=why, run_id=run.id))
            raise _broken(night.name, error) from error
        done = replace(intaker.counted(read), run_id=run.id)
        nights.keep(done)
    return done


def headlines(packets: Iterable[Member]) -> Iterator[pa.Table]:
    """Yield the candidates of packets (see `ztf_headlines`), a batch at a time; those that cannot be decoded are left out."""
    for batch in batches(packets, BATCH):
        yield ztf_headlines([member.body for member in batch]).rows


def matching(rows: pa.Table, *, object_id: str | None, candid: str | None, cone: tuple[float, float, float] | None) -> pa.Table:
    """Return the alerts of an object, of a candid, or in a cone (deg, deg, arcsec)."""
    use = np.ones(rows.num_rows, bool)
    for name, value in (("object_id", object_id), ("candid", candid)):
        if value is not None:
            use &= np.asarray(pc.equal(rows[name], value), bool)
    if cone is not None:
        use &= separations(rows, *cone[:2]) <= cone[2]
    return rows.filter(pa.array(use))


def separations(rows: pa.Table, ra: float, dec: float) -> np.ndarray:
    """Return how far alerts lie from a place (deg), in arcseconds."""
    there, here = (np.radians(np.array(rows[name].to_numpy(), np.float64)) for name in ("ra", "dec"))
    a, d = np.radians(ra), np.radians(dec)
    squared = np.sin((here - d) / 2) ** 2 + np.cos(here) * np.cos(d) * np.sin((there - a) / 2) ** 2
    apart: np.ndarray = np.degrees(2 * np.arcsin(np.sqrt(np.clip(squared, 0, 1)))) * 3600.0
    return apart


def missing(store: Store, name: str, wanted: Wanted, why: str) -> None:
    """Note that a night is still due."""
    Nights(store).keep(NightRead(name, wanted.scope, date_of(name), state=DUE, trouble=why))


class _Intake:
    """One night on its way into the store."""

    def __init__(self, run: Run, night: Source, wanted: Wanted, sky: Sky) -> None:
        self._run, self._night, self._wanted, self._sky = run, night, wanted, sky
        self._time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._archive = Elsewhere(b"", url=night.url, time=self._time, source=SOURCE, name=f"{night.name} {night.md5}")
        self.read = NightRead(night.name, wanted.scope, "")

    def take(self, batch: list[Member]) -> None:
        """Store what a batch of packets says of wanted objects."""
        chosen, refused = (batch, []) if self._wanted.scope == ALL.scope else self._choose(batch)
        found = ztf_rows([member.body for member in chosen])
        refused += [(chosen[index], why) for index, why in found.refused]
        letters = refusals(self._night.name, [(one.name, one.offset, one.body, why) for one, why in refused])
        rows = found.rows if self._wanted.scope != ALL.scope else _of_one(found.rows)
        add = [] if self._wanted.scope == FOLLOWED.scope else [name for name in pc.unique(rows["object_id"]).to_pylist() if name]
        many = intake(SOURCE, rows, self._payloads(chosen), self._sky, add=add)
        self._count(batch, chosen, refused, self._run.batch([many], before=letters))

    def counted(self, read: NightRead) -> NightRead:
        """Return what is known of the night, with what was read of it."""
        return replace(read, **{name: getattr(self.read, name) for name in ("alerts", "used", "refused", "points")})

    def _choose(self, batch: list[Member]) -> tuple[list[Member], list[tuple[Member, str]]]:
        """Return the packets of wanted objects, and those that cannot be told."""
        told = ztf_headlines([member.body[:HEAD_BYTES] for member in batch])
        cone = self._wanted.cone
        rows = told.rows if cone is None else matching(told.rows, object_id=None, candid=None, cone=cone)
        if cone is None:
            rows = rows.filter(pc.is_in(rows["object_id"], value_set=pa.array(self._followed(rows), pa.string())))
        here = sorted(set(rows["packet"].to_pylist()))
        return [batch[place] for place in here], [(batch[place], why) for place, why in told.refused]

    def _followed(self, rows: pa.Table) -> list[str]:
        """Return the objects that are followed targets."""
        names, first = np.unique(rows["object_id"].to_numpy(zero_copy_only=False).astype(str), return_index=True)
        places = [np.array(rows[name].to_numpy(), np.float64)[first] for name in ("ra", "dec", "mjd")]
        source = load(SOURCE)
        pairs = self._sky.match(Things(names.tolist(), *places), SURVEY, source.radius, source.scatter)
        return sorted({str(names[thing]) for thing in pairs.things.tolist()})

    def _payloads(self, chosen: Sequence[Member]) -> list[Payload]:
        if self._wanted.scope == ALL.scope:
            return [self._archive]
        return [Payload(one.body, url=f"{self._night.url}/{one.name}", time=self._time, source=SOURCE) for one in chosen]

    def _count(self, batch: list[Member], chosen: list[Member], refused: list[tuple[Member, str]], counts: list[Counts]) -> None:
        old, new = self.read, sum(one.new + one.revised for one in counts)
        self.read = replace(
            old,
            alerts=old.alerts + len(batch),
            used=old.used + len(chosen),
            refused=old.refused + len(refused),
            points=old.points + new,
        )


def _of_one(rows: pa.Table) -> pa.Table:
    """Return rows that all came in one payload: the night."""
    place = rows.column_names.index("payload")
    return rows.set_column(place, "payload", pa.array(np.zeros(rows.num_rows, np.int32)))


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


def _broken(name: str, error: NightError | SourceError) -> SourceError:
    if isinstance(error, SourceError):
        return error
    return Malformed(f"{name}: {error}.", "What came of it is stored.", "Run it again: the night stays due.")


__all__ = [
    "ALL",
    "FOLLOWED",
    "NotYetPublic",
    "Source",
    "Wanted",
    "fetch",
    "headlines",
    "in_file",
    "ingest",
    "matching",
    "missing",
    "remote",
]
