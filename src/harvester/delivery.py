"""From payloads to the rows of each target: normalise, conform, match, BJD_TDB.

A source may serve several surveys: each has its own time system and passbands, and its own thing that is the target.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from harvester import times
from harvester.match import J2000_MJD, JULIAN_YEAR, Match, match, select
from harvester.payload import Payload, SkyObject
from harvester.schema import SCHEMA, SURVEY_COLUMNS, Conformed, conform, parts
from harvester.source import Query, Source
from harvester.target import Target, moved

MJD_OF_JD = 2_400_000.5
PLACED = ("object_id", "time", "ra", "dec")
REJECTED = pa.schema([*SURVEY_COLUMNS.items(), ("reason", pa.string()), ("payload", pa.int32())])
"""Rows that `conform` refused: the survey's columns, why, and which payload they came in."""


@dataclass(frozen=True, slots=True)
class Share:
    """What of a delivery is one target's: conformed rows with `bjd_tdb` and the index of their `payload`, rejected rows, a match per survey."""

    target: Target
    rows: pa.Table
    rejected: pa.Table
    matches: Mapping[str, Match]
    empty_handed: tuple[str, ...] = ()
    """Surveys that say that they have photometry of the match, and none of it came."""

    @property
    def lost(self) -> str:
        """Why an answer may not be the whole truth: not a single good row, or none of a survey that has some; empty where it may."""
        if self.rejected.num_rows and not self.rows.num_rows:
            return f"every row that came ({self.rejected.num_rows}) cannot be trusted: {self.rejected['reason'][0].as_py()}"
        who = "the survey" if len(self.matches) == 1 else " and ".join(self.empty_handed)
        return f"{who} lists photometry of it, but sent none" if self.empty_handed else ""

    @property
    def neighbours(self) -> int:
        """How many things within the radius were kept out."""
        return sum(found.neighbours for found in self.matches.values())

    @property
    def ambiguous(self) -> bool:
        """Whether another thing is nearly as near as the match, in one of the surveys."""
        return any(found.ambiguous for found in self.matches.values())

    def with_rejected(self, more: pa.Table) -> Share:
        """Return the share with further rejected rows."""
        return replace(self, rejected=pa.concat_tables([self.rejected, more]) if more.num_rows else self.rejected)

    def remarks(self) -> str:
        """Return what the user should know of the match: neighbours, ambiguity, a thing without photometry."""
        words = [f"{self.neighbours} neighbour{'s' * (self.neighbours > 1)} within the radius kept out"] if self.neighbours else []
        near = [found for found in self.matches.values() if found.ambiguous]
        words += [f'ambiguous: the match lies at {found.separation:.2f}", another thing at {found.runner_up:.2f}"' for found in near]
        dark = {} if self.rows.num_rows else {survey: found.object_ids[:3] for survey, found in self.matches.items() if found.object_ids}
        return "; ".join([*words, *(f"{survey} knows {', '.join(ids)}, but has no photometry of it" for survey, ids in dark.items())])


