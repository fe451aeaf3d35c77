"""The tables; the migrations say the same in steps."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, MetaData, String, Table

metadata = MetaData()

users = Table(
    "users",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("password_hash", String(256), nullable=False),
    Column("roles", String(64), nullable=False),  # comma-separated, sorted
    Column("trader_id", String(64)),
    Column("disabled", Boolean, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("changed_us", BigInteger, nullable=False),
    Column("signed_out_us", BigInteger),
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("token_hash", String(64), primary_key=True),  # SHA-256 of the token, which is random itself
    Column("family", String(32), nullable=False),
    Column("user_name", String(64), ForeignKey("users.name", ondelete="CASCADE"), nullable=False),
    Column("client_id", String(64), nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("used_us", BigInteger),
    Index("refresh_tokens_family", "family"),
    Index("refresh_tokens_user", "user_name"),
    Index("refresh_tokens_expiry", "expires_us"),
)
