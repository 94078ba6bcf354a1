"""A scriptable HTTP server on 127.0.0.1: real sockets that behave as badly as a test asks."""

from __future__ import annotations

import contextlib
import socketserver
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Self
from urllib.parse import parse_qs, unquote

if TYPE_CHECKING:
    import socket

PATIENCE_S = 10.0


@dataclass(frozen=True)
class Reply:
    """One behaviour. `truncate` sends only so many bytes of the length promised; `reset` ends the connection without an answer.

    `delay` (s) comes before the answer, `drip` (s) between single bytes; `endless` repeats the body for ever; `gate` waits until it is set.
    """

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drip: float = 0.0
    truncate: int | None = None
    reset: bool = False
    endless: bool = False
    gate: threading.Event | None = None


@dataclass(frozen=True)
class Seen:
    """One request as it arrived; header names in lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @property
    def params(self) -> dict[str, list[str]]:
        return parse_qs(self.query, keep_blank_values=True)

    @property
    def form(self) -> dict[str, list[str]]:
        return parse_qs(self.body.decode(), keep_blank_values=True)


class Loopback:
    """The server. `script` gives a path its replies, one per request, the last for ever; an unknown path is 404.

    `seen` has every request.
    """

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.most_at_once = 0
        self._at_once = 0
        self._scripts: dict[str, list[Reply]] = {}
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._over = threading.Event()
        self._open: set[socket.socket] = set()
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            disable_nagle_algorithm = True

            def handle(self) -> None:
                with outer._known(self.request), contextlib.suppress(OSError):
                    while outer._serve(self.rfile, self.request):
                        pass

            def finish(self) -> None:
                with contextlib.suppress(OSError):
                    super().finish()

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            request_queue_size = 32

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def script(self, path: str, *replies: Reply) -> str:
        with self._lock:
            self._scripts[path] = list(replies)
        return self.url + path.lstrip("/")

    def is_idle(self) -> bool:
        """Whether every connection ends by itself within some seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._open, PATIENCE_S)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._server.shutdown()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(2)
        self._server.server_close()
        self._thread.join()

    @contextlib.contextmanager
    def _known(self, connection: socket.socket):
        with self._lock:
            self._open.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(connection)
                self._changed.notify_all()

    def _serve(self, stream: BinaryIO, connection: socket.socket) -> bool:
        """Answer one request; return whether the connection stays open."""
        seen = _read(stream)
        if seen is None or self._over.is_set():
            return False
        with self._lock:
            self.seen.append(seen)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            replies = self._scripts.get(seen.path, [Reply(status=404, body=b"no such path")])
            reply = replies.pop(0) if len(replies) > 1 else replies[0]
        try:
            self._over.wait(reply.delay)
            if reply.gate is not None:
                reply.gate.wait(PATIENCE_S)
            return self._answer(reply, seen, connection)
        finally:
            with self._lock:
                self._at_once -= 1

    def _answer(self, reply: Reply, seen: Seen, connection: socket.socket) -> bool:
        if reply.reset:
            return False
        headers = {"Content-Type": "text/csv"} | ({} if reply.endless else {"Content-Length": str(len(reply.body))}) | reply.headers
        lines = [f"HTTP/1.1 {reply.status} Scripted", *(f"{name}: {value}" for name, value in headers.items())]
        connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
        while reply.endless and not self._over.is_set():
            connection.sendall(reply.body)
        body = b"" if seen.method == "HEAD" else reply.body[: reply.truncate]
        for part in [body[i : i + 1] for i in range(len(body))] if reply.drip else [body]:
            connection.sendall(part)
            self._over.wait(reply.drip)
        return reply.truncate is None


def _read(stream: BinaryIO) -> Seen | None:
    first = stream.readline().decode("latin-1").split()
    if len(first) != 3:
        return None
    headers: dict[str, str] = {}
    while line := stream.readline().decode("latin-1").strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = stream.read(int(headers.get("content-length", 0)))
    path, _, query = first[1].partition("?")
    return Seen(first[0], unquote(path), query, headers, body)
