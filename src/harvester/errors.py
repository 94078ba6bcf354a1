"""The error tree: what can go wrong, and the exit status that it means.

    HarvesterError                 1
    ├── UsageError                 2   the command cannot be understood; nothing was asked
    │   ├── UnknownSource          2
    │   ├── BadTarget              2
    │   ├── BadCoordinates         2
    │   ├── BadTargetFile          2
    │   └── BadSettings            2
    ├── ResolveError               1   a name did not become a position
    │   ├── UnknownName            1
    │   ├── AmbiguousName          1
    │   └── ResolverDown           1
    ├── SourceError                1   one visit failed; the others go on
    │   ├── Unreachable            1   no answer, or a server error, after every retry
    │   ├── Throttled              1   the service asked us to wait
    │   ├── Refused                4   credentials missing or not accepted
    │   ├── Malformed              1   an answer that is not what the service documents
    │   └── BrokenSource           1   a plug-in that cannot be imported
    ├── StoreError                 1
    │   ├── StoreTooNew            1
    │   └── WrongKind              2   simulated and real data never mix
    └── ExportError                1

A message says what happened, why, and what to do next, in three lines at most. It never holds a secret.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitStatus(IntEnum):
    """What `harvest` returns to the shell."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    PARTIAL = 3
    CREDENTIALS = 4
    INTERRUPTED = 130


class HarvesterError(Exception):
    """Something expected went wrong: shown as lines, never as a traceback.

    `what` is one sentence; `why` and `hint` (what to do next) may be empty.
    """

    exit_status: ClassVar[ExitStatus] = ExitStatus.FAILED

    def __init__(self, what: str, why: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what, self.why, self.hint = what, why, hint

    def __reduce__(self) -> tuple[type[HarvesterError], tuple[str, str, str]]:
        """Survive a process border: all three parts are arguments."""
        return type(self), (self.what, self.why, self.hint)

    def lines(self) -> list[str]:
        """Return the one to three lines that the user reads."""
        return [line for line in (self.what, self.why, self.hint) if line]

    def __str__(self) -> str:
        return " ".join(self.lines())


class UsageError(HarvesterError):
    """The command cannot be understood; nothing was asked of anyone."""

    exit_status = ExitStatus.USAGE


class UnknownSource(UsageError):
    """No source is registered under that name."""


class BadTarget(UsageError):
    """A target that cannot be: a name that cannot be read, an impossible motion, a place that contradicts what is stored."""


class BadCoordinates(UsageError):
    """Text that looks like a position but is none."""


class BadTargetFile(UsageError):
    """A target file that cannot be read; the message names the line."""


class BadSettings(UsageError):
    """A configuration file, variable or flag with an impossible value."""


class ResolveError(HarvesterError):
    """A name did not become a position. `kind` says why in one word."""

    kind: ClassVar[str] = "unresolved"


class UnknownName(ResolveError):
    """The name services answered, and know no such object."""

    kind = "unknown name"


class AmbiguousName(ResolveError):
    """The name services know several objects of that name."""

    kind = "ambiguous name"


class ResolverDown(ResolveError):
    """No name service could be asked: says nothing about the name."""

    kind = "name services down"


class SourceError(HarvesterError):
    """One visit failed. `kind` is the word in the Outcome and in the store."""

    kind: ClassVar[str] = "bug"


class Unreachable(SourceError):
    """No usable answer after every retry: connection, timeout or a server error."""

    kind = "unreachable"


class Throttled(SourceError):
    """The service asked us to wait longer than a run should (HTTP 429 or 503 with Retry-After)."""

    kind = "throttled"

    def __init__(self, what: str, why: str = "", hint: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(what, why, hint)
        self.retry_after = retry_after


class Refused(SourceError):
    """Credentials are missing or were not accepted (HTTP 401, 403)."""

    kind = "refused"
    exit_status = ExitStatus.CREDENTIALS


class Malformed(SourceError):
    """An answer that is not what the service documents: HTML for data, a broken archive, missing columns.

    `payload` is the answer itself where it is known, so that it can be kept and looked at.
    """

    kind = "malformed"

    def __init__(self, what: str, why: str = "", hint: str = "", *, payload: object = None) -> None:
        super().__init__(what, why, hint)
        self.payload = payload


class BrokenSource(SourceError):
    """A registered source that cannot be imported, or is no source."""


class StoreError(HarvesterError):
    """The store cannot be opened, read or written."""


class StoreTooNew(StoreError):
    """The store was written by a newer harvester."""


class WrongKind(StoreError):
    """Simulated data would meet real data."""

    exit_status = ExitStatus.USAGE


class ExportError(HarvesterError):
    """The file asked for cannot be written."""
