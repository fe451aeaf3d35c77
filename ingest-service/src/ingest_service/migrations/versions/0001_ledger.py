"""The ledger of files and the names they came under."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "files",
        sa.Column("sha256", sa.String(64), primary_key=True),
        sa.Column("first_name", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("kept_name", sa.Text(), unique=True),
        sa.Column("refusal", sa.Text()),
        sa.Column("added", sa.BigInteger(), nullable=False),
        sa.Column("duplicate", sa.BigInteger(), nullable=False),
        sa.Column("conflict", sa.BigInteger(), nullable=False),
        sa.Column("invalid", sa.BigInteger(), nullable=False),
        sa.Column("found_at_us", sa.BigInteger(), nullable=False),
        sa.Column("uploaded_at_us", sa.BigInteger()),
        sa.Column("done_at_us", sa.BigInteger()),
        sa.CheckConstraint("state IN ('found', 'uploaded', 'done')", name="files_state"),
    )
    op.create_table(
        "names",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("sha256", sa.String(64), sa.ForeignKey("files.sha256"), primary_key=True),
        sa.Column("first_seen_at_us", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_at_us", sa.BigInteger(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("names")
    op.drop_table("files")
