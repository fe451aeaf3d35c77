"""What the exchange stated otherwise than it stands in the book: only of it may the desk accept another one.

Only added to: code that knows only 0003 refuses such a statement, as before, and does not keep it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade():
    op.create_table(
        "differing_statements",
        sa.Column(
            "number",
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
        sa.Column("stated_time_us", sa.BigInteger, nullable=False),
        sa.Column("source", sa.SmallInteger, nullable=False),
        sa.Column("author", sa.String(256), nullable=False),
        sa.Column("settled_time_us", sa.BigInteger, nullable=False),
        sa.Column("settled_by", sa.String(256), nullable=False),
    )
    op.create_index("ix_differing_statements_trade", "differing_statements", ["trade_id"])


def downgrade():
    op.drop_table("differing_statements")
