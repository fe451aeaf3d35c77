"""The gRPC door's answers about performance and the desk; see :mod:`report_service.api.rpc`."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from itertools import accumulate

from wattbook.errors import InvalidInput
from wattbook.periods import DEFAULT_AREA, DeliveryPeriod
from wattbook.units import eur_from_ct_kw_min
from wattbook_proto import reports_pb2

from report_service.api.contract import keys_of, row_of
from report_service.domain.book import ReportKey
from report_service.domain.performance import DeskDay, Light, Performance, Standing
from report_service.domain.pnl import day_in
from report_service.domain.prices import DayKey
from report_service.usecases.performance import Performances

_LIGHTS = {Light.GREY: reports_pb2.GREY, Light.GREEN: reports_pb2.GREEN, Light.RED: reports_pb2.RED}


def performance(
    performances: Performances, request: reports_pb2.PerformanceRequest
) -> reports_pb2.PerformanceReply:
    """One answer a query, in order; what cannot be answered says so in its ``error``.

    Raises:
        InvalidInput: too many queries.
        Unavailable: no snapshot yet.
    """
    keys = keys_of(request.queries)
    known = [key for key in keys if isinstance(key, ReportKey)]
    if not request.now:
        performances.await_prices(known)
    found = iter(performances.performances(known))
    reply = reports_pb2.PerformanceReply()
    answers = reply.answers
    for query, key in zip(request.queries, keys, strict=True):
        if isinstance(key, str):
            answers.add(error=key)
            continue
        each = next(found)
        if query.known_version == each.version:
            answers.add(version=each.version, unchanged=True)
        else:
            answers.append(_answer_of(each))
        if request.now and not each.prices.is_loaded:
            answers[-1].loading = performances.is_waited_for(key)
    return reply


def desk(performances: Performances, request: reports_pb2.DeskRequest) -> reports_pb2.DeskReply:
    """One line a trader.

    Raises:
        InvalidInput: no such day or area.
        Unavailable: no snapshot yet.
    """
    area = request.area or DEFAULT_AREA
    try:
        day = day_in(area, request.delivery_day)
    except ValueError as error:
        raise InvalidInput(str(error)) from error
    performances.board.await_first((DayKey(area, day),))
    found = performances.desk(area=area, day=day)
    if request.known_version == found.version:
        return reports_pb2.DeskReply(version=found.version, unchanged=True)
    return _reply_of(found)


def running_pnl_eur(found: Performance) -> list[Decimal]:
    """PnL from the start of the day to the end of each hour, each rounded once."""
    return [
        eur_from_ct_kw_min(sum_) for sum_ in accumulate(each.figures.pnl_ct_kw_min for _, each in found.hours)
    ]


@lru_cache(maxsize=1024)
def _answer_of(found: Performance) -> reports_pb2.PerformanceAnswer:
    return reports_pb2.PerformanceAnswer(
        version=found.version,
        area=found.key.area,
        time_zone=found.report.time_zone,
        rows=[_row(each, period) for period, each in found.hours],
        total=_row(found.total),
    )


@lru_cache(maxsize=32)
def _reply_of(found: DeskDay) -> reports_pb2.DeskReply:
    return reports_pb2.DeskReply(
        version=found.version,
        area=found.area,
        time_zone=found.time_zone,
        rows=[
            reports_pb2.DeskRow(
                trader_id=each.key.trader_id,
                figures=_row(each.total),
                last_trade_us=each.total.figures.last_execution_time_us,
                cumulative_pnl_eur=[str(value) for value in running_pnl_eur(each)],
            )
            for each in found.traders
        ],
        total=reports_pb2.DeskRow(
            figures=_row(found.total), last_trade_us=found.total.figures.last_execution_time_us
        ),
    )


def _row(each: Standing, period: DeliveryPeriod | None = None) -> reports_pb2.PerformanceRow:
    figures, price = each.figures, each.price
    return reports_pb2.PerformanceRow(
        pnl=row_of(figures, period),
        average_eur_per_mwh=_text(figures.average_eur_per_mwh),
        average_buy_eur_per_mwh=_text(figures.average_buy_eur_per_mwh),
        average_sell_eur_per_mwh=_text(figures.average_sell_eur_per_mwh),
        reference_eur_per_mwh=_text(each.reference_eur_per_mwh),
        reference_last_update_us=price.last_update_us if price else each.oldest_update_us,
        reference_fetched_us=price.fetched_us if price else each.oldest_fetched_us,
        delta_eur_per_mwh=_text(each.delta_eur_per_mwh),
        light=_LIGHTS[each.light],
        grey_reason=each.grey_reason,
        edge_eur=_text(each.edge_eur),
        open_mwh=str(figures.open_mwh),
    )


def _text(value: Decimal | None) -> str:
    return "" if value is None else str(value)
