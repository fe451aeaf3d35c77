"""Questions to the book, as SQL that means the same on every engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from wattbook.db import on_sqlite

from trade_service.domain import Criteria, Direction, Head, Position, Source
from trade_service.store.tables import (
    CONTENT,
    HOUR_US,
    booking_counter,
    differing_statements,
    execution_hour,
    replaced_trades,
    trades,
)

# SQLite's SUM overflows at 64 bits, so a sum of products is taken in two parts that cannot: both
# engines divide toward zero, so high x SPLIT + low is exact for negative prices too.
SPLIT = 1_000_000_000
_COUNTER = booking_counter.c
_HEAD = sa.select(_COUNTER.epoch, _COUNTER.last_booking_seq, _COUNTER.digest, _COUNTER.digest_seq)
_HEAD_LOCKED = _HEAD.with_for_update()


def head(connection: sa.Connection, *, locked: bool = False) -> Head:
    """How far the book is; its digest is not known where an earlier release has booked last."""
    epoch, last_seq, digest, digest_seq = connection.execute(_HEAD_LOCKED if locked else _HEAD).one()
    return Head(epoch, last_seq, digest if digest_seq == last_seq else "")


def matching(criteria: Criteria, *, after_seq: int, until_seq: int, most: int) -> sa.Select[int]:
    """Places of matching trades in order."""
    query = sa.select(trades.c.booking_seq).where(*_conditions(criteria))
    within = trades.c.booking_seq > after_seq, trades.c.booking_seq <= until_seq
    return query.where(*within).order_by(trades.c.booking_seq).limit(most)


def matching_replaced(
    criteria: Criteria, *, after_seq: int, until_seq: int, most: int, history: bool
) -> sa.Select[int]:
    """Numbers of matching contents that were replaced, in order; without ``history`` after ``until_seq``."""
    table = replaced_trades.c
    query = sa.select(table.booking_seq).where(table.booking_seq > after_seq, table.booking_seq <= until_seq)
    if not history:
        query = query.where(table.replaced_by_seq > until_seq)
    return query.where(*_plain_conditions(table, criteria)).order_by(table.booking_seq).limit(most)


def corrections(
    criteria: Criteria, *, after_seq: int, most: int, before_seq: int | None = None
) -> sa.Select[Any]:
    """What was replaced, by the number that replaced it, where one of both contents matches.

    With ``before_seq`` the newest first, of those that have an earlier number; 0 means all.
    """
    number = replaced_trades.c.replaced_by_seq
    later = replaced_trades.alias("later")  # what replaced it may have been replaced itself
    either = sa.or_(
        sa.and_(*_plain_conditions(replaced_trades.c, criteria), sa.true()),
        sa.exists().where(trades.c.booking_seq == number, *_plain_conditions(trades.c, criteria)),
        sa.exists().where(later.c.booking_seq == number, *_plain_conditions(later.c, criteria)),
    )
    query = sa.select(number, *CONTENT).where(number > after_seq, either)
    if before_seq:
        query = query.where(number < before_seq)
    return query.order_by(number if before_seq is None else number.desc()).limit(most)


def differing(*, trade_id: str, settled_too: bool, after: int, most: int) -> sa.Select[Any]:
    """What the exchange stated otherwise than it stands in the book, in the order in which it came."""
    table = differing_statements.c
    query = sa.select(differing_statements).where(table.number > after)
    if trade_id:
        query = query.where(table.trade_id == trade_id)
    if not settled_too:
        query = query.where(table.settled_time_us == 0)
    return query.order_by(table.number).limit(most)


def positions(connection: sa.Connection, *, page_size: int) -> Iterator[list[Position]]:
    """Every trader's sums of each delivery period, in pages."""
    rows = connection.execution_options(yield_per=page_size).execute(_POSITIONS)
    for page in rows.partitions():
        yield [_position(row) for row in page]


def _conditions(criteria: Criteria) -> Iterator[sa.ColumnElement[bool]]:
    """What finds matching rows of the book, by its indices."""
    if criteria.trader_id is None and criteria.delivery_day is not None:
        yield trades.c.trader_id.in_(_every_trader())
    yield from _equal(trades.c, criteria)
    if executed := list(_executed(criteria)):
        # Apart, so that a narrow range is found by its index and not by walking along booking_seq.
        yield trades.c.booking_seq.in_(sa.select(trades.c.booking_seq).where(*executed))


