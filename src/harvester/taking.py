"""Taking messages in: which alerts are in them, of which targets they are, and what is to be stored of them.

A message that cannot be read becomes a dead letter, also where it is a bug of ours that trips over it, and the others go on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from harvester.alerts.streams.hearing import Heard
from harvester.alerts.streams.message import DeadLetter, Message
from harvester.alerts.streams.quick import hear_all
from harvester.alerts.streams.where import Wanted
from harvester.errors import HarvesterError, Malformed
from harvester.intake import intake
from harvester.packets import lsst_rows, ztf_rows
from harvester.payload import Payload
from harvester.sky import Sky, Things, named

if TYPE_CHECKING:
    from harvester.store.many import Many
    from harvester.target import Target

log = logging.getLogger(__name__)

PACKETS: Mapping[str, Callable[[Sequence[bytes]], Any]] = {"ztf_alerts": ztf_rows, "lsst_alerts": lsst_rows}
"""The sources whose packets come by stream, and what reads many of them at once."""
RADIUS, LEEWAY = 1.5, 1.0
"""Arcseconds within which an alert is of a target, and how much its history may move it."""
LONGEST_REASON = 300
SURVEY_OF = (("ZTF", lambda name: name.startswith("ZTF")), ("LSST", str.isdigit))


@dataclass(frozen=True, slots=True)
class Told:
    """An alert of a target, by the target's name; `new` says that the target became one through it."""

    heard: Heard
    target: str
    new: bool
    payload: Payload


