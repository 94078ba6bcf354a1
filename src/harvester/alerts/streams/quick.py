"""The same as `hearing`, of many Avro packets at once: only what decides whether an alert is wanted is decoded.

What it cannot make sense of is left to `hearing`, which knows every shape, and the reasons.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from harvester.alerts.alert import Alert
from harvester.alerts.reading import ab_mag, said, utc_of_tai
from harvester.alerts.streams.decoding import packet_of
from harvester.alerts.streams.hearing import CLASSES, EXPOSURE_D, JD_OF_MJD, NO_CLASS, ZTF_BANDS, Heard, hear
from harvester.alerts.streams.message import DeadLetter, Message, Unreadable
from harvester.packets.container import Block, PacketError
from harvester.packets.decode import NO_ID, Decoded, decode
from harvester.packets.lsst import any_blocks
from harvester.packets.program import Wanted
from harvester.schema import label

ZTF_CLASSES = tuple(name for name in CLASSES if name in {"finkclass", "cdsxmatch", "tnsclass"})
LSST_CLASSES = ("simbad_otype", "tns_type")
ZTF = Wanted(("jd", "ra", "dec", "fid", "magpsf", "rb", "drb"), ("candid",), ("objectId", *ZTF_CLASSES), ("candidate",), {})
LSST = Wanted(
    ("midpointMjdTai", "ra", "dec", "psfFlux", "reliability", "snr"),
    ("diaSourceId", "diaObjectId", "ssObjectId"),
    ("band", *LSST_CLASSES),
    ("diaSource", "xm"),
    {},
)
SCORES = {"ztf_alerts": ("rb", "drb"), "lsst_alerts": ("reliability", "snr")}
NO_ID_OF_LSST = {NO_ID, 0}


def hear_all(messages: Sequence[Message], broker: str) -> tuple[list[Heard], list[DeadLetter]]:
    """Return the alerts in messages, in their order, and the messages that cannot be read. Raises UsageError where a package is missing."""
    quick = _quick(messages, broker)
    found: list[Heard] = []
    dead: list[DeadLetter] = []
    for number, message in enumerate(messages):
        if number in quick:
            found.append(quick[number])
            continue
        try:
            found += hear(message, broker)
        except Unreadable as error:
            dead.append(DeadLetter(message, str(error)))
    return found, dead


def _quick(messages: Sequence[Message], broker: str) -> dict[int, Heard]:
    packets = {number: packet for number, message in enumerate(messages) if (packet := _packet(message)) is not None}
    found: dict[int, Heard] = {}
    for wanted, read in ((ZTF, _ztf), (LSST, _lsst)):
        left = [number for number in packets if number not in found]
        if left:
            found |= _alerts(messages, {number: packets[number] for number in left}, broker, (wanted, read))
    return found


def _packet(message: Message) -> bytes | None:
    return None if message.headers.get("_test") == "true" else packet_of(message)


def _alerts(
    messages: Sequence[Message], packets: dict[int, bytes], broker: str, how: tuple[Wanted, Callable[..., Any]]
) -> dict[int, Heard]:
    """Return the alerts of packets that are of one survey and hold one record each."""
    wanted, read = how
    opened = [(number, packet, block) for number, packet in packets.items() if (block := _only_record(packet)) is not None]
    decoded = decode(opened, wanted, many=len(opened))
    heard = {}
    for row, number in enumerate(decoded.packets.tolist()):
        made = read(_Row(decoded, row), broker, packets[number])
        if made is not None:
            alert, source = made
            scores = {name: float(value) for name in SCORES[source] if np.isfinite(value := decoded.numbers[name][row])}
            heard[number] = Heard(alert, messages[number], source, "", scores)
    return heard


def _only_record(packet: bytes) -> Block | None:
    """Return the record of a packet that has one; what may follow it is the source's to refuse."""
    found: list[Block] = []
    with suppress(PacketError):
        found.extend(any_blocks(packet, {}))
    return found[0] if len(found) == 1 and found[0].count == 1 else None


class _Row:
    """One row of what was decoded."""

    def __init__(self, decoded: Decoded, row: int) -> None:
        self._decoded, self._row = decoded, row

    def number(self, name: str) -> float | None:
        value = float(self._decoded.numbers[name][self._row])
        return value if np.isfinite(value) else None

    def id(self, name: str) -> int:
        return int(self._decoded.ids[name][self._row])

    def word(self, name: str) -> str:
        return bytes(self._decoded.words[name][self._row]).decode("utf-8", "replace")

    def one_of(self, names: Sequence[str]) -> str | None:
        words = (said(self.word(name)) for name in names)
        return next((word for word in words if word and word not in NO_CLASS), None)


def _ztf(row: _Row, broker: str, packet: bytes) -> tuple[Alert, str] | None:
    name, jd, fid = row.word("objectId"), row.number("jd"), row.number("fid")
    if not name or jd is None or row.id("candid") == NO_ID:
        return None
    band = ZTF_BANDS.get(int(fid)) if fid is not None else None
    alert = Alert(
        broker,
        name,
        str(row.id("candid")),
        jd - JD_OF_MJD + EXPOSURE_D,
        row.number("ra"),
        row.number("dec"),
        row.number("magpsf"),
        label(band, "ZTF") if band else None,
        row.one_of(ZTF_CLASSES),
        survey="ZTF",
        payload=packet,
    )
    return alert, "ztf_alerts"


def _lsst(row: _Row, broker: str, packet: bytes) -> tuple[Alert, str] | None:
    thing, moving, tai, band = row.id("diaObjectId"), row.id("ssObjectId"), row.number("midpointMjdTai"), row.word("band")
    flux, name = row.number("psfFlux"), next((one for one in (thing, moving) if one not in NO_ID_OF_LSST), None)
    if name is None or tai is None or row.id("diaSourceId") == NO_ID or not band:
        return None
    alert = Alert(
        broker,
        str(name),
        str(row.id("diaSourceId")),
        utc_of_tai(tai),
        row.number("ra"),
        row.number("dec"),
        None if flux is None else ab_mag(abs(flux)),
        label(band, "LSST"),
        row.one_of(LSST_CLASSES),
        survey="LSST",
        moving=thing in NO_ID_OF_LSST,
        payload=packet,
    )
    return alert, "lsst_alerts"
