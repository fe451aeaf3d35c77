"""The tables; the migrations say the same in steps."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, MetaData, String, Table

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
    Column("signed_out_us", BigInteger),  # for the release before this one, which knows no counters
    Column("session_counter", Integer, nullable=False, server_default="0"),
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
    Column("session_counter", Integer),  # NULL: written by the release before
    Index("refresh_tokens_family", "family"),
    Index("refresh_tokens_user", "user_name"),
    Index("refresh_tokens_expiry", "expires_us"),
)

revocations = Table(
    "revocations",
    metadata,
    Column("version", BigInteger, primary_key=True, autoincrement=False),  # without gaps, as committed
    Column("user_name", String(64), nullable=False),
    Column("family", String(32)),  # NULL: all sessions with a lower counter
    Column("session_counter", Integer, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Index("revocations_family", "family"),
)
