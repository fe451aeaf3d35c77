"""The gRPC door: many reports a call, from memory."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from wattbook.clock import to_epoch_us
from wattbook.periods import DEFAULT_AREA, DeliveryPeriod
from wattbook_proto import reports_pb2, reports_pb2_grpc

from report_service.domain.book import ReportKey
from report_service.domain.pnl import Figures, Report, day_in
from report_service.usecases.model import ReadModel

MOST_QUERIES = 10_000
_US_PER_S = 1_000_000


class Reports(reports_pb2_grpc.ReportsServicer):
    """Serves ``wattbook.reports.v1.Reports``."""

    def __init__(self, model: ReadModel) -> None:
        """Answer from ``model``."""
        self._model = model

    def Pnl(  # noqa: N802 - the contract's name
        self, request: reports_pb2.PnlRequest, context: Any
    ) -> reports_pb2.PnlReply:
        """One answer a query, in order; what cannot be answered says so in its ``error``."""
        return pnl(self._model, request)


def pnl(model: ReadModel, request: reports_pb2.PnlRequest) -> reports_pb2.PnlReply:
    """The reply to a request.

    Raises:
        Unavailable: no snapshot yet.
    """
    keys = [_key_of(query) for query in request.queries]
    found = iter(model.reports([key for key in keys if isinstance(key, ReportKey)]))
    reply = reports_pb2.PnlReply()
    answers = reply.answers
    for query, key in zip(request.queries, keys, strict=True):
        if isinstance(key, str):
            answers.add(error=key)
            continue
        report = next(found)
        if query.known_version == report.version:
            answers.add(version=report.version, unchanged=True)
        else:
            answers.append(_answer_of(report))
    return reply


@lru_cache(maxsize=16384)
def _key(area: str, trader_id: str, day: str) -> ReportKey | str:
    try:
        return ReportKey(area or DEFAULT_AREA, trader_id, day_in(area, day))
    except ValueError as error:
        return str(error)


def _key_of(query: reports_pb2.PnlQuery) -> ReportKey | str:
    return _key(query.area, query.trader_id, query.delivery_day)


@lru_cache(maxsize=1024)
def _answer_of(report: Report) -> reports_pb2.PnlAnswer:
    """Made once a report; reports are compared by identity, so a changed one never finds the old answer."""
    return reports_pb2.PnlAnswer(
        version=report.version,
        area=report.key.area,
        time_zone=report.time_zone,
        rows=[_row(figures, period) for period, figures in report.hours],
        total=_row(report.total),
    )


def _row(figures: Figures, period: DeliveryPeriod | None = None) -> reports_pb2.PnlRow:
    row = reports_pb2.PnlRow(
        trades=figures.trades,
        buy_mw=str(figures.buy_mw),
        sell_mw=str(figures.sell_mw),
        buy_mwh=str(figures.buy_mwh),
        sell_mwh=str(figures.sell_mwh),
        pnl_eur=str(figures.pnl_eur),
    )
    if period is not None:
        row.label = period.label
        row.delivery_hour = period.delivery_hour
        row.delivery_start_s = to_epoch_us(period.start) // _US_PER_S
        row.delivery_minutes = period.minutes
    return row
