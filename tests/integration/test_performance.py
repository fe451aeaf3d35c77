"""report-service measures trades against reference prices: real trade-service, real bus, prices over gRPC."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from report_service.domain.prices import ReferencePrice
from wattbook import rpc
from wattbook.bus import open_bus
from wattbook_proto import reports_pb2, reports_pb2_grpc
from wattbook_proto.prices_pb2_grpc import add_PricesServicer_to_server

from tests.integration.report_process import DAY, ReportProcess
from tests.integration.trade_process import Caller, TradeProcess, stated
from tests.support.ports import free_port
from tests.support.waiting import wait_until
from tests.unit.report_service.fakes import FakePriceOwner, FakePrices, updated


class Trio:
    """A trade-service, its reports, and an owner of prices in this process."""

    def __init__(self, folder: Path) -> None:
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
        )
        self._channel = rpc.channel(self.reports.target)
        self._stub: Any = reports_pb2_grpc.ReportsStub(self._channel)

    def serve_prices(self) -> None:
        self.prices = rpc.Server(self.target, workers=2)
        self.prices.register(add_PricesServicer_to_server, FakePrices(self.owner))
        self.prices.start()

    def stop_prices(self) -> None:
        if self.prices is not None:
            self.prices.stop(0)
            self.prices = None

    def tell(self, *prices: ReferencePrice) -> None:
        self.bus.publish([updated(*prices)])

    def total(self) -> reports_pb2.PerformanceRow:
        query = reports_pb2.PnlQuery(trader_id="trader_1", delivery_day=DAY)
        request = reports_pb2.PerformanceRequest(queries=[query])
        return rpc.call(self._stub.Performance, request).answers[0].total

    def wait_for(self, delta: str) -> reports_pb2.PerformanceRow:
        def found() -> reports_pb2.PerformanceRow | None:
            total = self.total()
            return total if total.delta_eur_per_mwh == delta else None

        return wait_until(found, timeout_s=20, what=f"the delta is {delta!r}")  # type: ignore[return-value]

    def close(self) -> None:
        self._channel.close()
        self.caller.close()
        self.reports.close()
        self.stop_prices()
        self.bus.close()
        self.trade.close()


@pytest.fixture
def trio(tmp_path: Path) -> Iterator[Trio]:
    made = Trio(tmp_path)
    yield made
    made.close()


def sale(number: int) -> Any:
    return stated(f"t_{number}", trader_id="trader_1", delivery_hour=14)  # 12 MW at 1.20 €/MWh


def test_a_price_known_before_and_one_announced_after_both_count(trio: Trio) -> None:
    trio.serve_prices()
    trio.owner.publish(14, "1.00", at_s=1_677_580_000)
    trio.reports.start()
    trio.caller.book(sale(1))

    total = trio.wait_for("0.20")
    assert (total.edge_eur, total.light) == ("2.40", reports_pb2.GREEN)

    trio.tell(trio.owner.publish(14, "1.50", at_s=1_677_580_600))
    total = trio.wait_for("-0.30")
    assert (total.edge_eur, total.light) == ("-3.60", reports_pb2.RED)
    assert total.reference_last_update_us == 1_677_580_600_000_000


def test_prices_survive_their_owners_absence_and_nothing_goes_blank(trio: Trio) -> None:
    trio.serve_prices()
    trio.owner.publish(14, "1.00", at_s=1_677_580_000)
    trio.reports.start()
    trio.caller.book(sale(1))
    trio.wait_for("0.20")

    trio.stop_prices()
    trio.caller.book(sale(2))
    wait_until(lambda: trio.total().pnl.trades == 2, timeout_s=20, what="the trade is counted")
    assert trio.total().delta_eur_per_mwh == "0.20"
    trio.owner.publish(14, "1.10", at_s=1_677_580_600)  # not announced

    trio.serve_prices()
    trio.wait_for("0.10")


def test_reports_come_without_prices_before_their_owner_is_there(trio: Trio) -> None:
    trio.reports.start()
    trio.caller.book(sale(1))
    trio.reports.wait_for(1)
    assert trio.total().grey_reason == "no reference price"

    trio.owner.publish(14, "1.00", at_s=1_677_580_000)
    trio.serve_prices()

    trio.wait_for("0.20")


def test_it_stops_in_order_also_while_the_prices_owner_is_away(trio: Trio) -> None:
    trio.reports.start()
    trio.total()

    assert trio.reports.stop() == 0
    assert "Traceback" not in trio.reports.log()


def test_hours_looked_at_are_reported_to_the_prices_owner(trio: Trio) -> None:
    trio.serve_prices()
    trio.reports.start()
    trio.total()

    wait_until(lambda: len(trio.owner.watched) == 24, timeout_s=20, what="the day is watched")
