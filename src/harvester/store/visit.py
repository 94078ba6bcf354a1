"""What a run hands to the store, and what the store answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from harvester.payload import Payload
    from harvester.target import Target

SUCCESSES = frozenset({"new", "unchanged", "empty"})
"""Outcomes after which the survey's answer is known and believed."""
NOT_FAILED = SUCCESSES | {"pending"}
"""Outcomes that are nobody's trouble: of a remote job under way, or of a release to come, there is nothing to be known yet."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """When a source wants to be asked again: `cadence` in days (None: a fixed release, asked once), the `release` that it serves.

    `retry_after` is how many seconds it, or the session, asked us to leave it alone now.
    """

    cadence: float | None = 1.0
    release: str = ""
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Visit:
    """What one source said of one target.

    `rows` are conformed (columns of `harvester.schema.SCHEMA`, `bjd_tdb` filled) with one more integer column `payload`, the index into
    `payloads` of the answer that held the row. `quarantine` has the columns `reason` and `payload` (index, may be null), and whatever
    the survey said, which is kept as JSON. `object_ids` are the survey's ids that are this target, `also_ids` those of the further surveys
    that a source serves. `outcome` is the engine's view, which the store settles (see Counts). A visit that asked for a window only and got
    nothing is "unchanged", not "empty".

    `radius` (arcsec), `since` and `until` (MJD, UTC) are what was asked, `source_version` the code that asked. With a `rhythm` the store
    settles when the next visit is due. `finished_jobs` are the keys of the source's remote jobs that go with this visit. A `replayed` visit asked
    nobody: its payloads lie in the store already. All its rows are compared, whatever the digest; what it no longer refuses leaves
    quarantine; and the schedule stays, but for the watermark.
    """

    target: Target
    source: str
    survey: str
    rows: pa.Table | None = None
    payloads: Sequence[Payload] = ()
    quarantine: pa.Table | None = None
    outcome: str = "new"
    error_kind: str = ""
    message: str = ""
    object_ids: tuple[str, ...] = ()
    seconds: float = 0.0
    radius: float | None = None
    since: float | None = None
    until: float | None = None
    source_version: str = ""
    rhythm: Rhythm | None = None
    finished_jobs: tuple[str, ...] = ()
    replayed: bool = False
    also_ids: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class FilterCounts(NamedTuple):
    """What a visit changed in one filter, and the points of the target that are stored in it now."""

    new: int = 0
    revised: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class Counts:
    """What a visit changed. `new + revised + known + known_elsewhere` rows, and `quarantined` ones beside them.

    A row is `known_elsewhere` when another source delivered the measurement first. `by_filter` has the filters of the delivery.
    `outcome` and `message` are what the store recorded: "new" without a new or revised row is "unchanged"; an answer without, or with less
    than half of the points that the source served of this target before is "suspicious".
    """

    new: int = 0
    revised: int = 0
    known: int = 0
    known_elsewhere: int = 0
    quarantined: int = 0
    by_filter: Mapping[str, FilterCounts] = field(default_factory=dict)
    outcome: str = ""
    message: str = ""
