"""Files too large for memory: taken piece by piece, and from where they broke off when the connection is lost."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from harvester.errors import Malformed, NotYetPublic, Truncated
from harvester.session.ask import Ask
from harvester.session.pace import backoff
from harvester.session.verdict import Answer, judge
from harvester.session.wire import MOST_REDIRECTS, Attempt, LostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from harvester.session.pace import Pacer
    from harvester.session.service import Service
    from harvester.session.wire import Wire

log = logging.getLogger("harvester.session")
HELD = 1 << 18
COMPLAINT = 4096


class Download:
    """One file of a service, from a byte on. Iterate to take its bytes; every piece is handed over once, whatever happens to the connection.

    `size` is that of the whole file, None until the service told it. Raises NotYetPublic where there is no such file (HTTP 404), Truncated when no
    byte came in several tries, Malformed when the file changed meanwhile, and as a Session does for everything else.
    """

    def __init__(self, wire: Wire, service: Service, pacer: Pacer, url: str, *, start: int = 0, chance: Callable[[], float]) -> None:
        self._wire, self._service, self._pacer, self._url, self._chance = wire, service, pacer, url, chance
        self.start = self.at = start
        self.size: int | None = None
        self._tag = ""

    def __iter__(self) -> Iterator[bytes]:
        """Yield the bytes in pieces."""
        tries = 0
        while self.size is None or self.at < self.size:
            before = self.at
            try:
                with self._pacer.turn():
                    yield from self._once()
                if self.size is None:
                    return
            except LostError as lost:
                tries = 1 if self.at > before else tries + 1
                if tries > self._service.retries or not lost.again:
                    what = f"{self._service.name}: the file broke off at byte {self.at}."
                    raise Truncated(what, f"{lost}.", "Run it again: it goes on from there.") from None
                log.info("%s: %s; going on from byte %d", self._service.name, lost, self.at)
                self._wire.clock.sleep(backoff(tries, self._chance()))

    def _once(self) -> Iterator[bytes]:
        """Yield what one connection brings."""
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={self.at}-"} if self.at else {})
        ask = Ask("GET", self._url, headers=headers)
        for _ in range(MOST_REDIRECTS + 1):
            attempt = Attempt(self._wire, self._service, tell=lambda _: None)
            with attempt.opened(ask) as (status, told, pieces, location):
                if location:
                    ask = Ask("GET", location, headers=headers)
                    continue
                yield from self._body(status, told, pieces)
                return
        raise Malformed(f"{self._service.who(self._url)} redirected us more than {MOST_REDIRECTS} times.")

    def _body(self, status: int, told: Mapping[str, str], pieces: Iterator[bytes]) -> Iterator[bytes]:
        if status == 416 and self.at:
            self.size = self.at
            return
        skip = self._begun(status, told, pieces)
        for piece in pieces:
            fresh = piece[skip:]
            skip -= len(piece) - len(fresh)
            self.at += len(fresh)
            if fresh:
                yield fresh
        if self.size is not None and self.at < self.size:
            raise LostError("the connection ended early", Truncated, again=True, undone=False)

    def _begun(self, status: int, told: Mapping[str, str], pieces: Iterator[bytes]) -> int:
        """Look at the head of an answer; return how many of its first bytes we have already."""
        who = self._service.who(self._url)
        if status == 404:
            raise NotYetPublic(f"{who} has no such file (HTTP 404).", hint="It may come later.")
        body = b"" if status < 300 else next(pieces, b"")[:COMPLAINT]
        trouble = judge(Answer(status, told, body), who, patience=self._service.max_wait_s, remedy=self._service.remedy)
        if trouble is not None:
            if trouble.tries == 0:
                raise trouble.error
            raise LostError(trouble.error.what.rstrip("."), Truncated, again=True, undone=True)
        tag = told.get("etag") or told.get("last-modified", "")
        if self._tag and tag and tag != self._tag:
            raise Malformed(f"{who}: the file changed while it was fetched.", hint="Run it again.")
        self._tag = tag
        length = int(told.get("content-length", "-1"))
        first = self.at if status == 206 else 0
        if length >= 0:
            self.size = first + length
        return self.at - first
