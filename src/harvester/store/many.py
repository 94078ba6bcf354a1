"""What a batch of packets says of many targets at once, in one table: a visit of each, as far as nobody needs them one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harvester.store.visit import Visit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harvester.payload import Payload
    from harvester.target import Target

MJD_OF_JD = 2_400_000.5


@dataclass(frozen=True, slots=True)
class Many:
    """Visits of one source to many targets, each of which has rows or refused rows here.

    `rows` and `quarantine` are as in a Visit, with one more integer column `target`, the index into `targets`, by which they are sorted; `payload`
    is the index into `payloads`. `object_ids` are the ids of each target, by survey. Packets cover some epochs only: every visit is one of a window.
    """

    source: str
    survey: str
    targets: Sequence[Target]
    rows: pa.Table
    payloads: Sequence[Payload]
    quarantine: pa.Table
    object_ids: Sequence[Mapping[str, tuple[str, ...]]]
    radius: float | None = None
    source_version: str = ""

    def visits(self) -> Iterator[Visit]:
        """Yield the visit of each target."""
        ends = [_bounds(part, len(self.targets)) for part in (self.rows, self.quarantine)]
        for number, target in enumerate(self.targets):
            parts = [
                part.slice(bounds[number], bounds[number + 1] - bounds[number]).drop_columns(["target"])
                for part, bounds in zip((self.rows, self.quarantine), ends, strict=True)
            ]
            yield self._visit(target, *parts, ids=dict(self.object_ids[number]))

    def _visit(self, target: Target, rows: pa.Table, refused: pa.Table, *, ids: dict[str, tuple[str, ...]]) -> Visit:
        used = np.unique(np.concatenate([part["payload"].drop_null().to_numpy() for part in (rows, refused)]))
        outcome, message = "new", ""
        if not rows.num_rows:
            outcome, message = "suspicious", f"every row that came ({refused.num_rows}) cannot be trusted: {refused['reason'][0].as_py()}"
        return Visit(
            target,
            self.source,
            self.survey,
            _renumbered(rows, used),
            [self.payloads[number] for number in used.tolist()],
            _renumbered(refused, used),
            outcome,
            message=message,
            object_ids=ids.pop(self.survey, ()),
            also_ids=ids,
            radius=self.radius,
            source_version=self.source_version,
            **window(rows),
        )


def window(rows: pa.Table) -> dict[str, Any]:
    """Return `since` and `until` (MJD) of rows: what a packet says covers no more than they do."""
    first, last = pc.min_max(rows["bjd_tdb"]).values()
    if first.as_py() is None:
        return {"since": 0.0, "until": 0.0}
    return {"since": first.as_py() - MJD_OF_JD, "until": last.as_py() - MJD_OF_JD}


def _bounds(part: pa.Table, size: int) -> list[int]:
    found: list[int] = np.searchsorted(part["target"].to_numpy(), np.arange(size + 1)).tolist()
    return found


def _renumbered(part: pa.Table, used: NDArray[np.int64]) -> pa.Table:
    place = part.column_names.index("payload")
    return part.set_column(place, part.schema.field("payload"), pc.cast(pc.index_in(part["payload"], value_set=pa.array(used)), pa.int32()))