@dataclass(frozen=True, slots=True)
class Shared:
    """What each target of a query gets, in their order, and the `doubt`: why the answer may not be the whole truth."""

    shares: tuple[Share, ...]
    doubt: str = ""

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel with all rows in one table: a table for each share would take ten times as long."""
        bare = [replace(share, rows=None, rejected=None) for share in self.shares]
        return _arrived, (bare, self.doubt, _together([one.rows for one in self.shares]), _together([one.rejected for one in self.shares]))


@dataclass(frozen=True)
class Delivery:
    """Everything that one question to a source brought, conformed but not yet anybody's."""

    source: Source
    payloads: Sequence[Payload]
    rows: pa.Table
    rejected: pa.Table
    objects: tuple[SkyObject, ...]
    doubt: str

    def share(self, target: Target, radius: float, *, windowed: bool) -> Share:
        """Return the part that is one target's."""
        if self.source.relays:
            target = replace(target, ids={survey: target.ids.get(survey, ()) for survey in [self.source.survey]})
        shares = [part.share(target, radius, self.source.scatter, windowed=windowed) for part in self.by_survey()]
        rows, rejected = (pa.concat_tables(getattr(share, name) for share in shares) for name in ("rows", "rejected"))
        matches = {survey: found for share in shares for survey, found in share.matches.items()}
        return Share(target, rows, rejected, matches, tuple(survey for share in shares for survey in share.empty_handed))

    def shared(self, query: Query) -> Shared:
        """Give each target its share; rejected rows that are nobody's stay with the first, so that none is lost."""
        windowed = query.since is not None or query.until is not None
        first, *rest = [self.share(target, query.radius, windowed=windowed) for target in query.targets]
        return Shared((first.with_rejected(self.unclaimed([first, *rest])), *rest), self.doubt)

    def by_survey(self) -> Iterator[OfSurvey]:
        """Yield what came of each survey that the source serves; rejected rows of none that it knows stay with the first."""
        systems = self.source.systems()
        if len(systems) == 1:
            yield OfSurvey(self.source.survey, self.source.time_system, self.rows, self.rejected, self.objects)
            return
        of_rows, of_rejected = surveys_of(self.rows), surveys_of(self.rejected)
        for survey, system in systems.items():
            first = survey == self.source.survey
            refused = np.isin(of_rejected, [survey]) | (first & ~np.isin(of_rejected, list(systems)))
            objects = tuple(thing for thing in self.objects if (thing.survey or self.source.survey) == survey)
            yield OfSurvey(survey, system, self.rows.filter(of_rows == survey), self.rejected.filter(refused), objects)

    def unclaimed(self, shares: Sequence[Share]) -> pa.Table:
        """Return rejected rows of objects that are no target's: a row that cannot be trusted may be why its object was not found."""
        claimed = pa.array(
            [object_id for share in shares for found in share.matches.values() for object_id in found.object_ids], pa.string()
        )
        return self.rejected.filter(pc.invert(pc.is_in(self.rejected["object_id"], value_set=claimed)))


@dataclass(frozen=True, slots=True)
class OfSurvey:
    """What of a delivery one survey observed."""

    survey: str
    system: times.TimeSystem
    rows: pa.Table
    rejected: pa.Table
    objects: tuple[SkyObject, ...]

    def share(self, target: Target, radius: float, scatter: float, *, windowed: bool) -> Share:
        """Return the part that is one target's; `scatter` in arcseconds as the source declares."""
        places = pa.concat_tables([self.rows.select(PLACED), self.rejected.select(PLACED)])
        known = target.ids.get(self.survey, ())
        found = match(target, places, self.objects, mjd=self._mjd(places), radius=radius, scatter=scatter, known=known, windowed=windowed)
        rows = with_bjd_tdb(select(self.rows, found), target, {self.survey: self.system})
        promised = any(thing.has_photometry for thing in self.objects if thing.object_id in found.object_ids)
        empty_handed = (self.survey,) if promised and not rows.num_rows else ()
        return Share(target, rows, select(self.rejected, found), {self.survey: found}, empty_handed)

    def _mjd(self, rows: pa.Table) -> NDArray[np.float64]:
        mjd = np.array(rows["time"].to_numpy(), np.float64) + (self.system.jd_offset - MJD_OF_JD)
        return np.where(np.isfinite(mjd), mjd, np.nan)


def deliver(source: Source, payloads: Sequence[Payload]) -> Delivery:
    """Normalise and conform every payload that holds photometry. Raises Malformed."""
    rows, rejected = [_from_payload(SCHEMA.empty_table(), 0)], [REJECTED.empty_table()]
    for index, payload in enumerate(payloads):
        if payload.role == "photometry":
            for conformed in _conformed(source, source.normalise(payload)):
                rows.append(_from_payload(conformed.rows, index))
                rejected.append(_from_payload(conformed.rejected, index))
    objects = tuple(dict.fromkeys(thing for payload in payloads for thing in payload.objects))
    doubt = next((payload.doubt for payload in payloads if payload.doubt), "")
    asked, strangers = _asked_for(pa.concat_tables(rows), objects, source)
    return Delivery(source, payloads, asked, pa.concat_tables([*rejected, strangers]), objects, doubt)


def surveys_of(rows: pa.Table) -> NDArray[np.object_]:
    """Return the survey of each row: that of its filter, or, of rejected rows, what the source said (None where it serves one survey only)."""
    if "filter" not in rows.column_names:
        return np.array(rows["survey"].to_pylist(), dtype=object)
    filters = pc.unique(rows["filter"])
    surveys = np.array([parts(name)[1] for name in filters.to_pylist()], dtype=object)
    return surveys[pc.index_in(rows["filter"], value_set=filters).to_numpy()] if rows.num_rows else surveys


