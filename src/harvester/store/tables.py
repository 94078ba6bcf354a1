"""The tables, one set for SQLite and PostgreSQL.

Moments are text, ISO 8601 in UTC, so that every SQL tool shows and sorts them. Ids of surveys are text: 64 bits do not survive floats.
A change here needs a migration; a test compares the two.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Subquery,
    Table,
    Text,
    UniqueConstraint,
    case,
    func,
    select,
    true,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

COUNTED = ("new", "revised", "known", "known_elsewhere", "quarantined")
FROM_OBJECT, VERBATIM = "+", "="
"""How `photometry.observation` begins where the rest follows the series' object_id, and where the rest stands for itself."""
NAME = ""
"""What `alias.survey` holds for a name that is no survey's id."""


def _id() -> Column[int]:
    return Column("id", Integer, primary_key=True)


def _to(table: str, *, key: bool = False, null: bool = False, name: str = "") -> Column[int]:
    return Column(name or f"{table}_id", Integer, ForeignKey(f"{table}.id"), primary_key=key, nullable=null, autoincrement=False)


def _text(name: str, **options: Any) -> Column[str]:
    return Column(name, Text, nullable=False, **options)


def _measurement() -> list[Column[Any]]:
    """Columns of a stored row: its key, the schema's columns that are not its series', and where it comes from.

    Without foreign keys: four look-ups a row would cost more than the insert, and `write` makes every parent in the same transaction.
    """
    return [
        Column("series_id", Integer, nullable=False),
        _text("observation"),
        Column("time", Double, nullable=False),
        Column("bjd_tdb", Double),
        Column("mag", Double),
        Column("mag_err", Double),
        Column("flux", Double),
        Column("flux_err", Double),
        Column("upper_limit", Boolean, nullable=False),
        Column("limiting_mag", Double),
        Column("limit_sigma", Double),
        Column("quality", SmallInteger, nullable=False),
        Column("flags_id", Integer),
        Column("flags_rest", Text),
        Column("ra", Double),
        Column("dec", Double),
        Column("exptime", Double),
        Column("run_id", Integer, nullable=False),
        Column("payload_id", Integer),
    ]


meta = Table("meta", metadata, Column("key", Text, primary_key=True), _text("value"))

target = Table(
    "target",
    metadata,
    _id(),
    _text("name"),
    _text("folded", unique=True),
    Column("ra", Double),
    Column("dec", Double),
    Column("epoch", Double, nullable=False),
    *(Column(name, Double, nullable=False) for name in ("pmra", "pmdec")),
    Column("parallax", Double),
    _text("added"),
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("followed", Boolean, nullable=False, server_default=true()),
)

alias = Table(
    "alias",
    metadata,
    _to("target", key=True),
    _text("survey", primary_key=True),
    _text("id", primary_key=True),
    _text("folded", index=True),
)

source = Table("source", metadata, _id(), _text("name", unique=True))
passband = Table("passband", metadata, _id(), _text("label", unique=True), _text("survey"), _text("passband"))
run = Table(
    "run",
    metadata,
    _id(),
    _text("command"),
    _text("version"),
    _text("started"),
    Column("ended", Text),
    _text("status"),
    CheckConstraint("status IN ('running', 'done', 'partial', 'failed', 'interrupted')", name="status"),
)

visit = Table(
    "visit",
    metadata,
    _id(),
    _to("run"),
    _to("target"),
    _to("source"),
    _text("time"),
    _text("outcome"),
    _text("error_kind"),
    _text("message"),
    Column("seconds", Double, nullable=False),
    *(Column(name, Double) for name in ("radius", "since", "until")),
    _text("source_version"),
    *(Column(name, Integer, nullable=False) for name in COUNTED),
    Index("ix_visit_target_id", "target_id", "source_id"),
    Index("ix_visit_run_id", "run_id"),
    CheckConstraint("outcome IN ('new', 'unchanged', 'empty', 'suspicious', 'postponed', 'failed', 'pending')", name="outcome"),
)

schedule = Table(
    "schedule",
    metadata,
    *(_to(name, key=True) for name in ("target", "source")),
    _to("visit"),
    Column("last_success", Text),
    Column("failures", Integer, nullable=False),
    Column("watermark", Double),
    Column("digest", Text),
    Column("next_due", Text),
    Column("rows_digest", Text),
    Column("served", Integer),
    Column("release", Text),
)
"""`served`: rows of the last believed full answer. `release`: the survey's release that it was of, where it has releases."""

job = Table(
    "job", metadata, _id(), *map(_text, ("source", "key", "submitted", "state")), Column("remote", Text), UniqueConstraint("source", "key")
)
"""What services work on for us (see `harvester.jobs.Job`)."""

payload = Table(
    "payload",
    metadata,
    _id(),
    _text("sha256", unique=True),
    Column("size", BigInteger, nullable=False),
    Column("body", LargeBinary),
)

sky_objects = Table("sky_objects", metadata, _id(), _text("sha256", unique=True), _text("objects"))
"""What `fetch` learnt of the things near the targets, as JSON: without it a payload could not be matched again."""

