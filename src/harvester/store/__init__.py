"""The store: light curves, and where every point comes from, kept for years in SQLite or PostgreSQL. Arrow in, Arrow out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import select

from harvester import __version__
from harvester.store import versions
from harvester.store.connection import Database
from harvester.store.tables import LIGHT_CURVE, passband, source
from harvester.store.visit import SUCCESSES, Counts, FilterCounts, Visit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from datetime import datetime
    from pathlib import Path
    from types import TracebackType

    import pyarrow as pa

    from harvester.store import alerts as _alerts
    from harvester.store import archive as _archive
    from harvester.store import check as _check
    from harvester.store import copying as _copying
    from harvester.store import history as _history
    from harvester.store import jobs as _jobs
    from harvester.store import lock as _lock
    from harvester.store import names as _names
    from harvester.store import news as _news
    from harvester.store import overview as _overview
    from harvester.store import own as _own
    from harvester.store import read as _read
    from harvester.store import run as _run
    from harvester.store import runs as _runs
    from harvester.store import states as _states
    from harvester.store import streams as _streams
    from harvester.store import targets as _targets
    from harvester.store import timetable as _timetable
    from harvester.store import upkeep as _upkeep
    from harvester.store.alerts import AlertBook
    from harvester.store.archive import Archive, Chosen
    from harvester.store.check import Finding
    from harvester.store.copying import Copied, Report
    from harvester.store.history import Past
    from harvester.store.jobs import StoredJobs
    from harvester.store.news import News
    from harvester.store.own import Own
    from harvester.store.read import Cut
    from harvester.store.run import Run
    from harvester.store.states import State
    from harvester.store.streams import Streams
    from harvester.store.timetable import Timetable
    from harvester.store.visit import Rhythm
    from harvester.target import Target
else:
    from harvester.store.late import Late

    _alerts, _archive, _check, _copying, _history, _jobs = map(Late, ("alerts", "archive", "check", "copying", "history", "jobs"))
    _lock, _names, _news, _overview, _own, _read, _run = map(Late, ("lock", "names", "news", "overview", "own", "read", "run"))
    _runs, _streams, _states, _targets, _timetable, _upkeep = map(Late, ("runs", "streams", "states", "targets", "timetable", "upkeep"))

    def __getattr__(name: str) -> Any:
        """Import a name of another module of this folder when it is first asked for."""
        homes = {"Chosen": _archive, "Finding": _check, "Copied": _copying, "State": _states, "Cut": _read, "Run": _run}
        if name in homes:
            return getattr(homes[name], name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["LIGHT_CURVE", "SUCCESSES", "Chosen", "Copied", "Counts", "Cut", "FilterCounts", "Finding", "Run", "State", "Store", "Visit"]


class Store:
    """One store. Open it with `Store.open`; close it, or use it as a context manager.

    Every method raises StoreError for trouble with the file or the server. Names of targets may be aliases; case, blanks and underscores
    do not count.
    """

    def __init__(self, database: Database, kind: str) -> None:
        self._database = database
        self.kind = kind
        self.place = database.place

    @classmethod
    def open(cls, place: str | Path, *, simulated: bool | None, create: bool = True, patience: float | None = None) -> Self:
        """Open the store at a path or PostgreSQL URL; a missing one is made silently if `create`, of the kind that `simulated` says.

        With `simulated` None the store is taken as it is, and must exist. `patience` is how many seconds to wait for another process.
        Raises StoreError (missing, older, unreadable, unwritable, not ours), StoreTooNew, WrongKind.
        """
        database = Database(place, patience)
        try:
            versions.make_or_check(database, simulated=simulated, create=create)
            with database.reading() as connection:
                return cls(database, versions.kind(connection))
        except BaseException:
            database.engine.dispose()
            raise

    @staticmethod
    def upgrade(place: str | Path) -> tuple[str, str]:
        """Bring an older store to this version's schema; return the revisions before and after. Raises StoreError, StoreTooNew."""
        database = Database(place)
        try:
            return versions.upgrade(database)
        finally:
            database.engine.dispose()

    @property
    def simulated(self) -> bool:
        """Whether it holds the emulator's data rather than real ones."""
        return self.kind == versions.kind_of(simulated=True)

    def close(self) -> None:
        """Let go of the file or server."""
        self._database.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def run(self, command: str, version: str) -> AbstractContextManager[Run]:
        """Record one invocation; the Run that it gives takes the visits."""
        return _run.open_run(self._database, command, version)

    def light_curve(self, name: str, cut: Cut | None = None, **cuts: Any) -> pa.Table:
        """Return the points of one target (LIGHT_CURVE), by filter and BJD_TDB. Raises StoreError for an unknown one."""
        with self._database.reading() as connection:
            return next(_read.light_curves(connection, [name], cut or _read.Cut(**cuts)))

    def read(
        self, targets: Iterable[str] | None = None, cut: Cut | None = None, *, at: State | None = None, **cuts: Any
    ) -> Iterator[pa.RecordBatch]:
        """Yield the points of targets (all for None) as record batches (LIGHT_CURVE), as they are or as they were in a state.

        All are of one state of the store; memory is needed for one batch and one target at a time. Raises StoreError for an unknown name.
        """
        chosen = cut or _read.Cut(**cuts)
        if targets is None and at is None:
            yield from _read.batches(_read.everything(self._database, chosen))
            return
        with self._database.reading() as connection:
            yield from _read.batches(_read.light_curves(connection, targets, chosen, at))

    @property
    def timetable(self) -> Timetable:
        """Whom to ask about what, and when."""
        return _timetable.Timetable(self._database)

    @property
    def jobs(self) -> StoredJobs:
        """The remote jobs that are under way."""
        return _jobs.StoredJobs(self._database)

    def alone(self, *, wait: bool = False) -> AbstractContextManager[bool]:
        """Keep other updates of this store out while the block lasts (see `lock.alone`); gives False where one is at work already."""
        return _lock.alone(self._database, wait=wait)

    @property
    def streams(self) -> Streams:
        """How far streams of alerts were read, and the messages that could not be."""
        return _streams.Streams(self._database)

    @property
    def alerts(self) -> AlertBook:
        """What brokers of alerts told, and the questions that are asked again."""
        return _alerts.AlertBook(self._database)

    @property
    def past(self) -> Past:
        """Earlier states, changes, and the origin of points."""
        return _history.Past(self._database)

    @property
    def news(self) -> News:
        """What runs brought, and what they did not get."""
        return _news.News(self._database)

    @property
    def archive(self) -> Archive:
        """The payloads as they came, and the rows in quarantine."""
        return _archive.Archive(self._database)

    def status(self, names: Iterable[str] | None = None) -> list[dict[str, Any]]:
        """Return how every source does for every target that it was asked about (see `read.statuses`)."""
        with self._database.reading() as connection:
            return _read.statuses(connection, names)

    def overview(self, rhythms: Mapping[str, Rhythm], now: datetime) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return how every source stands, and what fails (see `overview.by_source` and `overview.troubles`); `rhythms` of what can be asked."""
        with self._database.reading() as connection:
            troubles = _overview.troubles(connection)
            return _overview.by_source(connection, rhythms, now, troubles), troubles

    def runs(self, limit: int | None = None, *, brief: bool = False) -> list[dict[str, Any]]:
        """Return what was done, newest first (see `runs.listed`)."""
        return _runs.listed(self._database, limit, brief=brief)

    def visits(self, name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Return a run, named by its number, last or last-1, and its visits. Raises StoreError if there is none."""
        with self._database.reading() as connection:
            number = _runs.number(connection, name)
            visits = _runs.visits(connection, number)
        return _runs.some(self._database, [number])[0], visits

    @property
    def own(self) -> Own:
        """The surveys of the user's own photometry, and which sources and filters the points are of."""
        return _own.Own(self._database)

    def filters(self) -> list[str]:
        """Return the filters that were ever delivered, in alphabetical order."""
        with self._database.reading() as connection:
            return list(connection.execute(select(passband.c.label).order_by(passband.c.label)).scalars())

    def sources(self) -> list[str]:
        """Return the sources that were ever asked, in alphabetical order."""
        with self._database.reading() as connection:
            return list(connection.execute(select(source.c.name).order_by(source.c.name)).scalars())

    def targets(self, *, followed: bool = False) -> list[Target]:
        """Return every target, in alphabetical order; with `followed`, those that are not only kept."""
        with self._database.reading() as connection:
            return _targets.load(connection, followed=followed)

    def target(self, name: str) -> Target | None:
        """Return the target of that name or alias, None if there is none. Raises StoreError when several have it."""
        with self._database.reading() as connection:
            found = _targets.find(connection, name)
            return None if found is None else _targets.load(connection, [found])[0]

    def points(self) -> dict[str, int]:
        """Return how many points every target has that has any, by name."""
        with self._database.reading() as connection:
            return _targets.points(connection)

    def add_target(self, new: Target) -> bool:
        """Follow a target; return False for one whose name or alias is known: it keeps its name and position, and gains the new names."""
        with self._database.writing() as connection:
            number, added = _targets.add(connection, new)
            _targets.heed(connection, [number])
            return added

    def move_target(self, changed: Target) -> None:
        """Give the target of that name another position or motion; the next visits compare every row again. Raises StoreError."""
        with self._database.writing() as connection:
            _targets.move(connection, _targets.get(connection, changed.name), changed)

    def remove_target(self, name: str, *, force: bool = False) -> int:
        """Stop following a target; return how many points went with it. Raises StoreError if there are any and `force` is not given."""
        with self._database.writing() as connection:
            return _targets.remove(connection, name, force=force)

    def cached_name(self, name: str) -> Target | None:
        """Return what a name was found to be, None if it was never looked up."""
        with self._database.reading() as connection:
            return _names.recall(connection, name)

    def remember_name(self, name: str, found: Target) -> None:
        """Keep what a name was found to be, in place of an older answer."""
        with self._database.writing() as connection:
            _names.remember(connection, name, found)

    def about(self) -> dict[str, str]:
        """Return what an exported file should say of the data in it: their kind, the software, and the name under which the store was made."""
        with self._database.reading() as connection:
            return {"data": self.kind, "software": f"harvester {__version__}", "store": versions.name(connection, self._database)}

    def info(self) -> dict[str, Any]:
        """Return what the store is and how much it holds (see `upkeep.contents` and `upkeep.size`)."""
        with self._database.reading() as connection:
            held = {"kind": self.kind, "revision": versions.REVISIONS[-1]} | _upkeep.contents(connection)
        return {"place": self.place, **held, **_upkeep.size(self._database, held["points"])}

    def check(self) -> Iterator[Finding]:
        """Look for damage; yield a finding per check (see `check.CHECKS`)."""
        return _check.findings(self._database)

    def vacuum(self) -> tuple[int, int]:
        """Give back the room of what was deleted; return the bytes before and after. Raises StoreError (see `upkeep.vacuum`)."""
        return _upkeep.vacuum(self._database)

    def copy(self, to: str | Path, report: Report | None = None) -> list[Copied]:
        """Copy everything to a place that holds no store, SQLite or PostgreSQL; return what was copied, table by table.

        `report` is told how far it is. What was there is proven the same before it becomes a store. Raises StoreError.
        """
        destination = Database(to)
        try:
            return _copying.copy(self._database, destination, report or _copying.unheard)
        finally:
            destination.engine.dispose()
