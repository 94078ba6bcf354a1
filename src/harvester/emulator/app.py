"""One WSGI callable that answers as the services do, each under its own host and path.

A service is a module of this package with

    NAME    its short name, as in a fault ("irsa:429:0.2")
    HOSTS   the real hosts that it stands in for
    ROUTES  path -> handler(Request) -> Response; a path that ends in "/*" takes everything below it, and itself
    METHODS optionally, route -> the methods that it takes; every other route takes GET, HEAD and POST

A URL may begin with the real host as its first segment (/irsa.ipac.caltech.edu/cgi-bin/ZTF/...), which is exact, or leave it out: then
the first service that has the path answers. GET /_emulator/counts tells how politely each host was asked; DELETE begins anew.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from http import HTTPStatus
from importlib import import_module
from threading import Lock
from typing import Any, Protocol
from urllib.parse import parse_qsl

from harvester.emulator.counts import Counts
from harvester.emulator.faults import Faults
from harvester.emulator.recordings import Recording
from harvester.emulator.sky import Sky

SERVICES = (
    "aavso", "alerce", "antares", "asassn", "atlas", "cpcs", "fink", "gaia", "gaia_alerts", "irsa", "lasair", "scout", "sesame", "simbad", "tns",
    "xmatch", "zfps", "ztf_archive",
)  # fmt: skip
FORM = "application/x-www-form-urlencoded"
TAKEN = ("GET", "HEAD", "POST")
COUNTS = "/_emulator/counts"


class Clock(Protocol):
    """What the emulator knows of time; the module `time` will do."""

    def time(self) -> float:
        """Return seconds since 1970."""

    def sleep(self, seconds: float, /) -> None:
        """Wait."""


@dataclass(frozen=True)
class Request:
    """What a service is asked. `params` are those of the query string, then those of a form body, with repeats, in order.

    `path` is the path inside the service ("/cgi-bin/ZTF/nph_light_curves"), without the host that may have stood before it; `tail` is what
    follows a route that ends in "/*". `root` is the URL prefix (no slash at its end) under which this service was reached, so that
    a Location header or a link can be built: root + "/tap-server/tap/async/1". `host` is the service's real host. `memory` is whatever a
    service keeps between requests (jobs): one dictionary per Emulator and service. `now` is in seconds since 1970.
    """

    method: str
    host: str
    path: str
    params: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    body: bytes
    root: str
    tail: str
    sky: Sky
    memory: dict[str, Any]
    now: float = 0.0

    def first(self, name: str, default: str = "") -> str:
        """Return the first value of a parameter; names fold case, as TAP and IRSA do."""
        return next(iter(self.every(name)), default)

    def every(self, name: str) -> list[str]:
        """Return all values of a parameter, in order."""
        return [value for key, value in self.params if key.casefold() == name.casefold()]


@dataclass(frozen=True)
class Response:
    """What a service answers."""

    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    status: int = 200
    headers: tuple[tuple[str, str], ...] = field(default=())


Handler = Callable[[Request], Response]
StartResponse = Callable[[str, list[tuple[str, str]]], Any]


@dataclass(frozen=True)
class _Route:
    service: Any
    path: str
    handler: Handler

    def match(self, path: str) -> str | None:
        """Return the tail of a path that this route takes, or None."""
        stem = self.path.removesuffix("/*")
        if path == stem:
            return ""
        return path[len(stem) + 1 :] if self.path.endswith("/*") and path.startswith(f"{stem}/") else None

    @property
    def methods(self) -> tuple[str, ...]:
        taken: tuple[str, ...] = getattr(self.service, "METHODS", {}).get(self.path, TAKEN)
        return taken


@dataclass(frozen=True)
class _Asked:
    """A request as it came, before anybody knows which service takes it."""

    method: str
    host: str
    path: str
    prefix: str
    params: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    body: bytes
    root: str
    tail: str

    def request(self, sky: Sky, memory: dict[str, Any], now: float) -> Request:
        inside = self.path.removeprefix(self.prefix)
        return Request(self.method, self.host, inside, self.params, self.headers, self.body, self.root, self.tail, sky, memory, now)


class Emulator:
    """The WSGI application. `requests` lists (method, path, params) of all that was asked; clear it at will. `counts` tells how politely.

    `recordings` answer before the simulated services do. `latency` seconds are added to every answer, struck by a fault or not: one number
    for all, or by service. `services` are further ones, modules or objects of the shape above.
    """

    def __init__(
        self,
        sky: Sky | None = None,
        faults: Faults | None = None,
        clock: Clock = time,
        *,
        recordings: Sequence[Recording] = (),
        latency: float | Mapping[str, float] = 0.0,
        services: Sequence[Any] = (),
    ) -> None:
        self.sky, self.faults, self.clock = Sky((sky or Sky()).seed, clock), faults or Faults(), clock
        self.recordings, self.latency = list(recordings), latency
        self.requests: list[tuple[str, str, tuple[tuple[str, str], ...]]] = []
        self.counts = Counts()
        every = [*(import_module(f"{__package__}.{name}") for name in SERVICES), *services]
        self._routes = [_Route(service, path, handler) for service in every for path, handler in service.ROUTES.items()]
        self._memory: dict[str, dict[str, Any]] = {service.NAME: {} for service in every}
        self._counting = Lock()

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request, with whatever fault is due. It is counted as under way until the last piece of its body goes out."""
        method, path, params, body = _received(environ)
        if path == COUNTS:
            return _send(self._counted(method), method, start_response)
        route, tail, prefix = self._find(path)
        with self._counting:
            self.requests.append((method, path, params))
        host = prefix.removeprefix("/") or (route.service.HOSTS[0] if route else "")
        with ExitStack() as counted:
            counted.enter_context(self.counts.counted(host))
            authority = environ.get("HTTP_HOST") or f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}"
            root = f"{environ['wsgi.url_scheme']}://{authority}{prefix}"
            asked = _Asked(method, host, path, prefix, params, _headers(environ), body, root, tail)
            pieces = self._reply(route, asked, start_response)
            return _until_taken(pieces, counted.pop_all()) if asked.method != "HEAD" else pieces

    def _reply(self, route: _Route | None, asked: _Asked, start_response: StartResponse) -> Iterable[bytes]:
        self._be_late(route)
        method = asked.method
        recorded = next((recording for recording in self.recordings if recording.answers(asked.path, asked.params)), None)
        if recorded:
            return _send(Response(recorded.body.read_bytes(), recorded.content_type, recorded.status), method, start_response)
        if route is None:
            return _send(Response(self._known().encode(), status=404), method, start_response)
        if method not in route.methods:
            allowed = (("Allow", ", ".join(route.methods)),)
            return _send(Response(b"method not allowed\n", status=405, headers=allowed), method, start_response)
        return self._answer(route, asked.request(self.sky, self._memory[route.service.NAME], self.clock.time()), start_response)

    def _answer(self, route: _Route, request: Request, start_response: StartResponse) -> Iterable[bytes]:
        fault = self.faults.next_for(route.service.NAME)
        if fault is None:
            return _send(route.handler(request), request.method, start_response)
        broken = fault.strike(lambda: _plain(route.handler(request)), self.clock.sleep)
        start_response(_status_line(broken.status), broken.headers)
        return [] if request.method == "HEAD" else broken.body

    def _be_late(self, route: _Route | None) -> None:
        name = route.service.NAME if route else ""
        seconds = self.latency.get(name, 0.0) if isinstance(self.latency, Mapping) else self.latency
        if seconds:
            self.clock.sleep(seconds)

    def _counted(self, method: str) -> Response:
        if method == "DELETE":
            self.counts.clear()
        return Response(json.dumps(self.counts.as_objects()).encode(), "application/json")

    def _find(self, path: str) -> tuple[_Route | None, str, str]:
        """Return the route of a path, its tail, and the host segment that stood before it."""
        first = path.split("/", 2)[1] if path.startswith("/") else ""
        named = [route for route in self._routes if first in route.service.HOSTS]
        prefix = f"/{first}" if named else ""
        inside = path.removeprefix(prefix)
        for route in named or self._routes:
            if (tail := route.match(inside)) is not None:
                return route, tail, prefix
        return None, "", prefix

    def _known(self) -> str:
        lines = [f"/{route.service.HOSTS[0]}{route.path}" for route in self._routes]
        return "\n".join(["The emulator has no such path. It knows:", *lines, ""])


