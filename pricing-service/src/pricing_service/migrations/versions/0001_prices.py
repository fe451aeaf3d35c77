"""Prices, the request budget, who polls, what is wanted, and the outbox."""

import sqlalchemy as sa
from alembic import op
from wattbook import outbox

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _key(name):
    big = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    return sa.Column(name, big, primary_key=True, autoincrement=False)


def _single(table):
    return (
        sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.CheckConstraint("id = 1", name=f"ck_{table}_single"),
    )


def upgrade():
    op.create_table(
        "prices",
        _key("price_seq"),
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
    counter = op.create_table(
        "price_counter", *_single("price_counter"), sa.Column("last_price_seq", sa.BigInteger, nullable=False)
    )
    polling = op.create_table(
        "polling",
        *_single("polling"),
        sa.Column("holder", sa.String(64), nullable=False),
        sa.Column("until_us", sa.BigInteger, nullable=False),
        sa.Column("last_request", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "spent",
        _key("request"),
        sa.Column("sent_us", sa.BigInteger, nullable=False),
        sa.Column("counted_us", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "sightings",
        _key("stamp_us"),
        sa.Column("after_us", sa.BigInteger, nullable=False),
        sa.Column("by_us", sa.BigInteger, nullable=False),
    )
    health = op.create_table(
        "health",
        *_single("health"),
        sa.Column("last_success_us", sa.BigInteger, nullable=False),
        sa.Column("trouble", sa.String(500), nullable=False),
        sa.Column("trouble_since_us", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "wishes",
        _key("delivery_start_s"),
        sa.Column("is_traded", sa.Boolean, nullable=False),
        sa.Column("watched_until_us", sa.BigInteger, nullable=False),
    )
    outbox.create(op)
    op.bulk_insert(counter, [{"id": 1, "last_price_seq": 0}])
    op.bulk_insert(polling, [{"id": 1, "holder": "", "until_us": 0, "last_request": 0}])
    op.bulk_insert(health, [{"id": 1, "last_success_us": 0, "trouble": "", "trouble_since_us": 0}])


def downgrade():
    for table in (
        "outbox",
        "wishes",
        "health",
        "sightings",
        "spent",
        "polling",
        "price_counter",
        "prices",
    ):
        op.drop_table(table)