def _plain_conditions(columns: Any, criteria: Criteria) -> Iterator[sa.ColumnElement[bool]]:
    """The same of any table with a trade's columns, whatever its indices."""
    yield from _equal(columns, criteria)
    if criteria.executed_from_us is not None:
        yield columns.execution_time_us >= criteria.executed_from_us
    if criteria.executed_before_us is not None:
        yield columns.execution_time_us < criteria.executed_before_us


def _equal(columns: Any, criteria: Criteria) -> Iterator[sa.ColumnElement[bool]]:
    for name in ("trader_id", "delivery_day", "area"):
        if (wanted := getattr(criteria, name)) is not None:
            yield columns[name] == wanted
    if criteria.delivery_from_s is not None:
        yield columns.delivery_start_s >= criteria.delivery_from_s
    if criteria.delivery_before_s is not None:
        yield columns.delivery_start_s < criteria.delivery_before_s
    if criteria.unconfirmed:
        by_source = columns.source.not_in((int(Source.FILE), int(Source.FEED)))
        yield sa.or_(columns.confirmed_by == 0, sa.and_(columns.confirmed_by.is_(None), by_source))


def _executed(criteria: Criteria) -> Iterator[sa.ColumnElement[bool]]:
    if criteria.executed_from_us is not None:
        yield trades.c.execution_time_us >= criteria.executed_from_us
        yield on_sqlite(execution_hour >= criteria.executed_from_us // HOUR_US)
    if criteria.executed_before_us is not None:
        yield trades.c.execution_time_us < criteria.executed_before_us
        yield on_sqlite(execution_hour <= criteria.executed_before_us // HOUR_US)


def _every_trader() -> sa.Select[Any]:
    """The distinct traders by one index step each, where DISTINCT would read the whole index.

    It lets the index by trader and day answer a question by day alone, so that a booking need not
    pay for one more index.
    """
    first = sa.select(sa.func.min(trades.c.trader_id).label("trader_id"))
    found = first.cte("traders", recursive=True)
    following = (
        sa.select(sa.func.min(trades.c.trader_id))
        .where(trades.c.trader_id > found.c.trader_id)
        .scalar_subquery()
    )
    found = found.union_all(sa.select(following).where(found.c.trader_id.is_not(None)))
    return sa.select(found.c.trader_id).where(found.c.trader_id.is_not(None))


def _sums(direction: Direction) -> list[sa.ColumnElement[Any]]:
    def total(value: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        return sa.func.sum(sa.case((trades.c.direction == direction.value, value), else_=0))

    product = trades.c.price_ct_per_mwh * trades.c.quantity_kw
    return [total(trades.c.quantity_kw), total(product // SPLIT), total(product % SPLIT)]


# The trader last: an index that begins with the trader would be followed, row by row across the book,
# which takes half as long again as reading the book straight through.
_PERIOD = (trades.c.area, trades.c.delivery_start_s, trades.c.delivery_minutes, trades.c.trader_id)
_POSITIONS = (
    sa.select(
        *_PERIOD,
        sa.func.count(),
        sa.func.max(trades.c.execution_time_us),
        *_sums(Direction.BUY),
        *_sums(Direction.SELL),
    )
    .group_by(*_PERIOD)
    .order_by(*_PERIOD)
)


def _position(row: Any) -> Position:
    area, start_s, minutes, trader_id, count, last_us, *sums = row
    buy_kw, buy_high, buy_low, sell_kw, sell_high, sell_low = map(int, sums)
    return Position(
        trader_id=trader_id,
        area=area,
        delivery_start_s=start_s,
        delivery_minutes=minutes,
        trades=count,
        buy_kw=buy_kw,
        sell_kw=sell_kw,
        buy_ct_kw_per_mwh=buy_high * SPLIT + buy_low,
        sell_ct_kw_per_mwh=sell_high * SPLIT + sell_low,
        last_execution_time_us=last_us,
    )
