"""The first tables.

A migration says in its own words what it makes, and never changes once released: `harvester.store.tables` says what there is today.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

LIGHT_CURVE = """
CREATE VIEW light_curve AS
SELECT target.name AS target, passband.label AS filter, photometry.bjd_tdb, photometry.bjd_tdb - 2400000.5 AS bmjd_tdb,
       photometry.mag, photometry.mag_err, photometry.flux AS flux_ujy, photometry.flux_err AS flux_err_ujy,
       photometry.upper_limit, photometry.limiting_mag, photometry.limit_sigma,
       CASE photometry.quality WHEN 0 THEN 'good' WHEN 1 THEN 'suspect' ELSE 'bad' END AS quality,
       CASE WHEN photometry.flags_rest IS NULL THEN flags.text ELSE coalesce(flags.text, '') || photometry.flags_rest END AS flags,
       series.object_id,
       CASE substr(photometry.observation, 1, 1) WHEN '+' THEN series.object_id || substr(photometry.observation, 2)
            WHEN '=' THEN substr(photometry.observation, 2) ELSE photometry.observation END AS observation_id,
       photometry.ra, photometry.dec, photometry.exptime, series.facility, series.observer, source.name AS source
FROM photometry
JOIN series ON series.id = photometry.series_id
JOIN target ON target.id = series.target_id
JOIN passband ON passband.id = series.filter_id
JOIN source ON source.id = series.source_id
LEFT JOIN flags ON flags.id = photometry.flags_id
"""


def upgrade() -> None:
    _vocabulary()
    _targets()
    _runs()
    _payloads()
    _schedule()
    _photometry()
    _versions()
    op.execute(LIGHT_CURVE)


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.Integer, primary_key=True)


def _integer(name: str, *, null: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=null)


def _number(name: str, *, null: bool = True) -> sa.Column[float]:
    return sa.Column(name, sa.Double, nullable=null)


def _text(name: str, *, null: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=null)


def _key(table: str, *columns: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*columns, name=f"pk_{table}")


def _unique(table: str, column: str) -> sa.UniqueConstraint:
    return sa.UniqueConstraint(column, name=f"uq_{table}_{column}")


def _points_to(table: str, *parents: str) -> list[sa.ForeignKeyConstraint]:
    return [sa.ForeignKeyConstraint([f"{parent}_id"], [f"{parent}.id"], name=f"fk_{table}_{parent}_id") for parent in parents]


def _one_of(table: str, column: str, *words: str) -> sa.CheckConstraint:
    listed = ", ".join(f"'{word}'" for word in words)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=op.f(f"ck_{table}_{column}"))


def _vocabulary() -> None:
    op.create_table("meta", _text("key"), _text("value"), _key("meta", "key"))
    op.create_table("source", _id(), _text("name"), _key("source", "id"), _unique("source", "name"))
    op.create_table(
        "passband", _id(), _text("label"), _text("survey"), _text("passband"), _key("passband", "id"), _unique("passband", "label")
    )
    op.create_table("resolved", _text("folded"), _text("name"), _text("answer"), _text("time"), _key("resolved", "folded"))


def _targets() -> None:
    op.create_table(
        "target",
        _id(),
        _text("name"),
        _text("folded"),
        _number("ra"),
        _number("dec"),
        _number("epoch", null=False),
        _number("pmra", null=False),
        _number("pmdec", null=False),
        _number("parallax"),
        _text("added"),
        _key("target", "id"),
        _unique("target", "folded"),
    )
    names = _integer("target_id"), _text("survey"), _text("id"), _text("folded")
    op.create_table("alias", *names, *_points_to("alias", "target"), _key("alias", "target_id", "survey", "id"))
    op.create_index("ix_alias_folded", "alias", ["folded"])


def _runs() -> None:
    op.create_table(
        "run",
        _id(),
        _text("command"),
        _text("version"),
        _text("started"),
        _text("ended", null=True),
        _text("status"),
        _key("run", "id"),
        _one_of("run", "status", "running", "done", "partial", "failed", "interrupted"),
    )
    op.create_table(
        "visit",
        _id(),
        *(_integer(name) for name in ("run_id", "target_id", "source_id")),
        *(_text(name) for name in ("time", "outcome", "error_kind", "message")),
        _number("seconds", null=False),
        *(_number(name) for name in ("radius", "since", "until")),
        _text("source_version"),
        *(_integer(name) for name in ("new", "revised", "known", "known_elsewhere", "quarantined")),
        *_points_to("visit", "run", "target", "source"),
        _key("visit", "id"),
        _one_of("visit", "outcome", "new", "unchanged", "empty", "suspicious", "postponed", "failed"),
    )
    op.create_index("ix_visit_target_id", "visit", ["target_id", "source_id"])


def _payloads() -> None:
    body: list[sa.Column[Any]] = [sa.Column("size", sa.BigInteger, nullable=False), sa.Column("body", sa.LargeBinary)]
    op.create_table("payload", _id(), _text("sha256"), *body, _key("payload", "id"), _unique("payload", "sha256"))
    op.create_table("sky_objects", _id(), _text("sha256"), _text("objects"), _key("sky_objects", "id"), _unique("sky_objects", "sha256"))
    op.create_table(
        "request",
        _id(),
        _integer("visit_id"),
        _integer("payload_id"),
        _integer("sky_objects_id", null=True),
        *(_text(name) for name in ("url", "params", "content_type", "time", "role", "doubt")),
        *_points_to("request", "visit", "payload", "sky_objects"),
        _key("request", "id"),
    )
    op.create_index("ix_request_visit_id", "request", ["visit_id"])
    op.create_index("ix_request_payload_id", "request", ["payload_id"])
    op.create_table(
        "quarantine",
        _id(),
        *(_integer(name) for name in ("target_id", "source_id", "visit_id")),
        _integer("payload_id", null=True),
        _text("reason"),
        _text("row"),
        *_points_to("quarantine", "target", "source", "visit", "payload"),
        _key("quarantine", "id"),
    )
    op.create_index("ix_quarantine_target_id", "quarantine", ["target_id", "source_id"])


def _schedule() -> None:
    op.create_table(
        "schedule",
        *(_integer(name) for name in ("target_id", "source_id", "visit_id")),
        _text("last_success", null=True),
        _integer("failures"),
        _number("watermark"),
        _text("digest", null=True),
        _text("next_due", null=True),
        *_points_to("schedule", "target", "source", "visit"),
        _key("schedule", "target_id", "source_id"),
    )


def _measurement() -> list[sa.Column[Any]]:
    return [
        _integer("series_id"),
        _text("observation"),
        _number("time", null=False),
        *(_number(name) for name in ("bjd_tdb", "mag", "mag_err", "flux", "flux_err")),
        sa.Column("upper_limit", sa.Boolean, nullable=False),
        *(_number(name) for name in ("limiting_mag", "limit_sigma")),
        sa.Column("quality", sa.SmallInteger, nullable=False),
        _integer("flags_id", null=True),
        _text("flags_rest", null=True),
        *(_number(name) for name in ("ra", "dec", "exptime")),
        _integer("run_id"),
        _integer("payload_id", null=True),
    ]


def _photometry() -> None:
    op.create_table(
        "series",
        _id(),
        *(_integer(name) for name in ("target_id", "filter_id", "source_id")),
        *(_text(name, null=True) for name in ("object_id", "facility", "observer")),
        *_points_to("series", "target", "source"),
        sa.ForeignKeyConstraint(["filter_id"], ["passband.id"], name="fk_series_filter_id"),
        _key("series", "id"),
    )
    op.create_index("ix_series_target_id", "series", ["target_id"])
    op.create_table("flags", _id(), _text("text"), _key("flags", "id"), _unique("flags", "text"))
    op.create_table("photometry", *_measurement(), _key("photometry", "series_id", "observation"), sqlite_with_rowid=False)


def _versions() -> None:
    replaced = _integer("replaced_by_run"), _text("replaced_at")
    op.create_table("photometry_version", _id(), *_measurement(), *replaced, _key("photometry_version", "id"))
    op.create_index("ix_photometry_version_series_id", "photometry_version", ["series_id", "observation"])