def _until_taken(pieces: Iterable[bytes], counted: ExitStack) -> Iterator[bytes]:
    """Pass a body on. The request has ended just before its last piece goes out: with it, the client may ask again."""
    last = b""
    with counted:
        for piece in pieces:
            if last:
                yield last
            last = piece
    yield last


def _received(environ: dict[str, Any]) -> tuple[str, str, tuple[tuple[str, str], ...], bytes]:
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    params = parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    if environ.get("CONTENT_TYPE", "").startswith(FORM):
        params += parse_qsl(body.decode(), keep_blank_values=True)
    path = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")
    return environ["REQUEST_METHOD"], path.rstrip("/") or "/", tuple(params), body


def _headers(environ: dict[str, Any]) -> dict[str, str]:
    sent = {key[5:].replace("_", "-").title(): value for key, value in environ.items() if key.startswith("HTTP_")}
    return sent | {"Content-Type": environ.get("CONTENT_TYPE", "")}


def _plain(response: Response) -> tuple[int, list[tuple[str, str]], bytes]:
    headers = [("Content-Type", response.content_type), ("Content-Length", str(len(response.body))), *response.headers]
    return response.status, headers, response.body


def _send(response: Response, method: str, start_response: StartResponse) -> Iterator[bytes]:
    status, headers, body = _plain(response)
    start_response(_status_line(status), headers)
    return iter([] if method == "HEAD" else [body])


def _status_line(status: int) -> str:
    return f"{status} {HTTPStatus(status).phrase}"