def _conformed(source: Source, table: pa.Table) -> Iterator[Conformed]:
    """Conform the rows of each survey by its own time system and passbands; one that the source does not serve has no passband."""
    if "survey" not in table.column_names:
        yield conform(table, survey=source.survey, time_system=source.time_system, bands=source.bands())
        return
    table = table.set_column(
        table.column_names.index("survey"), "survey", pc.fill_null(pc.cast(table["survey"], pa.string()), source.survey)
    )
    for survey in pc.unique(table["survey"]).to_pylist():
        system = source.systems().get(survey, source.time_system)
        yield conform(table.filter(pc.equal(table["survey"], survey)), survey=survey, time_system=system, bands=source.bands(survey))


def _asked_for(rows: pa.Table, objects: Sequence[SkyObject], source: Source) -> tuple[pa.Table, pa.Table]:
    """Part rows of things that the survey's catalogue does not list here from the others; nobody asked for them, and nobody may lose them."""
    if not objects:
        return rows, REJECTED.empty_table()
    surveys, mine = surveys_of(rows), np.ones(rows.num_rows, bool)
    for survey in source.systems():
        listed = [thing.object_id for thing in objects if (thing.survey or source.survey) == survey]
        if listed:
            mine &= (surveys != survey) | np.asarray(pc.is_in(rows["object_id"], value_set=pa.array(listed, pa.string())))
    strange = rows.filter(~mine)
    columns = {name: strange[name] for name in REJECTED.names if name in strange.column_names}
    said = pa.array(surveys[~mine], pa.string()) if source.also_serves else pa.nulls(strange.num_rows, pa.string())
    columns |= {"passband": strange["filter"], "survey": said}
    columns["reason"] = pa.repeat("of a thing that was not asked for", strange.num_rows)
    return rows.filter(mine), pa.table({name: columns[name] for name in REJECTED.names}, schema=REJECTED)


def with_bjd_tdb(rows: pa.Table, target: Target, systems: Mapping[str, times.TimeSystem]) -> pa.Table:
    """Fill `bjd_tdb` (full JD, days) from `time`, by the time system of each row's survey, for the target's position at each row's epoch."""
    bjd = np.full(rows.num_rows, np.nan)
    for survey, system in systems.items():
        here = slice(None) if len(systems) == 1 else surveys_of(rows) == survey
        time, exptime = (np.array(rows[name].to_numpy(), np.float64)[here] for name in ("time", "exptime"))
        ra, dec = _position(target, time + (system.jd_offset - MJD_OF_JD))
        bjd[here] = times.to_bjd_tdb(time, system, ra, dec, exptime=exptime if system.stamp == "start" else None) + MJD_OF_JD
    return rows.set_column(rows.column_names.index("bjd_tdb"), SCHEMA.field("bjd_tdb"), pa.array(bjd, pa.float64(), from_pandas=True))


def _position(target: Target, mjd: NDArray[np.float64]) -> tuple[float | NDArray[np.float64], float | NDArray[np.float64]]:
    if target.speed == 0:
        return target.ra, target.dec
    years = 2000.0 + (mjd - J2000_MJD) / JULIAN_YEAR - target.epoch
    return moved(target.ra, target.dec, target.pmra, target.pmdec, years=years)


def _from_payload(rows: pa.Table, index: int) -> pa.Table:
    return rows.append_column("payload", pa.repeat(pa.scalar(index, pa.int32()), rows.num_rows))


def _arrived(bare: Sequence[Share], doubt: str, rows: tuple[bytes, list[int]], rejected: tuple[bytes, list[int]]) -> Shared:
    """Return shares that have travelled."""
    each = zip(bare, _apart(*rows), _apart(*rejected), strict=True)
    return Shared(tuple(replace(share, rows=mine, rejected=refused) for share, mine, refused in each), doubt)


def _together(tables: Sequence[pa.Table]) -> tuple[bytes, list[int]]:
    """Return tables of one kind as one stream of Arrow's, every column in one piece, and how many rows each has."""
    whole, sink = pa.concat_tables(tables).combine_chunks(), pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, whole.schema) as stream:
        stream.write_table(whole)
    return sink.getvalue().to_pybytes(), [table.num_rows for table in tables]


def _apart(stream: bytes, sizes: Sequence[int]) -> Iterator[pa.Table]:
    whole, first = pa.ipc.open_stream(stream).read_all(), 0
    for size in sizes:
        yield whole.slice(first, size)
        first += size
