"""Listening to a stream: batch after batch of messages is taken in and stored, each with its offsets in one transaction.

What is read twice, by whom or why ever, is stored once; what is killed in its middle is read again.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any

from harvester import __version__
from harvester.alerts.streams.consumer import Consumer, Reading, Troubles, listening
from harvester.alerts.streams.message import DeadLetter, Message, Place
from harvester.alerts.streams.where import Wanted
from harvester.errors import HarvesterError, Unreachable
from harvester.sky import Sky
from harvester.store.alert_book import Told as Kept
from harvester.store.streams import Census, Letter, OutOfStep, Read, Step, note, tell
from harvester.taking import LONGEST_REASON, Taken, Taking

if TYPE_CHECKING:
    from harvester.lanes import Stop
    from harvester.store import Counts, Run, Store

log = logging.getLogger(__name__)

BATCH, BATCH_S = 500, 1.0
"""A batch is so many messages, or what came in so many seconds."""
JOINING_S = 45.0
"""How long it may take beside `idle` until the group has given partitions."""
LONGEST_STEP_S = 2 * BATCH_S
"""More than that between two looks at the clock was no listening."""
TRIES = 5
"""How often a batch is begun anew because the targets changed under it."""
NO_CENSUS = Census(-1, 0)


@dataclass(frozen=True, slots=True)
class Ear:
    """What is listened to, and what becomes of it: alerts of followed targets, and with `add` of all that `wanted` lets pass.

    `config` is the client's. `newest` begins a topic that was never read at its end. `most` messages are read, or until none came for `idle` s.
    """

    broker: str
    topics: Sequence[str]
    config: Mapping[str, Any] = field(repr=False)
    wanted: Wanted = field(default_factory=Wanted)
    add: bool = False
    newest: bool = False
    most: int | None = None
    idle: float | None = None


@dataclass
class Report:
    """What came of listening: messages, the alerts in them, how many of these are of followed targets, new targets; rows by what became of them.

    `dead` messages could not be read, for `reasons`; `lost` ones were dropped by the broker before they were read.
    """

    messages: int = 0
    alerts: int = 0
    followed: int = 0
    targets: int = 0
    new: int = 0
    revised: int = 0
    known: int = 0
    quarantined: int = 0
    dead: int = 0
    lost: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    missing: tuple[str, ...] = ()

    def add(self, taken: Taken, steps: Sequence[Step], counts: Sequence[Counts]) -> None:
        """Count a batch that was stored."""
        self.messages += sum(step.messages for step in steps)
        self.lost += sum(step.lost for step in steps)
        self.alerts, self.followed = self.alerts + taken.alerts, self.followed + taken.followed
        self.targets, self.dead = self.targets + len(taken.new), self.dead + len(taken.dead)
        self.reasons.update(letter.reason for letter in taken.dead)
        for one in counts:
            self.new, self.revised = self.new + one.new, self.revised + one.revised
            self.known, self.quarantined = self.known + one.known + one.known_elsewhere, self.quarantined + one.quarantined


def listen(
    ear: Ear, store: Store, stop: Stop, *, troubles: Troubles, heard: Callable[[Taken], None] = lambda _: None, command: str = ""
) -> Report:
    """Listen until `stop` says so or the ear has enough; `heard` is told after each batch. A broker that is away is waited for.

    Raises Refused, Unreachable, UsageError, StoreError.
    """
    streams, report = store.streams, Report()

    def known() -> Mapping[Place, int]:
        return {Place(*place): after for place, after in streams.offsets(ear.broker).items()}

    consumer = Consumer(ear.config, ear.topics, known, newest=ear.newest, troubles=troubles)
    with listening(consumer), store.run(command, __version__) as run:
        taker = Taker(ear, store, run)
        for messages in _batches(ear, consumer, stop, report):
            if taken := _stored(taker, consumer, messages, report):
                heard(taken)
        run.status = "interrupted" if stop.asked else "done"
    report.missing = tuple(sorted(consumer.missing))
    return report


def _batches(ear: Ear, consumer: Consumer, stop: Stop, report: Report) -> Iterator[list[Message]]:
    """Yield batches of messages as they come, until there is enough of it."""
    quiet = _Quiet(ear.idle)
    while not (stop.called or _enough(ear, report) or quiet.enough(joined=consumer.joined)):
        messages = consumer.batch(_room(ear, report), BATCH_S, stopped=lambda: stop.called)
        if messages:
            yield messages
            quiet = _Quiet(ear.idle)


class _Quiet:
    """Tells when nothing came for long enough. Time counts while the machine is awake, and while the group has given partitions."""

    def __init__(self, idle: float | None) -> None:
        self._idle, self._last, self._joined, self._quiet = idle, monotonic(), False, 0.0

    def enough(self, *, joined: bool) -> bool:
        """Whether to end. Raises Unreachable where the group could not be joined in time."""
        if self._idle is None:
            return False
        before, self._last = self._last, monotonic()
        self._quiet = min(self._last - before, LONGEST_STEP_S) + (self._quiet if joined == self._joined else 0.0)
        self._joined = joined
        if not joined and self._quiet >= self._idle + JOINING_S:
            why = "Its servers do not answer, or another member of the group keeps it waiting."
            raise Unreachable(f"the stream could not be joined in {self._quiet:.0f} s.", why, "What was read before is stored.")
        return joined and self._quiet >= self._idle


def read_again(broker: str, letters: Mapping[int, Letter], store: Store, *, command: str = "") -> tuple[Report, dict[int, str]]:
    """Read dead letters again with today's code; what can be read now is stored, and is a dead letter no more. Return why the others cannot be.

    Raises StoreError, UsageError.
    """
    report, still = Report(), {}
    with store.run(command, __version__) as run:
        taker = Taker(Ear(broker, (), {}), store, run)
        for number, letter in letters.items():
            message = Message(Place(letter.topic, letter.partition), letter.offset, letter.body, letter.key, letter.headers, letter.time)
            reason = taker.again(number, message, report)
            if reason:
                still[number] = reason
        run.status = "done"
    return report, still


def _stored(taker: Taker, consumer: Consumer, messages: Sequence[Message], report: Report) -> Taken | None:
    """Store a batch, or go back to where the store stands where another reader was faster."""
    places = {message.place for message in messages}
    taken = taker.take(messages, consumer.reading, report)
    if taken:
        consumer.stored({place: consumer.reading[place].next for place in places})
    else:
        consumer.troubles.say("behind", "another listener reads the same partitions into this store.", "Give both the same --group.")
        consumer.back()
    return taken


def _enough(ear: Ear, report: Report) -> bool:
    return ear.most is not None and report.messages >= ear.most


def _room(ear: Ear, report: Report) -> int:
    return BATCH if ear.most is None else min(BATCH, ear.most - report.messages)


class Taker:
    """Stores batches. It knows the targets of the store, and looks for new ones before each batch."""

    def __init__(self, ear: Ear, store: Store, run: Run) -> None:
        self._ear, self._store, self._run = ear, store, run
        self._sky, self._census = Sky(), NO_CENSUS

    def take(self, messages: Sequence[Message], reading: Mapping[Place, Reading], report: Report) -> Taken | None:
        """Store a batch; return None where another reader was faster. Raises StoreError, UsageError.

        A message that cannot be stored for a bug of ours is a dead letter; to find it a batch is parted, and stored in parts.
        """
        try:
            return self._take(messages, reading, report)
        except HarvesterError:
            raise
        except Exception as error:
            log.exception("a batch of %d messages cannot be stored", len(messages))
            self._census = NO_CENSUS
            if len(messages) == 1:
                return self._bury(messages[0], f"it cannot be stored: {type(error).__name__}: {error}", reading, report)
        half = len(messages) // 2
        first = self.take(messages[:half], reading, report)
        second = self.take(messages[half:], reading, report) if first else None
        return first + second if first and second else None

    def _bury(self, message: Message, why: str, reading: Mapping[Place, Reading], report: Report) -> Taken | None:
        self._look()
        try:
            return self._put(Taken(dead=(DeadLetter(message, why[:LONGEST_REASON]),)), [message], reading, report)
        except OutOfStep:  # read again, and found again
            return None

    def _take(self, messages: Sequence[Message], reading: Mapping[Place, Reading], report: Report) -> Taken | None:
        for _ in range(TRIES):
            self._look()
            size = len(self._sky.targets)
            try:
                return self._put(self._taking().take(messages), messages, reading, report)
            except OutOfStep as error:
                log.info("a batch is begun anew: %s", error)
                self._sky.shrink(size)
                self._census = NO_CENSUS if error.moved else self._census
                if error.overtaken:
                    return None
        return None

    def _put(self, taken: Taken, messages: Sequence[Message], reading: Mapping[Place, Reading], report: Report) -> Taken:
        """Store what was taken in, with the offsets of its messages. Raises OutOfStep, StoreError."""
        steps = _steps(messages, reading)
        self._keep(taken, steps, report)
        for step in steps:
            here = reading[Place(step.topic, step.partition)]
            here.known, here.lost = step.after, 0
        return taken

    def again(self, number: int, message: Message, report: Report) -> str:
        """Read one dead letter again; return why it still cannot be read, empty if it was stored. Raises StoreError, UsageError."""
        self._look()
        taken = self._taking().take([message])
        if taken.dead:
            return taken.dead[0].reason
        self._keep(taken, [], report, number)
        return ""

    def _taking(self) -> Taking:
        return Taking(self._ear.broker, self._sky, self._ear.wanted, self._ear.add)

    def _keep(self, taken: Taken, steps: Sequence[Step], report: Report, *letters: int) -> None:
        """Store what was taken in. Raises OutOfStep, StoreError."""
        read = Read(
            self._ear.broker,
            steps,
            [_letter(one) for one in taken.dead],
            taken.added,
            taken.due,
            [Kept(one.heard.alert, one.payload, one.target) for one in taken.told],
            self._census,
            taken.matched,
            adds=bool(taken.new),
        )
        counts = self._run.batch(taken.parts, note(read, read_at_last=letters), tell(read))
        report.add(taken, steps, counts)

    def _look(self) -> None:
        """Hear of the targets that came since, our own among them, or read all of them again where some went."""
        new, later = self._store.streams.since(self._census)
        if new is None:
            everyone, later = self._store.streams.everyone()
            self._sky = Sky.of(everyone)
        for target in new or ():
            self._sky.add_new(target)
        self._census = later


def _steps(messages: Sequence[Message], reading: Mapping[Place, Reading]) -> list[Step]:
    counts = Counter(message.place for message in messages)
    after = {message.place: message.offset + 1 for message in messages}
    return [Step(*place, reading[place].known, after[place], count, reading[place].lost) for place, count in counts.items()]


def _letter(dead: DeadLetter) -> Letter:
    one = dead.message
    return Letter(*one.place, one.offset, one.time, dead.reason, one.key, one.value, one.headers)
