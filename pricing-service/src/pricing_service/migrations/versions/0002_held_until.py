"""Until when the provider wants no request, which a restart must not forget."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade():
    op.add_column(
        "health", sa.Column("held_until_us", sa.BigInteger, nullable=False, server_default=sa.text("0"))
    )


def downgrade():
    op.drop_column("health", "held_until_us")
