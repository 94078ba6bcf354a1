"""When to ask again, whom to ask first, remote jobs, and the visits of a run without reading all of them.

`next_due` is filled from the next visit on: until then a target counts as due. What was served before is counted at the next full answer.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

BEFORE = ("new", "unchanged", "empty", "suspicious", "postponed", "failed")


def upgrade() -> None:
    op.add_column("target", sa.Column("priority", sa.Integer, nullable=False, server_default="0"))
    op.add_column("schedule", sa.Column("served", sa.Integer))
    op.add_column("schedule", sa.Column("release", sa.Text))
    op.create_table(
        "job",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("remote", sa.Text),
        sa.Column("submitted", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_job"),
        sa.UniqueConstraint("source", "key", name="uq_job_source"),
    )
    _outcomes(*BEFORE, "pending")
    op.create_index("ix_visit_run_id", "visit", ["run_id"])


def _outcomes(*words: str) -> None:
    """Replace the list of Outcomes that a visit may have; SQLite writes the table anew for it."""
    listed = ", ".join(f"'{word}'" for word in words)
    with op.batch_alter_table("visit") as visit:
        visit.drop_constraint(op.f("ck_visit_outcome"), type_="check")
        visit.create_check_constraint(op.f("ck_visit_outcome"), f"outcome IN ({listed})")
