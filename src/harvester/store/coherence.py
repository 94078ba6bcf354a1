"""Checks of what the tables promise one another. Each yields a sentence per problem; targets, sources and runs are told by their ids."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlalchemy import (
    BigInteger,
    Connection,
    Select,
    Subquery,
    Text,
    and_,
    cast,
    except_,
    exists,
    func,
    literal,
    or_,
    select,
    true,
    tuple_,
    union,
    union_all,
)

from harvester.schema import label
from harvester.store import tables
from harvester.store.exposures import SECONDS
from harvester.store.series import SERIES
from harvester.store.soundness import stream
from harvester.store.tables import (
    FROM_OBJECT,
    measurement,
    photometry,
    photometry_version,
    quarantine,
    request,
    schedule,
    series,
    superseded,
    visit,
)
from harvester.target import fold

if TYPE_CHECKING:
    from sqlalchemy import Table

KINDS = ("real", "simulated")
AHEAD_D = 0.01
"""How far a watermark may be ahead of the stored points: two sources may date one measurement differently."""
SECOND_D = 1.0 / SECONDS
WHOSE = ("target_id", "source_id")
IDENTITY = ("target_id", "filter_id", "observation_id")


def kind(connection: Connection) -> Iterator[str]:
    """Find a store that is neither real nor simulated."""
    found = connection.execute(select(tables.meta.c.value).where(tables.meta.c.key == "kind")).scalar_one_or_none()
    if found not in KINDS:
        yield f"it says that it is {found!r}"


def filters(connection: Connection) -> Iterator[str]:
    """Find filters whose label is not made of their passband and survey."""
    for row in connection.execute(select(tables.passband)):
        if row.label != label(row.passband, row.survey):
            yield f"filter {row.id} is labelled '{row.label}', and is {label(row.passband, row.survey)}"


def names(connection: Connection) -> Iterator[str]:
    """Find names and ids of targets under which they cannot be found."""
    for row in stream(connection, select(tables.target)):
        if row.folded != fold(row.name):
            yield f"target {row.id} '{row.name}' is looked for as '{row.folded}'"
    for row in stream(connection, select(tables.alias)):
        if row.folded != fold(row.id):
            yield f"alias '{row.id}' of target {row.target_id} is looked for as '{row.folded}'"


def payloads(connection: Connection) -> Iterator[str]:
    """Find payloads whose bytes are not those that came; pruned ones have none."""
    kept = select(tables.payload.c.id, tables.payload.c.sha256, tables.payload.c.size, tables.payload.c.body)
    for number, sha256, size, body in stream(connection, kept.where(tables.payload.c.body.is_not(None))):
        problem = _spoilt(sha256, size, bytes(body))
        if problem:
            yield f"payload {number} ({sha256[:12]}...): {problem}"
    for row in stream(connection, select(tables.sky_objects)):
        if hashlib.sha256(row.objects.encode()).hexdigest() != row.sha256:
            yield f"sky_objects {row.id} ({row.sha256[:12]}...): the text has another SHA-256"


def requests(connection: Connection) -> Iterator[str]:
    """Find points, and schedules, that hang on the answer to another question."""
    asked = select(visit.c.target_id, visit.c.source_id, request.c.payload_id).join_from(request, visit)
    used = [
        select(series.c.target_id, series.c.source_id, table.c.payload_id)
        .join_from(table, series, series.c.id == table.c.series_id)
        .where(table.c.payload_id.is_not(None))
        for table in (photometry, photometry_version)
    ]
    stray = except_(select(union(*used).subquery()), asked).subquery()
    for target_id, source_id, payload_id in stream(connection, select(stray)):
        yield f"points of target {target_id}, source {source_id} come from payload {payload_id}, which was not asked for them"
    other = or_(*(visit.c[name] != schedule.c[name] for name in WHOSE))
    for row in connection.execute(select(schedule).join(visit, visit.c.id == schedule.c.visit_id).where(other)):
        yield f"the schedule of target {row.target_id}, source {row.source_id} names visit {row.visit_id} of another"


def points(connection: Connection) -> Iterator[str]:
    """Find measurements without an id, or stored twice under two series of one target and filter; series that are there twice or count wrongly."""
    shared = select(*(series.c[name] for name in SERIES)).group_by(*(series.c[name] for name in SERIES)).having(func.count() > 1)
    for row in connection.execute(shared):
        yield f"target {row.target_id}, filter {row.filter_id}: the series of object {row.object_id} is there more than once"
    several = select(series.c.target_id, series.c.filter_id).group_by(series.c.target_id, series.c.filter_id).having(func.count() > 1)
    key = [measurement.c[name] for name in IDENTITY]
    crowded = tuple_(measurement.c.target_id, measurement.c.filter_id).in_(several)
    for row in stream(connection, select(*key).where(crowded).group_by(*key).having(func.count() > 1)):
        yield f"observation '{row.observation_id}' of target {row.target_id}, filter {row.filter_id} is stored more than once"
    for table in (photometry, photometry_version):
        yield from _nameless(connection, table)
    counted = select(photometry.c.series_id, func.count().label("found")).group_by(photometry.c.series_id).subquery()
    found = func.coalesce(counted.c.found, 0)
    told = select(series.c.id, series.c.points, found).outerjoin_from(series, counted, counted.c.series_id == series.c.id)
    for number, said, there in stream(connection, told.where(series.c.points != found)):
        yield f"series {number} has {there} points and says {said}"


def versions(connection: Connection) -> Iterator[str]:
    """Find superseded values whose successor is missing, of another run than the one that is said to have replaced them, or older.

    A limit that was withdrawn has none but a detection of its exposure (see `harvester.store.exposures`).
    """
    version = superseded.c
    key = [version[name] for name in IDENTITY]
    here = and_(*(measurement.c[name] == version[name] for name in IDENTITY))
    next_run = func.coalesce(func.lead(version.run_id).over(partition_by=key, order_by=version.id), measurement.c.run_id).label("next_run")
    next_at = func.lead(version.replaced_at).over(partition_by=key, order_by=version.id).label("next_at")
    own = version.id, *key, version.replaced_by_run, version.replaced_at
    denied = _detected(version).label("denied")
    chain = (
        select(*own, measurement.c.run_id.label("today"), denied, next_run, next_at)
        .outerjoin_from(superseded, measurement, here)
        .subquery()
    )
    broken = or_(
        and_(chain.c.today.is_(None), ~chain.c.denied), chain.c.next_run != chain.c.replaced_by_run, chain.c.next_at < chain.c.replaced_at
    )
    for row in stream(connection, select(chain).where(broken)):
        yield f"version {row.id} of '{row.observation_id}' (target {row.target_id}, filter {row.filter_id}): {_break(row)}"


def visits(connection: Connection) -> Iterator[str]:
    """Find runs whose visits stored more or fewer points than they say, and visits whose outcome contradicts their counts."""
    written = [
        _told(visit.c.run_id, visit.c.new + visit.c.revised),
        *(_counted(table, "run_id") for table in (photometry, photometry_version)),
    ]
    yield from _unequal(connection, written, "stored")
    replaced = [_told(visit.c.run_id, visit.c.revised), _counted(photometry_version, "replaced_by_run", _followed())]
    yield from _unequal(connection, replaced, "replaced")
    changed = visit.c.new + visit.c.revised > 0
    wrong = or_(and_(visit.c.outcome == "new", ~changed), and_(visit.c.outcome.in_(["unchanged", "empty"]), changed))
    for row in connection.execute(select(visit).where(wrong)):
        yield f"visit {row.id} is '{row.outcome}' with {row.new} new and {row.revised} revised points"
    held = select(quarantine.c.visit_id, func.count().label("held")).group_by(quarantine.c.visit_id).subquery()
    for row in connection.execute(
        select(visit, held.c.held).join(held, held.c.visit_id == visit.c.id).where(held.c.held > visit.c.quarantined)
    ):
        yield f"visit {row.id} put {row.quarantined} rows into quarantine, and {row.held} are there"


def runs(connection: Connection) -> Iterator[str]:
    """Find runs that ended and still run, ended without an end, or ended before they began."""
    run = tables.run.c
    wrong = or_(
        and_(run.status == "running", run.ended.is_not(None)), and_(run.status != "running", run.ended.is_(None)), run.ended < run.started
    )
    for row in connection.execute(select(tables.run).where(wrong)):
        yield f"run {row.id} is '{row.status}', started {row.started}, ended {row.ended}"


def watermarks(connection: Connection) -> Iterator[str]:
    """Find watermarks before the newest stored epoch, or ahead of it: an update would ask twice, or leave out what lies between."""
    newest = _newest(photometry, *WHOSE)
    same = and_(*(schedule.c[name] == newest.c[name] for name in WHOSE))
    behind = or_(schedule.c.target_id.is_(None), schedule.c.watermark.is_(None), schedule.c.watermark < newest.c.newest)
    for row in stream(connection, select(newest, schedule.c.watermark).outerjoin_from(newest, schedule, same).where(behind)):
        yield f"target {row.target_id}, source {row.source_id}: the watermark is {row.watermark}, and a point of {row.newest} is stored"
    today, old = _newest(photometry, "target_id"), _newest(photometry_version, "target_id")
    ahead = and_(*(schedule.c.watermark > func.coalesce(part.c.newest, 0.0) + AHEAD_D for part in (today, old)))
    joined = select(schedule, today.c.newest).outerjoin_from(schedule, today, today.c.target_id == schedule.c.target_id)
    for row in stream(connection, joined.outerjoin(old, old.c.target_id == schedule.c.target_id).where(ahead)):
        yield f"target {row.target_id}, source {row.source_id}: the watermark is {row.watermark}, and the newest point is of {row.newest}"


def _nameless(connection: Connection, table: Table) -> Iterator[str]:
    """Find rows whose observation_id is empty, or begins with the id of an object that has none."""
    written = table.c.observation
    wrong = or_(written.in_(["", tables.VERBATIM]), and_(func.substr(written, 1, 1) == tables.FROM_OBJECT, series.c.object_id.is_(None)))
    found = select(series.c.target_id, series.c.filter_id).join_from(table, series, series.c.id == table.c.series_id).where(wrong)
    for row in stream(connection, found):
        yield f"a row of {table.name} (target {row.target_id}, filter {row.filter_id}) has no observation_id"


def _newest(table: Table, *names: str) -> Subquery:
    """Return a query for the newest epoch per target, or per target and source; gathered by series, which lie together."""
    part = select(table.c.series_id, func.max(table.c.bjd_tdb).label("newest")).group_by(table.c.series_id).subquery()
    key = [series.c[name] for name in names]
    joined = select(*key, func.max(part.c.newest).label("newest")).join_from(part, series, series.c.id == part.c.series_id)
    return joined.where(part.c.newest.is_not(None)).group_by(*key).subquery()


def _spoilt(sha256: str, size: int, body: bytes) -> str:
    try:
        found: bytes = pa.decompress(body, size, codec="zstd", asbytes=True)
    except (pa.ArrowException, OSError, MemoryError) as error:
        return f"it cannot be decompressed ({error})"
    return "" if hashlib.sha256(found).hexdigest() == sha256 else "its bytes have another SHA-256"


def _break(row: Any) -> str:
    if row.today is None:
        return "the point itself is missing"
    if row.next_run != row.replaced_by_run:
        return f"it was replaced by run {row.replaced_by_run}, and the values that follow are of run {row.next_run}"
    return f"it was replaced at {row.replaced_at}, after its successor ({row.next_at})"


def _told(run_id: Any, count: Any) -> Select[Any]:
    return select(
        run_id.label("run_id"), visit.c.target_id, visit.c.source_id, func.sum(count).label("told"), literal(0).label("found")
    ).group_by(run_id, visit.c.target_id, visit.c.source_id)


def _detected(version: Any) -> Any:
    """Return the condition that a version is a limit of whose exposure there is a detection."""
    seen = measurement.alias("seen")
    same = [seen.c[name] == version[name] for name in ("target_id", "filter_id", "object_id")]
    near = func.abs(seen.c.time - version.time) < SECOND_D
    return and_(version.upper_limit, exists().where(*same, near, ~seen.c.upper_limit))


def _followed() -> Any:
    """Return the condition that a version has a successor; limits that were withdrawn have none."""
    later = photometry_version.alias("later")
    here = [later.c[name] == photometry_version.c[name] for name in ("series_id", "observation")]
    now = [photometry.c[name] == photometry_version.c[name] for name in ("series_id", "observation")]
    succeeded = or_(exists().where(*now), exists().where(*here, later.c.id > photometry_version.c.id))
    second = cast(cast(func.round(photometry_version.c.time * SECONDS), BigInteger), Text)
    return or_(~photometry_version.c.upper_limit, photometry_version.c.observation != literal(f"{FROM_OBJECT}:") + second, succeeded)


def _counted(table: Table, run_column: str, where: Any = None) -> Select[Any]:
    part = select(table.c[run_column].label("run_id"), table.c.series_id, func.count().label("found")).where(
        true() if where is None else where
    )
    rows = part.group_by(table.c.series_id, table.c[run_column]).subquery()
    key = rows.c.run_id, series.c.target_id, series.c.source_id
    return select(*key, literal(0), func.sum(rows.c.found)).join_from(rows, series, series.c.id == rows.c.series_id).group_by(*key)


def _unequal(connection: Connection, parts: list[Select[Any]], what: str) -> Iterator[str]:
    every = union_all(*parts).subquery()
    key = every.c.run_id, every.c.target_id, every.c.source_id
    told, found = func.sum(every.c.told), func.sum(every.c.found)
    query = select(*key, told.label("told"), found.label("found")).group_by(*key).having(told != found)
    for row in stream(connection, query):
        yield f"run {row.run_id}, target {row.target_id}, source {row.source_id}: the visits {what} {row.told} points, and {row.found} are there"
