"""The tables, as ``migrations`` makes them.

``leg``: a payment as one known account sees it. Its key begins with the month, for payments arrive by time:
a key that begins with the account would touch every account's page in each window. ``cell``: sums of an
account and month, of months before ``state.cells_before``; later months are summed from their legs. Sums are
two numbers, billions and the rest, which no count of rows overflows. No balance is kept: it would go wrong
unseen.

``body``: an answer of the bank as it came, compressed, written down before it is looked at; it belongs to
no window until then. ``bank_window``: what is in the balances. ``state`` is one row: who asks the bank,
and the versions.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from wattbook.outbox import outbox_table

HIGH = 1_000_000_000

metadata = sa.MetaData()
_BIG_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _key(name: str, kind: Any = sa.BigInteger) -> sa.Column[Any]:
    return sa.Column(name, kind, primary_key=True, autoincrement=False)


def _number(name: str, kind: Any = sa.BigInteger) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


company = sa.Table(
    "company",
    metadata,
    _key("id"),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("stated_balance", sa.Text, nullable=False),
    sa.Column("is_gone", sa.Boolean, nullable=False),
    sa.Column("sort_name", sa.Text, nullable=False),
    sa.Column("search", sa.Text, nullable=False),  # what is found, in one text: name, id and IBANs
    sa.Index("ix_company_sort_name", "sort_name", "id"),
)

account = sa.Table(
    "account",
    metadata,
    sa.Column("number", _BIG_KEY, primary_key=True, autoincrement=False),
    sa.Column("iban", sa.Text, nullable=False),
    sa.Column("company_id", sa.BigInteger, nullable=True),  # none: a counterparty
    sa.Column("also_of", sa.Text, nullable=False),  # other companies it is listed under: "3,17"
    sa.UniqueConstraint("iban", name="uq_account_iban"),
    sa.Index("ix_account_company_id", "company_id"),
)

leg = sa.Table(
    "leg",
    metadata,
    _key("month", sa.Integer),
    _key("account"),
    _key("time_us"),
    _key("line"),
    _number("counterparty"),
    _number("minor"),
    _number("flow", sa.SmallInteger),
    sa.Column("currency", sa.String(3), nullable=False),
    _number("kind", sa.SmallInteger),
    _number("flags", sa.SmallInteger),
    sa.Column("payment_id", sa.Text, nullable=False),
    sqlite_with_rowid=False,
)

cell = sa.Table(
    "cell",
    metadata,
    _key("account"),
    _key("month", sa.Integer),
    sa.Column("currency", sa.String(3), primary_key=True),
    _key("kind", sa.SmallInteger),
    _key("flow", sa.SmallInteger),
    _key("flags", sa.SmallInteger),
    _number("high"),
    _number("low"),
    _number("payments"),
    sqlite_with_rowid=False,
)

set_aside = sa.Table(
    "set_aside",
    metadata,
    _key("source", sa.SmallInteger),
    _key("window_number", sa.Integer),
    _key("position", sa.Integer),
    _number("reasons", sa.Integer),
    sa.Column("payer_account", sa.BigInteger, nullable=True),
    sa.Column("beneficiary_account", sa.BigInteger, nullable=True),
    *(
        sa.Column(name, sa.Text, nullable=False)
        for name in ("payment_id", "payer", "beneficiary", "amount", "currency", "time", "text")
    ),
    sa.Index("ix_set_aside_payer_account", "payer_account"),
    sa.Index("ix_set_aside_beneficiary_account", "beneficiary_account"),
    sqlite_with_rowid=False,
)

rounding = sa.Table(
    "rounding",
    metadata,
    _key("account"),
    _key("source", sa.SmallInteger),
    _key("window_number", sa.Integer),
    _key("line"),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("left_off", sa.Text, nullable=False),
    sa.Index("ix_rounding_window", "source", "window_number"),
)

bank_window = sa.Table(
    "bank_window",
    metadata,
    _key("source", sa.SmallInteger),
    _key("number", sa.Integer),
    _number("version", sa.Integer),
    sa.Column("is_complete", sa.Boolean, nullable=False),
    sa.Column("is_late", sa.Boolean, nullable=False),
    _number("changes", sa.Integer),  # how often other content came after it was complete
    _number("rows", sa.Integer),
    _number("payments", sa.Integer),
    _number("set_aside", sa.Integer),
    sa.Column("sha256", sa.String(64), nullable=False),
    _number("received_us"),
    _number("rules_version", sa.Integer),
    _number("accounts_version", sa.Integer),
)

body = sa.Table(
    "body",
    metadata,
    sa.Column("id", _BIG_KEY, primary_key=True),
    _number("source", sa.SmallInteger),
    sa.Column("window_number", sa.Integer, nullable=True),
    _number("version", sa.Integer),
    _number("part", sa.Integer),
    sa.Column("dialect", sa.String(16), nullable=False),
    sa.Column("cursor", sa.Text, nullable=False),  # by which it was asked for
    sa.Column("etag", sa.Text, nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
    _number("received_us"),
    sa.Column("superseded_us", sa.BigInteger, nullable=True),
    sa.Index("ix_body_window", "source", "window_number", "version"),
)

rate_table = sa.Table(
    "rate_table",
    metadata,
    _key("version", sa.Integer),
    _number("received_us"),
    sa.Column("content", sa.Text, nullable=False),
)

stream = sa.Table(
    "stream",
    metadata,
    _key("source", sa.SmallInteger),
    sa.Column("cursor", sa.Text, nullable=False),  # where to go on; "" at the beginning
    sa.Column("has_end", sa.Boolean, nullable=False),  # whether it has given all that there was, once
    _number("last_success_us"),
    sa.Column("trouble", sa.String(500), nullable=False),
    _number("trouble_since_us"),
)

failed_try = sa.Table(
    "failed_try",
    metadata,
    _key("source", sa.SmallInteger),
    sa.Column("reason", sa.String(40), primary_key=True),
    _number("tries"),
)

state = sa.Table(
    "state",
    metadata,
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

outbox = outbox_table(metadata)
