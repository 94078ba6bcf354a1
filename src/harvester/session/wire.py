"""The wire: one attempt at one request over httpx, the only module that imports it.

Decides where a request may go, adds the credentials at the last moment, follows redirects, and receives the body within its limits.
"""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING

import httpx

from harvester.errors import Malformed, TimedOut, Truncated, Unreachable
from harvester.session.ask import with_fields
from harvester.session.body import ACCEPTED, Body, BodyError, too_large
from harvester.session.listening import Listening
from harvester.session.pace import Interrupted
from harvester.session.service import DEFAULT_PORT, is_loopback, with_params
from harvester.session.verdict import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harvester.session.ask import Ask
    from harvester.session.pace import Clock
    from harvester.session.service import Service

CONNECT_TIMEOUT_S = 10.0
MOST_REDIRECTS = 5
PIECE = 1 << 18
REDIRECTS = frozenset({301, 302, 303, 307, 308})
KEEPS_METHOD = frozenset({307, 308})
LOUD = ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.http2", "httpcore.proxy", "httpcore.socks")

KINDS: dict[type[Exception], str] = {
    httpx.ConnectTimeout: "no connection in time",
    httpx.TimeoutException: "silence",
    httpx.ConnectError: "no connection",
    BodyError: "the body is not whole",
    Exception: "the connection failed",
}

log = logging.getLogger("harvester.session")
_sending: ContextVar[bool] = ContextVar("_sending", default=False)


class LostError(Exception):
    """An attempt without an answer. `again`: another may succeed; `undone`: the service certainly did nothing yet.

    `kind` is the error that it becomes when nothing helps.
    """

    def __init__(self, why: str, kind: type[Unreachable], *, again: bool, undone: bool) -> None:
        super().__init__(why)
        self.kind, self.again, self.undone = kind, again, undone


class Wire:
    """The connections of one process, made when first needed; safe for threads."""

    def __init__(self, user_agent: str, clock: Clock, *, loopback_only: bool) -> None:
        self._headers = {"User-Agent": user_agent, "Accept-Encoding": ACCEPTED}
        self.clock, self._loopback_only = clock, loopback_only
        self._lock = threading.Lock()
        self._pools: dict[bool, httpx.Client] = {}
        self._listening = Listening()
        for name in LOUD:
            logging.getLogger(name).addFilter(_not_ours)

    def close(self) -> None:
        """Close the connections; whoever still uses one is interrupted, also who waits for a service that says nothing."""
        self._listening.end()
        with self._lock:
            for pool in self._pools.values():
                pool.close()

    def open(self, ask: Ask, url: httpx.URL, service: Service) -> httpx.Response:
        """Send a request with its credentials, and return the answer with the body still to come."""
        headers, address, content = dict(ask.headers), str(url), ask.content
        if _is_home(url, service):
            headers.update(service.credentials.headers)
            address = with_params(address, service.credentials.params)
            content = with_fields(ask, service.credentials.fields)
        pool = self._pool(local=is_loopback(url.host))
        silence = min(service.timeout_s, service.total_timeout_s)
        timeout = httpx.Timeout(silence, connect=min(CONNECT_TIMEOUT_S, silence), pool=None)
        known = {"trace": self._listening.note}
        request = pool.build_request(ask.method, address, headers=headers, content=content, timeout=timeout, extensions=known)
        return pool.send(request, stream=True)

    def permitted(self, ask: Ask, service: Service) -> httpx.URL:
        """Return the address to which a request may be sent. Raises Malformed if it may not."""
        try:
            address = httpx.URL(ask.url)
        except (httpx.InvalidURL, ValueError):
            raise _forbidden(service, "It is no URL.") from None
        local = is_loopback(address.host)
        if local and not service.is_local:
            raise _forbidden(service, "It points to this machine.")
        if not local and self._loopback_only:
            raise _forbidden(service, f"Simulated data come from this machine alone, not from {address.host}.")
        if address.scheme not in ({"http", "https"} if local or service.plain_http else {"https"}) or not address.host:
            raise _forbidden(service, f"Only https is used, not {address.scheme} to {address.host}.")
        if not _is_home(address, service) and service.credentials.seen_in(f"{address} {ask.content.decode('latin-1')}"):
            raise _forbidden(service, f"It would carry credentials to {address.host}.")
        return address

    def _pool(self, *, local: bool) -> httpx.Client:
        with self._lock:
            if self.clock.stopped:
                raise Interrupted
            if local not in self._pools:
                cookies = CookieJar(policy=DefaultCookiePolicy(allowed_domains=[]))
                limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
                self._pools[local] = httpx.Client(headers=self._headers, cookies=cookies, limits=limits, trust_env=not local)
            return self._pools[local]


