"""How many trades of a day a nightly file corrected in the book."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    corrected = sa.Column("corrected", sa.BigInteger(), nullable=False, server_default="0")
    op.add_column("reconciliations", corrected)


def downgrade() -> None:
    op.drop_column("reconciliations", "corrected")
