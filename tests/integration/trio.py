"""A trade-service, its reports as processes, and an owner of prices in this one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from report_service.domain.prices import ReferencePrice
from wattbook import rpc
from wattbook.bus import open_bus
from wattbook.walls import OPEN
from wattbook_proto import reports_pb2, reports_pb2_grpc
from wattbook_proto.prices_pb2_grpc import add_PricesServicer_to_server

from tests.integration.report_process import DAY, ReportProcess
from tests.integration.trade_process import Caller, TradeProcess, stated
from tests.support.ports import free_port
from tests.support.waiting import wait_until
from tests.unit.report_service.fakes import FakePriceOwner, FakePrices, updated


class Trio:
    """A trade-service, its reports, and an owner of prices in this process."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.trade = TradeProcess(folder).start()
        self.caller = Caller(self.trade.target)
        self.owner = FakePriceOwner()
        self.target = f"127.0.0.1:{free_port()}"
        self.prices: rpc.Server | None = None
        self.bus = open_bus(self.trade.bus_url)
        self.reports = ReportProcess(
            folder,
            bus_url=self.trade.bus_url,
            trade_target=self.trade.target,
            WATTBOOK_PRICING_TARGET=self.target,
            **environment,
        )
        self._channel = rpc.channel(self.reports.target)
        self._stub: Any = reports_pb2_grpc.ReportsStub(self._channel)

    def serve_prices(self) -> None:
        self.prices = rpc.Server(self.target, guard=OPEN, workers=2)
        self.prices.register(add_PricesServicer_to_server, FakePrices(self.owner), rules={})
        self.prices.start()

    def stop_prices(self) -> None:
        if self.prices is not None:
            self.prices.stop(0)
            self.prices = None

    def tell(self, *prices: ReferencePrice) -> None:
        self.bus.publish([updated(*prices)])

    def answer(self, *, now: bool = False) -> reports_pb2.PerformanceAnswer:
        query = reports_pb2.PnlQuery(trader_id="trader_1", delivery_day=DAY)
        request = reports_pb2.PerformanceRequest(queries=[query], now=now)
        return rpc.call(self._stub.Performance, request).answers[0]

    def total(self) -> reports_pb2.PerformanceRow:
        return self.answer().total

    def wait_for(self, delta: str) -> reports_pb2.PerformanceRow:
        def found() -> reports_pb2.PerformanceRow | None:
            total = self.total()
            return total if total.delta_eur_per_mwh == delta else None

        return wait_until(found, timeout_s=90, what=f"the delta is {delta!r}")  # type: ignore[return-value]

    def close(self) -> None:
        self._channel.close()
        self.caller.close()
        self.reports.close()
        self.stop_prices()
        self.bus.close()
        self.trade.close()


def sale(number: int, **changes: Any) -> Any:
    """A sale of 12 MW at 1.20 €/MWh, from 14 to 15."""
    return stated(f"t_{number}", **{"trader_id": "trader_1", "delivery_hour": 14, **changes})
