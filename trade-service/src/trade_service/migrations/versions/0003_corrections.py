"""The exchange's statement wins: who stated a row, what was replaced; and the book's epoch and digest.

Only added to, so that code that knows only 0002 goes on booking beside this: its rows say nothing of who
stated them (``confirmed_by`` is NULL: as their source says), and leave the digest where it was.
"""

import uuid

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ADDED = (
    ("confirmed_by", sa.SmallInteger, None),
    ("author", sa.String(256), ""),
    ("digest", sa.String(32), ""),
)


def upgrade():
    # The counter first, as whoever books: the other way round each would wait for the other.
    for name, kind, default in (
        ("epoch", sa.String(32), ""), ("digest", sa.String(32), ""), ("digest_seq", sa.BigInteger, "0")
    ):  # fmt: skip
        op.add_column("booking_counter", sa.Column(name, kind, nullable=False, server_default=default))
    for name, kind, default in ADDED:
        op.add_column("trades", sa.Column(name, kind, nullable=default is None, server_default=default))
    op.create_table(
        "replaced_trades",
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
        *(
            sa.Column(name, kind, nullable=default is None, server_default=default)
            for name, kind, default in ADDED
        ),
        sa.Column("replaced_by_seq", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("replaced_by_seq", name="uq_replaced_trades_replaced_by_seq"),
        sa.CheckConstraint("replaced_by_seq > booking_seq", name="ck_replaced_trades_replaced_by_seq"),
    )
    beginning = {"epoch": uuid.uuid4().hex, "digest": uuid.uuid4().hex}
    connection = op.get_bind()
    connection.execute(
        sa.text("UPDATE booking_counter SET epoch = :epoch, digest = :digest, digest_seq = last_booking_seq"),
        beginning,
    )
    connection.execute(
        sa.text(
            "UPDATE trades SET digest = :digest "
            "WHERE booking_seq = (SELECT last_booking_seq FROM booking_counter)"
        ),
        beginning,
    )


def downgrade():
    op.drop_table("replaced_trades")
    for name in ("epoch", "digest", "digest_seq"):
        op.drop_column("booking_counter", name)
    for name, _, _ in ADDED:
        op.drop_column("trades", name)
