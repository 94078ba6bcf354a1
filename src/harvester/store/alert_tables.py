"""The tables of alerts and of the questions that are asked again; on the `metadata` of `tables`."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Double, ForeignKey, Index, Integer, Table, Text, UniqueConstraint

from harvester.store.tables import metadata

alert = Table(
    "alert",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("broker", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("survey", Text, nullable=False),
    Column("alert_id", Text),
    Column("object_id", Text, nullable=False),
    *(Column(name, Double) for name in ("mjd", "ra", "dec", "mag")),
    Column("filter", Text),
    Column("classification", Text),
    Column("score", Double),
    Column("url", Text),
    Column("moving", Boolean, nullable=False),
    Column("payload_id", Integer, ForeignKey("payload.id")),
    Column("target_id", Integer, ForeignKey("target.id")),
    Column("seen", Text, nullable=False),
    UniqueConstraint("broker", "survey", "key"),
    Index("ix_alert_object_id", "object_id"),
    Index("ix_alert_target_id", "target_id"),
)
"""What brokers told (see `harvester.alerts.alert.Alert`): as it was told last; `seen` is when it was told first."""

saved_query = Table(
    "saved_query",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("folded", Text, nullable=False, unique=True),
    Column("broker", Text, nullable=False),
    Column("question", Text, nullable=False),
    Column("add_targets", Boolean, nullable=False),
    Column("added", Text, nullable=False),
    Column("last_run", Text),
    Column("last_success", Text),
    Column("failures", Integer, nullable=False),
    Column("trouble", Text, nullable=False),
    Column("newest", Double),
    *(Column(name, Text) for name in ("outcome", "error", "failing_since")),
)
"""A question (JSON, without secrets) that is asked again; `newest` is the MJD (UTC) of the newest alert of the last whole answer.

`trouble` is what went wrong at the last run, empty where nothing did; `outcome` and `error` say how the last run ended and of what class the failure
was; `failing_since` is the first run in vain, or without a whole answer, of those that no whole answer followed."""

saved_query_alert = Table(
    "saved_query_alert",
    metadata,
    Column("saved_query_id", Integer, ForeignKey("saved_query.id"), primary_key=True, autoincrement=False),
    Column("alert_id", Integer, ForeignKey("alert.id"), primary_key=True, autoincrement=False),
    Index("ix_saved_query_alert_alert_id", "alert_id"),
)
"""Which alerts a saved query has told already."""
