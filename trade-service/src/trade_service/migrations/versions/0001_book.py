"""The book of trades, its counter, and the outbox."""

import sqlalchemy as sa
from alembic import op
from wattbook import outbox

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade():
    op.create_table(
        "trades",
        sa.Column(
            "booking_seq",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("trade_id", sa.String(128), nullable=False),
        sa.Column("price_ct_per_mwh", sa.BigInteger, nullable=False),
        sa.Column("quantity_kw", sa.BigInteger, nullable=False),
        sa.Column("direction", sa.SmallInteger, nullable=False),
        sa.Column("trader_id", sa.String(64), nullable=False),
        sa.Column("execution_time_us", sa.BigInteger, nullable=False),
        sa.Column("area", sa.String(16), nullable=False),
        sa.Column("delivery_start_s", sa.BigInteger, nullable=False),
        sa.Column("delivery_minutes", sa.SmallInteger, nullable=False),
        sa.Column("delivery_day", sa.Integer, nullable=False),
        sa.Column("flags", sa.SmallInteger, nullable=False),
        sa.Column("booked_time_us", sa.BigInteger, nullable=False),
        sa.Column("source", sa.SmallInteger, nullable=False),
        sa.UniqueConstraint("trade_id", name="uq_trades_trade_id"),
        sa.CheckConstraint("booking_seq > 0", name="ck_trades_booking_seq"),
        sa.CheckConstraint(
            "price_ct_per_mwh BETWEEN -2147483648 AND 2147483647", name="ck_trades_price_ct_per_mwh"
        ),
        sa.CheckConstraint("quantity_kw BETWEEN 1 AND 1000000000", name="ck_trades_quantity_kw"),
        sa.CheckConstraint("direction IN (1, 2)", name="ck_trades_direction"),
        sa.CheckConstraint("delivery_minutes IN (15, 30, 60)", name="ck_trades_delivery_minutes"),
    )
    op.create_index("ix_trades_trader_day", "trades", ["trader_id", "delivery_day", "booking_seq"])
    op.create_index("ix_trades_execution_hour", "trades", [sa.text("(execution_time_us / 3600000000)")])
    counter = op.create_table(
        "booking_counter",
        sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("last_booking_seq", sa.BigInteger, nullable=False),
        sa.CheckConstraint("id = 1", name="ck_booking_counter_single"),
    )
    op.bulk_insert(counter, [{"id": 1, "last_booking_seq": 0}])
    outbox.create(op)


def downgrade():
    op.drop_table("outbox")
    op.drop_table("booking_counter")
    op.drop_table("trades")
