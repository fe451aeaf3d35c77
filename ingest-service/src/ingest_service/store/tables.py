"""The tables, as ``migrations`` makes them.

``spool`` holds every frame verbatim, numbered in the order of arrival; all up to ``feed_state.parsed_to``
are read. ``feed_trades`` is what the feed delivered, one row a trade, for skipping what a second
listener heard too and for comparing with the nightly file; ``received_us`` is 0 where only another node
heard it.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
)
from wattbook.outbox import outbox_table

METADATA = MetaData()
_NUMBER = BigInteger().with_variant(Integer, "sqlite")

FILES = Table(
    "files",
    METADATA,
    Column("sha256", String(64), primary_key=True),
    Column("first_name", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    # The name in archive/ and, where rows were refused, in rejected/.
    Column("kept_name", Text, unique=True),
    Column("refusal", Text),
    Column("added", BigInteger, nullable=False, default=0),
    Column("duplicate", BigInteger, nullable=False, default=0),
    Column("conflict", BigInteger, nullable=False, default=0),
    Column("invalid", BigInteger, nullable=False, default=0),
    Column("found_at_us", BigInteger, nullable=False),
    Column("uploaded_at_us", BigInteger),
    Column("done_at_us", BigInteger),
    CheckConstraint("state IN ('found', 'uploaded', 'done')", name="files_state"),
)

NAMES = Table(
    "names",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("sha256", String(64), ForeignKey("files.sha256"), primary_key=True),
    Column("first_seen_at_us", BigInteger, nullable=False),
    Column("last_seen_at_us", BigInteger, nullable=False),
)

ARCHIVED = Table(
    "archived",
    METADATA,
    Column("kept_name", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("archived_at_us", BigInteger, nullable=False),
)

SPOOL = Table(
    "spool",
    METADATA,
    Column("frame_id", _NUMBER, primary_key=True, autoincrement=False),
    Column("received_us", BigInteger, nullable=False),
    Column("origin", Text, nullable=False),
    Column("frame", LargeBinary, nullable=False),
)

FEED_STATE = Table(
    "feed_state",
    METADATA,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("spool", String(32), nullable=False),  # the name of this spool among others
    Column("frames", BigInteger, nullable=False),
    Column("parsed_to", BigInteger, nullable=False),
    Column("first_us", BigInteger, nullable=False),
    Column("covered_to_us", BigInteger, nullable=False),
    Column("last_trade_us", BigInteger, nullable=False),
    Column("last_executed_us", BigInteger, nullable=False),
    CheckConstraint("id = 1", name="ck_feed_state_single"),
)

FEED_TRADES = Table(
    "feed_trades",
    METADATA,
    Column("id", _NUMBER, primary_key=True),
    Column("trade_id", Text, nullable=False, unique=True),
    Column("content", Text, nullable=False),
    Column("executed_day", Integer, nullable=False),  # Berlin, as 20230228
    Column("received_us", BigInteger, nullable=False),
    Column("tied_run", BigInteger, nullable=False),  # the last comparison with a file that had it
    Index("ix_feed_trades_executed_day", "executed_day"),
)

QUARANTINE = Table(
    "quarantine",
    METADATA,
    Column("id", _NUMBER, primary_key=True),
    Column("frame_id", BigInteger, nullable=False, unique=True),
    Column("received_us", BigInteger, nullable=False),
    Column("origin", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("frame", LargeBinary, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("trade_id", Text, nullable=False),
    Column("decided_by", Text, nullable=False),
    Column("decided_us", BigInteger, nullable=False),
    CheckConstraint("state IN (1, 2, 3)", name="ck_quarantine_state"),
    Index("ix_quarantine_state", "state", "id"),
    Index("ix_quarantine_received", "received_us", "id"),
    Index("ix_quarantine_state_received", "state", "received_us", "id"),
)

GAPS = Table(
    "feed_gaps",
    METADATA,
    Column("id", _NUMBER, primary_key=True),
    Column("began_us", BigInteger, nullable=False),
    Column("ended_us", BigInteger, nullable=False),
)

RECONCILIATIONS = Table(
    "reconciliations",
    METADATA,
    Column("day", Integer, primary_key=True, autoincrement=False),  # Berlin, as 20230228
    Column("sha256", String(64), nullable=False),
    Column("file_name", Text, nullable=False),
    Column("reconciled_us", BigInteger, nullable=False),
    Column("in_both", BigInteger, nullable=False),
    Column("recovered", BigInteger, nullable=False),
    Column("feed_only", BigInteger, nullable=False),
    Column("differing", BigInteger, nullable=False),
    Column("file_only", BigInteger, nullable=False, server_default="0"),
    Column("corrected", BigInteger, nullable=False, server_default="0"),
)

DIFFERENCES = Table(
    "differences",
    METADATA,
    Column("day", Integer, ForeignKey("reconciliations.day"), primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("trade_id", Text, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("detail", Text, nullable=False),
    # What each of them says of it, as feed_trades.content; "" where it says nothing.
    *(Column(name, Text, nullable=False, server_default="") for name in ("file", "feed", "booked")),
)

OUTBOX = outbox_table(METADATA)


def day_number(day: str) -> int:
    """A day YYYY-MM-DD as the tables keep it: 20230228."""
    return int(day.replace("-", ""))
