"""Logs: what happened, for people at a terminal, and as one JSON object a line in a file that rotates.

A request is one line with `source`, `host`, `method`, `path`, `status`, `bytes`, `seconds` and `attempt`. Whatever is written passes one
`Hider`, which knows the secrets of the settings and the usual places of others.
"""

from __future__ import annotations

import base64
import fcntl
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, unquote, urlsplit

from harvester.errors import UsageError

OURS = "harvester"
LARGEST, KEPT = 10 << 20, 5
SHORTEST_SECRET = 4
HIDDEN = "***"
IN_URL = re.compile(r"(?<=://)[^\s/@'\"]+(?=@)")
IN_QUERY = re.compile(
    r"(?i)\b((?:[\w-]*token|[\w-]*password|userpass|passwd|api[_-]?key|secret|[\w-]*signature|x-amz-[\w-]+)=)[^&\s'\";,)]+"
)
IN_HEADER = re.compile(r"(?i)(\bauthorization\b['\"]?\s*[:=,]\s*b?['\"]?)(?:(basic|bearer|token)\s+)?[^\s'\",)]+")


class Hider:
    """Takes secrets out of texts: those that it has learnt, in every way in which URLs and headers write them, and what looks like one."""

    def __init__(self) -> None:
        self._learnt: frozenset[str] = frozenset()
        self._words: tuple[str, ...] = ()

    def learn(self, secrets: Iterable[str]) -> None:
        """Know more secrets; those of fewer than four characters would hide half the text, and are not hidden."""
        new = frozenset(secrets) - self._learnt
        if new:
            forms = {form for secret in new for form in _forms(secret) if len(form) >= SHORTEST_SECRET}
            self._learnt |= new
            self._words = tuple(sorted(forms | set(self._words), key=len, reverse=True))

    def __call__(self, text: str) -> str:
        """Return a text without secrets."""
        for word in self._words:
            text = text.replace(word, HIDDEN)
        text = IN_URL.sub(HIDDEN, text)
        return IN_HEADER.sub(rf"\1{HIDDEN}", IN_QUERY.sub(rf"\1{HIDDEN}", text))


hide = Hider()
"""Of this process: it learns the secrets of the settings as soon as they are read, or used."""


class Lines(logging.Formatter):
    """A line for people."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(name)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return a record, and its traceback, without secrets."""
        return hide(super().format(record))


class Objects(logging.Formatter):
    """One JSON object a line, for programs: what every record has, and the fields of a request or of an Outcome."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record, and its traceback, without secrets."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        said: dict[str, Any] = {"time": moment, "level": record.levelname.lower(), "logger": record.name, "process": record.process}
        said |= {"message": record.getMessage()} | getattr(record, "request", {}) | getattr(record, "outcome", {})
        if record.exc_info:
            said["traceback"] = self.formatException(record.exc_info)
        return json.dumps(_hidden(said), ensure_ascii=False, default=lambda value: hide(str(value)))


class RotatingFile(RotatingFileHandler):
    """A file of at most `LARGEST` bytes, beside `KEPT` older ones, that several processes may write; readable by its owner alone.

    What cannot be written (a full disk) is said once and lost: a log never stops a run.
    """

    def __init__(self, path: Path, *, largest: int = LARGEST) -> None:
        """Open, or make, the file. Raises OSError."""
        self._failed = False
        super().__init__(path, maxBytes=largest, backupCount=KEPT, encoding="utf-8", delay=False)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record to the file that has the name now: another process may have rotated it."""
        try:
            self._follow()
        except OSError:
            self.handleError(record)
            return
        super().emit(record)

    def doRollover(self) -> None:  # noqa: N802 - the name that the standard library calls
        """Rotate, unless another process has just done so."""
        lock = os.open(f"{self.baseFilename}.lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._follow()
            if Path(self.baseFilename).stat().st_size >= self.maxBytes // 2:
                super().doRollover()
        finally:
            os.close(lock)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name that the standard library calls
        """Say once that the log has holes."""
        if not self._failed:
            self._failed = True
            sys.stderr.write(f"warning: the log file '{self.baseFilename}' cannot be written: {sys.exception()}\n")

    def _follow(self) -> None:
        """Open the file anew if the name means another one by now."""
        try:
            there = Path(self.baseFilename).stat().st_ino
        except FileNotFoundError:
            there = -1
        if self.stream and os.fstat(self.stream.fileno()).st_ino != there:
            self.stream.close()
            self.stream = self._open()

    def _open(self) -> Any:
        return open(self.baseFilename, "a", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o600))


@contextmanager
def to_terminal(level: int) -> Iterator[None]:
    """Say on standard error what happens, from `level` on, while the block lasts."""
    handler = logging.StreamHandler()
    handler.setFormatter(Lines())
    handler.addFilter(_of_ours(level, of_others=logging.INFO))
    with _listening(handler):
        yield


@contextmanager
def to_file(path: Path) -> Iterator[None]:
    """Write what happens to a file while the block lasts: all of ours, the warnings of libraries. Raises UsageError."""
    try:
        handler = RotatingFile(path.expanduser())
    except OSError as error:
        raise UsageError(f"the log file '{path}' cannot be written.", str(error.strerror), "Name another: --log-file PATH") from error
    handler.setFormatter(Objects())
    handler.addFilter(_of_ours(logging.DEBUG, of_others=logging.WARNING))
    with _listening(handler):
        yield


def secrets_of(place: str, secrets: Iterable[str], urls: Iterable[str], environ: Mapping[str, str]) -> list[str]:
    """Return the secrets of an invocation: the given ones, and those inside the store's address, the services' URLs and the proxies'."""
    proxies = [value for name, value in environ.items() if name.lower().endswith("_proxy")]
    return [*secrets, *(word for url in (place, *urls, *proxies) for word in _of_url(url))]


@contextmanager
def _listening(handler: logging.Handler) -> Iterator[None]:
    """Hear what the handler's filter lets through; afterwards everything is as it was."""
    root, ours = logging.getLogger(), logging.getLogger(OURS)
    before = root.level, ours.level
    root.addHandler(handler)
    root.setLevel(min(root.level, logging.INFO))
    ours.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()
        root.setLevel(before[0])
        ours.setLevel(before[1])


def _of_ours(level: int, *, of_others: int) -> Callable[[logging.LogRecord], bool]:
    def passes(record: logging.LogRecord) -> bool:
        return record.levelno >= (level if record.name.partition(".")[0] == OURS else of_others)

    return passes


def _hidden(value: Any) -> Any:
    if isinstance(value, str):
        return hide(value)
    return {name: _hidden(part) for name, part in value.items()} if isinstance(value, dict) else value


def _of_url(url: str) -> Iterator[str]:
    """Yield the password in a URL, as it is written and as it is meant, and what Basic authentication makes of it."""
    try:
        parts = urlsplit(url)
        user, password = parts.username or "", parts.password or ""
    except ValueError:
        return
    if password:
        yield from (password, unquote(password), base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode())


def _forms(secret: str) -> set[str]:
    return {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), repr(secret)[1:-1], json.dumps(secret)[1:-1]}
