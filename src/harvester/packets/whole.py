"""One packet as a whole: everything that it says, and its three stamps."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from io import BytesIO
from typing import Any

from harvester.errors import UsageError
from harvester.packets.container import PacketError
from harvester.packets.decode import NO_EXTRA, PIP
from harvester.packets.lsst import any_blocks

STAMPS = ("cutoutScience", "cutoutTemplate", "cutoutDifference")
ZTF, LSST = "ZTF", "LSST"
GZIP = b"\x1f\x8b"
MOST_PIXELS = 64 << 20


@dataclass(frozen=True, slots=True)
class Packet:
    """What one packet says, in its own words; `survey` is ZTF or LSST."""

    survey: str
    said: Mapping[str, Any]

    @property
    def own(self) -> Mapping[str, Any]:
        """The measurement that made the alert."""
        return self.said.get("candidate" if self.survey == ZTF else "diaSource") or {}

    @property
    def alert_id(self) -> str:
        """The survey's id of the alert."""
        return str(self.said.get("candid") if self.survey == ZTF else self.own.get("diaSourceId"))

    @property
    def object_id(self) -> str:
        """The survey's id of the object."""
        return str(self.said.get("objectId") if self.survey == ZTF else self.own.get("diaObjectId") or self.own.get("ssObjectId"))

    def stamp(self, name: str) -> bytes | None:
        """Return a stamp's FITS file, None where the packet has none. Raises PacketError for one that cannot be unpacked."""
        found = self.said.get(name)
        body = found.get("stampData") if isinstance(found, dict) else found
        if not body:
            return None
        if bytes(body[:2]) != GZIP:
            return bytes(body)
        try:
            return gzip.GzipFile(fileobj=BytesIO(body)).read(MOST_PIXELS)
        except (OSError, EOFError, zlib.error) as error:
            raise PacketError(f"its stamp {name} is damaged") from error


def read_packet(body: bytes) -> Packet:
    """Return the first record of a packet of ZTF or LSST. Raises PacketError, and UsageError where fastavro is not installed."""
    if not find_spec("fastavro"):
        raise UsageError(NO_EXTRA, hint=PIP)
    import fastavro

    block = next(iter(any_blocks(body)))
    try:
        said = fastavro.schemaless_reader(BytesIO(body[block.start : block.end]), _parsed(block.schema))
    except Exception as error:  # whatever a damaged packet makes it stumble over
        raise PacketError(f"its data were cut off or damaged ({type(error).__name__})") from error
    survey = ZTF if isinstance(said, dict) and "candidate" in said else LSST
    packet = Packet(survey, said if isinstance(said, dict) else {})
    if not packet.own:
        raise PacketError("it is neither an alert of ZTF nor one of LSST")
    return packet


def facts_of(body: bytes) -> dict[str, Any]:
    """Return what a packet says of its own measurement, how long its history is and which stamps it has. Raises PacketError."""
    packet = read_packet(body)
    top = {name: value for name, value in packet.said.items() if isinstance(value, str | int | float)}
    lists = {name: len(value) for name, value in packet.said.items() if isinstance(value, list)}
    stamps = [name.removeprefix("cutout").lower() for name in STAMPS if packet.said.get(name)]
    own = {name: value for name, value in packet.own.items() if name not in top}
    return top | own | lists | {"stamps": ", ".join(stamps)}


@lru_cache(maxsize=32)
def _parsed(schema: bytes) -> Any:
    import fastavro

    return fastavro.parse_schema(json.loads(schema))
