"""The body of an answer while it arrives: decoded, counted, and known to be whole.

HTTP libraries decode a compressed body without a limit, and take one that ends too early for whole. A light curve cut in the middle is a
wrong light curve, so both are checked here.
"""

from __future__ import annotations

import zlib

ENCODINGS = {"": 0, "identity": 0, "gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
ACCEPTED = "gzip"
STEP = 1 << 20


class BodyError(ValueError):
    """A body that cannot be used. `damaged`: lost on the way (cut off, garbled), so that another try may bring it whole."""

    def __init__(self, why: str, *, damaged: bool) -> None:
        super().__init__(why)
        self.damaged = damaged


class Body:
    """Collects the chunks of one body; `limit` counts decoded bytes, so that a small answer cannot unpack to a giant one."""

    def __init__(self, encoding: str, limit: int) -> None:
        """Begin a body of that Content-Encoding. Raises BodyError for one that we did not ask for."""
        encoding = encoding.strip().lower()
        if encoding not in ENCODINGS:
            raise BodyError(f"its encoding {encoding[:30]!r} is none that we asked for", damaged=False)
        self._window = ENCODINGS[encoding]
        self._stream = zlib.decompressobj(self._window) if self._window else None
        self._limit = limit
        self._parts: list[bytes] = []
        self._received = 0
        self.size = 0

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes off the wire. Raises BodyError."""
        self._received += len(chunk)
        if self._stream is None:
            self._keep(chunk)
            return
        try:
            self._inflate(chunk)
        except zlib.error as error:
            raise BodyError(f"its compression is damaged ({error})", damaged=True) from error

    def whole(self) -> bytes:
        """Return the body once the connection says that it has ended. Raises BodyError if the compressed stream has not."""
        if self._stream is not None and self._received and not self._stream.eof:
            raise BodyError("its compressed stream was cut off", damaged=True)
        return b"".join(self._parts)

    def _inflate(self, chunk: bytes) -> None:
        assert self._stream is not None
        while True:
            if self._stream.eof:  # a gzip file may be several, one after the other, and zeros may pad it
                chunk = chunk.lstrip(b"\0")
                if not chunk:
                    return
                self._stream = zlib.decompressobj(self._window)
            self._keep(self._stream.decompress(chunk, STEP))
            chunk = self._stream.unconsumed_tail or self._stream.unused_data
            if not chunk:  # what zlib still holds back comes out with the checksum, which is always last
                return

    def _keep(self, part: bytes) -> None:
        self.size += len(part)
        if self.size > self._limit:
            raise too_large(self._limit)
        if part:
            self._parts.append(part)


def too_large(limit: int) -> BodyError:
    """Return the error for a body of more than `limit` bytes."""
    size = f"{limit >> 20} MiB" if limit >= 1 << 20 else f"{limit} bytes"
    return BodyError(f"it is larger than {size}", damaged=False)
