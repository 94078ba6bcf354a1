"""What of other catalogues lies where targets do."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "crossmatch",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("target_id", sa.Integer, nullable=False),
        sa.Column("run_id", sa.Integer, nullable=False),
        sa.Column("payload_id", sa.Integer),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("catalogue", "time")),
        *(sa.Column(name, sa.Double, nullable=False) for name in ("radius", "ra", "dec", "epoch")),
        sa.Column("best", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_crossmatch"),
        *(
            sa.ForeignKeyConstraint([f"{name}_id"], [f"{name}.id"], name=f"fk_crossmatch_{name}_id")
            for name in ("target", "run", "payload")
        ),
    )
    op.create_index("ix_crossmatch_target_id", "crossmatch", ["target_id", "catalogue"])
    op.create_table(
        "crossmatch_row",
        sa.Column("crossmatch_id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("rank", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("separation", sa.Double, nullable=False),
        sa.Column("columns", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("crossmatch_id", "rank", name="pk_crossmatch_row"),
        sa.ForeignKeyConstraint(["crossmatch_id"], ["crossmatch.id"], name="fk_crossmatch_row_crossmatch_id"),
    )
