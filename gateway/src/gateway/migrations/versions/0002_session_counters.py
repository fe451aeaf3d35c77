"""Users count their sessions, tokens say of which they are, and what ended is told to every replica.

The release before writes neither: its refresh tokens have no counter and follow its own rules.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    op.add_column("users", sa.Column("session_counter", sa.Integer, nullable=False, server_default="0"))
    op.add_column("refresh_tokens", sa.Column("session_counter", sa.Integer))
    op.create_table(
        "revocations",
        sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("user_name", sa.String(64), nullable=False),
        sa.Column("family", sa.String(32)),
        sa.Column("session_counter", sa.Integer, nullable=False),
        sa.Column("expires_us", sa.BigInteger, nullable=False),
    )
    op.create_index("revocations_family", "revocations", ["family"])


def downgrade():
    op.drop_table("revocations")
    op.drop_column("refresh_tokens", "session_counter")
    op.drop_column("users", "session_counter")