class Attempt:
    """One attempt at a request of a service, redirects included.

    `tell` learns of the bytes received so far, `step` waits until a further request is polite; `number` is for the log.
    """

    def __init__(
        self, wire: Wire, service: Service, *, tell: Callable[[int], None], step: Callable[[], None] = lambda: None, number: int = 1
    ) -> None:
        self._wire, self._service, self._tell, self._step, self._number = wire, service, tell, step, number
        self._deadline = wire.clock.now() + service.total_timeout_s
        self._status: int | None = None
        self._size = 0

    def run(self, ask: Ask) -> Answer:
        """Return the answer, whatever its status.

        Raises LostError when there is none; Malformed for a redirect that is not followed, an answer that is too large, or an address
        where nothing is sent; TimedOut when the whole takes longer than `total_timeout_s`; Interrupted.
        """
        for hops_left in range(MOST_REDIRECTS, -1, -1):
            answer = self._hop(ask)
            if not (answer.location and ask.follow):
                return answer
            if hops_left:
                self._step()
            ask = _redirected(ask, answer)
        raise Malformed(f"{self._service.who(ask.url)} redirected us more than {MOST_REDIRECTS} times.")

    @contextmanager
    def opened(self, ask: Ask) -> Iterator[tuple[int, dict[str, str], Iterator[bytes], str]]:
        """Open an answer for its body to be taken in pieces, raw, within the block: status, headers, pieces, and where a redirect points.

        Raises what `run` does, within the block as well.
        """
        url = self._wire.permitted(ask, self._service)
        started, lost = self._wire.clock.now(), ""
        try:
            with self._translated(), self._opened(ask, url) as response:
                self._status = response.status_code
                yield response.status_code, dict(response.headers), response.iter_raw(PIECE), _location(response, self._service)
        except LostError as error:
            lost = str(error)
            raise
        finally:
            self._log(ask.method, url, self._wire.clock.now() - started, lost)

    def _hop(self, ask: Ask) -> Answer:
        url = self._wire.permitted(ask, self._service)
        started, self._status, self._size, lost = self._wire.clock.now(), None, 0, ""
        try:
            with self._translated(), self._opened(ask, url) as response:
                self._status = response.status_code
                body = self._received(response)
        except Exception as error:
            lost = str(error)
            raise
        finally:
            self._log(ask.method, url, self._wire.clock.now() - started, lost)
        return Answer(response.status_code, dict(response.headers), body, _location(response, self._service))

    def _log(self, method: str, url: httpx.URL, seconds: float, lost: str) -> None:
        """Say what became of a request: one line, and the same as fields for a log file."""
        clean, name = self._service.credentials.scrub, self._service.name
        status = "no answer" if self._status is None else f"HTTP {self._status}"
        said = f"{clean(f'{url.host} {method} {url.path}')}: {status}, {self._size} bytes, {seconds:.2f} s, try {self._number}"
        request: dict[str, object] = {"source": name, "host": clean(url.host), "method": method, "path": clean(url.path)}
        request |= {"status": self._status, "bytes": self._size, "seconds": round(seconds, 3), "attempt": self._number}
        request |= {"lost": clean(lost)} if lost else {}
        log.info("%s: %s%s", name, said, f": {clean(lost)}" if lost else "", extra={"request": request})

    @contextmanager
    def _opened(self, ask: Ask, url: httpx.URL) -> Iterator[httpx.Response]:
        """Keep the loggers of httpx silent within the block: they print whole URLs and headers."""
        token = _sending.set(True)
        try:
            response = self._wire.open(ask, url, self._service)
            try:
                yield response
            finally:
                response.close()
        finally:
            _sending.reset(token)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Say in our words what went wrong; `from None`, because theirs may quote headers."""
        try:
            yield
        except (httpx.TransportError, RuntimeError, BodyError) as error:
            if self._wire.clock.stopped:
                raise Interrupted from None
            if isinstance(error, RuntimeError):
                raise
            if isinstance(error, BodyError) and not error.damaged:
                raise Malformed(f"{self._service.name}: the answer was not taken: {error}.") from None
            why = self._service.credentials.scrub(_why(error))
            raise LostError(why, self._kind(error), again=_may_pass(error), undone=_is_undone(error)) from None

    def _kind(self, error: Exception) -> type[Unreachable]:
        if isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout):
            return TimedOut
        return Unreachable if self._status is None else Truncated

    def _received(self, response: httpx.Response) -> bytes:
        limit = self._service.max_bytes
        if int(response.headers.get("content-length", "0")) > limit:
            raise too_large(limit)
        body = Body(response.headers.get("content-encoding", ""), limit)
        for chunk in response.iter_raw():
            body.feed(chunk)
            self._size = body.size
            self._tell(body.size)
            self._in_time(body.size)
        return body.whole()

    def _in_time(self, size: int) -> None:
        if self._wire.clock.now() > self._deadline:
            seconds = self._service.total_timeout_s
            raise TimedOut(
                f"{self._service.name}: the answer was not complete after {seconds:.0f} s ({size} bytes).", hint="Try again later."
            )


def _is_home(url: httpx.URL, service: Service) -> bool:
    """Whether an address is the service's own: only there do its credentials belong."""
    return _origin(url) == _origin(httpx.URL(service.base_url))


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or DEFAULT_PORT.get(url.scheme)


