"""One alert, or one object of a broker that lists objects, in one shape whoever sent it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

MJD_OF_UNIX = datetime(1858, 11, 17, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Alert:
    """What a broker tells of one thing at one time; None where it does not say.

    `broker` is its registered name. `alert_id` is the survey's id of the measurement (candid, diaSourceId), None where the broker lists objects;
    `object_id` that of the thing, under the word `survey` that sources use for it too (`Source.survey`: "ZTF", "LSST"). Both are text. `mjd` is
    UTC; of an object, its last alert. `ra`, `dec` are ICRS degrees. `mag` is in `filter`, as `passband(survey)`, a difference magnitude where the
    survey subtracts. `score` belongs to `classification` where there is one. `url` is a page for people. `names` are what else the thing is called.
    `moving` is a thing of the solar system: its position holds for `mjd` alone. `payload` is what the broker sent of it: JSON, or an Avro packet.
    """

    broker: str
    object_id: str
    alert_id: str | None = None
    mjd: float | None = None
    ra: float | None = None
    dec: float | None = None
    mag: float | None = None
    filter: str | None = None
    classification: str | None = None
    score: float | None = None
    url: str | None = None
    survey: str = ""
    names: tuple[str, ...] = ()
    moving: bool = False
    payload: bytes = field(default=b"", repr=False)

    @property
    def key(self) -> str:
        """What tells it from the broker's other alerts; the object's id where alerts have none."""
        return self.alert_id or self.object_id

    @property
    def time(self) -> str | None:
        """`mjd` as ISO 8601 in UTC, to the second."""
        return None if self.mjd is None else (MJD_OF_UNIX + timedelta(days=self.mjd)).isoformat(timespec="seconds").replace("+00:00", "Z")

    def as_row(self) -> dict[str, Any]:
        """Return what people read of it."""
        shown = ("broker", "survey", "alert_id", "object_id")
        rest = ("mjd", "ra", "dec", "mag", "filter", "classification", "score", "names", "url")
        return {**{name: getattr(self, name) for name in shown}, "time": self.time, **{name: getattr(self, name) for name in rest}}

    def as_object(self) -> dict[str, Any]:
        """Return all of it for JSON, with the payload as it came where that is JSON too (null of a packet)."""
        is_json = self.payload.lstrip()[:1] in {b"{", b"["}
        return {**self.as_row(), "moving": self.moving, "payload": json.loads(self.payload) if is_json else None}
