"""Nights of alert packets: fetched, read into the store without ever being un-tarred, and looked through."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harvester import __version__
from harvester.alerts.archive.nights import date_of
from harvester.alerts.archive.places import LSST, ZTF, survey_of
from harvester.alerts.archive.tar import Member, NightError, batches
from harvester.elsewhere import Elsewhere
from harvester.errors import Malformed, SourceError
from harvester.intake import intake
from harvester.night_files import Folder, Source, Tell, fetch, in_file, remote, wrong_sum
from harvester.packets import ZtfReader, lsst_things
from harvester.packets.ztf import HEAD_BYTES, ztf_headlines
from harvester.payload import Payload
from harvester.sky import Sky, Things
from harvester.source import load
from harvester.store.nights import DUE, Newcomers, NightRead, Nights, refusals

if TYPE_CHECKING:
    from harvester.store import Store
    from harvester.store.many import Many
    from harvester.store.run import Run
    from harvester.store.visit import Counts

SOURCE, OF_LSST, SURVEY = "ztf_alerts", "lsst_alerts", "ZTF"
BATCH, AT_ONCE = 128, 384
"""Packets that are held at a time, and packets of which what they say is stored in one transaction."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which alerts of a night: `all`, those of followed targets (`followed`), or those in a cone (deg, deg, arcsec)."""

    scope: str
    cone: tuple[float, float, float] | None = None
    follow: bool = False
    """Whether the targets that are made are followed, or only kept."""

    @classmethod
    def in_cone(cls, ra: float, dec: float, radius: float, *, follow: bool = True) -> Wanted:
        """Return the alerts in a cone."""
        return cls(f"cone:{ra:.6f},{dec:+.6f},{radius:g}", (ra, dec, radius), follow)


ALL, FOLLOWED = Wanted("all"), Wanted("followed")


def ingest(store: Store, night: Source, wanted: Wanted, *, command: str = "", tell: Tell = lambda *_: None) -> NightRead:
    """Read a night into the store, a batch of packets in a transaction; return what became of it.

    What cannot be decoded becomes a dead letter, and the rest goes on. A night that is missing or breaks off stays due, with the reason; what came
    of it is stored, and comes as known the next time. Raises StoreError, and SourceError for what made it stay due.
    """
    read = NightRead(night.name, wanted.scope, date_of(night.name), md5=night.md5, size=night.size)
    nights = Nights(store)
    with store.run(command, __version__) as run:
        intaker = _Intake(run, night, wanted, Sky.of(store.targets(followed=wanted.scope == FOLLOWED.scope)))
        try:
            for batch in batches(night.packets(tell), BATCH):
                intaker.take(batch)
        except (NightError, SourceError) as error:
            intaker.store()
            run.status = "partial" if intaker.read.alerts else "failed"
            why = error.what if isinstance(error, SourceError) else str(error)
            nights.keep(replace(intaker.counted(read), state=DUE, trouble=why, run_id=run.id))
            raise _broken(night.name, error) from error
        intaker.store()
        done = replace(intaker.counted(read), run_id=run.id)
        nights.keep(done)
    return done


def photometry(packets: Iterable[Member]) -> Iterator[pa.Table]:
    """Yield what packets hold (see `ztf_rows`), many at a time; those that cannot be decoded are left out."""
    held = None
    for batch in batches(packets, BATCH):
        held = held or _Held.of(batch)
        held.reader.take([member.body for member in batch])
        if held.reader.packets >= AT_ONCE:
            yield held.reader.rows()
            held = None
    if held:
        yield held.reader.rows()


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


@dataclass
class _Held:
    """What is known of packets that were read and are to be stored, with those that are kept themselves: wanted ones, and refused ones."""

    reader: ZtfReader
    alerts: int = 0
    chosen: list[Member] = field(default_factory=list)
    refused: list[tuple[Member, str]] = field(default_factory=list)

    @classmethod
    def of(cls, first: list[Member]) -> _Held:
        """Return what can take the packets of a batch, and of those after it if it is full."""
        return cls(ZtfReader(AT_ONCE if len(first) == BATCH else len(first)))


