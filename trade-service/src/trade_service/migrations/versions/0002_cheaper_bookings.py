"""PostgreSQL: find executions by ranges of pages instead of by hour, and keep events as they are.

Each entry of the index by hour was a fifth of what a booking cost there; an index by ranges of pages costs
next to nothing, and the book grows in about the order of execution. To try to compress an event's body,
which hardly becomes smaller, cost as much as to write it.
"""

from alembic import op
from wattbook import outbox

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade():
    outbox.keep_bodies_as_they_are(op)
    if op.get_bind().dialect.name != "postgresql":
        return
    op.create_index(
        "ix_trades_execution_time",
        "trades",
        ["execution_time_us"],
        postgresql_using="brin",
        postgresql_with={"pages_per_range": 32, "autosummarize": True},
    )
    op.drop_index("ix_trades_execution_hour", "trades")


def downgrade():
    if op.get_bind().dialect.name != "postgresql":
        return
    op.execute("CREATE INDEX ix_trades_execution_hour ON trades ((execution_time_us / 3600000000))")
    op.drop_index("ix_trades_execution_time", "trades")
