"""How far each partition of a stream is read, and the messages that could not be."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "stream_offset",
        *(sa.Column(name, sa.Text, nullable=False) for name in ("broker", "topic")),
        sa.Column("partition", sa.Integer, nullable=False, autoincrement=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("next_offset", "messages", "lost")),
        sa.Column("updated", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("broker", "topic", "partition", name="pk_stream_offset"),
    )
    op.create_table(
        "dead_letter",
        sa.Column("id", sa.Integer, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("broker", "topic")),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("time", "reason", "headers")),
        sa.Column("key", sa.LargeBinary),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_dead_letter"),
        sa.UniqueConstraint("broker", "topic", "partition", "offset", name="uq_dead_letter_broker"),
    )
    op.create_index("ix_dead_letter_broker", "dead_letter", ["broker", "topic"])
