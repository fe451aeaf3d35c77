"""Trades: the rules for one statement, flags, and when two statements are the same."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any, NamedTuple

from wattbook.clock import to_epoch_us
from wattbook.text import id_problem, trader_id_problem
from wattbook.units import PRICE_MAX_CT_PER_MWH, PRICE_MIN_CT_PER_MWH, QUANTITY_STEP_KW

from trade_service.domain.delivery import Delivery, InvalidTrade, delivery_of, local_hour

TRADE_ID_LIMIT = 128
TRADER_ID_LIMIT = 64
PRICE_LIMITS_CT_PER_MWH = (-(2**31), 2**31 - 1)
QUANTITY_LIMIT_KW = 1_000_000_000  # a million MW; with the price's limits one product fits 64 bits
EXECUTED_FROM_US = to_epoch_us(datetime(1990, 1, 1, tzinfo=UTC))
EXECUTED_BEFORE_US = to_epoch_us(datetime(2200, 1, 1, tzinfo=UTC))

AMBIGUOUS, LATE, OFF_TICK, OUT_OF_RANGE = 1, 2, 4, 8
_FLAG_NAMES = {AMBIGUOUS: "ambiguous", LATE: "late", OFF_TICK: "off_tick", OUT_OF_RANGE: "out_of_range"}


class Direction(IntEnum):
    """Bought or sold, from our side; numbered as in ``trades.proto``."""

    BUY = 1
    SELL = 2


class Source(IntEnum):
    """The door a trade came through; numbered as in ``trades.proto``."""

    UNSPECIFIED = 0
    REST = 1
    FILE = 2
    FEED = 3


class Result(IntEnum):
    """What became of a statement; numbered as in ``trades.proto``."""

    ADDED = 1
    DUPLICATE = 2
    CONFLICT = 3
    INVALID = 4


class Trade(NamedTuple):
    """What was traded. A named tuple, since a million are made a file: a fifth of a frozen dataclass's cost.

    ``direction`` is a :class:`Direction`; ``delivery_day`` is the local day as a number, 20230228;
    ``flags`` are bits that :func:`flag_names` spells out.
    """

    trade_id: str
    price_ct_per_mwh: int
    quantity_kw: int
    direction: int
    trader_id: str
    execution_time_us: int
    area: str
    delivery_start_s: int
    delivery_minutes: int
    delivery_day: int
    flags: int


class BookedTrade(NamedTuple):
    """A trade as it stands in the book: its place, the fields of :class:`Trade`, when and how it came.

    ``confirmed_by`` is the :class:`Source` by which the exchange stated it first, 0 where it never did; None
    in rows that an earlier release wrote, see :func:`confirmed_by`. ``author`` is the name of whoever stated
    it, empty for the feed. ``digest`` is that of the book after this row, where a commit ends with it.
    """

    booking_seq: int
    trade_id: str
    price_ct_per_mwh: int
    quantity_kw: int
    direction: int
    trader_id: str
    execution_time_us: int
    area: str
    delivery_start_s: int
    delivery_minutes: int
    delivery_day: int
    flags: int
    booked_time_us: int
    source: int
    confirmed_by: int | None = 0
    author: str = ""
    digest: str = ""


class Correction(NamedTuple):
    """A content that another one replaced; ``by`` is that other one, under the number it moved to."""

    replaced: BookedTrade
    by: BookedTrade


class Differing(NamedTuple):
    """What the exchange stated otherwise than it stands in the book; ``number`` 0 until it is kept.

    ``settled_time_us`` is 0 until somebody of the desk has decided.
    """

    number: int
    trade: Trade
    stated_time_us: int
    source: int
    author: str
    settled_time_us: int = 0
    settled_by: str = ""


class Head(NamedTuple):
    """How far the book is: its epoch, its last number, and its digest there; "" where that is not known."""

    epoch: str
    last_seq: int
    digest: str


BookedRow = tuple[Any, ...]
"""The fields of a :class:`BookedTrade` in order, as a bare tuple where a million are made in a row."""


@dataclass(frozen=True, slots=True)
class Criteria:
    """Which trades are asked for; None means all. ``delivery_day`` is local in each area, as 20230228."""

    trader_id: str | None = None
    delivery_day: int | None = None
    area: str | None = None
    executed_from_us: int | None = None
    executed_before_us: int | None = None
    delivery_from_s: int | None = None
    delivery_before_s: int | None = None
    unconfirmed: bool = False


class PositionKey(NamedTuple):
    """Whose sums, and of which delivery period; ``delivery_day`` is that of its start."""

    trader_id: str
    area: str
    delivery_start_s: int
    delivery_minutes: int
    delivery_day: int


@dataclass(frozen=True, slots=True)
class Position:
    """One trader's sums of one delivery period, exact."""

    trader_id: str
    area: str
    delivery_start_s: int
    delivery_minutes: int
    trades: int
    buy_kw: int
    sell_kw: int
    buy_ct_kw_per_mwh: int
    sell_ct_kw_per_mwh: int
    last_execution_time_us: int


