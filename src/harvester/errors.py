"""The error tree: what can go wrong, and the exit status that it means.

    HarvesterError                 1
    ├── UsageError                 2   the command cannot be understood; nothing was asked
    │   ├── UnknownSource          2
    │   ├── UnknownBroker          2
    │   ├── BadQuestion            2   a broker cannot be asked that
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
    │   │   ├── TimedOut           1   silence, or an answer that never came to its end
    │   │   ├── Truncated          1   an answer that ended too early, every time
    │   │   └── Resting            1   not asked: the host has just failed too often
    │   ├── Throttled              1   the service asked us to wait
    │   ├── Pending                1   a remote job is not done yet
    │   ├── NotYetPublic           1   the release is announced, and the service does not have it yet
    │   ├── Refused                4   credentials missing or not accepted
    │   │   └── Unfinished         1   a source whose file still says TODO; nobody was asked
    │   ├── Malformed              1   an answer that is not what the service documents
    │   └── BrokenSource           1   a plug-in that cannot be imported
    ├── StoreError                 1
    │   ├── StoreTooNew            1
    │   └── WrongKind              2   simulated and real data never mix
    ├── ExportError                1
    └── CronError                  1   the timetable cannot be read or written

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

    def __reduce__(self) -> tuple[type[HarvesterError], tuple[str, str, str], dict[str, object]]:
        """Survive a process border, with all that is known."""
        return type(self), (self.what, self.why, self.hint), vars(self)

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


class UnknownBroker(UsageError):
    """No broker is registered under that name."""


class BadQuestion(UsageError):
    """A broker cannot be asked that: two things at once, a radius too large, a class that it does not have. Nobody was asked."""


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
    """One visit failed. `kind` is the word in the Outcome and in the store; `outcome` the kind of Outcome that it makes.

    `retry_after`: seconds after which asking again makes sense, where the service or the session said so. `partial`: what `fetch` yielded before
    it raised this is the whole answer of the surveys that it is of, and is stored, although the visit failed and all is asked again.
    """

    kind: ClassVar[str] = "bug"
    outcome: ClassVar[str] = "failed"

    def __init__(self, what: str, why: str = "", hint: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(what, why, hint)
        self.retry_after, self.partial = retry_after, False


class Unreachable(SourceError):
    """No usable answer after every retry: connection or a server error."""

    kind = "unreachable"


class TimedOut(Unreachable):
    """The service stayed silent, or took longer than it may, at every try."""

    kind = "timeout"


class Truncated(Unreachable):
    """An answer came, but its end was lost on the way, at every try."""

    kind = "truncated"


class Resting(Unreachable):
    """Not asked at all: the host failed so often in a row that it is left alone for a while (see `session.breaker`)."""

    outcome = "postponed"


class Throttled(SourceError):
    """The service asked us to wait longer than a run should (HTTP 429, or a 403 or 503 that means the same)."""

    kind = "throttled"
    outcome = "postponed"


class Pending(SourceError):
    """A remote job is accepted and not done; a later run takes its answer. No failure: `retry_after` says when to look again."""

    kind = ""
    outcome = "pending"


class NotYetPublic(SourceError):
    """A data release that is announced, but that the service does not serve yet. No failure: there is nothing yet to be had, for any target.

    Asked again the next night, unless `retry_after` says otherwise: a little sooner than a day, for a nightly run that begins early.
    """

    kind = "not yet public"
    outcome = "pending"

    def __init__(self, what: str, why: str = "", hint: str = "", *, retry_after: float | None = 18 * 3600.0) -> None:
        super().__init__(what, why, hint, retry_after=retry_after)


class Refused(SourceError):
    """Credentials are missing or were not accepted (HTTP 401, 403)."""

    kind = "refused"
    exit_status = ExitStatus.CREDENTIALS


class Unfinished(Refused):
    """A source that is still to be written (see `harvest sources new`): it is not asked, so that nothing made up is stored."""

    kind = "unfinished"
    exit_status = ExitStatus.FAILED


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


class CronError(HarvesterError):
    """The user's crontab or timer cannot be read or written; what was there is still there."""
