"""Targets that are kept, and that harvest update leaves alone; and since when, and how, saved questions fail."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("target", sa.Column("followed", sa.Boolean, nullable=False, server_default=sa.true()))
    for name in ("outcome", "error", "failing_since"):
        op.add_column("saved_query", sa.Column(name, sa.Text))
