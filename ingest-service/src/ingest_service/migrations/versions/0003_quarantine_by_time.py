"""The quarantine in the order of receive times, which is the order of several nodes together."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_quarantine_received", "quarantine", ["received_us", "id"])
    op.create_index("ix_quarantine_state_received", "quarantine", ["state", "received_us", "id"])


def downgrade() -> None:
    op.drop_index("ix_quarantine_state_received", "quarantine")
    op.drop_index("ix_quarantine_received", "quarantine")
