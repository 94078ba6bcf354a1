"""Client and Session: what is asked again, what is kept, and what is shown.

Every request is paced per host, retried when that can help, bounded in size and time, and kept as a Payload that carries no secret.
"""

from __future__ import annotations

import logging
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from harvester.errors import BadSettings, Malformed, SourceError, Unreachable
from harvester.payload import Payload
from harvester.session.ask import Ask, form, multipart, pairs, read_form, shown
from harvester.session.pace import Clock, Pacer, backoff
from harvester.session.service import Service, with_params
from harvester.session.verdict import Answer, Trouble, judge
from harvester.session.wire import Attempt, LostError, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    import requests

CONTACT = re.compile(r"[\x21-\x7e]+")

log = logging.getLogger("harvester.session")


class DryRun(BaseException):  # no Exception: nothing on the way may take it for a failed request
    """Raised in place of sending, once `on_request` has been told: what a dry run would do next depends on the answer."""


@dataclass(frozen=True, slots=True)
class Event:
    """Progress: `kind` is "bytes" (`amount` received so far of this answer) or "waiting" (`amount` seconds, `because`)."""

    service: str
    kind: str
    amount: float
    because: str = ""


class Client:
    """The connections of one process, shared by its threads; a context manager.

    `contact` (an e-mail address) and `version` go into the User-Agent. `loopback_only` keeps every request on this machine, so that no
    simulated run meets real data. With `dry_run` nothing is sent: the first request of each fetch is told to `on_request(method, url,
    params)`, then DryRun is raised. `on_event` is called from the thread that fetches.
    """

    def __init__(
        self,
        *,
        contact: str = "",
        version: str = "",
        loopback_only: bool = False,
        dry_run: bool = False,
        on_request: Callable[[str, str, Mapping[str, Any]], None] | None = None,
        on_event: Callable[[Event], None] | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Connect to nothing yet. Raises BadSettings for a contact that a header cannot carry."""
        self.dry_run, self.on_request, self.on_event = dry_run, on_request, on_event
        self.clock = clock or Clock()
        self.wire = Wire(_user_agent(contact, version), self.clock, loopback_only=loopback_only)
        self._lock = threading.Lock()
        self._pacers: dict[str, Pacer] = {}

    def session(self, service: Service) -> Session:
        """Return what `fetch` is given as `http`. Sessions of one host share its pace: the slowest that any of them declares."""
        with self._lock:
            pacer = self._pacers.setdefault(service.paced_host, Pacer(service.pace, self.clock))
        pacer.slow_to(service.pace)
        return Session(self, service, pacer)

    def close(self) -> None:
        """Wake every thread that waits (it raises Interrupted), and close the connections."""
        self.clock.stop()
        self.wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Session:
    """One service through a client: satisfies `harvester.source.Http`.

    Retried, with exponential backoff and full jitter: no connection, silence, a connection lost, a body cut off, HTTP 408, 429, 502, 503,
    504; HTTP 500 once. Retry-After is kept by all threads that ask the host. Raises Unreachable when nothing helped, Throttled when the
    service wants a longer wait than `max_wait_s`, Refused for HTTP 401 and 403, Malformed for another 4xx (with the service's own words,
    and the payload), for an answer that is too large, and for a redirect to where nothing is sent; Interrupted when the client is closed
    meanwhile.
    """

    def __init__(self, client: Client, service: Service, pacer: Pacer) -> None:
        self.service = service
        self._client, self._pacer = client, pacer
        self._last_error: SourceError | None = None

    def get(self, path: str, *, accept: Collection[int] = (), **params: Any) -> Payload:
        """GET a path below the base URL, or an absolute URL.

        A list repeats its parameter, None leaves it out. A status in `accept` is not raised once retries are spent: its payload comes
        back with the `doubt` "HTTP 404" (say), for the source to inspect.
        """
        return self._payload(Ask("GET", with_params(self.service.address(path), pairs(params)), params, accept=accept))

    def post(
        self,
        path: str,
        *,
        data: Mapping[str, Any] | None = None,
        files: Mapping[str, Any] | None = None,
        accept: Collection[int] = (),
        idempotent: bool = True,
        **params: Any,
    ) -> Payload:
        """POST a form, with `files` (name: bytes, or (file name, bytes, type)) as multipart; `params` go into the URL.

        Repeated like a GET, as a query may be, unless `idempotent` is false: then only when the service certainly has done nothing yet.
        """
        url = with_params(self.service.address(path), pairs(params))
        headers, content = multipart(data or {}, files) if files else form(data or {})
        return self._payload(Ask("POST", url, {**params, **(data or {})}, headers, content, idempotent, accept))

    def wait(self, seconds: float) -> None:
        """Wait for a service that has to be polled. Raises Interrupted when the client is closed."""
        self._tell("waiting", seconds, "the service is at work")
        self._client.clock.sleep(seconds)

    def relay(self, method: str, url: str, *, headers: Mapping[str, str], content: bytes, accept: Collection[int]) -> Answer:
        """Send a foreign library's request; redirects are its own business."""
        said = read_form(headers, content)
        ask = Ask(method, self.service.address(url), said, headers, content, accept=accept, follow=False)
        self._last_error = None
        try:
            answer, error = self._settle(ask)
            if error is not None:
                raise error
        except SourceError as error:
            self._last_error = error
            raise
        return answer

    @cached_property
    def requests(self) -> requests.Session:
        """A session of the requests library whose http and https take this road, for astroquery and pyvo."""
        from harvester.session.bridge import bridged

        return bridged(self)

    @contextmanager
    def own_errors(self) -> Iterator[None]:
        """Raise our own error where a foreign library, within the block, made one of its own because its last request had failed."""
        self._last_error = None
        try:
            yield
        except Exception:
            if self._last_error is None:
                raise
            raise self._last_error from None

    def _payload(self, ask: Ask) -> Payload:
        answer, error = self._settle(ask)
        payload = Payload(
            body=answer.body,
            url=self._clean(ask.url),
            params=self._shown(ask),
            content_type=answer.headers.get("content-type", ""),
            time=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            source=self.service.name,
            doubt="" if answer.status < 400 else f"HTTP {answer.status}",
        )
        if isinstance(error, Malformed):
            error.payload = payload
        if error is not None:
            raise error
        return payload

    def _settle(self, ask: Ask) -> tuple[Answer, SourceError | None]:
        """Ask until an answer is final; return it with the error that it means, unless that is accepted. Raises when there is no answer."""
        self._stop_if_dry(ask)
        tried = 1
        answer, trouble = self._try(ask, tried)
        while trouble is not None and self._again(ask, trouble, tried):
            self._pause(trouble, tried)
            tried += 1
            answer, trouble = self._try(ask, tried)
        if answer is None:
            assert trouble is not None
            raise trouble.error
        return answer, trouble.error if trouble and answer.status not in ask.accept else None

    def _try(self, ask: Ask, tried: int) -> tuple[Answer | None, Trouble | None]:
        attempt = Attempt(self._client.wire, self.service, tell=lambda size: self._tell("bytes", size), number=tried)
        who = self.service.who(ask.url)
        try:
            with self._pacer.turn():
                answer = attempt.run(ask)
        except LostError as lost:
            error = Unreachable(f"{who} gave no usable answer.", f"{str(lost)[:1].upper()}{str(lost)[1:]}.", "Try again later.")
            return None, Trouble(error, tries=None if lost.again else 0, undone=lost.undone)
        return answer, judge(answer, who, patience=self.service.max_wait_s, clean=self.service.credentials.scrub)

    def _again(self, ask: Ask, trouble: Trouble, tried: int) -> bool:
        most = self.service.retries if trouble.tries is None else min(trouble.tries, self.service.retries)
        return tried <= most and (ask.idempotent or trouble.undone)

    def _pause(self, trouble: Trouble, tried: int) -> None:
        seconds = trouble.wait
        if seconds is None:
            seconds = backoff(tried, self._client.clock.chance())
        else:
            self._pacer.hold(seconds)
        log.info("waiting %.1f s: %s", seconds, trouble.error.what)
        self._tell("waiting", seconds, trouble.error.what)
        self._client.clock.sleep(seconds)

    def _stop_if_dry(self, ask: Ask) -> None:
        if not self._client.dry_run:
            return
        if self._client.on_request:
            self._client.on_request(ask.method, self._clean(ask.url), self._shown(ask))
        raise DryRun

    def _clean(self, url: str) -> str:
        return self.service.credentials.scrub(self.service.credentials.clean(url))

    def _shown(self, ask: Ask) -> dict[str, Any]:
        return shown(ask.params, self.service.credentials)

    def _tell(self, kind: str, amount: float, because: str = "") -> None:
        if self._client.on_event:
            self._client.on_event(Event(self.service.name, kind, amount, because))


def _user_agent(contact: str, version: str) -> str:
    if contact and not CONTACT.fullmatch(contact):
        raise BadSettings(
            "the contact cannot be sent.",
            "It must be an e-mail address or a URL, in ASCII without blanks.",
            "Correct contact in the settings.",
        )
    name = f"harvester/{version}" if version else "harvester"
    return f"{name} (+{contact})" if contact else name
