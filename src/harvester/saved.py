"""Files: what somebody saved of a service, some of which is gone, and photometry of the user's own; stored with the file as their payload.

What was saved is in the format of a source, whose `normalise` reads it as if the service had answered. What is the user's own is read by what is
declared of it (see `harvester.own`). A file covers what it covers: it is stored as the answer for a window of time, so that nobody takes it
for all that the survey has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from harvester import __version__, own
from harvester.delivery import Delivery, Share, deliver
from harvester.errors import UsageError
from harvester.harvest import Outcome, stored
from harvester.own import files
from harvester.payload import Payload, SkyObject
from harvester.source import Source, find, load, package
from harvester.store.visit import Visit

if TYPE_CHECKING:
    from harvester.store import Store
    from harvester.target import Target

MJD_OF_JD = 2_400_000.5
JD_J2000, JULIAN_YEAR = 2_451_545.0, 365.25


@dataclass(frozen=True, slots=True)
class Format:
    """What a file may hold: the source whose answers look so, and what to tell of it."""

    source: str
    holds: str


FORMATS: Mapping[str, Format] = {
    "asassn": Format("asassn", "a light curve of ASAS-SN Sky Patrol: v2 (Parquet, CSV), v1 (CSV)"),
    "cpcs": Format("cpcs", "follow-up of one alert from CPCS (JSON)"),
    "lsst_alerts": Format("lsst_alerts", "an alert packet of LSST, with its history (Avro, of a file or of a stream)"),
    "mars": Format("mars", "ZTF alerts from MARS, a page or one (JSON)"),
    "ztf_alerts": Format("ztf_alerts", "an alert packet of ZTF, with its history (Avro)"),
}


@dataclass(frozen=True, slots=True)
class Said:
    """What the user says of a file of his own: its format, the survey's label, the time system in words, what its filters mean, its unit of flux.

    `time` may be empty for a format that tells it (AAVSO). `site` is an observatory of sites.toml; `start` says that times are those of the
    start of exposures. `filters` are [WORD=]NAME[:KNOWN] (see `own.resolved`).
    """

    form: str
    survey: str
    time: str = ""
    site: str | None = None
    start: bool = False
    filters: Sequence[str] = ()
    flux_unit: str = "uJy"


def read_own(path: str, said: Said, target: Target, kind: str) -> Payload:
    """Return a file of the user's own as a payload, with what is declared of it. `kind` is the store's.

    Raises UsageError for what does not fit together, Malformed for a file of another format.
    """
    survey = own.checked_label(said.survey)
    params = {"format": said.form, "object": target.name, "time": said.time.strip().lower(), "flux_unit": said.flux_unit}
    payload = replace(_read(path, own.NAME), params=params)
    _check_kind(payload, kind)
    time = _time(payload, said)
    system = own.time_system(time, site=said.site, start=said.start)
    names = files.objects(payload)
    if len(names) > 1:
        raise UsageError("the file holds several things.", f"Such as {', '.join(names[:3])}.", "Import a file for each.")
    meaning, likes = own.resolved(files.filters(payload), said.filters)
    declaration = own.Declaration(survey, system, likes)
    return replace(payload, params=params | {"time": time, "filters": meaning, "declared": declaration.text()})


def read_file(path: str, name: str) -> Payload:
    """Return a file as the payload of a format's source. Raises UsageError; the name of its folder is not kept."""
    return _read(path, FORMATS[name].source)


def _read(path: str, source: str) -> Payload:
    place = Path(path).expanduser()
    try:
        body = place.read_bytes()
    except IsADirectoryError as error:
        raise UsageError(f"'{path}' is a folder.", hint=f"A folder of alert packets: harvest alerts archive ingest {path}") from error
    except OSError as error:
        raise UsageError(f"'{path}' cannot be read.", str(error.strerror)) from error
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Payload(body, url=f"file:{place.name}", time=now, source=source)


