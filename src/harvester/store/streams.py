"""Streams in the store: how far each partition is read, told in the same transaction as what was read; and the messages that could not be.

The offset of a partition moves only from where its reader took it to stand: of two that read the same messages one is too late, and nothing of it
is stored. So every message is stored once, whoever is killed when.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
from sqlalchemy import ColumnElement, Connection, and_, delete, func, select, text

from harvester.store import targets
from harvester.store.alert_book import Told, keep_many
from harvester.store.prepared import Missing
from harvester.store.provenance import compressed
from harvester.store.rows import clean, insert_missing, now
from harvester.store.stream_tables import dead_letter, stream_offset
from harvester.store.tables import schedule, source, target
from harvester.target import Target, fold

if TYPE_CHECKING:
    from harvester.store.connection import Database

ADDING = 0x686E6577
"""Key of the PostgreSQL lock under which listeners add targets, one at a time."""
LARGEST = 128 << 20
AT_ONCE = 500
MOST_NEW = 10_000
"""More new targets than this are no news: all are read again."""
_FIRST = Missing(stream_offset, *(column.name for column in stream_offset.columns))
SHOWN = ("id", "broker", "topic", "partition", "offset", "time", "reason")


class OutOfStep(Exception):
    """What was to be stored rests on a state of the store that is no more, and nothing was stored.

    Another reader was faster (`overtaken`), a target was `moved`, or else targets came or went.
    """

    def __init__(self, what: str, *, overtaken: bool = False, moved: bool = False) -> None:
        super().__init__(what)
        self.overtaken, self.moved = overtaken, moved


class Census(NamedTuple):
    """How many followed targets there are, and the number of the newest: it changes when one comes or goes."""

    size: int
    newest: int


@dataclass(frozen=True, slots=True)
class Step:
    """A partition read from the offset `first` up to, not including, `after`. `known` is where the store has it, None if it has none.

    `messages` were read; `lost` are those before `first` that the broker had dropped already.
    """

    topic: str
    partition: int
    known: int | None
    after: int
    messages: int
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Letter:
    """A message that could not be read, as it came, and why."""

    topic: str
    partition: int
    offset: int
    time: str
    reason: str
    key: bytes
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Read:
    """What is stored of a batch of messages beside the photometry in it.

    `steps` of the partitions; `letters`; `targets` to be followed; `due`, names of targets and sources that have more of them;
    `alerts` of targets. `census` is of the
    targets with which the batch was matched, `matched` those that it was matched to; `adds` says that there are new ones.
    """

    broker: str
    steps: Sequence[Step]
    letters: Sequence[Letter] = ()
    targets: Sequence[Target] = ()
    due: Sequence[tuple[str, str]] = ()
    alerts: Sequence[Told] = ()
    census: Census | None = None
    matched: Sequence[Target] = ()
    adds: bool = False


class Streams:
    """What a store knows of streams."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def offsets(self, broker: str) -> dict[tuple[str, int], int]:
        """Return the next message of every partition that was read, by topic and partition."""
        with self._database.reading() as connection:
            return _offsets(connection, broker)

    def progress(self) -> list[dict[str, Any]]:
        """Return how far every partition is read, and how many of its messages were lost."""
        order = (stream_offset.c.broker, stream_offset.c.topic, stream_offset.c.partition)
        with self._database.reading() as connection:
            return [dict(row) for row in connection.execute(select(stream_offset).order_by(*order)).mappings()]

    def since(self, census: Census) -> tuple[list[Target] | None, Census]:
        """Return the targets that came after a census, and the new census; None where others went since, and all have to be read again."""
        with self._database.reading() as connection:
            later = take_census(connection)
            if later == census:
                return [], later
            new = list(connection.execute(select(target.c.id).where(target.c.id > census.newest, target.c.followed)).scalars())
            if census.size + len(new) != later.size or len(new) > MOST_NEW:
                return None, later
            return targets.load(connection, new) if new else [], later

    def everyone(self) -> tuple[list[Target], Census]:
        """Return all followed targets, and their census."""
        with self._database.reading() as connection:
            return targets.load(connection, followed=True), take_census(connection)

    def forget(self, broker: str, topics: Iterable[str]) -> int:
        """Forget how far topics were read; return how many partitions that were."""
        with self._database.writing() as connection:
            gone = delete(stream_offset).where(stream_offset.c.broker == broker, stream_offset.c.topic.in_(list(topics)))
            return int(connection.execute(gone).rowcount)

    def letters(self, broker: str | None = None, topics: Sequence[str] = ()) -> list[dict[str, Any]]:
        """Return the messages that could not be read, without what they hold, oldest first."""
        chosen = [dead_letter.c[name] for name in SHOWN]
        with self._database.reading() as connection:
            rows = connection.execute(select(*chosen).where(_of(broker, topics)).order_by(dead_letter.c.id))
            return [dict(row) for row in rows.mappings()]

    def letter(self, number: int) -> Letter | None:
        """Return a message that could not be read, None if there is none of that number."""
        with self._database.reading() as connection:
            row = connection.execute(select(dead_letter).where(dead_letter.c.id == number)).mappings().one_or_none()
        if row is None:
            return None
        return Letter(
            **{name: row[name] for name in ("topic", "partition", "offset", "time", "reason")},
            key=_plain(row["key"]) if row["key"] else b"",
            body=_plain(row["body"]),
            headers=json.loads(row["headers"]),
        )

    def drop(self, numbers: Iterable[int]) -> int:
        """Take messages out of the dead letters; return how many there were."""
        with self._database.writing() as connection:
            return _drop(connection, numbers)


