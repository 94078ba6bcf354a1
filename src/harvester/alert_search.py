"""Questions to brokers of alerts: asked once, or kept and asked again, with what was told before left out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from harvester import __version__
from harvester.access import session_for
from harvester.alert_targets import Followed
from harvester.alerts.alert import Alert
from harvester.alerts.broker import Broker, Feedback, Question, load
from harvester.errors import HarvesterError, SourceError, StoreError
from harvester.session import Client, DryRun
from harvester.visiting import bug

if TYPE_CHECKING:
    from harvester.config import Settings
    from harvester.lanes import Stop
    from harvester.store import Store
    from harvester.store.alerts import SavedQuery

log = logging.getLogger(__name__)
AT_ONCE = 100
"""Alerts in a transaction."""


def search(broker: Broker, question: Question, client: Client, settings: Settings, *, feedback: Feedback) -> Generator[Alert]:
    """Yield the alerts that answer a question, at most its `limit`; a page is asked for when the ones before are used up.

    Raises BadQuestion before anybody is asked, SourceError later.
    """
    asked = broker.checked(question)
    session = session_for(broker.name, broker, client, settings)
    return _limited(broker.query(asked, session, feedback), asked.limit, feedback)


def first_request(broker: Broker, question: Question, settings: Settings, *, simulated: bool) -> str:
    """Return the request that a question would begin with, sending none; the rest depends on the answers."""
    requests: list[str] = []

    def note(method: str, url: str, _params: Mapping[str, Any]) -> None:
        requests.append(f"{method} {url}")

    client = Client(contact=settings.contact, version=__version__, loopback_only=simulated, dry_run=True, on_request=note)
    with closing(client), suppress(DryRun):
        next(search(broker, question, client, settings, feedback=Feedback()), None)
    return requests[0] if requests else ""


def _limited(alerts: Iterator[Alert], limit: int | None, feedback: Feedback) -> Generator[Alert]:
    count = 0
    for count, alert in enumerate(islice(alerts, limit), 1):  # noqa: B007 - the last one is told of
        yield alert
    if limit is not None and count == limit:
        feedback.note(f"{limit} alerts, as many as asked for; there may be more.")


@dataclass
class Keeping:
    """Keeps alerts in a store as they pass: `targets` makes targets of them, `query` has told them from then on.

    What has passed is kept when the block of `through` ends, however it ends: whoever stops reading has read what was kept.
    """

    store: Store
    targets: Followed | None = None
    query: str | None = None
    added: list[str] = field(default_factory=list)
    """Names of the targets that are new."""
    moving: int = 0
    """How many alerts of the solar system made no target."""

    def through(self, alerts: Iterator[Alert]) -> Generator[Alert]:
        """Yield the alerts, and keep them."""
        waiting: list[Alert] = []
        try:
            for alert in alerts:
                waiting.append(alert)
                yield alert
                if len(waiting) >= AT_ONCE:
                    self._keep(waiting)
                    waiting = []
        finally:
            self._keep(waiting)

    def _keep(self, alerts: Sequence[Alert]) -> None:
        """Make the targets first: an alert that is marked as told and has no target would never get one."""
        if alerts:
            self.store.alerts.keep([(alert, self._target(alert)) for alert in alerts], self.query)

    def _target(self, alert: Alert) -> str | None:
        if self.targets is None:
            return None
        name, is_new = self.targets.add(alert)
        self.moving += alert.moving
        if is_new and name:
            self.added.append(name)
        return name


@dataclass(frozen=True, slots=True)
class Asked:
    """What became of a saved question: `alerts` are new ones, `targets` the names of new targets.

    `outcome` is done, incomplete (see `message`), stopped, postponed or failed; `error` the kind of error, as in an Outcome.
    """

    query: str
    broker: str
    outcome: str
    alerts: int = 0
    targets: tuple[str, ...] = ()
    error: str = ""
    message: str = ""
    notes: tuple[str, ...] = ()

    @property
    def troubled(self) -> bool:
        """Whether something was not got."""
        return self.outcome in {"incomplete", "postponed", "failed"}


def ask_again(
    saved: SavedQuery,
    store: Store,
    client: Client,
    settings: Settings,
    *,
    on_alert: Callable[[Alert], None] = lambda _: None,
    stop: Stop | None = None,
) -> Asked:
    """Ask a saved question for what is new, keep it, and note how it went. A failure of the broker is an outcome; raises StoreError only.

    Asks from some days before the newest alert of the last whole answer on; what was told before is left out. `limit` counts new alerts; what
    it leaves comes next time, but for a question without a beginning, whose first answer is its newest alerts and no more.
    """
    feedback = Feedback()
    try:
        broker = load(saved.broker)
        newer = Newer(store, saved, broker, stop)
        newer.read(search(broker, newer.question, client, settings, feedback=feedback), on_alert)
    except StoreError:
        raise
    except HarvesterError as error:
        return _failed(store, saved, error)
    except Exception as error:
        log.exception("bug in broker %s", saved.broker)
        return _failed(store, saved, bug(saved.broker, error))
    lacking = "; ".join(feedback.lacking)
    outcome = "incomplete" if lacking else "stopped" if stop and stop.called and not newer.whole else "done"
    store.alerts.asked(saved.name, newest=newer.newest if newer.covered and feedback.whole else None, trouble=lacking, outcome=outcome)
    told = {"alerts": newer.count, "targets": tuple(newer.keeping.added), "message": lacking, "notes": tuple(feedback.notes)}
    return Asked(saved.name, saved.broker, outcome, **told)  # type: ignore[arg-type] # one value of each kind


class Newer:
    """Reads of an answer what a saved question has not told yet."""

    def __init__(self, store: Store, saved: SavedQuery, broker: Broker, stop: Stop | None) -> None:
        asked = Question.from_json(saved.question)
        since = asked.since if saved.newest is None else max(saved.newest - broker.lookback, asked.since or 0.0)
        self.question = replace(asked, since=since, limit=None)
        self.keeping = Keeping(store, Followed(store, broker.radius) if saved.add_targets else None, saved.name)
        self.count, self.whole = 0, False
        self.newest = saved.newest
        self._limit, self._stop, self._before = asked.limit, stop, store.alerts.told(saved.name)

    def read(self, alerts: Generator[Alert], on_alert: Callable[[Alert], None]) -> None:
        """Read until the end, the limit, or the stop."""
        with closing(alerts), closing(self.keeping.through(self._unknown(alerts))) as kept:
            for alert in kept:
                self.count += 1
                on_alert(alert)
                if self.count == self._limit or (self._stop and self._stop.called):
                    return
        self.whole = True

    @property
    def covered(self) -> bool:
        """Whether all that was asked for was read: the next question may begin at the newest alert."""
        return self.whole or (self.question.since is None and self.count == self._limit)

    def _unknown(self, alerts: Iterator[Alert]) -> Iterator[Alert]:
        for alert in alerts:
            if alert.mjd is not None:
                self.newest = max(alert.mjd, self.newest or alert.mjd)
            if (alert.survey, alert.key) not in self._before:
                yield alert


def _failed(store: Store, saved: SavedQuery, error: HarvesterError) -> Asked:
    message = "\n".join(error.lines())
    outcome = error.outcome if isinstance(error, SourceError) else "failed"
    kind = error.kind if isinstance(error, SourceError) else "refused question"
    store.alerts.asked(saved.name, newest=None, trouble=message, outcome=outcome, error=kind)
    return Asked(saved.name, saved.broker, outcome, error=kind, message=message)