def _location(response: httpx.Response, service: Service) -> str:
    """Where a redirect points, without user, password and our own secrets, which some services repeat there."""
    if response.status_code not in REDIRECTS or "location" not in response.headers:
        return ""
    try:
        return service.credentials.clean(str(response.request.url.join(response.headers["location"])))
    except (httpx.InvalidURL, ValueError):
        raise _forbidden(service, "It redirected to something that is no URL.") from None


def _redirected(ask: Ask, answer: Answer) -> Ask:
    """Return the next request, as browsers make it: a GET, unless the status says to repeat the same."""
    if answer.status in KEEPS_METHOD or ask.method == "HEAD":
        return replace(ask, url=answer.location)
    return replace(ask, method="GET", url=answer.location, content=b"", headers={})


def _forbidden(service: Service, why: str) -> Malformed:
    return Malformed(f"{service.name}: an address was not asked.", why, "The service may have moved.")


def _why(error: Exception) -> str:
    """Return one line: what happened, and the library's words, where it has any."""
    kind = next(words for known, words in KINDS.items() if isinstance(error, known))
    return f"{kind}: {' '.join(str(error).split())[:120]}" if str(error) else kind


def _may_pass(error: Exception) -> bool:
    """Whether another try may help: not for a certificate that is wrong, nor for a request that cannot be sent at all."""
    if isinstance(error, httpx.LocalProtocolError | httpx.UnsupportedProtocol):
        return False
    return "CERTIFICATE_VERIFY_FAILED" not in str(error)


def _is_undone(error: Exception) -> bool:
    return isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError)


def _not_ours(_: logging.LogRecord) -> bool:
    return not _sending.get()
