"""What file, feed and book say of a trade that differs, and the files that were archived lately."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

STATEMENTS = ("file", "feed", "booked")


def upgrade() -> None:
    op.add_column(
        "reconciliations", sa.Column("file_only", sa.BigInteger(), nullable=False, server_default="0")
    )
    for name in STATEMENTS:
        op.add_column("differences", sa.Column(name, sa.Text(), nullable=False, server_default=""))
    op.create_table(
        "archived",
        sa.Column("kept_name", sa.Text(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("archived_at_us", sa.BigInteger(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("archived")
    for name in STATEMENTS:
        op.drop_column("differences", name)
    op.drop_column("reconciliations", "file_only")
