"""What makes visits without news quick: how many points a series has, and a digest of the rows that came last."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

COUNT = "UPDATE series SET points = (SELECT count(*) FROM photometry WHERE photometry.series_id = series.id)"


def upgrade() -> None:
    op.add_column("series", sa.Column("points", sa.Integer, nullable=False, server_default="0"))
    op.execute(COUNT)
    op.add_column("schedule", sa.Column("rows_digest", sa.Text))
