"""The tables, as ``migrations`` makes them.

``spent`` has a row for every request of the last hour, written before it is sent. ``polling`` is one row:
which replica polls, until when, and the last request's number; whoever spends locks it first.
"""

from __future__ import annotations

import sqlalchemy as sa
from wattbook.outbox import outbox_table

metadata = sa.MetaData()
_BIG_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")

prices = sa.Table(
    "prices",
    metadata,
    sa.Column("price_seq", _BIG_KEY, primary_key=True, autoincrement=False),
    sa.Column("area", sa.String(16), nullable=False),
    sa.Column("delivery_start_s", sa.BigInteger, nullable=False),
    sa.Column("delivery_minutes", sa.SmallInteger, nullable=False),
    sa.Column("value_eur_per_mwh", sa.String(64), nullable=False),
    sa.Column("last_update_us", sa.BigInteger, nullable=False),
    sa.Column("fetched_time_us", sa.BigInteger, nullable=False),
    sa.Column("cycle_start_s", sa.BigInteger, nullable=False),
    sa.UniqueConstraint(
        "delivery_start_s", "area", "delivery_minutes", "last_update_us", name="uq_prices_period_update"
    ),
    sa.CheckConstraint("price_seq > 0", name="ck_prices_price_seq"),
)

price_counter = sa.Table(
    "price_counter",
    metadata,
    sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("last_price_seq", sa.BigInteger, nullable=False),
    sa.CheckConstraint("id = 1", name="ck_price_counter_single"),
)

polling = sa.Table(
    "polling",
    metadata,
    sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("holder", sa.String(64), nullable=False),
    sa.Column("until_us", sa.BigInteger, nullable=False),
    sa.Column("last_request", sa.BigInteger, nullable=False),
    sa.CheckConstraint("id = 1", name="ck_polling_single"),
)

spent = sa.Table(
    "spent",
    metadata,
    sa.Column("request", _BIG_KEY, primary_key=True, autoincrement=False),
    sa.Column("sent_us", sa.BigInteger, nullable=False),
    sa.Column("counted_us", sa.BigInteger, nullable=False),
)

sightings = sa.Table(
    "sightings",
    metadata,
    sa.Column("stamp_us", _BIG_KEY, primary_key=True, autoincrement=False),
    sa.Column("after_us", sa.BigInteger, nullable=False),
    sa.Column("by_us", sa.BigInteger, nullable=False),
)

health = sa.Table(
    "health",
    metadata,
    sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("last_success_us", sa.BigInteger, nullable=False),
    sa.Column("trouble", sa.String(500), nullable=False),
    sa.Column("trouble_since_us", sa.BigInteger, nullable=False),
    sa.Column("held_until_us", sa.BigInteger, nullable=False, server_default="0"),
    sa.CheckConstraint("id = 1", name="ck_health_single"),
)

wishes = sa.Table(
    "wishes",
    metadata,
    sa.Column("delivery_start_s", _BIG_KEY, primary_key=True, autoincrement=False),
    sa.Column("is_traded", sa.Boolean, nullable=False),
    sa.Column("watched_until_us", sa.BigInteger, nullable=False),
)

outbox = outbox_table(metadata)
