"""The bridge: the requests library on our road, so that astroquery and pyvo are paced, retried and bounded as our own requests are.

What those libraries want to judge themselves (redirects, most 4xx, HTTP 500) they are given; what says something of the service (no answer,
asked to wait, refused) raises our errors, which no `except requests.RequestException` swallows. pyvo wraps whatever it meets in errors of
its own: `Session.own_errors` brings ours out again.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPHeaderDict, HTTPResponse

from harvester.session.verdict import TRANSIENT

if TYPE_CHECKING:
    from harvester.session.session import Session
    from harvester.session.verdict import Answer

OURS = frozenset({"user-agent", "accept-encoding", "connection", "host", "content-length", "transfer-encoding", "cookie"})
DONE = frozenset({"content-encoding", "content-length", "transfer-encoding", "set-cookie", "location"})
RAISED = TRANSIENT | {401, 403}
THEIRS = frozenset(range(300, 600)) - RAISED
MOST_REDIRECTS = 5


def bridged(session: Session) -> requests.Session:
    """Return a requests session whose every request goes through `session`; proxies, certificates and ~/.netrc are not its business."""
    bridge = requests.Session()
    bridge.trust_env, bridge.max_redirects = False, MOST_REDIRECTS
    for scheme in ("https://", "http://"):
        bridge.mount(scheme, Road(session))
    return bridge


class Road(HTTPAdapter):
    """An adapter that sends through a Session. Bodies are received whole, so that `stream=True` and `.raw` read from memory."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Send. `stream`, `timeout`, `verify`, `cert` and `proxies` are ignored: the session's rules hold. Raises SourceError."""
        headers = {name: str(value) for name, value in request.headers.items() if name.lower() not in OURS}
        answer = self._session.relay(
            request.method or "GET", request.url or "", headers=headers, content=_content(request.body), accept=THEIRS
        )
        response: requests.Response = self.build_response(request, _raw(answer, request.method or "GET"))
        return response


def _raw(answer: Answer, method: str) -> HTTPResponse:
    """Return what urllib3 would have: a stream, decoded already."""
    headers = HTTPHeaderDict({name: value for name, value in answer.headers.items() if name not in DONE})
    headers["Content-Length"] = str(len(answer.body))
    if answer.location:
        headers["Location"] = answer.location
    return HTTPResponse(io.BytesIO(answer.body), headers, answer.status, preload_content=False, request_method=method)


def _content(body: Any) -> bytes:
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, bytes | bytearray):
        return bytes(body)
    if hasattr(body, "read"):
        return _content(body.read())
    assert isinstance(body, Iterable)
    return b"".join(_content(part) for part in body)
