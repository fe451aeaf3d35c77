"""The gRPC door: many reports a call, from memory."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from wattbook.access import Principal
from wattbook.walls import caller
from wattbook_proto import reports_pb2, reports_pb2_grpc

from report_service.api.contract import keys_of, row_of
from report_service.api.measured import desk, performance
from report_service.domain.book import ReportKey
from report_service.domain.pnl import Report
from report_service.usecases.model import ReadModel
from report_service.usecases.performance import Performances

RULES = {
    "Pnl": Principal.require_trading,
    "Performance": Principal.require_trading,
    "Desk": Principal.require_desk,
}


class Reports(reports_pb2_grpc.ReportsServicer):
    """Serves ``wattbook.reports.v1.Reports``."""

    def __init__(self, model: ReadModel, performances: Performances) -> None:
        """Answer from ``model`` and from what is measured of it."""
        self._model = model
        self._performances = performances

    def Pnl(  # noqa: N802 - the contract's name
        self, request: reports_pb2.PnlRequest, context: Any
    ) -> reports_pb2.PnlReply:
        """One answer a query, in order; what cannot be answered says so in its ``error``."""
        _require_own(request.queries)
        return pnl(self._model, request)

    def Performance(  # noqa: N802 - the contract's name
        self, request: reports_pb2.PerformanceRequest, context: Any
    ) -> reports_pb2.PerformanceReply:
        """The same against the reference price."""
        _require_own(request.queries)
        return performance(self._performances, request)

    def Desk(  # noqa: N802 - the contract's name
        self, request: reports_pb2.DeskRequest, context: Any
    ) -> reports_pb2.DeskReply:
        """One line a trader."""
        return desk(self._performances, request)


def _require_own(queries: Iterable[Any]) -> None:
    asker = caller()
    if not asker.sees_all:
        for trader_id in {query.trader_id for query in queries}:
            asker.require_trader(trader_id)


def pnl(model: ReadModel, request: reports_pb2.PnlRequest) -> reports_pb2.PnlReply:
    """The reply to a request.

    Raises:
        InvalidInput: too many queries.
        Unavailable: no snapshot yet.
    """
    keys = keys_of(request.queries)
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


@lru_cache(maxsize=1024)
def _answer_of(report: Report) -> reports_pb2.PnlAnswer:
    """Made once a report; reports are compared by identity, so a changed one never finds the old answer."""
    return reports_pb2.PnlAnswer(
        version=report.version,
        area=report.key.area,
        time_zone=report.time_zone,
        rows=[row_of(figures, period) for period, figures in report.hours],
        total=row_of(report.total),
    )
