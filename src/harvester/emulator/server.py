"""A WSGI application on a loopback port, in threads, with the bad manners that the faults ask for.

The standard library's own WSGI server speaks HTTP/1.0 and would mend a body that is shorter than announced; this one does neither.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from threading import Thread
from typing import Any
from urllib.parse import unquote_to_bytes

LOOPBACK = "127.0.0.1"
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # linger on, for no time at all: close() sends RST
IDLE_SECONDS = 30.0
Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@dataclass(frozen=True)
class Running:
    """A server that answers now; `url` has no slash at its end."""

    url: str
    port: int


@contextlib.contextmanager
def serve(app: Application, port: int = 0) -> Iterator[Running]:
    """Serve `app` on 127.0.0.1 in daemon threads until the block ends; port 0 takes any free one. Raise OSError if the port is taken."""
    server = _Server((LOOPBACK, port), _handler(app))
    thread = Thread(target=server.serve_forever, args=(0.02,), name="emulator", daemon=True)
    thread.start()
    try:
        yield Running(f"http://{LOOPBACK}:{server.server_address[1]}", server.server_address[1])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay quiet about clients that went away; show what is a bug of ours."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


def _handler(app: Application) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        application = staticmethod(app)

    return Handler


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "harvester-emulator"
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True  # head and body are two writes: the second must not wait for the first to be acknowledged
    application: Application

    def do_GET(self) -> None:
        try:
            pieces = self.application(self._environ(), self._start)
        except ConnectionResetError:
            self._reset()
            return
        announced, sent = self._announce(), 0
        for piece in pieces:
            self.wfile.write(piece)
            sent += len(piece)
        if self.command != "HEAD" and sent != announced:
            self.close_connection = True

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 - the names that the standard library calls

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing: the application keeps the record of requests."""

    def _environ(self) -> dict[str, Any]:
        path, _, query = self.path.partition("?")
        port = str(self.connection.getsockname()[1])
        length = self.headers.get("Content-Length", "0")
        fixed = {
            "REQUEST_METHOD": self.command,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": length,
            "SERVER_NAME": LOOPBACK,
            "SERVER_PORT": port,
            "SERVER_PROTOCOL": self.request_version,
            "HTTP_HOST": f"{LOOPBACK}:{port}",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": BytesIO(self.rfile.read(int(length))),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        return {f"HTTP_{key.upper().replace('-', '_')}": value for key, value in self.headers.items()} | fixed

    def _start(self, status: str, headers: list[tuple[str, str]]) -> None:
        self._head = (status, headers)

    def _announce(self) -> int:
        """Send the head of the answer and return the length that it promises."""
        status, headers = self._head
        code, _, phrase = status.partition(" ")
        self.send_response_only(int(code), phrase)
        self.send_header("Server", self.server_version)
        if not any(name == "Date" for name, _ in headers):
            self.send_header("Date", self.date_time_string())
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        return int(next(value for name, value in headers if name == "Content-Length"))

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.close_connection = True
        self.connection.close()
