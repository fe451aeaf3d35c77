"""The tables, as ``migrations`` makes them.

``booking_seq`` counts 1, 2, 3 … without gaps in commit order: it comes from a counter row that is locked
and moved in the booking transaction, which also holds between replicas. The period is kept as UTC start
and minutes; ``delivery_day`` (20230228) is its local label, kept because the desk searches by it.

A content that was replaced moves to ``replaced_trades`` under its old number, and the row that replaces it
has the next one: each number is in exactly one of both tables. ``digest_seq`` is the number that the
counter's digest belongs to: an earlier release moves the number and leaves the digest.

``differing_statements`` holds what the exchange stated otherwise than it stands in the book.

Two indices beside the unique ones, since each costs every booking: ``(trader_id, delivery_day,
booking_seq)`` answers by trader, by day and by both, and one finds executions. For these SQLite keeps the
hour: an index of the time itself cost a booking twice as much where a file is not sorted by it, since each
entry goes to another page of the day, and each page touched is written to the log. PostgreSQL keeps
the first and the last time of every few pages, as the book grows in about the order of execution.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from wattbook.outbox import outbox_table

from trade_service.domain import BookedTrade, Trade

HOUR_US = 3_600_000_000

metadata = sa.MetaData()
_SEQ = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _content() -> list[sa.Column[Any]]:
    """The columns of a booked trade, in the order of :class:`BookedTrade`."""
    return [
        sa.Column("booking_seq", _SEQ, primary_key=True, autoincrement=False),
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
        sa.Column("confirmed_by", sa.SmallInteger, nullable=True),
        sa.Column("author", sa.String(256), nullable=False, server_default=""),
        sa.Column("digest", sa.String(32), nullable=False, server_default=""),
    ]


trades = sa.Table(
    "trades",
    metadata,
    *_content(),
    sa.UniqueConstraint("trade_id", name="uq_trades_trade_id"),
    sa.CheckConstraint("booking_seq > 0", name="ck_trades_booking_seq"),
    sa.CheckConstraint(
        "price_ct_per_mwh BETWEEN -2147483648 AND 2147483647", name="ck_trades_price_ct_per_mwh"
    ),
    sa.CheckConstraint("quantity_kw BETWEEN 1 AND 1000000000", name="ck_trades_quantity_kw"),
    sa.CheckConstraint("direction IN (1, 2)", name="ck_trades_direction"),
    sa.CheckConstraint("delivery_minutes IN (15, 30, 60)", name="ck_trades_delivery_minutes"),
    sa.Index("ix_trades_trader_day", "trader_id", "delivery_day", "booking_seq"),
)

execution_hour = trades.c.execution_time_us // sa.literal_column(str(HOUR_US), sa.BigInteger)
sa.Index("ix_trades_execution_hour", execution_hour).ddl_if(dialect="sqlite")
sa.Index(
    "ix_trades_execution_time",
    trades.c.execution_time_us,
    postgresql_using="brin",
    postgresql_with={"pages_per_range": 32, "autosummarize": True},
).ddl_if(dialect="postgresql")

replaced_trades = sa.Table(
    "replaced_trades",
    metadata,
    *_content(),
    sa.Column("replaced_by_seq", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("replaced_by_seq", name="uq_replaced_trades_replaced_by_seq"),
    sa.CheckConstraint("replaced_by_seq > booking_seq", name="ck_replaced_trades_replaced_by_seq"),
)

differing_statements = sa.Table(
    "differing_statements",
    metadata,
    sa.Column("number", _SEQ, primary_key=True, autoincrement=False),
    *(column for column in _content() if column.name in Trade._fields),
    sa.Column("stated_time_us", sa.BigInteger, nullable=False),
    sa.Column("source", sa.SmallInteger, nullable=False),
    sa.Column("author", sa.String(256), nullable=False),
    sa.Column("settled_time_us", sa.BigInteger, nullable=False),
    sa.Column("settled_by", sa.String(256), nullable=False),
    sa.Index("ix_differing_statements_trade", "trade_id"),
)

booking_counter = sa.Table(
    "booking_counter",
    metadata,
    sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("last_booking_seq", sa.BigInteger, nullable=False),
    sa.Column("epoch", sa.String(32), nullable=False, server_default=""),
    sa.Column("digest", sa.String(32), nullable=False, server_default=""),
    sa.Column("digest_seq", sa.BigInteger, nullable=False, server_default="0"),
    sa.CheckConstraint("id = 1", name="ck_booking_counter_single"),
)

outbox = outbox_table(metadata)

CONTENT = tuple(replaced_trades.c[name] for name in BookedTrade._fields)

if tuple(trades.c.keys()) != BookedTrade._fields:  # rows are written and read by position
    raise AssertionError("the table and BookedTrade disagree")
