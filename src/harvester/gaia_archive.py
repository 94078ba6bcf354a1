"""ESA's Gaia archive, as far as its releases are alike: the sources near targets (TAP), and the epoch photometry of sources (DataLink).

Epoch photometry is a table per source, with a row per transit and its three bands side by side, or with a row per band. Either way a band
has the columns of `Columns`, fluxes in electrons per second, and flags of two stages of the processing, some of them only as bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from harvester.brightness import flux_from_counts, mag_err_from_flux
from harvester.errors import Malformed, SourceError
from harvester.passbands import passband
from harvester.payload import Payload, integer, number, numpy, read_members, read_table, require, text, truth, words
from harvester.source import Http, Query

TAP = {"REQUEST": "doQuery", "LANG": "ADQL", "FORMAT": "csv"}
FORM = {"RETRIEVAL_TYPE": "EPOCH_PHOTOMETRY", "VALID_DATA": "false", "USE_ZIP_ALWAYS": "true"}
MOST_IDS, MOST_ROWS = 5000, 2000
REJECTED = {"G": 0, "BP": 1 << 10, "RP": 1 << 11}
"""Bits of other_flags: "rejected by photometry" of one band."""


@dataclass(frozen=True, slots=True)
class Release:
    """A data release: the archive's word for it, its table of sources, and their epoch (Julian year).

    `structures` are the words for "one table per source", which change with the archive's own versions, in the order in which to try them.
    """

    name: str
    catalogue: str
    epoch: float
    structures: tuple[str, ...]
    format: str = "csv"


class Columns(NamedTuple):
    """What one band's columns are called. An empty name is a flag that is not there; `more` are further ones, kept in the flags as they are."""

    time: str
    flux: str
    flux_error: str
    mag: str
    noisy: str = ""
    other: str = ""
    rejected: str = "rejected_by_photometry"
    more: tuple[str, ...] = ()

    @classmethod
    def of(cls, names: str) -> Columns:
        """Return the columns of a line that names the first six, in their order."""
        time, flux, flux_error, mag, noisy, other = names.split()
        return cls(time, flux, flux_error, mag, noisy, other)


def ask(http: Http, query: str, source: str) -> Payload:
    """Return the archive's answer to an ADQL query as CSV. Raises Malformed for nothing at all: an empty result has a header."""
    answer = http.post("tap-server/tap/sync", data=TAP | {"QUERY": query})
    if not answer.body.strip():
        raise Malformed(f"{source}: the archive sent nothing at all.", hint="Ask again.", payload=answer)
    return answer


def schemas(http: Http) -> list[str]:
    """Return the names of the archive's schemas, one for each release among them; asked for once in a run. Raises Malformed for none at all."""
    answer = http.once("tap-server/tap/sync", **TAP, QUERY="SELECT schema_name FROM tap_schema.schemas")
    if not answer.body.strip():
        raise Malformed(f"{answer.source}: the archive sent nothing at all.", hint="Ask again.", payload=answer)
    names: list[str] = text(read_table(answer, "schema_name")["schema_name"]).to_pylist()
    return names


def cones(query: Query, release: Release) -> list[str]:
    """Return a condition in ADQL for each target, where it was at the release's epoch."""
    places = [target.at(release.epoch) for target in query.targets]
    return [f"1=CONTAINS(POINT('ICRS',ra,dec),CIRCLE('ICRS',{ra:.8f},{dec:.8f},{query.radius / 3600:.8f}))" for ra, dec in places]


def sources_where(release: Release, columns: Sequence[str], conditions: Sequence[str]) -> str:
    """Return the query for columns of the sources of which one of the conditions holds."""
    return f"SELECT TOP {MOST_ROWS} {', '.join(columns)} FROM {release.catalogue} WHERE {' OR '.join(conditions)}"  # noqa: S608 - numbers only


def listed(answer: Payload, rows: pa.Table, source: str) -> pa.Table:
    """Return the rows of a list of sources. Raises Malformed for a list that the archive has cut."""
    if rows.num_rows >= MOST_ROWS:
        what = f"{source}: the archive cut its answer at {MOST_ROWS} sources."
        raise Malformed(what, hint="Ask again with a smaller --radius.", payload=answer)
    return rows


def epoch_photometry(http: Http, release: Release, ids: Sequence[str]) -> Iterator[Payload]:
    """Yield the epoch photometry of sources, as many at once as the archive allows."""
    for first in range(0, len(ids), MOST_IDS):
        yield _some_epoch_photometry(http, release, ids[first : first + MOST_IDS])