def tell(read: Read) -> Callable[[Connection], None]:
    """Return what keeps a batch's alerts, to be done within the same transaction, after the photometry: by then their targets are there."""
    return lambda connection: keep_many(connection, read.alerts)


def note(read: Read, *, read_at_last: Sequence[int] = ()) -> Callable[[Connection], None]:
    """Return what stores a batch's progress, to be done within the transaction that stores its photometry, before it.

    `read_at_last` are the numbers of dead letters that this batch is made of. It raises OutOfStep.
    """

    def write(connection: Connection) -> None:
        _check_targets(connection, read)
        for step in read.steps:
            _advance(connection, read.broker, step)
        _keep(connection, read)
        _drop(connection, read_at_last)
        for new in read.targets:
            targets.heed(connection, [targets.add(connection, new)[0]])
        _make_due(connection, read.due)

    return write


def _offsets(connection: Connection, broker: str) -> dict[tuple[str, int], int]:
    columns = stream_offset.c.topic, stream_offset.c.partition, stream_offset.c.next_offset
    return {
        (topic, partition): after
        for topic, partition, after in connection.execute(select(*columns).where(stream_offset.c.broker == broker))
    }


def take_census(connection: Connection) -> Census:
    """Return how many followed targets there are, and the number of the newest."""
    here = select(func.count(), func.coalesce(func.max(target.c.id), 0)).where(target.c.followed)
    count, newest = connection.execute(here).one()
    return Census(int(count), int(newest))


def _check_targets(connection: Connection, read: Read) -> None:
    """See that the targets are those that the batch was matched with. One listener at a time adds targets, so that none is made twice."""
    if read.adds and connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADDING})
    if read.census is not None and take_census(connection) != read.census:
        raise OutOfStep("targets came or went")
    asked = {fold(clean(one.name)): one for one in read.matched}
    names, places = list(asked), [target.c[name] for name in targets.POSITION]
    for start in range(0, len(names), AT_ONCE):
        held = connection.execute(select(target.c.folded, *places).where(target.c.folded.in_(names[start : start + AT_ONCE])))
        for name, *place in held:
            if tuple(place) != tuple(getattr(asked[name], part) for part in targets.POSITION):
                raise OutOfStep("a target was moved", moved=True)


def _advance(connection: Connection, broker: str, step: Step) -> None:
    """Move the offset of a partition, if it stands where the reader took it to stand. Raises OutOfStep."""
    where = {"broker": broker, "topic": step.topic, "partition": step.partition}
    here = and_(*(stream_offset.c[name] == value for name, value in where.items()))
    if step.known is None:
        first = {"next_offset": step.after, "messages": step.messages, "lost": step.lost, "updated": now()}
        moved = _FIRST(connection, **where, **first).rowcount
    else:
        later: dict[str, Any] = {"messages": stream_offset.c.messages + step.messages, "lost": stream_offset.c.lost + step.lost}
        later |= {"next_offset": step.after, "updated": now()}
        moved = connection.execute(stream_offset.update().where(here, stream_offset.c.next_offset == step.known).values(later)).rowcount
    if moved != 1:
        raise OutOfStep(f"another reader has read on in {step.topic}, partition {step.partition}", overtaken=True)


def _keep(connection: Connection, read: Read) -> None:
    rows = [
        {
            "broker": read.broker,
            **{name: clean(getattr(letter, name)) for name in ("topic", "time", "reason")},
            **{name: getattr(letter, name) for name in ("partition", "offset")},
            "headers": clean(json.dumps(dict(letter.headers), ensure_ascii=False)),
            "key": packed(letter.key) if letter.key else None,
            "body": packed(letter.body),
        }
        for letter in read.letters
    ]
    if rows:
        connection.execute(insert_missing(connection, dead_letter), rows)


def _drop(connection: Connection, numbers: Iterable[int]) -> int:
    chosen = list(numbers)
    return int(connection.execute(delete(dead_letter).where(dead_letter.c.id.in_(chosen))).rowcount) if chosen else 0


def _make_due(connection: Connection, due: Sequence[tuple[str, str]]) -> None:
    """Let sources be asked about targets at the next update; a target that a source was never asked about is due anyway."""
    moment = now()
    for name, source_name in dict.fromkeys(due):
        whose = select(target.c.id).where(target.c.folded == fold(clean(name))).scalar_subquery()
        which = select(source.c.id).where(source.c.name == source_name).scalar_subquery()
        here = and_(schedule.c.target_id == whose, schedule.c.source_id == which, schedule.c.next_due > moment)
        connection.execute(schedule.update().where(here).values(next_due=moment))


def _of(broker: str | None, topics: Sequence[str]) -> ColumnElement[bool]:
    told = [dead_letter.c.broker == broker] if broker else []
    told += [dead_letter.c.topic.in_(topics)] if topics else []
    return and_(dead_letter.c.id > 0, *told)


def packed(body: bytes) -> bytes:
    """Return a body compressed, its length before it."""
    return len(body).to_bytes(8, "big") + compressed(body)


def _plain(packed: bytes) -> bytes:
    size = int.from_bytes(packed[:8], "big")
    return bytes(pa.decompress(packed[8:], min(size, LARGEST), codec="zstd", asbytes=True))
