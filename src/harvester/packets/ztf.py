"""Alert packets of ZTF, of every schema since 2018, to photometry: the candidate, what was before it, and forced photometry since 2023.

A measurement is told again in every later packet of its object, rounded to four decimals and now and then with another spelling of its sign: the
packet's own candidate counts, what is told from memory is marked as such. Sentinels (-999, -99999) become nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harvester.alert_photometry import JD_OF_MJD, ztf_alerts, ztf_forced
from harvester.packets.container import PacketError, read_blocks, read_head
from harvester.packets.decode import NO_ID, Decoded, Decoding, Opened, decode
from harvester.packets.program import Wanted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Places = NDArray[np.int64]

CANDIDATE, BEFORE, FORCED = 0, 1, 2
NUMBERS = """jd fid magpsf sigmapsf diffmaglim magnr distnr ra dec rb drb nbad fwhm elong magdiff exptime
    forcediffimflux forcediffimfluxunc magzpsci""".split()
SINGLE = {"magpsf", "sigmapsf", "diffmaglim", "magnr", "distnr", "rb", "drb", "magzpsci"}
"""Of single precision: the digits that the survey meant are fewer than a double's."""
PHOTOMETRY = Wanted(tuple(NUMBERS), ("candid",), ("objectId", "isdiffpos", "procstatus"), ("candidate",), {
    "prv_candidates": BEFORE, "fp_hists": FORCED,
})  # fmt: skip
HEADLINE = Wanted(
    ("jd", "ra", "dec", "fid", "magpsf", "rb", "drb"), ("candid",), ("objectId", "isdiffpos"), ("candidate",), {}, whole=False
)
"""What is asked of every packet of a night when one looks for some: nothing behind the candidate is read."""
MISSING = -998.0
"""Catalogue values below are sentinels."""
PIXEL_ARCSEC = 1.012
SECONDS = 86_400.0
SPELLINGS = ((b"t", b"1"), (b"f", b"0"))
DETECTED = ("magpsf", "sigmapsf", "diffmaglim", "magnr", "distnr", "ra", "dec", "rb", "drb", "nbad", "fwhm", "elong", "magdiff", "exptime")
LIMITED = ("diffmaglim", "exptime")
MEASURED = ("forcediffimflux", "forcediffimfluxunc", "magzpsci", "diffmaglim", "magnr", "distnr", "ra", "dec", "exptime")
FOREIGN = "it is no alert of ZTF: it lacks the name of its object, its candid or its time"


class Packets(NamedTuple):
    """Photometry of many packets: `rows` in the columns that `normalise` returns and `payload`, the index of the packet; and who was refused."""

    rows: pa.Table
    refused: list[tuple[int, str]]


def ztf_rows(bodies: Sequence[bytes], *, fast: bool | None = None) -> Packets:
    """Return what packets (Avro containers) hold, each measurement once: the first that is not from memory, else the first.

    A packet that cannot be decoded, or is none of ZTF's, is refused with its reason; `fast` as in `decode`.
    """
    reader = ZtfReader(len(bodies), fast=fast)
    refused = reader.take(bodies)
    return Packets(reader.rows(), refused)


class ZtfReader:
    """Reads many packets, about so many, a part at a time: what `ztf_rows` does, but for all of them only what they say is held."""

    def __init__(self, many: int, *, fast: bool | None = None) -> None:
        self._decoding, self._strange = Decoding(PHOTOMETRY, many=many, fast=fast), set[int]()
        self.packets = 0
        """How many were taken."""

    def take(self, bodies: Sequence[bytes]) -> list[tuple[int, str]]:
        """Read packets; return those that are refused, by their index among these, with the reason."""
        first, row, refused = self.packets, self._decoding.rows, list[tuple[int, str]]()
        undecoded = self._decoding.take(opened(bodies, refused, first))
        self._strange |= foreign(self._decoding.decoded(undecoded, row), refused)
        self.packets += len(bodies)
        return sorted((index - first, why) for index, why in refused)

    def rows(self) -> pa.Table:
        """Return what the packets hold (see `Packets`)."""
        return _photometry(self._decoding.decoded([]), self._strange)


