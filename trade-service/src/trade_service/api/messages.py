"""``trades.proto`` in our own words and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from wattbook.access import Principal
from wattbook.errors import InvalidInput
from wattbook.periods import NoSuchPeriod, area_of
from wattbook_proto import trades_pb2

from trade_service import usecases
from trade_service.domain import (
    BookedRow,
    BookedTrade,
    Correction,
    Criteria,
    Differing,
    Head,
    InvalidTrade,
    Position,
    PositionKey,
    Result,
    Trade,
    confirmed_by,
    day_number,
    day_of,
    different_fields,
    flag_names,
    name_problem,
    trade_in,
    trade_of,
)

_INVALID = int(Result.INVALID)


def stated(
    rows: Iterable[trades_pb2.TradeToBook],
    *,
    booked: Callable[[Sequence[str]], Mapping[str, BookedRow]],
    takes_any_id: bool = False,
) -> tuple[list[Trade], dict[int, str]]:
    """The trades that can be booked, and by index why the others cannot.

    A name that is not fit to be booked is let through where exactly that trade is ``booked`` already, from
    before there was such a rule: then it is a duplicate. ``takes_any_id``: somebody of the desk has seen the
    trades' ids and takes them as they are.
    """
    trades: dict[int, Trade] = {}
    invalid: dict[int, str] = {}
    unfit: dict[int, str] = {}
    for index, row in enumerate(rows):
        try:
            trade = _stated_trade(row)
        except InvalidTrade as error:
            invalid[index] = str(error)
        else:
            trades[index] = trade
            if problem := name_problem(trade, takes_any_id=takes_any_id):
                unfit[index] = problem
    there = booked([trades[index].trade_id for index in unfit]) if unfit else {}
    for index, problem in unfit.items():
        known = there.get(trades[index].trade_id)
        if known is None or different_fields(trade_in(known), trades[index]):
            invalid[index] = problem
            del trades[index]
    return list(trades.values()), invalid


def _stated_trade(row: trades_pb2.TradeToBook) -> Trade:
    return trade_of(
        trade_id=row.id,
        price_ct_per_mwh=row.price_ct_per_mwh,
        quantity_kw=row.quantity_kw,
        direction=row.direction,
        area=row.area,
        delivery_day=row.delivery_day,
        delivery_hour=row.delivery_hour,
        delivery_start_s=row.delivery_start_s if row.HasField("delivery_start_s") else None,
        trader_id=row.trader_id,
        execution_time_us=row.execution_time_us,
    )


def reply_of(outcome: usecases.Outcome, invalid: Mapping[int, str]) -> trades_pb2.BookReply:
    """One result a statement: of those that were booked, and of the ``invalid`` ones between them."""
    results: list[Any] = outcome.results
    if not invalid:
        reply = trades_pb2.BookReply(results=results, reasons=outcome.reasons, corrected=outcome.corrected)
        return _with_booked(reply, outcome.booked)
    results = [_INVALID] * (len(outcome.results) + len(invalid))
    places = [place for place in range(len(results)) if place not in invalid]
    for place, result in zip(places, outcome.results, strict=True):
        results[place] = result
    reasons = {**invalid, **{places[index]: reason for index, reason in outcome.reasons.items()}}
    corrected = [places[index] for index in outcome.corrected]
    reply = trades_pb2.BookReply(results=results, reasons=reasons, corrected=corrected)
    return _with_booked(reply, {places[index]: row for index, row in outcome.booked.items()})


def _with_booked(reply: trades_pb2.BookReply, booked: Mapping[int, BookedRow]) -> trades_pb2.BookReply:
    for index, row in booked.items():
        _fill_one(reply.booked[index], BookedTrade._make(row))
    return reply


def criteria_of(request: trades_pb2.SearchRequest, *, trader_id: str) -> Criteria:
    """What is searched for, of ``trader_id``; "" means all.

    Raises:
        InvalidInput: there can be no such thing.
    """
    if "\0" in trader_id:  # some engines cannot even be asked
        raise InvalidInput("trader_id contains control characters")
    try:
        return Criteria(
            trader_id=trader_id or None,
            delivery_day=day_number(request.delivery_day) if request.delivery_day else None,
            area=area_of(request.area).code if request.area else None,
            executed_from_us=request.executed_from_us if request.HasField("executed_from_us") else None,
            executed_before_us=request.executed_before_us if request.HasField("executed_before_us") else None,
            delivery_from_s=request.delivery_from_s if request.HasField("delivery_from_s") else None,
            delivery_before_s=request.delivery_before_s if request.HasField("delivery_before_s") else None,
            unconfirmed=request.unconfirmed,
        )
    except (InvalidTrade, NoSuchPeriod) as error:
        raise InvalidInput(str(error)) from error


def correction_criteria(request: trades_pb2.CorrectionsRequest, *, trader_id: str) -> Criteria:
    """The same of corrections. Raises InvalidInput."""
    search = trades_pb2.SearchRequest(delivery_day=request.delivery_day, area=request.area)
    return criteria_of(search, trader_id=trader_id)


def keys_of(request: trades_pb2.PositionsRequest) -> list[PositionKey]:
    """The keys whose positions are asked for.

    Raises:
        InvalidInput: there can be none of one.
    """
    try:
        return [
            PositionKey(
                key.trader_id,
                key.area,
                key.delivery_start_s,
                key.delivery_minutes,
                day_of(key.area, key.delivery_start_s),
            )
            for key in request.keys
        ]
    except InvalidTrade as error:
        raise InvalidInput(str(error)) from error


def fill(add: Callable[[], Any], rows: Sequence[BookedRow]) -> None:
    """Append trades to a repeated field; by assignment, which is quicker than by keywords."""
    for row in rows:
        message = add()
        message.booking_seq = row[0]
        message.id = row[1]
        message.price_ct_per_mwh = row[2]
        message.quantity_kw = row[3]
        message.direction = row[4]
        message.trader_id = row[5]
        message.execution_time_us = row[6]
        message.area = row[7]
        message.delivery_start_s = row[8]
        message.delivery_minutes = row[9]
        if row[11]:
            message.flags.extend(flag_names(row[11]))
        message.booked_time_us = row[12]
        message.source = row[13]


def search_page(page: usecases.FoundPage, asker: Principal) -> trades_pb2.TradePage:
    """A page of a search, as ``asker`` may see it: replaced contents of their own trades only."""
    message = trades_pb2.TradePage(
        next_after_seq=page.next_after_seq,
        as_of_seq=page.head.last_seq,
        epoch=page.head.epoch,
        digest=page.head.digest,
    )
    fill(message.trades.add, page.trades)
    for made, trade in zip(message.trades, page.trades, strict=True):
        _fill_origin(made, trade)
        replaced = page.replaced.get(trade.booking_seq)
        if replaced is not None and asker.refusal(replaced.trader_id) is None:
            _fill_one(made.replaced, replaced)
    return message


def correction_page(
    corrections: Sequence[Correction], asker: Principal, *, next_after_seq: int
) -> trades_pb2.CorrectionPage:
    """A page of corrections, of each content what ``asker`` may see."""
    message = trades_pb2.CorrectionPage(next_after_seq=next_after_seq)
    for replaced, by in corrections:
        made = message.corrections.add(
            booking_seq=by.booking_seq, id=by.trade_id, corrected_us=by.booked_time_us
        )
        if asker.refusal(replaced.trader_id) is None:
            _fill_one(made.replaced, replaced)
        if asker.refusal(by.trader_id) is None:
            _fill_one(made.by, by)
    return message


def differing_page(
    found: Sequence[tuple[Differing, BookedTrade]], *, next_after: int
) -> trades_pb2.DifferingPage:
    """A page of what the exchange stated otherwise than it stands in the book."""
    message = trades_pb2.DifferingPage(next_after=next_after)
    for each, booked in found:
        made = message.statements.add(
            number=each.number, settled_us=each.settled_time_us, settled_by=each.settled_by
        )
        stated = BookedTrade(
            0, *each.trade, each.stated_time_us, each.source, confirmed_by=each.source, author=each.author
        )
        _fill_one(made.stated, stated)
        _fill_one(made.booked, booked)
    return message


def _fill_one(message: trades_pb2.BookedTrade, trade: BookedTrade) -> None:
    fill(lambda: message, [trade])
    _fill_origin(message, trade)


def _fill_origin(message: Any, trade: BookedTrade) -> None:
    message.confirmed_by = confirmed_by(trade)
    message.author = trade.author


def position_page(
    head: Head, positions: Sequence[Position], *, of_keys: bool = False
) -> trades_pb2.PositionPage:
    """A page of positions as of ``head``."""
    message = trades_pb2.PositionPage(
        as_of_seq=head.last_seq, epoch=head.epoch, digest=head.digest, of_keys=of_keys
    )
    for position in positions:
        message.positions.add(
            trader_id=position.trader_id,
            area=position.area,
            delivery_start_s=position.delivery_start_s,
            delivery_minutes=position.delivery_minutes,
            trades=position.trades,
            buy_kw=position.buy_kw,
            sell_kw=position.sell_kw,
            buy_ct_kw_per_mwh=str(position.buy_ct_kw_per_mwh),
            sell_ct_kw_per_mwh=str(position.sell_ct_kw_per_mwh),
            last_execution_time_us=position.last_execution_time_us,
        )
    return message