def store_file(store: Store, payload: Payload, target: Target, *, radius: float | None = None, command: str = "") -> Outcome:
    """Store what a file holds of a target, and return what was new.

    Things with positions have to lie within `radius` (arcsec; the source's own unless given); a thing without one is the target if it is alone
    in the file. Raises Malformed for a file of another format, UsageError for one that holds nothing of the target.
    """
    source = source_of(payload)
    delivery = placed(deliver(source, [payload]), target)
    wide = radius or source.radius
    share = delivery.share(target, wide, windowed=False)
    if not share.rows.num_rows and not share.rejected.num_rows:
        known = ", ".join(sorted(set(delivery.rows["object_id"].to_pylist()))[:3]) or "nothing that can be read"
        raise UsageError(f"the file holds nothing within {wide:g} arcsec of '{target.name}'.", f"It holds {known}.")
    visit = _visit(payload.source, delivery, share.with_rejected(delivery.unclaimed([share])))
    if payload.source == own.NAME:
        declaration = own.declared(str(payload.params["declared"]))
        store.own.declare(declaration.survey, declaration.merged)
    with store.run(command, __version__) as writer:
        counts = writer.visit(replace(visit, radius=wide))
    outcome = Outcome(target.name, payload.source, visit.outcome, "", visit.message, neighbours=share.neighbours, ambiguous=share.ambiguous)
    return stored(outcome, counts)


def source_of(payload: Payload) -> Source:
    """Return what reads a payload. Raises UnknownSource, BrokenSource."""
    return own.of_payload(payload) if payload.source == own.NAME else load(payload.source)


def version_of(source_name: str) -> str:
    """Return name and version of the package that reads what a source sent. Raises UnknownSource."""
    return f"harvester {__version__}" if source_name == own.NAME else package(find(source_name))


def _check_kind(payload: Payload, kind: str) -> None:
    told = files.kind(payload)
    if told and told != kind:
        raise UsageError(f"the file says that its data are {told}, and the store is {kind}.", "Simulated and measured data never mix.")
    if not told and kind == "simulated":
        raise UsageError("a file that does not say so is not simulated.", "Simulated and measured data never mix.", "Leave --emulate out.")


def _time(payload: Payload, said: Said) -> str:
    """Return the file's time system in words: what was said, which must be what the file says."""
    told = files.aavso_time(payload) if said.form == "aavso" else ""
    if not said.time and not told:
        raise UsageError("in what time system is the file?", "It does not tell.", f"Say it: --time mjd_utc. {own.TIMES}")
    if told and said.time and said.time.strip().lower() != told:
        raise UsageError(f"the file says that its times are {told}, not {said.time}.")
    return said.time.strip().lower() or told


def placed(delivery: Delivery, target: Target) -> Delivery:
    """Return a delivery whose only thing, if it came without a position, stands where the target does. Raises UsageError for several.

    A thing whose rows of one survey have positions and those of another have none (forced photometry of an alert) stands where it was seen.
    """
    every = pa.concat_tables([delivery.rows.select(["object_id", "ra"]), delivery.rejected.select(["object_id", "ra"])])
    dark = sorted(set(every.filter(pc.is_null(every["ra"]))["object_id"].to_pylist()) - {None})
    dark = [name for name in dark if not pc.any(pc.is_valid(every.filter(pc.equal(every["object_id"], name))["ra"])).as_py()]
    if not dark:
        return replace(delivery, objects=(*delivery.objects, *_placed_elsewhere(delivery)))
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
        source_version=version_of(source_name),
        **(window or {"since": 0.0, "until": 0.0}),
    )


def _placed_elsewhere(delivery: Delivery) -> Iterator[SkyObject]:
    """Yield the things that one of the surveys has without a position, where another saw them."""
    seen = delivery.rows.filter(pc.is_valid(delivery.rows["ra"]))
    for part in delivery.by_survey():
        here = set(part.rows.filter(pc.is_valid(part.rows["ra"]))["object_id"].to_pylist())
        for name in sorted(set(part.rows["object_id"].to_pylist()) - here):
            ra, dec = (pc.quantile(seen.filter(pc.equal(seen["object_id"], name))[axis], 0.5)[0].as_py() for axis in ("ra", "dec"))
            middle = pc.mean(part.rows.filter(pc.equal(part.rows["object_id"], name))["time"]).as_py()
            if ra is not None:
                yield SkyObject(name, ra, dec, 2000.0 + (middle + part.system.jd_offset - JD_J2000) / JULIAN_YEAR, survey=part.survey)
