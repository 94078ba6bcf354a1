"""Session: one service, as `fetch` sees it. What is asked again, what is kept, and what is shown.

Every request is paced per host, retried when that can help, bounded in size and time, and kept as a Payload that carries no secret.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NoReturn

from harvester.errors import Malformed, Pending, SourceError, Throttled
from harvester.payload import Payload
from harvester.session.ask import Ask, as_json, form, multipart, pairs, read_form, shown
from harvester.session.breaker import NEXT
from harvester.session.download import Download
from harvester.session.pace import Unsent, backoff
from harvester.session.service import with_params
from harvester.session.verdict import Answer, Trouble, judge, moment, quota_wait, span
from harvester.session.wire import Attempt, LostError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    import requests

    from harvester.session.breaker import Breaker
    from harvester.session.client import Client
    from harvester.session.errand import Errand
    from harvester.session.pace import Pacer
    from harvester.session.service import Service

log = logging.getLogger("harvester.session")


@dataclass(frozen=True, slots=True)
class Host:
    """What all sessions of one host share."""

    pacer: Pacer
    breaker: Breaker


class DryRun(BaseException):  # no Exception: nothing on the way may take it for a failed request
    """Raised in place of sending, once `on_request` has been told: what a dry run would do next depends on the answer."""


@dataclass(frozen=True, slots=True)
class Event:
    """Progress: `kind` is "bytes" (`amount` received so far of this answer) or "waiting" (`amount` seconds, `because`)."""

    service: str
    kind: str
    amount: float
    because: str = ""


class Session:
    """One service through a client: satisfies `harvester.source.Http`.

    Retried, with exponential backoff and full jitter: no connection, silence, a connection lost, a body cut off, HTTP 408, 429, 502, 503,
    504; HTTP 500 once. Retry-After is kept by all threads that ask the host. Raises Unreachable when nothing helped (TimedOut or Truncated
    where that is why), Resting or Throttled at once while the host is left alone, Throttled when the service wants a longer wait than
    `max_wait_s`, Refused for HTTP 401 and 403, Malformed for another 4xx (with the service's own words, and the payload), for an answer that
    is too large, and for a redirect to where nothing is sent; Interrupted when the client is closed meanwhile.
    """

    def __init__(self, client: Client, service: Service, host: Host, errand: Errand | None = None) -> None:
        self.service = service
        self.clock_ahead: float | None = None
        """Seconds by which the service's clock was ahead of ours at its last answer, to a second or so; None if it never told."""
        self._client, self._own, self._errand = client, host, errand
        self._last_error: SourceError | None = None

    @property
    def resting(self) -> float | None:
        """Seconds until the host, which is left alone, may be asked again (0: by one request, as a probe); None if it may be asked."""
        return self._own.breaker.resting

    def get(self, path: str, *, accept: Collection[int] = (), idempotent: bool = True, **params: Any) -> Payload:
        """GET a path below the base URL, or an absolute URL.

        A list repeats its parameter, None leaves it out. A status in `accept` is not raised once retries are spent: its payload comes
        back with the `doubt` "HTTP 404" (say), for the source to inspect. `idempotent` as of `post`.
        """
        url = with_params(self.service.address(path), pairs(params))
        return self._payload(Ask("GET", url, params, idempotent=idempotent, accept=accept, host=self.service.host_of(path)))

    def download(self, path: str, *, start: int = 0) -> Download:
        """Return a file below the base URL, to be taken piece by piece from a byte on, however large it is (see `Download`)."""
        url = self.service.address(path)
        self._stop_if_dry(Ask("GET", url))
        return Download(self._client.wire, self.service, self._own.pacer, url, start=start, chance=self._client.clock.chance)

    def once(self, path: str, **params: Any) -> Payload:
        """GET what serves many targets (a list of all objects) once in the life of the client: later calls return the same payload."""
        return self._client.once(with_params(self.service.address(path), pairs(params)), partial(self.get, path, **params))

    def post(
        self,
        path: str,
        *,
        data: Mapping[str, Any] | None = None,
        files: Mapping[str, Any] | None = None,
        json: Mapping[str, Any] | None = None,
        accept: Collection[int] = (),
        idempotent: bool = True,
        **params: Any,
    ) -> Payload:
        """POST a form, with `files` (name: bytes, or (file name, bytes, type)) as multipart, or a JSON object; `params` go into the URL.

        Repeated like a GET, as a query may be, unless `idempotent` is false: then only when the service certainly has done nothing yet.
        """
        url = with_params(self.service.address(path), pairs(params))
        headers, content = as_json(json) if json is not None else multipart(data or {}, files) if files else form(data or {})
        said, host = {**params, **(data or {}), **(json or {})}, self.service.host_of(path)
        return self._payload(Ask("POST", url, said, headers, content, idempotent, accept, host=host))

    def wait(self, seconds: float) -> None:
        """Wait for a service that has to be polled. Raises Interrupted when the client is closed."""
        self._tell("waiting", seconds, "the service is at work")
        self._client.clock.sleep(seconds)

    def job(self, submit: Callable[[str], str], find: Callable[[str], str | None] | None = None, *, name: str = "") -> str:
        """Return the service's id of the job that answers this query, submitted once however many runs ask (see `source.Http`)."""
        return self._has_errand.job(submit, find, name)

    def pending(self, why: str, seconds: float) -> NoReturn:
        """End the visit because its job is not done yet. Raises Pending."""
        raise Pending(
            f"{self.service.name}: {why}", hint=f"Its answer is fetched by the first run after {span(seconds)}.", retry_after=seconds
        )

    def done(self) -> None:
        """Say that the jobs of this query are over, though it may still fail: a next `job` submits anew."""
        self._has_errand.done()

    def finished_jobs(self, outcome: str) -> tuple[str, ...]:
        """Return the keys of the jobs to be struck off when a visit with this kind of Outcome is stored."""
        return self._errand.finished(outcome) if self._errand else ()

    @property
    def _has_errand(self) -> Errand:
        assert self._errand, "a session for remote jobs is made with an errand"
        return self._errand

    def relay(self, method: str, url: str, *, headers: Mapping[str, str], content: bytes, accept: Collection[int]) -> Answer:
        """Send a foreign library's request; redirects are its own business."""
        said = read_form(headers, content)
        ask = Ask(method, self.service.address(url), said, headers, content, accept=accept, follow=False, host=self.service.host_of(url))
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
        host = self._client.host(ask.host, self.service.pace) if ask.host else self._own
        with host.breaker.guarded(self.service.max_wait_s) as passage:
            answer, trouble = self._tries(ask, host, probe=passage.is_probe)
            passage.error = trouble.error if trouble else None
        if answer is None:
            assert trouble is not None
            raise trouble.error
        return answer, trouble.error if trouble and answer.status not in ask.accept else None

    def _tries(self, ask: Ask, host: Host, *, probe: bool) -> tuple[Answer | None, Trouble | None]:
        """Try until it succeeds or no further try makes sense: a probe is tried once, and nothing again while the host is left alone."""
        tried = 1
        answer, trouble = self._try(ask, host.pacer, tried)
        while trouble is not None and not probe and self._again(ask, trouble, tried) and host.breaker.resting is None:
            self._pause(trouble, host.pacer, tried)
            if self._client.clock.is_ending:
                break
            tried += 1
            answer, trouble = self._try(ask, host.pacer, tried)
        return answer, trouble

    def _try(self, ask: Ask, pacer: Pacer, tried: int) -> tuple[Answer | None, Trouble | None]:
        step, credentials = pacer.step, self.service.credentials
        attempt = Attempt(self._client.wire, self.service, tell=lambda size: self._tell("bytes", size), step=step, number=tried)
        who = self.service.who(ask.url)
        try:
            with pacer.turn():
                answer = attempt.run(ask)
        except LostError as lost:
            error = lost.kind(f"{who} gave no usable answer.", f"{str(lost)[:1].upper()}{str(lost)[1:]}.", "Try again later.")
            return None, Trouble(error, tries=None if lost.again else 0, undone=lost.undone)
        except Unsent:
            return None, Trouble(Throttled(f"{who} asked us to wait, and the run was to end.", hint=NEXT), undone=True)
        self._compare_clocks(answer)
        if (rest := quota_wait(answer.headers)) is not None:
            pacer.hold(min(rest, self.service.max_wait_s))
        return answer, judge(answer, who, patience=self.service.max_wait_s, clean=credentials.scrub, remedy=self.service.remedy)

    def _compare_clocks(self, answer: Answer) -> None:
        """Note how far the service's clock is from ours; what a cache on the way kept has an old date."""
        told = moment(answer.headers.get("date", ""))
        if told and "age" not in answer.headers:
            self.clock_ahead = (told - datetime.now(UTC)).total_seconds()

    def _again(self, ask: Ask, trouble: Trouble, tried: int) -> bool:
        most = self.service.retries if trouble.tries is None else min(trouble.tries, self.service.retries)
        return tried <= most and (ask.idempotent or trouble.undone) and not self._client.clock.is_ending

    def _pause(self, trouble: Trouble, pacer: Pacer, tried: int) -> None:
        """Wait before the next try; where the host asked for it, with all who ask it."""
        seconds = trouble.wait
        if seconds is None:
            seconds = backoff(tried, self._client.clock.chance())
        if isinstance(trouble.error, Throttled):
            pacer.hold(seconds)
        log.info("waiting %.1f s: %s", seconds, trouble.error.what)
        self._tell("waiting", seconds, trouble.error.what)
        self._client.clock.doze(seconds)

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
