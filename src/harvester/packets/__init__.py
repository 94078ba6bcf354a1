"""Alert packets: Avro as the surveys send it, decoded to photometry and to pictures.

A packet holds one alert: the measurement that made it, the history of its object, and three stamps. `ztf_rows` and `lsst_rows` read many at
once, in columns; a packet that cannot be read is refused with its reason, and never stops the others.
"""

from harvester.packets.container import PacketError
from harvester.packets.lsst import lsst_rows, lsst_things
from harvester.packets.ztf import Packets, ZtfReader, ztf_rows

__all__ = ["PacketError", "Packets", "ZtfReader", "lsst_rows", "lsst_things", "ztf_rows"]