class Headline(NamedTuple):
    """What the alerts of many packets are, without their history: columns as in HEADLINE, `packet` the index; and who was refused."""

    rows: pa.Table
    refused: list[tuple[int, str]]


HEAD_BYTES = 40 << 10
"""So many bytes of a packet hold its schema and its candidate."""


def ztf_headlines(heads: Sequence[bytes], *, fast: bool | None = None) -> Headline:
    """Return the candidates of packets, of which the first HEAD_BYTES are enough: object_id, candid, mjd, ra, dec, fid, magpsf, rb, drb."""
    refused: list[tuple[int, str]] = []
    decoded = decode(_heads(heads, refused), HEADLINE, many=len(heads), fast=fast)
    use = ~np.isin(decoded.packets, list(foreign(decoded, refused)))
    columns: dict[str, Any] = {
        "candid": pc.cast(pa.array(decoded.ids["candid"][use]), pa.string()),
        "object_id": pa.array(decoded.words["objectId"][use].astype("U"), pa.string()),
        "mjd": pa.array(decoded.numbers["jd"][use] - JD_OF_MJD),
        "packet": pa.array(decoded.packets[use]),
    }
    return Headline(pa.table(columns | {name: _number(decoded.numbers[name][use], name) for name in HEADLINE.numbers[1:]}), sorted(refused))


def _heads(heads: Sequence[bytes], refused: list[tuple[int, str]]) -> Iterator[Opened]:
    for index, head in enumerate(heads):
        try:
            yield index, head, read_head(head)
        except PacketError as error:
            refused.append((index, str(error)))


def opened(bodies: Sequence[bytes], refused: list[tuple[int, str]], first: int = 0) -> Iterator[Opened]:
    """Yield what is sound in the packets, which are numbered from `first` on; for the rest, they are added to `refused`."""
    for index, body in enumerate(bodies, first):
        try:
            for block in read_blocks(body):
                yield index, body, block
        except PacketError as error:
            refused.append((index, str(error)))


def foreign(decoded: Decoded, refused: list[tuple[int, str]]) -> set[int]:
    """Return the packets that are not ZTF's: they tell no object, candid or time. All that could not be used are added to `refused`."""
    own = decoded.kinds == CANDIDATE
    lacking = (decoded.words["objectId"] == b"") | (decoded.ids["candid"] == NO_ID) | np.isnan(decoded.numbers["jd"])
    strange = set(decoded.packets[own & lacking].tolist())
    refused += [*decoded.refused, *((index, FOREIGN) for index in sorted(strange))]
    return strange


def _photometry(decoded: Decoded, strange: set[int]) -> pa.Table:
    told = _Told(decoded, strange)
    parts = [ztf_alerts(told.detections(), told.limits()), ztf_forced(told.forced())]
    return pa.concat_tables(parts, promote_options="default")


