"""Files that somebody saved of a service, some of which is gone: read as if the service had answered, and stored with the file as their payload.

Each format is that of a source, whose `normalise` reads it. A file covers what it covers: it is stored as the answer for a window of time, so
that nobody takes it for all that the survey has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from harvester import __version__
from harvester.delivery import Delivery, Share, deliver
from harvester.errors import UsageError
from harvester.harvest import Outcome, stored
from harvester.payload import Payload, SkyObject
from harvester.source import find, load, package
from harvester.store.visit import Visit

if TYPE_CHECKING:
    from harvester.store import Store
    from harvester.target import Target

MJD_OF_JD = 2_400_000.5


@dataclass(frozen=True, slots=True)
class Format:
    """What a file may hold: the source whose answers look so, and what to tell of it."""

    source: str
    holds: str


FORMATS: Mapping[str, Format] = {
    "asassn": Format("asassn", "a light curve of ASAS-SN Sky Patrol: v2 (Parquet, CSV), v1 (CSV)"),
    "cpcs": Format("cpcs", "follow-up of one alert from CPCS (JSON)"),
    "mars": Format("mars", "ZTF alerts from MARS, a page or one (JSON)"),
}


def read_file(path: str, name: str) -> Payload:
    """Return a file as the payload of a format's source. Raises UsageError; the name of its folder is not kept."""
    place = Path(path).expanduser()
    try:
        body = place.read_bytes()
    except OSError as error:
        raise UsageError(f"'{path}' cannot be read.", str(error.strerror)) from error
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Payload(body, url=f"file:{place.name}", time=now, source=FORMATS[name].source)


def store_file(store: Store, payload: Payload, target: Target, *, radius: float | None = None, command: str = "") -> Outcome:
    """Store what a file holds of a target, and return what was new.

    Things with positions have to lie within `radius` (arcsec; the source's own unless given); a thing without one is the target if it is alone
    in the file. Raises Malformed for a file of another format, UsageError for one that holds nothing of the target.
    """
    source = load(payload.source)
    delivery = placed(deliver(source, [payload]), target)
    wide = radius or source.radius
    share = delivery.share(target, wide, windowed=False)
    if not share.rows.num_rows and not share.rejected.num_rows:
        known = ", ".join(sorted(set(delivery.rows["object_id"].to_pylist()))[:3]) or "nothing that can be read"
        raise UsageError(f"the file holds nothing within {wide:g} arcsec of '{target.name}'.", f"It holds {known}.")
    visit = _visit(payload.source, delivery, share.with_rejected(delivery.unclaimed([share])))
    with store.run(command, __version__) as writer:
        counts = writer.visit(replace(visit, radius=wide))
    outcome = Outcome(target.name, payload.source, visit.outcome, "", visit.message, neighbours=share.neighbours, ambiguous=share.ambiguous)
    return stored(outcome, counts)


def placed(delivery: Delivery, target: Target) -> Delivery:
    """Return a delivery whose only thing, if it came without a position, stands where the target does. Raises UsageError for several."""
    every = pa.concat_tables([delivery.rows.select(["object_id", "ra"]), delivery.rejected.select(["object_id", "ra"])])
    dark = sorted(set(every.filter(pc.is_null(every["ra"]))["object_id"].to_pylist()) - {None})
    dark = [name for name in dark if not pc.any(pc.is_valid(every.filter(pc.equal(every["object_id"], name))["ra"])).as_py()]
    if not dark:
        return delivery
    if len(pc.unique(every["object_id"].drop_null())) > 1:
        raise UsageError("the file holds several things without positions.", f"Such as {', '.join(dark[:3])}.", "Import a file for each.")
    return replace(delivery, objects=(SkyObject(dark[0], target.ra, target.dec, target.epoch, target.pmra, target.pmdec),))


def _visit(source_name: str, delivery: Delivery, share: Share) -> Visit:
    survey = delivery.source.survey
    epochs = pc.min_max(share.rows["bjd_tdb"]).as_py()
    window = {name: value - MJD_OF_JD for name, value in zip(("since", "until"), epochs.values(), strict=True) if value is not None}
    ids = {of: found.object_ids for of, found in share.matches.items()}
    kind = "new" if share.rows.num_rows else "suspicious"
    made = Visit(share.target, source_name, survey, share.rows, delivery.payloads, share.rejected, kind, "", share.lost or share.remarks())
    return replace(
        made,
        object_ids=ids.pop(survey),
        also_ids=ids,
        source_version=package(find(source_name)),
        **(window or {"since": 0.0, "until": 0.0}),
    )
