"""From the bytes of a message to records, told by how it begins, whoever sent it.

`Obj` and 0x01: an Avro container; 0x00 and four bytes: Confluent's wire format, of Rubin; `{` or `[`: JSON; 0x78: zlib around BSON, of ANTARES;
`<`: VOEvent; anything else with an Avro schema in the message's key: a record without a schema of its own, of Fink.
"""

from __future__ import annotations

import hashlib
import io
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from harvester.alerts.streams import bson
from harvester.alerts.streams.message import Message, Unreadable
from harvester.errors import UsageError
from harvester.packets.lsst import wire_block

CONTAINER, WIRE, ZLIB = b"Obj\x01", b"\x00", b"\x78"
SYNC_BYTES = 16
MAX_UNPACKED = 64 << 20
"""Bytes that a compressed message may grow to: a thousand alerts of the largest sort."""
WIRE_HEADER = 5
OFFLOADED = "its content lies elsewhere (offloaded by hop), and was not sent"


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a message. `packet` are bytes that can be read without the message: an Avro container, Rubin's wire format, or JSON."""

    fields: Mapping[str, Any]
    packet: bytes = field(repr=False)
    form: str = "json"
    """How it was packed: avro, wire, json, bson or voevent."""


def records(message: Message) -> list[Record]:
    """Return what a message holds; nothing for an empty one. Raises Unreadable with the reason, UsageError where fastavro is missing."""
    value = message.value
    if message.headers.get("_format") == "external":
        raise Unreadable(OFFLOADED)
    if value.startswith(CONTAINER):
        return _container(value)
    if value.startswith(WIRE) and len(value) > WIRE_HEADER and not message.key.lstrip().startswith(b"{"):
        return [_wire(value)]
    if message.key.lstrip().startswith((b"{", b"[")) and not value.lstrip().startswith((b"{", b"[")):
        return [_schemaless(value, message.key)]
    start = value.lstrip()[:1]
    if start in (b"{", b"["):
        return _json(value)
    if start == b"<":
        from harvester.alerts.streams.voevent import event

        return [Record(event(value), value, "voevent")]
    if value.startswith(ZLIB):
        return [Record(_zipped(value), value, "bson")]
    if not value.strip():
        return []
    raise Unreadable(f"no alert format begins with {value[:12]!r}" + ("" if message.key else ", and there is no schema in its key"))


def packet_of(message: Message) -> bytes | None:
    """Return a message that is an Avro packet as one that needs nothing else to be read; None for any other."""
    value, key = message.value, message.key
    if message.headers.get("_format") == "external":
        return None
    if value.startswith(CONTAINER):
        return value
    if key.startswith((b"{", b"[")):
        return None if value.lstrip().startswith((b"{", b"[")) else contained(value, key)
    return value if value.startswith(WIRE) and len(value) > WIRE_HEADER else None


def contained(value: bytes, schema: bytes) -> bytes:
    """Return one record without a schema, and its schema, as an Avro container: the same bytes for the same two."""
    header, sync = _header(schema)
    return b"".join([header, _long(len(value)), value, sync])


@lru_cache(maxsize=64)
def _header(schema: bytes) -> tuple[bytes, bytes]:
    """Return what a container of one record begins with, up to the record's length, and the marker that ends it."""
    sync = hashlib.sha256(schema).digest()[:SYNC_BYTES]
    entries = {b"avro.codec": b"null", b"avro.schema": schema}
    words = b"".join(_long(len(name)) + name + _long(len(text)) + text for name, text in entries.items())
    return CONTAINER + _long(len(entries)) + words + _long(0) + sync + _long(1), sync


def avro() -> Any:
    """Return the module fastavro. Raises UsageError where it is missing."""
    try:
        import fastavro
    except ModuleNotFoundError as error:
        raise UsageError("alert packets need the package fastavro.", hint="pip install 'harvester[alerts]'") from error
    return fastavro


def _container(value: bytes) -> list[Record]:
    try:
        found = list(avro().reader(io.BytesIO(value)))
    except UsageError:
        raise
    except Exception as error:  # fastavro raises whatever it stumbles over
        raise Unreadable(f"the Avro packet is broken or cut off ({_told(error)})") from error
    return [Record(_object(fields), value, "avro") for fields in found]


def _schemaless(value: bytes, key: bytes) -> Record:
    stream = io.BytesIO(value)
    try:
        fields = avro().schemaless_reader(stream, _parsed(key), None)
    except UsageError:
        raise
    except Exception as error:
        raise Unreadable(f"not a record of the schema in its key ({_told(error)})") from error
    if stream.read(1):
        raise Unreadable("bytes follow the record: it is not of the schema in its key")
    return Record(_object(fields), contained(value, key), "avro")


@lru_cache(maxsize=64)
def _parsed(schema: bytes) -> Any:
    return avro().parse_schema(json.loads(schema))


def _wire(value: bytes) -> Record:
    try:
        block = wire_block(value)
        fields = avro().schemaless_reader(io.BytesIO(value[block.start : block.end]), _parsed(block.schema), None)
    except UsageError:
        raise
    except Exception as error:
        raise Unreadable(f"not a packet of Rubin's: {_told(error)}") from error
    return Record(_object(fields), value, "wire")


def _json(value: bytes) -> list[Record]:
    try:
        found = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"the JSON is broken or cut off ({_told(error)})") from error
    if isinstance(found, dict) and set(found) == {"format", "content"}:  # hop of before 2022
        found = found["content"]
    listed = found if isinstance(found, list) else [found]
    if len(listed) == 1:
        return [Record(_object(listed[0]), value)]
    return [Record(_object(one), json.dumps(one).encode()) for one in listed]


def _zipped(value: bytes) -> dict[str, Any]:
    unpack = zlib.decompressobj()
    try:
        plain = unpack.decompress(value, MAX_UNPACKED)
        if not unpack.eof:
            raise Unreadable(
                "the compressed message is cut off" if len(plain) < MAX_UNPACKED else "the message unpacks to more than 64 MiB"
            )
        return bson.loads(plain)
    except (zlib.error, bson.BadBson) as error:
        raise Unreadable(f"no BSON within zlib: {error}") from error


def _object(fields: Any) -> Mapping[str, Any]:
    if not isinstance(fields, dict):
        raise Unreadable(f"expected a record, received {str(fields)[:60]}")
    return fields


def _long(number: int) -> bytes:
    """Return a number as Avro writes it: zigzag, seven bits a byte."""
    rest, found = number << 1, bytearray()
    while rest > 0x7F:
        found.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*found, rest])


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".replace("\n", " ")[:120]