@dataclass(frozen=True, slots=True)
class Taken:
    """What is to be stored of messages: photometry by source, dead letters, targets that are new, and those of which a source has more to tell.

    `added` are the new targets that have no photometry here. `told` are the alerts that are of targets, of the `alerts` that were heard; `followed`
    of them are of targets that were known before.
    """

    parts: tuple[Many, ...] = ()
    dead: tuple[DeadLetter, ...] = ()
    new: tuple[Target, ...] = ()
    added: tuple[Target, ...] = ()
    due: tuple[tuple[str, str], ...] = ()
    told: tuple[Told, ...] = ()
    alerts: int = 0
    followed: int = 0

    def __add__(self, other: Taken) -> Taken:
        """Return both."""
        return Taken(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    @property
    def matched(self) -> list[Target]:
        """The targets that were known before and have photometry here."""
        new = {target.name for target in self.new}
        return [target for part in self.parts for target in part.targets if target.name not in new]


@dataclass(frozen=True, slots=True)
class Taking:
    """Takes the messages of a broker in, with the targets of `sky`, to which it adds what is `wanted`, if it may `add`."""

    broker: str
    sky: Sky
    wanted: Wanted = field(default_factory=Wanted)
    add: bool = False

    def take(self, messages: Sequence[Message]) -> Taken:
        """Return what is to be stored of messages. Raises UsageError where a package is missing; whatever else goes wrong is a dead letter."""
        size = len(self.sky.targets)
        try:
            return self._taken(messages)
        except HarvesterError as error:
            if not isinstance(error, Malformed):
                raise
            why = str(error)
        except Exception as error:
            log.exception("in a batch of %d messages", len(messages))
            why = f"{type(error).__name__}: {error}"
        self.sky.shrink(size)
        if len(messages) == 1:
            return Taken(dead=(DeadLetter(messages[0], f"it cannot be taken in: {why}"[:LONGEST_REASON]),))
        half = len(messages) // 2
        return self.take(messages[:half]) + self.take(messages[half:])

    def _taken(self, messages: Sequence[Message]) -> Taken:
        size = len(self.sky.targets)
        heard, dead = hear_all(messages, self.broker)
        placed = [one for one in heard if one.placed and not one.alert.moving]
        known = self._known(placed)
        wanted = [self.add and self.wanted.passes(one) for one in placed]
        chosen = [one for one, mine, new in zip(placed, known, wanted, strict=True) if mine or new]
        new = [one for one, mine, new in zip(placed, known, wanted, strict=True) if new]
        payloads = {id(one): _payload(one) for one in chosen}
        parts, refused = self._photometry(chosen, new, payloads)
        with_rows = len(self.sky.targets)
        due = self._more(chosen, new)
        told = self._told(chosen, size, payloads)
        return Taken(
            tuple(parts),
            (*dead, *refused),
            tuple(self.sky.targets[size:]),
            tuple(self.sky.targets[with_rows:]),
            tuple(due),
            tuple(told),
            len(heard),
            sum(not one.new for one in told),
        )

    def _known(self, placed: Sequence[Heard]) -> list[bool]:
        """Return which alerts are, or may be, of followed targets."""
        mine = np.zeros(len(placed), bool)
        for survey in {one.alert.survey for one in placed}:
            own = np.array([number for number, one in enumerate(placed) if one.alert.survey == survey])
            pairs = self.sky.match(_things([placed[number] for number in own]), survey, RADIUS + LEEWAY, RADIUS + LEEWAY)
            mine[own[pairs.things]] = True
        found: list[bool] = mine.tolist()
        return found

    def _photometry(
        self, chosen: Sequence[Heard], new: Sequence[Heard], payloads: Mapping[int, Payload]
    ) -> tuple[list[Many], list[DeadLetter]]:
        """Return the photometry in packets, with new targets for those that are `new`, and the packets that cannot be decoded."""
        parts, dead, names = [], [], [one.alert.object_id for one in new]
        for source, read in PACKETS.items():
            own = [one for one in chosen if one.source == source]
            if own:
                rows, refused = read([one.packet for one in own])
                dead += [DeadLetter(own[index].message, reason) for index, reason in refused]
                parts.append(intake(source, rows, [payloads[id(one)] for one in own], self.sky, add=names))
        return parts, dead

    def _told(self, chosen: Sequence[Heard], size: int, payloads: Mapping[int, Payload]) -> list[Told]:
        """Return the alerts that turned out to be of targets; those from number `size` on are new."""
        return [
            Told(one, self.sky.targets[number].name, number >= size, payloads[id(one)])
            for one in chosen
            for number in self.sky.known_as(one.alert.object_id, one.alert.survey)
        ]

    def _more(self, chosen: Sequence[Heard], new: Sequence[Heard]) -> list[tuple[str, str]]:
        """Add a target for each new alert without photometry; return the targets of which a source has more than its broker sent."""
        bare, names = [one for one in chosen if not one.source], {one.alert.object_id for one in new}
        due = []
        for one in bare:
            thing = _things([one])
            found = self.sky.match(thing, one.alert.survey, RADIUS, RADIUS).targets.tolist()
            if not found and one.alert.object_id in names:
                found = [self.sky.add(_target(one))]
            for number in found:
                self.sky.know(number, one.alert.survey, one.alert.object_id)
            due += [(self.sky.targets[number].name, one.asks) for number in found if one.asks]
        return due


def _things(heard: Sequence[Heard]) -> Things:
    numbers = np.array([[one.alert.ra, one.alert.dec, one.alert.mjd] for one in heard], np.float64).reshape(-1, 3)
    return Things([one.alert.object_id for one in heard], *numbers.T)


def _payload(heard: Heard) -> Payload:
    message, kind = heard.message, "avro/binary" if heard.source else "application/json"
    url = f"kafka:{heard.alert.broker}/{message.place.topic}/{message.place.partition}/{message.offset}"
    return Payload(heard.packet, url=url, time=message.time, source=heard.source, content_type=kind)


def _target(heard: Heard) -> Target:
    from harvester.target import Target

    alert = heard.alert
    assert alert.ra is not None
    assert alert.dec is not None
    ids: dict[str, tuple[str, ...]] = {}
    for word in (alert.object_id, *alert.names):
        for survey, is_of in SURVEY_OF:
            if is_of(word):
                ids[survey] = (*ids.get(survey, ()), word)
    return Target(named(alert.object_id, alert.survey), alert.ra, alert.dec, ids=ids)