request = Table(
    "request",
    metadata,
    _id(),
    _to("visit"),
    _to("payload"),
    _to("sky_objects", null=True),
    _text("url"),
    _text("params"),
    _text("content_type"),
    _text("time"),
    _text("role"),
    _text("doubt"),
    Index("ix_request_visit_id", "visit_id"),
    Index("ix_request_payload_id", "payload_id"),
)

quarantine = Table(
    "quarantine",
    metadata,
    _id(),
    _to("target"),
    _to("source"),
    _to("visit"),
    _to("payload", null=True),
    _text("reason"),
    _text("row"),
    Index("ix_quarantine_target_id", "target_id", "source_id"),
)

series = Table(
    "series",
    metadata,
    _id(),
    _to("target"),
    _to("passband", name="filter_id"),
    _to("source"),
    Column("object_id", Text),
    Column("facility", Text),
    Column("observer", Text),
    Column("points", Integer, nullable=False, server_default="0"),
    Index("ix_series_target_id", "target_id"),
)
"""What the rows of one target, filter, source and object of the survey have in common, stored once; and how many rows these are."""

flags = Table("flags", metadata, _id(), _text("text", unique=True))
"""Flags that rows repeat, or the beginning of flags whose end (`flags_rest`) is a row's own."""

photometry = Table("photometry", metadata, *_measurement(), PrimaryKeyConstraint("series_id", "observation"), sqlite_with_rowid=False)

photometry_version = Table(
    "photometry_version",
    metadata,
    _id(),
    *_measurement(),
    Column("replaced_by_run", Integer, nullable=False),
    _text("replaced_at"),
    Index("ix_photometry_version_series_id", "series_id", "observation"),
)

resolved = Table("resolved", metadata, Column("folded", Text, primary_key=True), _text("name"), _text("answer"), _text("time"))
ARROW_TYPES: dict[type, pa.DataType] = {
    Double: pa.float64(),
    Text: pa.string(),
    Boolean: pa.bool_(),
    SmallInteger: pa.int8(),
    Integer: pa.int64(),
}
STORED = pa.schema([(column.name, ARROW_TYPES[type(column.type)]) for column in photometry.columns])
"""A row of `photometry` as Arrow; `harvester.store.series` turns it into a ROW and back."""
KEY = ("filter_id", "observation_id")
BIRTH = ("run_id", "payload_id")
"""The columns that hold what brought a row, not what it says; the last ones of STORED and of ROW."""
ORIGIN = ("source_id", *BIRTH)
ROW = pa.schema(
    [("target_id", pa.int64()), ("filter_id", pa.int64()), ("observation_id", pa.string())]
    + [STORED.field(name) for name in ("time", "bjd_tdb", "mag", "mag_err", "flux", "flux_err", "upper_limit")]
    + [STORED.field(name) for name in ("limiting_mag", "limit_sigma", "quality")]
    + [("flags", pa.string()), ("object_id", pa.string())]
    + [STORED.field(name) for name in ("ra", "dec", "exptime")]
    + [("facility", pa.string()), ("observer", pa.string())]
    + [(name, pa.int64()) for name in ORIGIN]
)
"""A measurement with all that is known of it. Its identity is (target, filter, observation_id)."""
GIVEN = tuple(name for name in ROW.names if name not in {"target_id", *KEY, *ORIGIN, "bjd_tdb"})
"""The columns that make a revision when one of them differs."""
LIGHT_CURVE = pa.schema(
    [pa.field("target", pa.string()), pa.field("filter", pa.string())]
    + [ROW.field(name) for name in ("time", "bjd_tdb", "mag", "mag_err", "flux", "flux_err", "upper_limit", "limiting_mag", "limit_sigma")]
    + [ROW.field(name) for name in ("quality", "flags", "object_id", "observation_id", "ra", "dec", "exptime", "facility", "observer")]
    + [pa.field("source", pa.string())]
)
"""A light curve as it is read."""


def readable(rows: Table) -> Subquery:
    """Return `photometry` or `photometry_version` as a query with the columns of ROW (and, of versions, by which run and when they went)."""
    own = series.c.object_id, series.c.facility, series.c.observer, series.c.target_id, series.c.filter_id, series.c.source_id
    written = rows.c.observation
    observation_id = case(
        (func.substr(written, 1, 1) == FROM_OBJECT, series.c.object_id + func.substr(written, 2)),
        (func.substr(written, 1, 1) == VERBATIM, func.substr(written, 2)),
        else_=written,
    )
    told = case((rows.c.flags_rest.is_(None), flags.c.text), else_=func.coalesce(flags.c.text, "") + rows.c.flags_rest)
    known = {column.name: column for column in (*own, *rows.c)} | {"observation_id": observation_id, "flags": told}
    went = [name for name in ("id", "replaced_by_run", "replaced_at") if name in rows.c]
    joined = rows.join(series, series.c.id == rows.c.series_id).outerjoin(flags, flags.c.id == rows.c.flags_id)
    return select(*(known[name].label(name) for name in (*ROW.names, *went))).select_from(joined).subquery(f"{rows.name}_row")


measurement = readable(photometry)
"""Every point, as ROW."""
superseded = readable(photometry_version)
"""Every version that was replaced, as ROW with its `id`, `replaced_by_run` and `replaced_at`."""