class _Told:
    """What packets tell, row by row, and which rows are a measurement's first."""

    def __init__(self, decoded: Decoded, strange: set[int]) -> None:
        self._decoded, self._kinds = decoded, decoded.kinds
        self._use = ~np.isin(decoded.packets, list(strange))
        places = np.arange(len(self._kinds))
        self._owner = np.maximum.accumulate(np.where(self._kinds == CANDIDATE, places, 0)) if len(places) else places
        names, codes = np.unique(decoded.words["objectId"][self._kinds == CANDIDATE], return_inverse=True)
        self._names = pa.array(names.astype("U"), pa.string())
        of_own = np.zeros(len(places), np.int64)
        of_own[self._kinds == CANDIDATE] = codes
        self._codes = of_own[self._owner]
        seconds = np.nan_to_num(np.round(decoded.numbers["jd"] * SECONDS)).astype(np.int64)
        self._moments = self._codes << 40 | seconds
        self._seen = self._use & (self._kinds != FORCED) & ~np.isnan(decoded.numbers["magpsf"])
        self._seen |= self._use & (self._kinds == CANDIDATE)

    def detections(self) -> pa.Table:
        """Return every detection once, by candid; those that lost it by object and second."""
        places = np.flatnonzero(self._seen)
        places = np.concatenate([places[self._kinds[places] == kind] for kind in (CANDIDATE, BEFORE)])
        candids = self._decoded.ids["candid"][places]
        here = _firsts(places, np.where(candids == NO_ID, -self._moments[places], candids))
        candids = self._decoded.ids["candid"][here]
        own: dict[str, Any] = {
            "candid": pc.cast(pa.array(candids, mask=candids == NO_ID), pa.string()),
            "isdiffpos": self._signs(here),
            "history": pa.array(self._kinds[here] == BEFORE),
        }
        return self._table(here, DETECTED, own)

    def limits(self) -> pa.Table:
        """Return every limit once, by object and second; where there is a detection, it counts."""
        places = np.flatnonzero(self._use & (self._kinds == BEFORE) & ~self._seen)
        places = places[~np.isin(self._moments[places], self._moments[self._seen])]
        here = _firsts(places, self._moments[places])
        return self._table(here, LIMITED, {"history": pa.array(np.ones(len(here), bool))})

    def forced(self) -> pa.Table:
        """Return every measurement by force once, by object and second: that of the last packet, which knows best."""
        places = np.flatnonzero(self._use & (self._kinds == FORCED))[::-1]
        here = _firsts(places, self._moments[places])
        table = self._table(here, MEASURED, {"procstatus": _words(self._decoded.words["procstatus"][here])})
        pixels = pc.divide(table["distnr"], PIXEL_ARCSEC)
        return table.set_column(table.column_names.index("distnr"), "distnr", pixels)

    def _table(self, here: Places, names: Sequence[str], own: dict[str, Any]) -> pa.Table:
        columns = {name: _number(self._decoded.numbers[name][here], name) for name in names}
        fids = pa.array(self._decoded.numbers["fid"][here], pa.float64(), from_pandas=True)
        common: dict[str, Any] = {
            "object_id": self._names.take(pa.array(self._codes[here])),
            "mjd": pa.array(self._decoded.numbers["jd"][here] - JD_OF_MJD, pa.float64(), from_pandas=True),
            "fid": pc.cast(pc.cast(fids, pa.int64()), pa.string()),
            "payload": pa.array(self._decoded.packets[here], pa.int32()),
        }
        return pa.table(columns | common | own)

    def _signs(self, here: Places) -> pa.Array:
        """Return the sign of each difference in one spelling, t or f; another word stays."""
        words = self._decoded.words["isdiffpos"][here]
        known = np.zeros(len(here), np.int8)
        for code, spelled in enumerate(SPELLINGS, 1):
            for word in spelled:
                known[words == word] = code
        if (known == 0).any():
            return _words(words, {spelled[1]: spelled[0] for spelled in SPELLINGS})
        return pa.array([spelled[0].decode() for spelled in SPELLINGS], pa.string()).take(pa.array(known - 1))


def _firsts(places: Places, keys: Places) -> Places:
    """Return the first place of each key, in the order of the packets."""
    if not len(places):
        return places
    codes = pa.array(keys).dictionary_encode().indices.to_numpy()
    newest = np.maximum.accumulate(codes)
    return np.sort(places[np.append(True, newest[1:] > newest[:-1])])


def _number(values: Floats, name: str) -> pa.Array:
    """Return a column, null for nothing and for sentinels, with the digits that the survey meant."""
    sentinel = name in {"magnr", "distnr"} and values <= MISSING
    known = pa.array(np.where(sentinel, np.nan, values), pa.float64(), from_pandas=True)
    if name not in SINGLE or known.null_count == len(known):
        return known
    return pc.cast(pc.cast(pc.cast(known, pa.float32()), pa.string()), pa.float64())


def _words(values: NDArray[np.bytes_], spellings: dict[bytes, bytes] | None = None) -> pa.Array:
    """Return words, of which there are few, as text; null for none, and each in its one spelling."""
    known, codes = np.unique(values, return_inverse=True)
    texts = [(spellings or {}).get(word, word).decode("utf-8", "replace") or None for word in known.tolist()]
    return pa.array(texts, pa.string()).take(pa.array(codes))
