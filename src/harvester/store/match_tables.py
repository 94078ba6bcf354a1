"""The tables of cross-matches: what of other catalogues lies where targets do; on the `metadata` of `tables`."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Double, ForeignKey, Index, Integer, Table, Text

from harvester.store.tables import metadata

crossmatch = Table(
    "crossmatch",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("target_id", Integer, ForeignKey("target.id"), nullable=False),
    Column("run_id", Integer, ForeignKey("run.id"), nullable=False),
    Column("payload_id", Integer, ForeignKey("payload.id")),
    *(Column(name, Text, nullable=False) for name in ("catalogue", "time")),
    *(Column(name, Double, nullable=False) for name in ("radius", "ra", "dec", "epoch")),
    Column("best", Boolean, nullable=False),
    Index("ix_crossmatch_target_id", "target_id", "catalogue"),
)
"""A target's place (at a Julian `epoch`) sought in a catalogue, within a radius (arcsec): the nearest (`best`), or all. Also where nothing was found.

A catalogue in a file on this machine has no payload."""

crossmatch_row = Table(
    "crossmatch_row",
    metadata,
    Column("crossmatch_id", Integer, ForeignKey("crossmatch.id"), primary_key=True, autoincrement=False),
    Column("rank", Integer, primary_key=True, autoincrement=False),
    Column("separation", Double, nullable=False),
    Column("columns", Text, nullable=False),
)
"""What was found, the nearest (rank 1) first: the catalogue's columns as a JSON object."""
