"""From payloads to the rows of each target: normalise, conform, match, BJD_TDB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from harvester import times
from harvester.match import J2000_MJD, JULIAN_YEAR, Match, match, select
from harvester.payload import Payload, SkyObject
from harvester.schema import SCHEMA, SURVEY_COLUMNS, conform
from harvester.source import Source
from harvester.target import Target, moved

MJD_OF_JD = 2_400_000.5
PLACED = ("object_id", "time", "ra", "dec")
REJECTED = pa.schema([*SURVEY_COLUMNS.items(), ("reason", pa.string()), ("payload", pa.int32())])
"""Rows that `conform` refused: the survey's columns, why, and which payload they came in."""


@dataclass(frozen=True, slots=True)
class Share:
    """What of a delivery is one target's: conformed rows with `bjd_tdb` and the index of their `payload`, the rejected rows, and the match."""

    target: Target
    rows: pa.Table
    rejected: pa.Table
    match: Match
    promised: bool = False
    """Whether the survey says that it has photometry of the match."""

    @property
    def lost(self) -> str:
        """Why an answer without a single good row may not be the whole truth; empty where it may."""
        if self.rows.num_rows:
            return ""
        if self.rejected.num_rows:
            return f"every row that came ({self.rejected.num_rows}) cannot be trusted: {self.rejected['reason'][0].as_py()}"
        return "the survey lists photometry of it, but sent none" if self.promised else ""

    def with_rejected(self, more: pa.Table) -> Share:
        """Return the share with further rejected rows."""
        return replace(self, rejected=pa.concat_tables([self.rejected, more]) if more.num_rows else self.rejected)

    def remarks(self, survey: str) -> str:
        """Return what the user should know of the match: neighbours, ambiguity, a thing without photometry."""
        found = self.match
        words = [f"{found.neighbours} neighbour{'s' * (found.neighbours > 1)} within the radius kept out"] if found.neighbours else []
        if found.ambiguous:
            words.append(f'ambiguous: the match lies at {found.separation:.2f}", another thing at {found.runner_up:.2f}"')
        if found.object_ids and not self.rows.num_rows:
            words.append(f"{survey} knows {', '.join(found.object_ids[:3])}, but has no photometry of it")
        return "; ".join(words)


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
        known, scatter = target.ids.get(self.source.survey, ()), self.source.scatter
        places = pa.concat_tables([self.rows.select(PLACED), self.rejected.select(PLACED)])
        found = match(target, places, self.objects, mjd=self._mjd(places), radius=radius, scatter=scatter, known=known, windowed=windowed)
        rows = with_bjd_tdb(select(self.rows, found), target, self.source.time_system)
        promised = any(thing.has_photometry for thing in self.objects if thing.object_id in found.object_ids)
        return Share(target, rows, select(self.rejected, found), found, promised)

    def unclaimed(self, shares: Sequence[Share]) -> pa.Table:
        """Return rejected rows of objects that are no target's: a row that cannot be trusted may be why its object was not found."""
        claimed = pa.array([object_id for share in shares for object_id in share.match.object_ids], pa.string())
        return self.rejected.filter(pc.invert(pc.is_in(self.rejected["object_id"], value_set=claimed)))

    def _mjd(self, rows: pa.Table) -> NDArray[np.float64]:
        mjd = np.array(rows["time"].to_numpy(), np.float64) + (self.source.time_system.jd_offset - MJD_OF_JD)
        return np.where(np.isfinite(mjd), mjd, np.nan)


def deliver(source: Source, payloads: Sequence[Payload]) -> Delivery:
    """Normalise and conform every payload that holds photometry. Raises Malformed."""
    rows, rejected = [_from_payload(SCHEMA.empty_table(), 0)], [REJECTED.empty_table()]
    for index, payload in enumerate(payloads):
        if payload.role == "photometry":
            conformed = conform(source.normalise(payload), survey=source.survey, time_system=source.time_system, bands=source.bands())
            rows.append(_from_payload(conformed.rows, index))
            rejected.append(_from_payload(conformed.rejected, index))
    objects = tuple(dict.fromkeys(thing for payload in payloads for thing in payload.objects))
    doubt = next((payload.doubt for payload in payloads if payload.doubt), "")
    asked, strangers = _asked_for(pa.concat_tables(rows), objects)
    return Delivery(source, payloads, asked, pa.concat_tables([*rejected, strangers]), objects, doubt)


def _asked_for(rows: pa.Table, objects: Sequence[SkyObject]) -> tuple[pa.Table, pa.Table]:
    """Part rows of things that the survey's catalogue does not list here from the others; nobody asked for them, and nobody may lose them."""
    listed = pa.array([thing.object_id for thing in objects], pa.string())
    mine = pc.is_in(rows["object_id"], value_set=listed) if objects else pa.repeat(True, rows.num_rows)
    strange = rows.filter(pc.invert(mine))
    columns = {name: strange["filter" if name == "passband" else name] for name in REJECTED.names if name != "reason"}
    columns["reason"] = pa.repeat("of a thing that was not asked for", strange.num_rows)
    return rows.filter(mine), pa.table({name: columns[name] for name in REJECTED.names}, schema=REJECTED)


def with_bjd_tdb(rows: pa.Table, target: Target, system: times.TimeSystem) -> pa.Table:
    """Fill `bjd_tdb` (full JD, days) from `time`, for the target's position at each row's epoch."""
    time, exptime = (np.array(rows[name].to_numpy(), np.float64) for name in ("time", "exptime"))
    ra, dec = _position(target, time + (system.jd_offset - MJD_OF_JD))
    bjd = times.to_bjd_tdb(time, system, ra, dec, exptime=exptime if system.stamp == "start" else None) + MJD_OF_JD
    return rows.set_column(rows.column_names.index("bjd_tdb"), SCHEMA.field("bjd_tdb"), pa.array(bjd, pa.float64(), from_pandas=True))


def _position(target: Target, mjd: NDArray[np.float64]) -> tuple[float | NDArray[np.float64], float | NDArray[np.float64]]:
    if target.speed == 0:
        return target.ra, target.dec
    years = 2000.0 + (mjd - J2000_MJD) / JULIAN_YEAR - target.epoch
    return moved(target.ra, target.dec, target.pmra, target.pmdec, years=years)


def _from_payload(rows: pa.Table, index: int) -> pa.Table:
    return rows.append_column("payload", pa.repeat(pa.scalar(index, pa.int32()), rows.num_rows))