def trade_of(
    *,
    trade_id: str,
    price_ct_per_mwh: int,
    quantity_kw: int,
    direction: int,
    area: str,
    delivery_day: str,
    delivery_hour: int,
    delivery_start_s: int | None,
    trader_id: str,
    execution_time_us: int,
) -> Trade:
    """The trade that a statement means: its delivery period resolved, its flags set.

    Raises:
        InvalidTrade: it cannot be booked.
    """
    _check_names(trade_id, trader_id)
    _check_figures(price_ct_per_mwh, quantity_kw, direction, execution_time_us)
    delivery = delivery_of(
        area, delivery_day, delivery_hour, delivery_start_s, execution_time_us=execution_time_us
    )
    return Trade(
        trade_id,
        price_ct_per_mwh,
        quantity_kw,
        direction,
        trader_id,
        execution_time_us,
        delivery.area,
        delivery.start_s,
        delivery.minutes,
        delivery.day,
        _flags(price_ct_per_mwh, quantity_kw, execution_time_us, delivery),
    )


def confirmed_by(row: BookedTrade) -> int:
    """The source by which the exchange stated a row first; 0 where it never did.

    Earlier releases did not write it down: what they booked from the feed or a file counts as stated.
    """
    if row.confirmed_by is None:
        return row.source if row.source in (Source.FEED, Source.FILE) else 0
    return row.confirmed_by


def trade_in(row: BookedRow) -> Trade:
    """What was traded, of a booked row."""
    return Trade._make(row[1 : 1 + len(Trade._fields)])


def different_fields(booked: Trade, stated: Trade) -> list[str]:
    """The fields, as callers name them, in which ``stated`` differs from what is booked; none if in none.

    How the period was named does not matter. A statement that does not say which of the doubled hours it
    means contradicts neither; one that says it contradicts a trade booked on the other.
    """
    if booked[:10] == stated[:10]:
        return []
    names = [
        name for name, field in _STATED_FIELDS.items() if getattr(booked, field) != getattr(stated, field)
    ]
    if _period_differs(booked, stated):
        names.append("delivery period")
    return names


_STATED_FIELDS = {
    "id": "trade_id",
    "price": "price_ct_per_mwh",
    "quantity": "quantity_kw",
    "direction": "direction",
    "trader_id": "trader_id",
    "execution_time": "execution_time_us",
}


def flag_names(flags: int) -> tuple[str, ...]:
    """The names of the flags set, in a fixed order."""
    return _NAMES_OF_FLAGS[flags]


def name_problem(trade: Trade, *, takes_any_id: bool = False) -> str:
    """Why its id or its trader's is not booked anew; ``""`` where both are fit."""
    if not takes_any_id and (problem := id_problem(trade.trade_id)):
        return f"id: {problem}"
    if problem := trader_id_problem(trade.trader_id):
        return f"trader_id: {problem}"
    return ""


def _check_names(trade_id: str, trader_id: str) -> None:
    """Only what no store could keep; see :func:`name_problem`."""
    if not 0 < len(trade_id) <= TRADE_ID_LIMIT or "\0" in trade_id:
        raise InvalidTrade(_what_is_wrong("id", trade_id, TRADE_ID_LIMIT))
    if not 0 < len(trader_id) <= TRADER_ID_LIMIT or "\0" in trader_id:
        raise InvalidTrade(_what_is_wrong("trader_id", trader_id, TRADER_ID_LIMIT))


def _check_figures(price_ct_per_mwh: int, quantity_kw: int, direction: int, execution_time_us: int) -> None:
    if not -(2**31) <= price_ct_per_mwh < 2**31:
        raise InvalidTrade("price must be within {}…{} eurocent/MWh".format(*PRICE_LIMITS_CT_PER_MWH))
    if not 0 < quantity_kw <= QUANTITY_LIMIT_KW:
        raise InvalidTrade(f"quantity must be above 0 and at most {QUANTITY_LIMIT_KW // 1000} MW")
    if direction not in (1, 2):
        raise InvalidTrade("direction must be buy or sell")
    if not EXECUTED_FROM_US <= execution_time_us < EXECUTED_BEFORE_US:
        raise InvalidTrade("execution_time must be within 1990…2199")


def _names(flags: int) -> Iterable[str]:
    return (name for bit, name in _FLAG_NAMES.items() if flags & bit)


_NAMES_OF_FLAGS = [tuple(_names(flags)) for flags in range(16)]


def _flags(price_ct_per_mwh: int, quantity_kw: int, execution_time_us: int, delivery: Delivery) -> int:
    flags = AMBIGUOUS if delivery.ambiguous else 0
    if execution_time_us >= delivery.start_s * 1_000_000:  # gate closure is the start at the latest
        flags |= LATE
    if quantity_kw % QUANTITY_STEP_KW:
        flags |= OFF_TICK  # of the price's tick, 0.01 EUR, there is nothing finer: it is in eurocent
    if not PRICE_MIN_CT_PER_MWH <= price_ct_per_mwh <= PRICE_MAX_CT_PER_MWH:
        flags |= OUT_OF_RANGE
    return flags


def _period_differs(booked: Trade, stated: Trade) -> bool:
    if booked[6:10] == stated[6:10]:
        return False
    if not stated.flags & AMBIGUOUS or booked.area != stated.area:
        return True
    return local_hour(booked.area, booked.delivery_start_s) != local_hour(
        stated.area, stated.delivery_start_s
    )


def _what_is_wrong(name: str, text: str, limit: int) -> str:
    if not text:
        return f"{name} is empty"
    if len(text) > limit:
        return f"{name} is longer than {limit} characters"
    return f"{name} contains a zero character"
