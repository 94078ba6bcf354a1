"""Packets of many things to visits of many targets, a batch at a time: conform, match, BJD_TDB, for all rows at once.

What `delivery` does for the answer to one question about one target, and by the same rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harvester import times
from harvester.delivery import MJD_OF_JD, REJECTED, surveys_of
from harvester.schema import SCHEMA, conform
from harvester.sky import J2000_MJD, JULIAN_YEAR, Pairs, Sky, Things
from harvester.source import Source, find, load, package
from harvester.store.many import Many
from harvester.target import moved

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harvester.payload import Payload

    Floats = NDArray[np.float64]
    Places = NDArray[np.int64]

PAYLOAD = ("payload",)
OF_TARGETS = pa.schema([*SCHEMA, ("payload", pa.int32()), ("target", pa.int32())])
REFUSED = pa.schema([*REJECTED, ("target", pa.int32())])


@dataclass(frozen=True, slots=True)
class Conformed:
    """Rows that may be trusted (SCHEMA and `payload`) and rows that may not (delivery.REJECTED), of any number of things."""

    rows: pa.Table
    rejected: pa.Table

    def things(self, systems: Mapping[str, times.TimeSystem]) -> Things:
        """Return every thing that rows are of, where the median of its rows with a position lies, and when that is (MJD)."""
        places = pa.concat_tables([part.select(["object_id", "ra", "dec"]) for part in (self.rows, self.rejected)])
        mjd = np.concatenate([_mjd(part, systems) for part in (self.rows, self.rejected)])
        names = places["object_id"].combine_chunks().dictionary_encode()
        codes = np.asarray(pc.fill_null(names.indices, -1).to_numpy(zero_copy_only=False), np.int64)
        ra, dec = (np.array(places[name].to_numpy(), np.float64) for name in ("ra", "dec"))
        placed = np.isfinite(ra) & np.isfinite(dec) & (codes >= 0)
        size = len(names.dictionary)
        first = np.full(size, np.nan)
        first[codes[placed][::-1]] = ra[placed][::-1]
        turned = (ra - first[codes] + 180.0) % 360.0 - 180.0  # right ascension may pass 360 degrees
        east, north, when = (_medians(values[placed], codes[placed], size) for values in (turned, dec, mjd))
        return Things(names.dictionary.to_pylist(), (first + east) % 360.0, north, when)


def conformed(source: Source, table: pa.Table) -> Conformed:
    """Conform what packets hold (the columns that `normalise` returns, and `payload`), each survey by its own time system and passbands."""
    if "survey" not in table.column_names:
        table = table.append_column("survey", pa.repeat(pa.scalar(source.survey), table.num_rows))
    rows, rejected = [], []
    for survey in pc.unique(table["survey"]).to_pylist():
        system = source.systems().get(survey, source.time_system)
        own = table.filter(pc.equal(table["survey"], survey))
        found = conform(own, survey=survey, time_system=system, bands=source.bands(survey), beside=PAYLOAD)
        rows.append(found.rows)
        rejected.append(found.rejected.select(REJECTED.names))
    empty = pa.schema([*SCHEMA, ("payload", pa.int32())]).empty_table()
    return Conformed(pa.concat_tables([empty, *rows]), pa.concat_tables([REJECTED.empty_table(), *rejected]))


def intake(
    source_name: str, table: pa.Table, payloads: Sequence[Payload], sky: Sky, *, radius: float | None = None, add: Sequence[str] = ()
) -> Many:
    """Return what packets say of followed targets: rows of all else are left out, but for things of the ids in `add`.

    `table` has the columns that `normalise` returns, and `payload`, the index into `payloads`. A thing in `add` that is no target's becomes one,
    at its place and under its id, also in `sky`. `radius` (arcsec) is the source's own unless given. Raises Malformed.
    """
    source = load(source_name)
    wide = radius or source.radius
    found = conformed(source, table)
    things = found.things(source.systems())
    pairs = sky.match(things, source.survey, wide, source.scatter)
    pairs = _with_new(pairs, things, sky, source.survey, add=set(add))
    chosen, targets = np.unique(pairs.targets, return_inverse=True)
    local = Pairs(pairs.things, targets.astype(np.int64))
    rows = _of_targets(found.rows, things.object_ids, local)
    rejected = _of_targets(found.rejected, things.object_ids, local)
    mine = [sky.targets[number] for number in chosen.tolist()]
    rows = rows.set_column(rows.column_names.index("bjd_tdb"), SCHEMA.field("bjd_tdb"), _bjd_tdb(rows, mine, source.systems()))
    ids = _ids(rows, local, things, source, size=len(mine))
    for number, here in zip(chosen.tolist(), ids, strict=True):
        for survey, words in here.items():
            for word in words:
                sky.know(number, survey, word)
    return Many(
        source_name, source.survey, mine, rows.cast(OF_TARGETS), payloads, rejected.cast(REFUSED), ids, wide, package(find(source_name))
    )


def _with_new(pairs: Pairs, things: Things, sky: Sky, survey: str, *, add: set[str]) -> Pairs:
    """Add a target to `sky` for each thing in `add` that is none yet and has a place."""
    known, found = set(pairs.things.tolist()), []
    for thing, name in enumerate(things.object_ids):
        if name in add and thing not in known and np.isfinite(things.ra[thing]):
            found.append((thing, sky.add_thing(name, survey, float(things.ra[thing]), float(things.dec[thing]))))
    new = np.array(found, np.int64).reshape(-1, 2)
    return Pairs(np.concatenate([pairs.things, new[:, 0]]), np.concatenate([pairs.targets, new[:, 1]]))


def _of_targets(rows: pa.Table, object_ids: Sequence[str], pairs: Pairs) -> pa.Table:
    """Return the rows of targets with the column `target`, sorted by it; a thing that is two targets' gives its rows to both."""
    order = np.argsort(pairs.things, kind="stable")
    things, targets = pairs.things[order], pairs.targets[order]
    codes = pc.fill_null(pc.index_in(rows["object_id"], value_set=pa.array(object_ids, pa.string())), -1).to_numpy()
    first, last = np.searchsorted(things, codes), np.searchsorted(things, codes, side="right")
    counts = last - first
    place = np.repeat(np.arange(len(codes)), counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    target = targets[np.repeat(first, counts) + within]
    sorted_ = np.argsort(target, kind="stable")
    return rows.take(pa.array(place[sorted_])).append_column("target", pa.array(target[sorted_], pa.int32()))


def _bjd_tdb(rows: pa.Table, targets: Sequence[Any], systems: Mapping[str, times.TimeSystem]) -> pa.Array:
    """Return BJD_TDB (full JD) of rows, each for its own target's position at the row's epoch."""
    bjd, number = np.full(rows.num_rows, np.nan), rows["target"].to_numpy()
    surveys, mjd = surveys_of(rows), _mjd(rows, systems)
    place = {
        name: np.array([getattr(one, name) for one in targets], np.float64)[number] for name in ("ra", "dec", "epoch", "pmra", "pmdec")
    }
    ra, dec = place["ra"], place["dec"]
    if (place["pmra"] != 0).any() or (place["pmdec"] != 0).any():
        years = 2000.0 + (mjd - J2000_MJD) / JULIAN_YEAR - place["epoch"]
        moving = (place["pmra"] != 0) | (place["pmdec"] != 0)
        there = moved(ra, dec, place["pmra"], place["pmdec"], years=years)
        ra, dec = np.where(moving, there[0], ra), np.where(moving, there[1], dec)
    time, exptime = (np.array(rows[name].to_numpy(), np.float64) for name in ("time", "exptime"))
    for survey, system in systems.items():
        here = surveys == survey
        if here.any():
            exposed = exptime[here] if system.stamp == "start" else None
            bjd[here] = times.to_bjd_tdb(time[here], system, ra[here], dec[here], exptime=exposed) + MJD_OF_JD
    return pa.array(bjd, pa.float64(), from_pandas=True)


def _ids(rows: pa.Table, pairs: Pairs, things: Things, source: Source, *, size: int) -> list[dict[str, tuple[str, ...]]]:
    """Return the ids of each target's things: by the source's own survey, and by the others of which there are rows."""
    found: list[dict[str, tuple[str, ...]]] = [{source.survey: ()} for _ in range(size)]
    for thing, target in zip(pairs.things.tolist(), pairs.targets.tolist(), strict=True):
        found[target][source.survey] = (*found[target][source.survey], things.object_ids[thing])
    if source.relays:
        return found
    surveys = surveys_of(rows)
    for other in source.also_serves:
        for target in np.unique(rows["target"].to_numpy()[surveys == other]).tolist():
            found[target][other] = found[target][source.survey]
    return found


def _mjd(rows: pa.Table, systems: Mapping[str, times.TimeSystem]) -> Floats:
    """Return the time of each row as MJD, good enough to know where a star was."""
    time, surveys = np.array(rows["time"].to_numpy(), np.float64), surveys_of(rows)
    offset = np.zeros(len(time))
    for survey, system in systems.items():
        offset[surveys == survey] = system.jd_offset - MJD_OF_JD
    mjd = time + offset
    return np.where(np.isfinite(mjd), mjd, np.nan)


def _medians(values: Floats, codes: Places, size: int) -> Floats:
    """Return the median of the values of each code; NaN of none."""
    found = np.full(size, np.nan)
    order = np.lexsort((values, codes))
    codes, values = codes[order], values[order]
    known, first, counts = np.unique(codes, return_index=True, return_counts=True)
    low, high = first + (counts - 1) // 2, first + counts // 2
    found[known] = (values[low] + values[high]) / 2
    return found
