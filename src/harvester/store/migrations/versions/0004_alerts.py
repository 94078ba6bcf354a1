"""Alerts that brokers told, and the questions that are asked again."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "alert",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("broker", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("survey", sa.Text, nullable=False),
        sa.Column("alert_id", sa.Text),
        sa.Column("object_id", sa.Text, nullable=False),
        *(sa.Column(name, sa.Double) for name in ("mjd", "ra", "dec", "mag")),
        sa.Column("filter", sa.Text),
        sa.Column("classification", sa.Text),
        sa.Column("score", sa.Double),
        sa.Column("url", sa.Text),
        sa.Column("moving", sa.Boolean, nullable=False),
        sa.Column("payload_id", sa.Integer),
        sa.Column("target_id", sa.Integer),
        sa.Column("seen", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_alert"),
        sa.UniqueConstraint("broker", "survey", "key", name="uq_alert_broker"),
        sa.ForeignKeyConstraint(["payload_id"], ["payload.id"], name="fk_alert_payload_id"),
        sa.ForeignKeyConstraint(["target_id"], ["target.id"], name="fk_alert_target_id"),
    )
    op.create_index("ix_alert_object_id", "alert", ["object_id"])
    op.create_index("ix_alert_target_id", "alert", ["target_id"])
    op.create_table(
        "saved_query",
        sa.Column("id", sa.Integer, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("name", "folded", "broker", "question")),
        sa.Column("add_targets", sa.Boolean, nullable=False),
        sa.Column("added", sa.Text, nullable=False),
        sa.Column("last_run", sa.Text),
        sa.Column("last_success", sa.Text),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("trouble", sa.Text, nullable=False),
        sa.Column("newest", sa.Double),
        sa.PrimaryKeyConstraint("id", name="pk_saved_query"),
        sa.UniqueConstraint("folded", name="uq_saved_query_folded"),
    )
    op.create_table(
        "saved_query_alert",
        sa.Column("saved_query_id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("alert_id", sa.Integer, nullable=False, autoincrement=False),
        sa.PrimaryKeyConstraint("saved_query_id", "alert_id", name="pk_saved_query_alert"),
        sa.ForeignKeyConstraint(["saved_query_id"], ["saved_query.id"], name="fk_saved_query_alert_saved_query_id"),
        sa.ForeignKeyConstraint(["alert_id"], ["alert.id"], name="fk_saved_query_alert_alert_id"),
    )
    op.create_index("ix_saved_query_alert_alert_id", "saved_query_alert", ["alert_id"])
