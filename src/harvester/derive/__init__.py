"""Derived columns, on request only: light curves as they are read become what a user wants to see, and nothing of it is ever stored.

Row by row: MJD (UTC), an error floor, another magnitude system, another unit of flux. Series by series: outliers flagged, nights binned. In this
order: MJD, error floor, clip, bin, system, unit of flux.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from harvester.derive import columns, groups
from harvester.derive.known import Known
from harvester.errors import UsageError

__all__ = ["FLUX_UNITS", "MJD", "SYSTEMS", "TIMES", "Derivation", "Known", "read_floors", "whole_targets"]

MJD = columns.MJD
TIMES = ("bjd_tdb", "mjd", "survey")
SYSTEMS = {"ab": "AB", "vega": "Vega"}
FLUX_UNITS = columns.FLUX_UNITS
DOCUMENTED = "survey"
"""The word for the error floors that are documented with the passbands."""


@dataclass(frozen=True, slots=True)
class Derivation:
    """What to derive. The default derives nothing: tables pass as they are.

    `time` "mjd" adds the column `mjd_utc`. `floors` are magnitudes added in quadrature by filter, "*" for any other; `documented_floors` takes
    those of `passbands.toml` where `floors` says nothing. `system` is "ab", "vega" or empty; `flux_unit` one of FLUX_UNITS; `night` bins;
    `clip` flags what lies more than so many sigma off.
    """

    time: str = "bjd_tdb"
    floors: Mapping[str, float] = field(default_factory=dict)
    documented_floors: bool = False
    system: str = ""
    flux_unit: str = "uJy"
    night: bool = False
    clip: float | None = None

    def schema(self, schema: pa.Schema) -> pa.Schema:
        """Return the columns of what `applied` yields for tables of a schema, with the units that it changes."""
        if self.time == "mjd" and MJD not in schema.names:
            schema = schema.insert(schema.get_field_index("bjd_tdb") + 1, pa.field(MJD, pa.float64()))
        if self.clip is not None:
            schema = schema.append(pa.field(groups.CLIPPED, pa.bool_()))
        if self.night:
            schema = schema.append(pa.field(groups.POINTS, pa.int32()))
        return schema

    def words(self) -> dict[str, str]:
        """Return what a file should say of it, empty for what was not asked for."""
        floors = {**({"other filters": "as documented"} if self.documented_floors else {}), **self.floors}
        return {
            "error_floor": "; ".join(
                f"{name}: {floor} mag" if floor != "as documented" else f"{name}: {floor}" for name, floor in floors.items()
            ),
            "magnitude_system": SYSTEMS.get(self.system, ""),
            "flux_unit": "" if self.flux_unit == "uJy" else FLUX_UNITS[self.flux_unit].unit,
            "binned": "by night (noon to noon of the site), weighted by inverse variance" if self.night else "",
            "clipped": f"beyond {self.clip:g} robust sigma of the median of target and filter" if self.clip is not None else "",
        }

    def applied(self, batches: Iterable[pa.RecordBatch], known: Known) -> Iterator[pa.RecordBatch]:
        """Yield the batches with what is derived. Raises UsageError for a filter that cannot be converted."""
        steps = [*self._steps(known)]
        if not steps:
            yield from batches
            return
        parts = whole_targets(batches) if self.night or self.clip is not None else (pa.Table.from_batches([batch]) for batch in batches)
        for table in parts:
            for step in steps:
                table = step(table)  # noqa: PLW2901 - one step after another
            yield from table.combine_chunks().to_batches()

    def _steps(self, known: Known) -> Iterator[Callable[[pa.Table], pa.Table]]:
        if self.time == "mjd" or self.night:
            yield lambda table: columns.with_mjd(table, known)
        if self.floors or self.documented_floors:
            yield lambda table: columns.with_floor(table, self._floor_of(known))
        if self.clip is not None:
            limit = self.clip
            yield lambda table: groups.clipped(table, limit)
        if self.night:
            yield lambda table: groups.nights(table, known)
        if self.night and self.time != "mjd":
            yield lambda table: table.drop_columns([MJD])
        if self.system:
            yield lambda table: columns.in_system(table, SYSTEMS[self.system], known)
        if self.flux_unit != "uJy":
            yield lambda table: columns.in_unit(table, self.flux_unit)

    def _floor_of(self, known: Known) -> Callable[[str], float]:
        def floor(name: str) -> float:
            band = known.band(name) if self.documented_floors else None
            documented = (band.error_floor_mag if band else None) or 0.0
            return self.floors.get(name, self.floors.get("*", documented))

        return floor


def read_floors(words: Iterable[str]) -> tuple[dict[str, float], bool]:
    """Return error floors as said: "survey" (documented ones), "0.01" (all filters) or "G(GAIA_DR3)=0.0045". Raises UsageError.

    >>> read_floors(["survey", "g(ZTF_DR)=0.02"])
    ({'g(ZTF_DR)': 0.02}, True)
    """
    floors, documented = {}, False
    for word in words:
        name, equals, number = word.rpartition("=")
        if word == DOCUMENTED:
            documented = True
            continue
        try:
            floors[name if equals else "*"] = value = float(number)
        except ValueError:
            value = -1.0
        if not 0 <= value < 10:
            hint = "Write 0.01 (all filters), 'G(GAIA_DR3)=0.0045', or survey (the documented ones)."
            raise UsageError(f"'{word}' is no error floor.", "It is a number of magnitudes.", hint)
    return floors, documented


def whole_targets(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Yield tables that end where a target ends; batches come target by target."""
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        if not batch.num_rows:
            continue
        last = batch.column("target")[batch.num_rows - 1]
        begins = pc.index(batch.column("target"), last).as_py()
        if begins or (waiting and waiting[-1].column("target")[0] != last):
            yield pa.Table.from_batches([*waiting, batch.slice(0, begins)])
            waiting = []
        waiting.append(batch.slice(begins))
    if waiting:
        yield pa.Table.from_batches(waiting)
