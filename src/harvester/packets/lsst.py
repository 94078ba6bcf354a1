"""Alert packets of LSST, schemas 7 to 11, to photometry: the source, those before it, and forced photometry.

They come as Avro containers, or from streams in Confluent's wire format: a zero, the schema's number in four bytes with the highest first, and
the bare record. Missing is null or NaN; an id of 0 is none. A source that was withdrawn is bad, not gone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harvester.alert_photometry import lsst
from harvester.alert_photometry.lsst import LSST_DOUBTS, lsst_limits
from harvester.packets.container import Block, PacketError, read_blocks
from harvester.packets.decode import NO_ID, Decoded, Opened, decode
from harvester.packets.layouts import numbers, own_place, schema_of
from harvester.packets.program import Wanted
from harvester.packets.ztf import Packets

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Places = NDArray[np.int64]

WIRE = b"\x00"
HEAD = 5
SOURCE, BEFORE, FORCED, LIMIT = range(4)
SINGLE = ("psfFlux", "psfFluxErr", "scienceFlux", "scienceFluxErr", "reliability")
NUMBERS = ("midpointMjdTai", "ra", "dec", "detector", "timeWithdrawnMjdTai", "diaNoise", *SINGLE, *LSST_DOUBTS)
IDS = ("diaSourceId", "diaForcedSourceId", "diaObjectId", "ssObjectId", "visit")
PHOTOMETRY = Wanted(NUMBERS, IDS, ("band",), ("diaSource",), {
    "prvDiaSources": BEFORE, "prvDiaForcedSources": FORCED, "prvDiaNondetectionLimits": LIMIT,
})  # fmt: skip
FOREIGN = "it is no alert of LSST's schemas 7 to 11: it lacks its source's id, its time or its band"


def lsst_rows(bodies: Sequence[bytes], schemas: Mapping[int, bytes] | None = None, *, fast: bool | None = None) -> Packets:
    """Return what packets hold, each measurement once: as the last packet tells it, which knows of withdrawals.

    `schemas` are further Avro schemas by number, for packets of streams. A packet that cannot be decoded is refused with its reason.
    """
    return lsst_things(bodies, schemas, fast=fast)[0]


def lsst_things(
    bodies: Sequence[bytes], schemas: Mapping[int, bytes] | None = None, *, fast: bool | None = None
) -> tuple[Packets, frozenset[str]]:
    """Return the same, and the ids of the things of the solar system: their place is of one moment only."""
    refused: list[tuple[int, str]] = []
    decoded = decode(_opened(bodies, schemas or {}, refused), PHOTOMETRY, many=len(bodies), fast=fast)
    strange = _foreign(decoded, refused)
    told = [lsst(_table(decoded, _last(decoded, strange, forced=forced)), forced=forced) for forced in (False, True)]
    limits = _limits(decoded, strange)
    told += [lsst_limits(_table(decoded, limits))] if len(limits) else []
    return Packets(pa.concat_tables(told, promote_options="default"), sorted(refused)), _moving(decoded)


def wire_block(body: bytes, schemas: Mapping[int, bytes] | None = None) -> Block:
    """Return the one record of a packet in the wire format. Raises PacketError."""
    if len(body) < HEAD or not body.startswith(WIRE):
        raise PacketError(f"it is neither an Avro container nor a packet of a stream: it begins with {bytes(body[:8])!r}")
    number = int.from_bytes(body[1:HEAD], "big")
    schema = (schemas or {}).get(number) or schema_of(number)
    if schema is None:
        known = ", ".join(map(str, numbers()))
        more = f"lay it down as {own_place(number).name} (harvest alerts dead --help), or use a newer harvester"
        raise PacketError(f"its schema has the number {number}; known are {known}: {more}")
    return Block(schema, 1, HEAD, len(body))


def any_blocks(body: bytes, schemas: Mapping[int, bytes] | None = None) -> Iterator[Block]:
    """Yield the records of a packet, of a file or of a stream. Raises PacketError."""
    return iter([wire_block(body, schemas)]) if body.startswith(WIRE) else read_blocks(body)


def _opened(bodies: Sequence[bytes], schemas: Mapping[int, bytes], refused: list[tuple[int, str]]) -> Iterator[Opened]:
    for index, body in enumerate(bodies):
        try:
            for block in any_blocks(body, schemas):
                yield index, body, block
        except PacketError as error:
            refused.append((index, str(error)))


def _foreign(decoded: Decoded, refused: list[tuple[int, str]]) -> set[int]:
    own = decoded.kinds == SOURCE
    lacking = (decoded.ids["diaSourceId"] == NO_ID) | np.isnan(decoded.numbers["midpointMjdTai"]) | (decoded.words["band"] == b"")
    strange = set(decoded.packets[own & lacking].tolist())
    refused += [*decoded.refused, *((index, FOREIGN) for index in sorted(strange))]
    return strange


def _last(decoded: Decoded, strange: set[int], *, forced: bool) -> Places:
    """Return the last place of each measurement; of one packet its own source counts."""
    use = ~np.isin(decoded.packets, list(strange)) & ((decoded.kinds == FORCED) == forced) & (decoded.kinds != LIMIT)
    places = np.flatnonzero(use)
    places = places[np.lexsort((decoded.kinds[places], -decoded.packets[places].astype(np.int64)))]
    keys = decoded.ids["diaForcedSourceId" if forced else "diaSourceId"][places]
    unnamed = np.flatnonzero(keys == NO_ID)
    keys[unnamed] = -1 - places[unnamed]
    return np.sort(places[np.unique(keys, return_index=True)[1]])


def _limits(decoded: Decoded, strange: set[int]) -> Places:
    """Return the limits of schema 7; later ones have none. The store keeps one of those that several packets tell."""
    return np.flatnonzero(~np.isin(decoded.packets, list(strange)) & (decoded.kinds == LIMIT))


def _moving(decoded: Decoded) -> frozenset[str]:
    """Return the ids of things of the solar system: their own source is of no object that stays."""
    nothing = (NO_ID, 0)
    here = (decoded.kinds == SOURCE) & np.isin(decoded.ids["diaObjectId"], nothing) & ~np.isin(decoded.ids["ssObjectId"], nothing)
    return frozenset(map(str, decoded.ids["ssObjectId"][here].tolist()))


def _table(decoded: Decoded, here: Places) -> pa.Table:
    own = np.maximum.accumulate(np.where(decoded.kinds == SOURCE, np.arange(len(decoded.kinds)), 0)) if len(decoded.kinds) else here
    columns: dict[str, Any] = {name: _number(decoded.numbers[name][here], name) for name in NUMBERS}
    columns |= {name: _id(decoded.ids[name][here]) for name in IDS}
    objects = [_id(decoded.ids[name][places]) for places in (here, own[here]) for name in ("diaObjectId", "ssObjectId")]
    columns["object_id"] = pc.coalesce(*objects, _id(decoded.ids["diaSourceId"][own[here]]))
    bands, codes = np.unique(decoded.words["band"][here], return_inverse=True)
    texts = pa.array([band.decode("utf-8", "replace") or None for band in bands.tolist()], pa.string())
    columns["band"] = texts.take(pa.array(codes))
    columns["payload"] = pa.array(decoded.packets[here], pa.int32())
    return pa.table(columns)


def _number(values: NDArray[np.float64], name: str) -> pa.Array:
    """Return a column, null for nothing; of single precision the digits that the survey meant, flags as truths."""
    known = pa.array(values, pa.float64(), from_pandas=True)
    if name in LSST_DOUBTS:
        return pc.not_equal(known, 0.0)
    if name not in SINGLE or known.null_count == len(known):
        return known
    return pc.cast(pc.cast(pc.cast(known, pa.float32()), pa.string()), pa.float64())


def _id(values: NDArray[np.int64]) -> pa.Array:
    """Return ids as text, null for none."""
    return pc.cast(pa.array(values, mask=(values == NO_ID) | (values == 0)), pa.string())
