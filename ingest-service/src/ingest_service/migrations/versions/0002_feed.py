"""The feed: spool, what it delivered, the quarantine, gaps, comparisons with files, and the outbox."""

import secrets

import sqlalchemy as sa
from alembic import op
from wattbook import outbox

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    _feed()
    _quarantine()
    _days()
    outbox.create(op)


def _feed() -> None:
    op.create_table(
        "spool",
        sa.Column("frame_id", NUMBER, primary_key=True, autoincrement=False),
        sa.Column("received_us", sa.BigInteger(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("frame", sa.LargeBinary(), nullable=False),
    )
    counters = ("frames", "parsed_to", "first_us", "covered_to_us", "last_trade_us", "last_executed_us")
    state = op.create_table(
        "feed_state",
        sa.Column("id", sa.SmallInteger(), primary_key=True, autoincrement=False),
        sa.Column("spool", sa.String(32), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in counters),
        sa.CheckConstraint("id = 1", name="ck_feed_state_single"),
    )
    op.bulk_insert(state, [{"id": 1, "spool": secrets.token_hex(8), **dict.fromkeys(counters, 0)}])
    op.create_table(
        "feed_trades",
        sa.Column("id", NUMBER, primary_key=True),
        sa.Column("trade_id", sa.Text(), nullable=False, unique=True),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("executed_day", sa.Integer(), nullable=False),
        sa.Column("received_us", sa.BigInteger(), nullable=False),
        sa.Column("tied_run", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_feed_trades_executed_day", "feed_trades", ["executed_day"])


def _quarantine() -> None:
    op.create_table(
        "quarantine",
        sa.Column("id", NUMBER, primary_key=True),
        sa.Column("frame_id", sa.BigInteger(), nullable=False, unique=True),
        sa.Column("received_us", sa.BigInteger(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("frame", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("trade_id", sa.Text(), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=False),
        sa.Column("decided_us", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("state IN (1, 2, 3)", name="ck_quarantine_state"),
    )
    op.create_index("ix_quarantine_state", "quarantine", ["state", "id"])


def _days() -> None:
    op.create_table(
        "feed_gaps",
        sa.Column("id", NUMBER, primary_key=True),
        sa.Column("began_us", sa.BigInteger(), nullable=False),
        sa.Column("ended_us", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "reconciliations",
        sa.Column("day", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("reconciled_us", "in_both", "recovered", "feed_only", "differing")
        ),
    )
    op.create_table(
        "differences",
        sa.Column(
            "day", sa.Integer(), sa.ForeignKey("reconciliations.day"), primary_key=True, autoincrement=False
        ),
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("trade_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
    )


def downgrade() -> None:
    for name in ("outbox", "differences", "reconciliations", "feed_gaps", "quarantine", "feed_trades"):
        op.drop_table(name)
    op.drop_table("feed_state")
    op.drop_table("spool")