class _Intake:
    """One night on its way into the store."""

    def __init__(self, run: Run, night: Source, wanted: Wanted, sky: Sky) -> None:
        self._run, self._night, self._wanted, self._sky = run, night, wanted, sky
        self._time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._archive = Elsewhere(b"", url=night.url, time=self._time, source=SOURCE, name=f"{night.name} {night.md5}")
        self.read = NightRead(night.name, wanted.scope, "")
        self._held: _Held | None = None

    def take(self, batch: list[Member]) -> None:
        """Read a batch of packets. What they say of wanted objects is stored now, or with what the next ones say (see `store`)."""
        surveys = [survey_of(member.body) for member in batch]
        for survey, take in ((ZTF, self._take_ztf), (LSST, self._take_lsst)):
            if survey in surveys:
                take([member for member, its in zip(batch, surveys, strict=True) if its == survey])

    def _take_ztf(self, batch: list[Member]) -> None:
        every = self._wanted.scope == ALL.scope
        chosen, refused = (batch, []) if every else self._choose(batch)
        held = self._held = self._held or _Held.of(batch if every else chosen)
        held.refused += refused + [(chosen[index], why) for index, why in held.reader.take([member.body for member in chosen])]
        held.alerts += len(batch)
        held.chosen += [] if every else chosen
        if held.chosen or held.alerts >= AT_ONCE or len(held.refused) >= BATCH:
            self.store()

    def store(self) -> None:
        """Store what the packets say that were read since the last time."""
        held, self._held = self._held, None
        if held is None:
            return
        rows = held.reader.rows() if self._wanted.scope != ALL.scope else _of_one(held.reader.rows())
        add = [] if self._wanted.scope == FOLLOWED.scope else [name for name in pc.unique(rows["object_id"]).to_pylist() if name]
        _, counts = self._store(SOURCE, rows, self._payloads(held.chosen), add=add, refused=held.refused)
        self._count(held.alerts, held.reader.packets, held.refused, counts)

    def _take_lsst(self, batch: list[Member]) -> None:
        """Take packets whose history is most of them: all are decoded. What moves in the solar system becomes no target."""
        found, moving = lsst_things([member.body for member in batch])
        rows, refused = found.rows, [(batch[index], why) for index, why in found.refused]
        if self._wanted.cone:
            rows = rows.filter(pc.is_in(rows["object_id"], value_set=_within(rows, self._wanted.cone)))
        every = set() if self._wanted.scope == FOLLOWED.scope else set(pc.unique(rows["object_id"]).to_pylist()) - moving - {None}
        used, rows = (len(pc.unique(rows["payload"])), _of_one(rows)) if self._wanted.scope == ALL.scope else (0, rows)
        many, counts = self._store(OF_LSST, rows, self._payloads(batch, OF_LSST), add=sorted(every), refused=refused)
        self._count(len(batch), used or len(pc.unique(many.rows["payload"])), refused, counts)

    def _store(
        self, source: str, rows: pa.Table, payloads: list[Payload], *, add: list[str], refused: list[tuple[Member, str]]
    ) -> tuple[Many, list[Counts]]:
        letters = refusals(self._night.name, [(one.name, one.offset, one.body, why) for one, why in refused])
        known = len(self._sky.targets)
        many = intake(source, rows, payloads, self._sky, add=add)
        new, keeping = [] if self._wanted.follow else [one.name for one in self._sky.targets[known:]], Newcomers(letters)
        return many, self._run.batch([many], before=keeping.before, after=keeping.after(new))

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

    def _payloads(self, chosen: Sequence[Member], source: str = SOURCE) -> list[Payload]:
        if self._wanted.scope == ALL.scope:
            return [replace(self._archive, source=source)]
        return [Payload(one.body, url=f"{self._night.url}/{one.name}", time=self._time, source=source) for one in chosen]

    def _count(self, alerts: int, used: int, refused: list[tuple[Member, str]], counts: list[Counts]) -> None:
        old, new = self.read, sum(one.new + one.revised for one in counts)
        self.read = replace(
            old,
            alerts=old.alerts + alerts,
            used=old.used + used,
            refused=old.refused + len(refused),
            points=old.points + new,
        )


def _within(rows: pa.Table, cone: tuple[float, float, float]) -> pa.Array:
    """Return the objects of which anything lies in a cone."""
    placed = rows.filter(pc.and_(pc.is_valid(rows["ra"]), pc.is_valid(rows["dec"])))
    return pc.unique(placed["object_id"].filter(pa.array(separations(placed, *cone[:2]) <= cone[2])))


def _of_one(rows: pa.Table) -> pa.Table:
    """Return rows that all came in one payload: the night."""
    place = rows.column_names.index("payload")
    return rows.set_column(place, "payload", pa.array(np.zeros(rows.num_rows, np.int32)))


def _broken(name: str, error: NightError | SourceError) -> SourceError:
    if isinstance(error, SourceError):
        return error
    return Malformed(f"{name}: {error}.", "What came of it is stored.", "Run it again: the night stays due.")


__all__ = [
    "ALL",
    "FOLLOWED",
    "Folder",
    "Source",
    "Tell",
    "Wanted",
    "fetch",
    "headlines",
    "in_file",
    "ingest",
    "matching",
    "missing",
    "photometry",
    "remote",
    "wrong_sum",
]