def _some_epoch_photometry(http: Http, release: Release, ids: Sequence[str]) -> Payload:
    """Ask with the usual word for the layout, and with the other one if the archive says that it has changed its words."""
    form = FORM | {"RELEASE": release.name, "FORMAT": release.format, "ID": ",".join(ids)}
    usual, other = release.structures
    try:
        return http.post("data-server/data", data=form | {"DATA_STRUCTURE": usual})
    except SourceError as error:
        if "Data Structure" not in str(error):
            raise
        return http.post("data-server/data", data=form | {"DATA_STRUCTURE": other})


def from_members(
    payload: Payload,
    parse: Callable[[pa.Table], Sequence[pa.Table]],
    *required: str,
    ids: Callable[[str, pa.Table], pa.Array] | None = None,
) -> pa.Table:
    """Return what `parse(table)` makes of the members of an archive (see `read_members`), one below the other.

    `ids(name, table)` gives a member's column `object_id`, its `source_id` unless said otherwise. Members with the same columns are parsed as
    one table: an archive holds hundreds.
    """
    alike: dict[tuple[tuple[str, pa.DataType], ...], list[pa.Table]] = {}
    for name, table in read_members(payload, *required):
        named = table.append_column("object_id", ids(name, table) if ids else text(table["source_id"]))
        alike.setdefault(tuple(zip(named.column_names, named.schema.types, strict=True)), []).append(named)
    tables = [part for same in alike.values() for part in parse(pa.concat_tables(same).combine_chunks())]
    return pa.concat_tables(tables) if tables else pa.table({name: pa.array([], pa.string()) for name in ("passband", "time", "object_id")})


def ujy_of_one_count(survey: str, mag_of_one_count: Mapping[str, float]) -> dict[str, float]:
    """Return the flux (uJy) of 1 e-/s in each band, from its magnitude in the release's own system."""
    return {band: float(flux_from_counts(1.0, mag, passband(band, survey).zeropoint_jy)) for band, mag in mag_of_one_count.items()}


def each_band(rows: pa.Table, columns: Columns, ujy: Mapping[str, float]) -> list[pa.Table]:
    """Return the measurements of a table that has a row per band, band by band."""
    require(rows, "band", *filter(None, columns[:7]))
    bands = pc.fill_null(rows["band"], "")
    return [measurements(rows.filter(pc.equal(bands, band)), band, columns, ujy) for band in pc.unique(bands).to_pylist()]


def measurements(rows: pa.Table, band: str, columns: Columns, ujy: Mapping[str, float]) -> pa.Table:
    """Return one band's rows (with `object_id`) in the schema's columns. A band without a known zero point keeps its magnitudes only.

    Bad is what either stage of the processing rejected; flags that are not there, or that nobody can read, make a point suspect.
    """
    require(rows, "transit_id", *filter(None, columns[:7]))
    rows = rows.filter(pc.or_(pc.is_valid(rows[columns.time]), pc.is_valid(rows[columns.flux])))
    counts, counts_err = numpy(number(rows[columns.flux])), numpy(number(rows[columns.flux_error]))
    table = {
        "passband": pa.repeat(band, rows.num_rows),
        "time": number(rows[columns.time]),
        "mag": number(rows[columns.mag]),
        "mag_err": mag_err_from_flux(counts, counts_err),
        "flux": counts * ujy.get(band, nan),
        "flux_err": counts_err * ujy.get(band, nan),
        **_graded(rows, band, columns),
        "object_id": rows["object_id"],
        "observation_id": pc.binary_join_element_wise(text(rows["transit_id"]), band, "-"),
    }
    return pa.table(table)


def _graded(rows: pa.Table, band: str, columns: Columns) -> dict[str, pa.ChunkedArray]:
    """Return quality and flags; quality is null where the release does not tell."""
    unknown = pa.chunked_array([pa.nulls(rows.num_rows, pa.string())])
    noisy, rejected = (truth(rows[name] if name else unknown) for name in (columns.noisy, columns.rejected))
    other = rows[columns.other] if columns.other else unknown
    bits = pc.not_equal(pc.bit_wise_and(integer(other), REJECTED.get(band, 0)), 0)
    told = {"variability": (columns.noisy, noisy), "photometry": (columns.rejected, rejected), "other": (columns.other, other)}
    said = [part for word, (name, column) in told.items() if name for part in (word, column)]
    said += [part for name in columns.more for part in (name, rows[name])]
    flags = words(*said) if said else unknown
    return {"quality": pc.if_else(pc.or_kleene(pc.or_(noisy, rejected), bits), 2, 0), "flags": flags}
