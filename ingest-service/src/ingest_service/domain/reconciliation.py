"""A day's nightly file against what the feed delivered, and the two statements of a trade that differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache

from wattbook.clock import EPOCH
from wattbook.trade.statement import CsvTrade, epoch_us
from wattbook.units import CT_PER_EUR, KW_PER_MW

from ingest_service.domain.feed import DIRECTIONS, ConfirmedTrade, kept_content, trade_of

_DIRECTION_NAMES = {number: name for name, number in DIRECTIONS.items()}


class Standing(StrEnum):
    """How a trade does not match, as ``feed.proto`` names it."""

    DIFFERS = "differs"  # the feed, or the book, says something else than the file
    RECOVERED = "recovered"  # only the file has it, and it was booked from it
    CORRECTED = "corrected"  # only the file has it, and it replaced what a client had said
    FILE_ONLY = "file_only"  # only the file has it, and it was refused
    FEED_ONLY = "feed_only"  # only the feed has it


class Verdict(StrEnum):
    """What the book's owner made of a row of the file."""

    BOOKED = "booked"  # now, or before with the same content
    CORRECTED = "corrected"  # in place of another content, which a client had stated
    CONFLICT = "conflict"  # another content is booked under its id
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class FiledRow:
    """A row of the file and its verdict.

    ``trade`` is None where it is none, ``trade_id`` ``""`` where it is illegible; ``booked`` is the content
    that a conflict found, where that is known.
    """

    number: int
    trade_id: str
    trade: ConfirmedTrade | None
    verdict: Verdict = Verdict.BOOKED
    reason: str = ""
    booked: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """A trade that does not match: what file, feed and book say of it, ``""`` where they say nothing.

    ``kind`` is a :class:`Standing`. Statements are kept as :func:`kept_content` writes them.
    """

    trade_id: str
    kind: str
    detail: str
    file: str = ""
    feed: str = ""
    booked: str = ""


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """A day's nightly file against the feed; ``reconciled_us`` is 0 where there was none yet."""

    day: str
    file_name: str = ""
    sha256: str = ""
    reconciled_us: int = 0
    in_both: int = 0
    recovered: int = 0
    feed_only: int = 0
    differing: int = 0
    file_only: int = 0
    corrected: int = 0
    differences: tuple[Difference, ...] = ()


def filed_trade(trade: CsvTrade) -> ConfirmedTrade:
    """A row of the nightly file as the feed would have confirmed it.

    Raises:
        InvalidInput: its quantity is none.
    """
    return ConfirmedTrade(
        trade.id,
        trade.price,
        trade.quantity_kw,
        DIRECTIONS[trade.direction],
        _day_text(trade.delivery_day),
        trade.delivery_hour,
        trade.trader_id,
        epoch_us(trade.execution_time),
    )


def difference_of(row: FiledRow, heard: str | None) -> Difference | None:
    """How a row differs from what was ``heard`` of its trade, the content or None; None where it matches."""
    stated = kept_content(row.trade) if row.trade is not None else ""
    if heard is not None and heard != stated:
        kind = Standing.DIFFERS
        detail = content_differences(heard, stated) if stated else f"the file's row is refused: {row.reason}"
    elif row.verdict is Verdict.CONFLICT:
        kind, detail = Standing.DIFFERS, f"the book has it otherwise: {row.reason}"
    elif heard is not None:
        return None
    elif row.verdict is Verdict.CORRECTED:
        kind, detail = Standing.CORRECTED, "it replaced what a client had stated"
    elif row.verdict is Verdict.INVALID:
        kind, detail = Standing.FILE_ONLY, f"row {row.number} is refused: {row.reason}"
    else:
        kind, detail = Standing.RECOVERED, "only in the file"
    return Difference(row.trade_id, kind, detail, stated, heard or "", row.booked)


def content_differences(feed: str, file: str) -> str:
    """In words, what the feed's and the file's statement of a trade differ in."""
    pairs = zip(_shown_fields(feed), _shown_fields(file), strict=True)
    return ", ".join(
        f"{name}: {heard} in the feed, {filed} in the file"
        for (name, heard), (_, filed) in pairs
        if heard != filed
    )


def _shown_fields(content: str) -> Iterator[tuple[str, str]]:
    trade = trade_of("", content)
    yield "price", f"{Decimal(trade.price_ct_per_mwh) / CT_PER_EUR:.2f} EUR/MWh"
    yield "quantity", f"{Decimal(trade.quantity_kw) / KW_PER_MW} MW"
    yield "direction", _DIRECTION_NAMES.get(trade.direction, str(trade.direction))
    yield "delivery_day", trade.delivery_day
    yield "delivery_hour", str(trade.delivery_hour)
    yield "execution_time", (EPOCH + timedelta(microseconds=trade.execution_time_us)).isoformat()
    yield "trader_id", trade.trader_id


@lru_cache(maxsize=4096)
def _day_text(day: date) -> str:
    return day.isoformat()
