"""The consumer: messages of a stream, in batches, from where the store has read to, through outages, rebalances and lost messages.

Partitions are shared by the members of a consumer group, but where each begins is the caller's knowledge alone: Kafka's own offsets are set for
monitors, and never read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from harvester.alerts.streams.message import Message, Place
from harvester.errors import Refused, Unreachable, UsageError

log = logging.getLogger(__name__)

PATIENCE_S = 10.0
"""How long the broker may take to say where a partition begins and ends."""
SLICE_S = 0.25
"""How long a wait for messages lasts at most, so that a signal is heard soon."""
SETTINGS: Mapping[str, Any] = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",
    "partition.assignment.strategy": "range",
    "session.timeout.ms": 10_000,
    "max.poll.interval.ms": 600_000,
    "reconnect.backoff.ms": 250,
    "reconnect.backoff.max.ms": 30_000,
    "fetch.message.max.bytes": 16 << 20,
    "queued.max.messages.kbytes": 64 << 10,
    "topic.metadata.refresh.interval.ms": 30_000,
    "log_level": 0,
}
"""A restart waits `session.timeout.ms` for the partitions of a member that was killed."""


@dataclass
class Reading:
    """A partition that this process reads: where the store has it (None: it has none), the next message, and how many were lost before it.

    Below zero, `next` is Kafka's own word for the beginning or the end.
    """

    known: int | None
    next: int
    lost: int = 0


@dataclass
class Troubles:
    """What went wrong, told once each; `tell` hears a sentence, and what may be done."""

    tell: Callable[[str, str], None]
    _told: set[str] = field(default_factory=set)

    def say(self, key: str, what: str, hint: str = "") -> None:
        """Tell of a trouble, unless it lasts since it was told last."""
        if key not in self._told:
            self._told.add(key)
            self.tell(what, hint)

    def over(self, key: str, what: str = "") -> None:
        """Note that a trouble is over."""
        if key in self._told:
            self._told.discard(key)
            if what:
                self.tell(what, "")


class Consumer:
    """Reads topics. Partitions come and go while `batch` waits, and at no other time.

    `known` is told topic and partition, and says which message the store wants next, None where it has read none; then the first that the broker
    still has is the next, or with `newest` the first to come. A message that the broker has dropped before it was read is counted as lost, and told.
    Once the group has given partitions, if only none, it has `joined`. `missing` are the topics that the broker does not have.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        topics: Sequence[str],
        known: Callable[[], Mapping[Place, int]],
        *,
        newest: bool,
        troubles: Troubles,
    ) -> None:
        kafka = confluent()
        self._kafka, self._topics, self._known, self._newest, self.troubles = kafka, list(topics), known, newest, troubles
        self.reading: dict[Place, Reading] = {}
        self.missing: set[str] = set()
        self.joined = False
        self._fatal: Exception | None = None
        try:
            self._consumer = kafka.Consumer({**SETTINGS, **config, "error_cb": self._troubled}, logger=log)
        except kafka.KafkaException as error:
            raise UsageError("the stream's settings make no sense.", str(error.args[0].str())[:200]) from error
        self._consumer.subscribe(self._topics, on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked)

    def batch(self, most: int, seconds: float, *, stopped: Callable[[], bool] = lambda: False) -> list[Message]:
        """Return at most so many messages, in the order of each partition: what comes within some seconds, which may be none.

        Raises Refused, Unreachable for what waiting does not mend.
        """
        found: list[Message] = []
        end = monotonic() + seconds
        while len(found) < most and monotonic() < end and not stopped():
            for message in self._consumer.consume(most - len(found), min(SLICE_S, seconds)):
                if message.error():
                    self._erred(message)
                else:
                    found.append(_message(message))
            if self._fatal:
                raise self._fatal
        return self._mine(found)

    def stored(self, afters: Mapping[Place, int]) -> None:
        """Note that the store has read partitions up to these offsets, and tell Kafka, for those who watch the lag."""
        told = []
        for place, after in afters.items():
            if place in self.reading:
                self.reading[place] = Reading(after, after)
                told.append(self._kafka.TopicPartition(*place, after))
        with suppress(self._kafka.KafkaException):
            self._consumer.commit(offsets=told, asynchronous=True)

    def back(self) -> None:
        """Return to where the store stands: what was read since was not stored."""
        known = self._known()
        for place in list(self.reading):
            self._begin(place, known.get(place))
            with suppress(self._kafka.KafkaException):  # it is somebody else's by now
                self._consumer.seek(self._kafka.TopicPartition(*place, self.reading[place].next))

    def close(self) -> None:
        """Leave the group: others take the partitions at once."""
        self._consumer.close()

    def _mine(self, found: list[Message]) -> list[Message]:
        """Leave out what was read of partitions that were taken away meanwhile, or read before a step back."""
        kept = []
        for message in found:
            here = self.reading.get(message.place)
            if here is not None and message.offset >= here.next:
                here.next = message.offset + 1
                kept.append(message)
                self.missing.discard(message.place.topic)
        if kept:
            self.troubles.over("down", "the stream is back.")
        return kept

    def _assigned(self, consumer: Any, partitions: Sequence[Any]) -> None:
        known = self._known()
        for partition in partitions:
            place = Place(partition.topic, partition.partition)
            self._begin(place, known.get(place))
            partition.offset = self.reading[place].next
        consumer.assign(list(partitions))
        self.joined = True

    def _revoked(self, _consumer: Any, partitions: Sequence[Any]) -> None:
        self.joined = False
        for partition in partitions:
            self.reading.pop(Place(partition.topic, partition.partition), None)

    def _begin(self, place: Place, known: int | None) -> None:
        """Find where to read a partition from, and say so if messages are gone."""
        try:
            low, high = self._consumer.get_watermark_offsets(self._kafka.TopicPartition(*place), timeout=PATIENCE_S)
        except self._kafka.KafkaException as error:
            log.info("no watermarks of %s: %s", place, error)
            somewhere = self._kafka.OFFSET_END if self._newest else self._kafka.OFFSET_BEGINNING
            self.reading[place] = Reading(known, somewhere if known is None else known)
            return
        if known is None:
            self.reading[place] = Reading(None, high if self._newest else low)
        elif known < low:
            self.reading[place] = Reading(known, low, low - known)
            self._lost(place, known, low)
        elif known > high:
            self.reading[place] = Reading(known, low)
            words = f"{place.topic} (partition {place.partition}) was made anew: it ends at {high}, and {known} were read of the old one."
            self.troubles.say(f"anew {place}", words, "It is read from its beginning.")
        else:
            self.reading[place] = Reading(known, known)

    def _lost(self, place: Place, known: int, low: int) -> None:
        words = f"{low - known} messages of {place.topic} (partition {place.partition}) are LOST: the broker dropped them before they were read."
        hint = "For ZTF fill the gap with: harvest alerts archive ingest NIGHT; for all else with: harvest update. Listen more often."
        self.troubles.say(f"lost {place} {low}", words, hint)

    def _erred(self, message: Any) -> None:
        """Deal with what came in place of a message."""
        error, place = message.error(), Place(message.topic() or "", message.partition())
        codes = self._kafka.KafkaError
        if error.code() == codes._AUTO_OFFSET_RESET:  # noqa: SLF001 - its name in the documentation
            if place in self.reading:
                self._begin(place, self.reading[place].known)
                self._consumer.seek(self._kafka.TopicPartition(*place, self.reading[place].next))
        elif error.code() in {codes.UNKNOWN_TOPIC_OR_PART, codes._UNKNOWN_TOPIC}:  # noqa: SLF001
            self.missing.add(place.topic)
            self.troubles.say(
                f"unknown {place.topic}", f"the broker has no topic '{place.topic}'.", "It may have had no message yet: waiting for it."
            )
        else:
            self._troubled(error)

    def _troubled(self, error: Any) -> None:
        """Tell of trouble with the broker; what waiting does not mend ends the listening."""
        codes = self._kafka.KafkaError
        why = str(error.str())
        if error.code() in {codes._AUTHENTICATION, codes.TOPIC_AUTHORIZATION_FAILED, codes.GROUP_AUTHORIZATION_FAILED}:  # noqa: SLF001
            self._fatal = Refused("the stream does not let us in.", why[:200], "Check the user, the password, the group and the topics.")
        elif error.fatal():
            self._fatal = Unreachable("the stream cannot be read.", why[:200])
        elif error.code() == codes._ALL_BROKERS_DOWN:  # noqa: SLF001
            self.troubles.say("down", "the stream's servers cannot be reached; trying again until they can be.", why[:200])
        elif not error.retriable() and error.code() not in {codes._TRANSPORT, codes._RESOLVE, codes._PARTITION_EOF}:  # noqa: SLF001
            log.info("kafka: %s", why)


@contextmanager
def listening(consumer: Consumer) -> Iterator[Consumer]:
    """Close a consumer at the end of the block."""
    try:
        yield consumer
    finally:
        consumer.close()


def confluent() -> Any:
    """Return the module confluent_kafka. Raises UsageError where it is missing."""
    try:
        import confluent_kafka
    except ModuleNotFoundError as error:
        raise UsageError("streams need the package confluent-kafka.", hint="pip install 'harvester[streams]'") from error
    return confluent_kafka


def _message(given: Any) -> Message:
    kind, milliseconds = given.timestamp()
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z") if kind else ""
    headers = {name: value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for name, value in given.headers() or ()}
    return Message(Place(given.topic(), given.partition()), given.offset(), given.value() or b"", given.key() or b"", headers, moment)
