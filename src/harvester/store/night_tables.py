"""The table of nights of alert packets: which were read, and which are still due; on the `metadata` of `tables`."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, Integer, Table, Text

from harvester.store.tables import metadata

night = Table(
    "night",
    metadata,
    *(Column(name, Text, primary_key=True) for name in ("name", "scope")),
    *(Column(name, Text, nullable=False) for name in ("date", "state", "md5", "trouble", "time")),
    Column("size", BigInteger),
    *(Column(name, Integer, nullable=False) for name in ("alerts", "used", "refused", "points")),
    Column("run_id", Integer),
    CheckConstraint("state IN ('done', 'due')", name="state"),
)
"""`scope` is what was wanted of a night (all, followed, a cone). `alerts` it holds, `used` of these are targets', `refused` could not be decoded,
`points` were new. A night that is due was not there yet, or broke off: `trouble` says why."""
