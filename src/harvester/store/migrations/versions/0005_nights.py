"""Nights of alert packets: which were read, which are due."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "night",
        *(sa.Column(name, sa.Text, nullable=False) for name in ("name", "scope")),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("date", "state", "md5", "trouble", "time")),
        sa.Column("size", sa.BigInteger),
        *(sa.Column(name, sa.Integer, nullable=False) for name in ("alerts", "used", "refused", "points")),
        sa.Column("run_id", sa.Integer),
        sa.PrimaryKeyConstraint("name", "scope", name="pk_night"),
        sa.CheckConstraint("state IN ('done', 'due')", name=op.f("ck_night_state")),
    )
