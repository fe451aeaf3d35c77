"""Companies, accounts, payments, what was read of the bank, and the outbox."""

import sqlalchemy as sa
from alembic import op
from wattbook import outbox

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_BIG_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _key(name, kind=sa.BigInteger):
    return sa.Column(name, kind, primary_key=True, autoincrement=False)


def _number(name, kind=sa.BigInteger):
    return sa.Column(name, kind, nullable=False)


def _text(name):
    return sa.Column(name, sa.Text, nullable=False)


def upgrade():
    _companies()
    _payments()
    _set_aside()
    _windows()
    _state()
    outbox.create(op)
    outbox.keep_bodies_as_they_are(op)


def _companies():
    op.create_table(
        "company",
        _key("id"),
        *map(_text, ("name", "owner", "address", "stated_balance")),
        sa.Column("is_gone", sa.Boolean, nullable=False),
        *map(_text, ("sort_name", "search")),
    )
    op.create_index("ix_company_sort_name", "company", ["sort_name", "id"])
    op.create_table(
        "account",
        sa.Column("number", _BIG_KEY, primary_key=True, autoincrement=False),
        _text("iban"),
        sa.Column("company_id", sa.BigInteger, nullable=True),
        _text("also_of"),
        sa.UniqueConstraint("iban", name="uq_account_iban"),
    )
    op.create_index("ix_account_company_id", "account", ["company_id"])


def _payments():
    op.create_table(
        "leg",
        _key("month", sa.Integer),
        *map(_key, ("account", "time_us", "line")),
        _number("counterparty"),
        _number("minor"),
        _number("flow", sa.SmallInteger),
        sa.Column("currency", sa.String(3), nullable=False),
        _number("kind", sa.SmallInteger),
        _number("flags", sa.SmallInteger),
        _text("payment_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "cell",
        _key("account"),
        _key("month", sa.Integer),
        sa.Column("currency", sa.String(3), primary_key=True),
        *(_key(name, sa.SmallInteger) for name in ("kind", "flow", "flags")),
        *map(_number, ("high", "low", "payments")),
        sqlite_with_rowid=False,
    )


def _set_aside():
    op.create_table(
        "set_aside",
        _key("source", sa.SmallInteger),
        _key("window_number", sa.Integer),
        _key("position", sa.Integer),
        _number("reasons", sa.Integer),
        sa.Column("payer_account", sa.BigInteger, nullable=True),
        sa.Column("beneficiary_account", sa.BigInteger, nullable=True),
        *map(_text, ("payment_id", "payer", "beneficiary", "amount", "currency", "time", "text")),
        sqlite_with_rowid=False,
    )
    for side in ("payer_account", "beneficiary_account"):
        op.create_index(f"ix_set_aside_{side}", "set_aside", [side])
    op.create_table(
        "rounding",
        _key("account"),
        _key("source", sa.SmallInteger),
        _key("window_number", sa.Integer),
        _key("line"),
        sa.Column("currency", sa.String(3), nullable=False),
        _text("left_off"),
    )
    op.create_index("ix_rounding_window", "rounding", ["source", "window_number"])


def _windows():
    op.create_table(
        "bank_window",
        _key("source", sa.SmallInteger),
        _key("number", sa.Integer),
        _number("version", sa.Integer),
        sa.Column("is_complete", sa.Boolean, nullable=False),
        sa.Column("is_late", sa.Boolean, nullable=False),
        *(_number(name, sa.Integer) for name in ("changes", "rows", "payments", "set_aside")),
        sa.Column("sha256", sa.String(64), nullable=False),
        _number("received_us"),
        _number("rules_version", sa.Integer),
        _number("accounts_version", sa.Integer),
    )
    op.create_table(
        "body",
        sa.Column("id", _BIG_KEY, primary_key=True),
        _number("source", sa.SmallInteger),
        sa.Column("window_number", sa.Integer, nullable=True),
        _number("version", sa.Integer),
        _number("part", sa.Integer),
        sa.Column("dialect", sa.String(16), nullable=False),
        *map(_text, ("cursor", "etag")),
        sa.Column("content", sa.LargeBinary, nullable=False),
        _number("received_us"),
        sa.Column("superseded_us", sa.BigInteger, nullable=True),
    )
    op.create_index("ix_body_window", "body", ["source", "window_number", "version"])
    if op.get_bind().dialect.name == "postgresql":  # it is compressed already
        op.execute("ALTER TABLE body ALTER COLUMN content SET STORAGE EXTERNAL")


def _state():
    op.create_table("rate_table", _key("version", sa.Integer), _number("received_us"), _text("content"))
    stream = op.create_table(
        "stream",
        _key("source", sa.SmallInteger),
        _text("cursor"),
        sa.Column("has_end", sa.Boolean, nullable=False),
        _number("last_success_us"),
        sa.Column("trouble", sa.String(500), nullable=False),
        _number("trouble_since_us"),
    )
    op.create_table(
        "failed_try",
        _key("source", sa.SmallInteger),
        sa.Column("reason", sa.String(40), primary_key=True),
        _number("tries"),
    )
    state = op.create_table(
        "state",
        _key("id", sa.SmallInteger),
        sa.Column("holder", sa.String(64), nullable=False),
        _number("until_us"),
        sa.Column("dialect", sa.String(16), nullable=False),
        _number("data_version"),
        _number("accounts_version", sa.Integer),
        sa.Column("companies_sha256", sa.String(64), nullable=False),
        _number("rates_version", sa.Integer),
        _number("rates_confirmed_us"),
        sa.Column("rates_trouble", sa.String(500), nullable=False),
        _number("cells_before", sa.Integer),
        _number("last_account"),
        _number("checked_us"),
        sa.Column("check_trouble", sa.String(500), nullable=False),
        sa.CheckConstraint("id = 1", name="ck_state_single"),
    )
    fresh = {"cursor": "", "has_end": False, "last_success_us": 0, "trouble": "", "trouble_since_us": 0}
    op.bulk_insert(stream, [{"source": source, **fresh} for source in (1, 2)])
    numbers = ("until_us", "data_version", "accounts_version", "rates_version", "rates_confirmed_us",
               "cells_before", "last_account", "checked_us")  # fmt: skip
    texts = ("holder", "dialect", "companies_sha256", "rates_trouble", "check_trouble")
    op.bulk_insert(state, [{"id": 1} | dict.fromkeys(numbers, 0) | dict.fromkeys(texts, "")])


def downgrade():
    for table in (
        "outbox", "state", "failed_try", "stream", "rate_table", "body", "bank_window", "rounding",
        "set_aside", "cell", "leg", "account", "company",
    ):  # fmt: skip
        op.drop_table(table)
