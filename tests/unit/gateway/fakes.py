"""Stand-ins for the owners behind the gateway, over real gRPC; the contract is proto's, the memory a dict."""

from __future__ import annotations

import datetime as dt
import threading
from typing import Any

import grpc
from wattbook import rpc
from wattbook.errors import Unavailable
from wattbook.periods import NoSuchPeriod, hour_of
from wattbook_proto import reports_pb2, reports_pb2_grpc, trades_pb2, trades_pb2_grpc


class FakeTrades(trades_pb2_grpc.TradesServicer):
    """Keeps trades in a dict and counts calls."""

    def __init__(self) -> None:
        self.booked: dict[str, trades_pb2.BookedTrade] = {}
        self.calls: list[int] = []
        self.sources: set[int] = set()
        self.down = False
        self.breaks_off = False  # after the first page of a search
        self.hold = threading.Event()
        self.hold.set()
        self._lock = threading.Lock()

    def Book(self, request: trades_pb2.BookRequest, context: grpc.ServicerContext) -> trades_pb2.BookReply:  # noqa: N802
        self.hold.wait(20)
        if self.down:
            raise Unavailable("the store cannot write now: its disk is full; try again")
        reply = trades_pb2.BookReply()
        with self._lock:
            self.calls.append(len(request.trades))
            self.sources.add(request.source)
            for index, trade in enumerate(request.trades):
                self._book(index, trade, reply)
        return reply

    def _book(self, index: int, trade: trades_pb2.TradeToBook, reply: trades_pb2.BookReply) -> None:
        try:
            period, _ = hour_of(trade.area, dt.date.fromisoformat(trade.delivery_day), trade.delivery_hour)
        except NoSuchPeriod as error:
            reply.results.append(trades_pb2.INVALID)
            reply.reasons[index] = str(error)
            return
        stands = trades_pb2.BookedTrade(
            booking_seq=len(self.booked) + 1,
            id=trade.id,
            price_ct_per_mwh=trade.price_ct_per_mwh,
            quantity_kw=trade.quantity_kw,
            direction=trade.direction,
            area=period.area,
            delivery_start_s=trade.delivery_start_s or int(period.start.timestamp()),
            delivery_minutes=60,
            trader_id=trade.trader_id,
            execution_time_us=trade.execution_time_us,
        )
        known = self.booked.setdefault(trade.id, stands)
        stands.booking_seq = known.booking_seq
        if known is stands:
            reply.results.append(trades_pb2.ADDED)
        elif known == stands:
            reply.results.append(trades_pb2.DUPLICATE)
        else:
            reply.results.append(trades_pb2.CONFLICT)
            reply.reasons[index] = "another trade is booked under this id"

    def Search(self, request: trades_pb2.SearchRequest, context: Any) -> Any:  # noqa: N802
        if self.down:
            raise Unavailable("the store cannot read now")
        found = [
            trade
            for trade in self.booked.values()
            if trade.booking_seq > request.after_seq
            and request.trader_id in ("", trade.trader_id)
            and request.area in ("", trade.area)
        ]
        if request.limit:
            found = found[: request.limit]
        for start in range(0, len(found), 1000):
            yield trades_pb2.TradePage(trades=found[start : start + 1000])
            if self.breaks_off:
                raise Unavailable("the store cannot read now")


class FakeReports(reports_pb2_grpc.ReportsServicer):
    """Answers every query with one hour; ``version`` decides what is still known."""

    def __init__(self) -> None:
        self.version = "v1"
        self.asked: list[int] = []

    def Pnl(self, request: reports_pb2.PnlRequest, context: Any) -> reports_pb2.PnlReply:  # noqa: N802
        self.asked.append(len(request.queries))
        reply = reports_pb2.PnlReply()
        for query in request.queries:
            answer = reply.answers.add(version=self.version, area=query.area, time_zone="Europe/Berlin")
            if query.area == "XX":
                answer.error = "unknown area"
            elif query.known_version == self.version:
                answer.unchanged = True
            else:
                _fill(answer)
        return reply


def _fill(answer: reports_pb2.PnlAnswer) -> None:
    figures = {"trades": 2, "buy_mw": "4", "sell_mw": "10.5", "buy_mwh": "4", "sell_mwh": "10.5"}
    for hour in range(24):
        answer.rows.add(
            label=f"{hour:02d}–{hour + 1:02d}", delivery_hour=hour, delivery_minutes=60,
            delivery_start_s=1677538800 + 3600 * hour, pnl_eur="420.00", **figures,
        )  # fmt: skip
    answer.total.MergeFrom(reports_pb2.PnlRow(pnl_eur="420.00", **figures))


class Owners:
    """Both stand-ins on one port each."""

    def __init__(self) -> None:
        self.trades, self.reports = FakeTrades(), FakeReports()
        self._servers = [rpc.Server("127.0.0.1:0"), rpc.Server("127.0.0.1:0")]
        self._servers[0].register(trades_pb2_grpc.add_TradesServicer_to_server, self.trades)
        self._servers[1].register(reports_pb2_grpc.add_ReportsServicer_to_server, self.reports)
        self.trade_target, self.report_target = (f"127.0.0.1:{server.start()}" for server in self._servers)
        for server in self._servers:
            server.set_ready()

    def stop(self) -> None:
        self.trades.hold.set()
        for server in self._servers:
            server.stop(0.2)
