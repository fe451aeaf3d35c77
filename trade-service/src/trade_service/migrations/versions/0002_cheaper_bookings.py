"""PostgreSQL: find executions by ranges of pages instead of by hour, and keep events as they are.

The index by hour was a sixth of the database's work for a booking where a file is in the order of execution,
less where it is not; an index by ranges of pages costs next to nothing, and the book grows in about that
order. To try to compress an event's body, which hardly becomes smaller, was two thirds of writing it.

Bookings go on meanwhile: indices are made and dropped concurrently, and the one transaction has no lock but
the outbox's. Code that knows only 0001 finds executions by the new index too.
"""

from alembic import op
from wattbook import outbox

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def concurrently(execute):
    # What a run left that was cut short is an index that is not valid: it is made anew.
    execute("DROP INDEX CONCURRENTLY IF EXISTS ix_trades_execution_time")
    execute(
        "CREATE INDEX CONCURRENTLY ix_trades_execution_time ON trades USING brin (execution_time_us) "
        "WITH (pages_per_range = 32, autosummarize = true)"
    )
    execute("DROP INDEX CONCURRENTLY IF EXISTS ix_trades_execution_hour")


def upgrade():
    outbox.keep_bodies_as_they_are(op)


def downgrade():
    if op.get_bind().dialect.name != "postgresql":
        return
    op.execute("CREATE INDEX ix_trades_execution_hour ON trades ((execution_time_us / 3600000000))")
    op.drop_index("ix_trades_execution_time", "trades")
