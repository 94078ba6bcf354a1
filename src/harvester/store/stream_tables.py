"""The tables of streams: how far each partition is read, and the messages that could not be; on the `metadata` of `tables`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table, Text, UniqueConstraint

from harvester.store.tables import metadata

stream_offset = Table(
    "stream_offset",
    metadata,
    Column("broker", Text, primary_key=True),
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("next_offset", BigInteger, nullable=False),
    Column("messages", BigInteger, nullable=False),
    Column("lost", BigInteger, nullable=False),
    Column("updated", Text, nullable=False),
)
"""The first message of a partition that is not stored yet, whoever reads it; how many were read, and how many the broker dropped unread."""

dead_letter = Table(
    "dead_letter",
    metadata,
    Column("id", Integer, primary_key=True),
    *(Column(name, Text, nullable=False) for name in ("broker", "topic")),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    *(Column(name, Text, nullable=False) for name in ("time", "reason", "headers")),
    Column("key", LargeBinary),
    Column("body", LargeBinary, nullable=False),
    UniqueConstraint("broker", "topic", "partition", "offset"),
    Index("ix_dead_letter_broker", "broker", "topic"),
)
"""Messages that could not be read, as they came (key and body compressed), each with its reason; one that was read after all is taken out."""
