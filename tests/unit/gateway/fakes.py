"""Stand-ins for the owners behind the gateway, over real gRPC; the contract is proto's, the memory a dict."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from typing import Any

import grpc
from wattbook import rpc
from wattbook.clock import from_epoch_s
from wattbook.errors import Conflict, InvalidInput, NotFound, Unavailable
from wattbook.periods import NoSuchPeriod, day_bounds, hour_of
from wattbook.walls import OPEN
from wattbook_proto import (
    cash_pb2_grpc,
    feed_pb2,
    feed_pb2_grpc,
    meters_pb2_grpc,
    prices_pb2,
    prices_pb2_grpc,
    reports_pb2,
    reports_pb2_grpc,
    trades_pb2,
    trades_pb2_grpc,
)

from tests.unit.gateway.fake_cash import FakeCash
from tests.unit.gateway.fake_meters import FakeMeters

MIDNIGHT_S = 1_677_538_800  # 2023-02-28 in Berlin
NOON_US = 1_677_582_000_000_000


class FakeTrades(trades_pb2_grpc.TradesServicer):
    """Keeps trades in a dict and counts calls."""

    def __init__(self) -> None:
        self.booked: dict[str, trades_pb2.BookedTrade] = {}
        self.calls: list[int] = []
        self.sources: set[int] = set()
        self.by_exchange: list[bool] = []
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
            self.by_exchange.append(request.by_exchange)
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
    """Answers every query with the same hours; ``version`` decides what is still known."""

    def __init__(self) -> None:
        self.version = "v1"
        self.asked: list[int] = []
        self.desk_traders = ["trader_1", "trader_2"]
        self.loading = False  # prices of the day are on their way, for whoever cannot wait

    def Pnl(self, request: reports_pb2.PnlRequest, context: Any) -> reports_pb2.PnlReply:  # noqa: N802
        reply = reports_pb2.PnlReply()
        self._answer(request, reply, _fill)
        return reply

    def Performance(  # noqa: N802
        self, request: reports_pb2.PerformanceRequest, context: Any
    ) -> reports_pb2.PerformanceReply:
        reply = reports_pb2.PerformanceReply()
        self._answer(request, reply, _fill_performance)
        if request.now and self.loading:
            for answer in reply.answers:
                answer.loading = True
                answer.total.reference_eur_per_mwh = ""
        return reply

    def Desk(self, request: reports_pb2.DeskRequest, context: Any) -> reports_pb2.DeskReply:  # noqa: N802
        if request.area == "GB":
            raise InvalidInput("unknown area")
        if request.known_version == self.version:
            return reports_pb2.DeskReply(version=self.version, unchanged=True)
        reply = reports_pb2.DeskReply(version=self.version, area=request.area, time_zone="Europe/Berlin")
        for trader_id in self.desk_traders:
            row = reply.rows.add(trader_id=trader_id, last_trade_us=NOON_US)
            row.figures.MergeFrom(measured())
            row.cumulative_pnl_eur.extend(["420.00", "-0.50"])
        reply.total.figures.MergeFrom(measured())
        return reply

    def _answer(self, request: Any, reply: Any, fill: Callable[[Any], None]) -> None:
        self.asked.append(len(request.queries))
        for query in request.queries:
            answer = reply.answers.add(version=self.version, area=query.area, time_zone="Europe/Berlin")
            if query.area == "GB":
                answer.error = "unknown area"
            elif query.known_version == self.version:
                answer.unchanged = True
            else:
                fill(answer)


_FIGURES: dict[str, Any] = {"trades": 2, "buy_mw": "4", "sell_mw": "10.5", "buy_mwh": "4", "sell_mwh": "10.5"}


def _fill(answer: reports_pb2.PnlAnswer) -> None:
    for hour in range(24):
        answer.rows.add(pnl_eur="420.00", **_hour(hour), **_FIGURES)
    answer.total.MergeFrom(reports_pb2.PnlRow(pnl_eur="420.00", **_FIGURES))


def _fill_performance(answer: reports_pb2.PerformanceAnswer) -> None:
    """The first hour is measured, the others have no trades."""
    for hour in range(24):
        row = answer.rows.add()
        if hour == 0:
            row.MergeFrom(measured())
        else:
            row.MergeFrom(reports_pb2.PerformanceRow(light=reports_pb2.GREY, grey_reason="no trades"))
            row.open_mwh = "0"
        row.pnl.MergeFrom(reports_pb2.PnlRow(**_hour(hour)))
    answer.total.MergeFrom(measured())


def _hour(hour: int) -> dict[str, Any]:
    start_s = MIDNIGHT_S + 3600 * hour
    label = f"{hour:02d}–{hour + 1:02d}"
    return {
        "label": label, "delivery_hour": hour, "delivery_minutes": 60, "delivery_start_s": start_s
    }  # fmt: skip


def measured() -> reports_pb2.PerformanceRow:
    """Figures with a reference price and without a label."""
    return reports_pb2.PerformanceRow(
        pnl=reports_pb2.PnlRow(pnl_eur="420.00", **_FIGURES),
        average_eur_per_mwh="55.70",
        average_sell_eur_per_mwh="60.00",
        reference_eur_per_mwh="50.00",
        reference_last_update_us=NOON_US,
        reference_fetched_us=NOON_US + 1_500_000,
        delta_eur_per_mwh="5.70",
        light=reports_pb2.GREEN,
        edge_eur="-0.50",
        open_mwh="-6.5",
    )


class FakePrices(prices_pb2_grpc.PricesServicer):
    """One hour has a price, the doubled hour of October has two; hears what is watched."""

    def __init__(self) -> None:
        self.down = False
        self.value = "20.50"
        self.watched: list[list[int]] = []

    def Day(self, request: prices_pb2.DayRequest, context: Any) -> prices_pb2.DayReply:  # noqa: N802
        if self.down:
            raise Unavailable("the store cannot read now")
        _refuse_impossible(request.area, dt.date.fromisoformat(request.delivery_day))
        starts = {"2023-02-28": [MIDNIGHT_S + 14 * 3600], "2023-10-29": [1_698_537_600, 1_698_541_200]}
        asked = starts.get(request.delivery_day, [])
        prices = [_price(request.area, start_s, self.value) for start_s in asked]
        return prices_pb2.DayReply(prices=prices, as_of_seq=3)

    def Watch(self, request: prices_pb2.WatchRequest, context: Any) -> prices_pb2.WatchReply:  # noqa: N802
        self.watched.append(list(request.delivery_start_s))
        return prices_pb2.WatchReply()

    def History(self, request: prices_pb2.HistoryRequest, context: Any) -> prices_pb2.HistoryReply:  # noqa: N802
        if request.delivery_minutes != 60:
            raise InvalidInput("no such period")
        _refuse_impossible(request.area, from_epoch_s(request.delivery_start_s).date())
        prices = [_price(request.area, request.delivery_start_s, value) for value in ("1E+2", "-0.5")]
        return prices_pb2.HistoryReply(prices=prices)

    def Status(self, request: prices_pb2.StatusRequest, context: Any) -> prices_pb2.StatusReply:  # noqa: N802
        if self.down:
            raise Unavailable("the store cannot read now")
        return prices_pb2.StatusReply(
            leader=True, minute_budget_left=12, hour_budget_left=640, cycle_start_s=NOON_US // 1_000_000,
            periods_tradable=37, periods_fresh=36, last_success_us=NOON_US,
        )  # fmt: skip


def _refuse_impossible(area: str, day: dt.date) -> None:
    """As the owner does."""
    try:
        day_bounds(area or "DE", day)
    except NoSuchPeriod as error:
        raise InvalidInput(str(error)) from None


def _price(area: str, start_s: int, value: str = "20.50") -> prices_pb2.ReferencePrice:
    return prices_pb2.ReferencePrice(
        area=area, delivery_start_s=start_s, delivery_minutes=60, value_eur_per_mwh=value,
        last_update_us=NOON_US, fetched_time_us=NOON_US + 1_500_000, price_seq=1,
        cycle_start_s=NOON_US // 1_000_000,
    )  # fmt: skip


class FakeFeed(feed_pb2_grpc.FeedServicer):
    """Five were quarantined; remembers who decided what."""

    def __init__(self) -> None:
        self.down = False
        self.away: list[int] = []  # nodes that do not answer
        self.quarantine = {
            number: feed_pb2.Quarantined(
                id=number, received_us=NOON_US, origin="ws://exchange", reason="no JSON",
                frame=b"{", state=feed_pb2.OPEN,
            )
            for number in range(1, 6)
        }  # fmt: skip
        self.quarantine[2].frame = b"\xff\x00"

    def Status(self, request: feed_pb2.StatusRequest, context: Any) -> feed_pb2.StatusReply:  # noqa: N802
        if self.down:
            raise Unavailable("the store cannot read now")
        return feed_pb2.StatusReply(
            listeners=[
                feed_pb2.Listener(
                    url="ws://exchange", connected=True, since_us=NOON_US, last_frame_us=NOON_US, frames=7,
                    connects=2,
                ),
                feed_pb2.Listener(
                    url="ws://other", since_us=NOON_US, next_attempt_us=NOON_US + 250_000, trouble="refused",
                    node=1,
                ),
            ],
            frames=7, spool_depth=1, outbox_depth=2, quarantined=5, last_trade_us=NOON_US, lag_us=1500,
            files_waiting=[feed_pb2.WaitingFile(name="x.csv", since_us=NOON_US, waits_for="its turn")],
        )  # fmt: skip

    def ListQuarantine(  # noqa: N802
        self, request: feed_pb2.ListQuarantineRequest, context: Any
    ) -> feed_pb2.ListQuarantineReply:
        found = [
            item
            for number, item in sorted(self.quarantine.items(), reverse=True)
            if request.state in (0, item.state) and (not request.before_id or number < request.before_id)
        ]
        page = [feed_pb2.Quarantined.FromString(item.SerializeToString()) for item in found[: request.limit]]
        for item in page:
            item.ClearField("frame")
        more = page[-1].id if len(found) > len(page) else 0
        more_us = page[-1].received_us if more else 0
        still_open = sum(item.state == feed_pb2.OPEN for item in self.quarantine.values())
        return feed_pb2.ListQuarantineReply(
            items=page, open=still_open, next_before_id=more, next_before_us=more_us, nodes_away=self.away
        )

    def ShowQuarantined(self, request: Any, context: Any) -> feed_pb2.Quarantined:  # noqa: N802
        if request.id not in self.quarantine:
            raise NotFound(f"nothing is quarantined as {request.id}")
        return self.quarantine[request.id]

    def ReplayQuarantined(self, request: Any, context: Any) -> feed_pb2.Quarantined:  # noqa: N802
        item = self.ShowQuarantined(request, context)
        if item.state == feed_pb2.DROPPED:
            raise Conflict(f"{request.id} was dropped by {item.decided_by}")
        if request.trader_id:
            item.reason += f" (booked for {request.trader_id})"
        return self._decided(item, feed_pb2.REPLAYED, request.by)

    def DropQuarantined(self, request: Any, context: Any) -> feed_pb2.Quarantined:  # noqa: N802
        item = self.ShowQuarantined(request, context)
        item.reason += f" (dropped: {request.reason})"
        return self._decided(item, feed_pb2.DROPPED, request.by)

    def Reconciliation(self, request: Any, context: Any) -> feed_pb2.ReconciliationReply:  # noqa: N802
        if request.area not in ("", "DE"):
            raise InvalidInput("area: the exchange's feed is of DE")
        if request.day != "2023-02-28":
            return feed_pb2.ReconciliationReply(day=request.day)
        return feed_pb2.ReconciliationReply(
            day=request.day, reconciled=True, file_name="epex_trades_20230228.csv", reconciled_us=NOON_US,
            in_both=5, recovered=1, differing=1, complete_to_us=NOON_US, gap=True, nodes_away=self.away,
            file_only=2, corrected=3, differences=[_difference()],
        )  # fmt: skip

    def _decided(self, item: feed_pb2.Quarantined, state: Any, by: str) -> feed_pb2.Quarantined:
        item.state, item.decided_by, item.decided_us = state, by, NOON_US
        return item


def _difference() -> feed_pb2.Difference:
    made = feed_pb2.Difference(trade_id="t_1", kind="differs", detail="price 1 here, 2 there")
    for statement, price in ((made.file, 2), (made.feed, 1)):
        statement.id, statement.trader_id, statement.price_ct_per_mwh = "t_1", "jürgen", price
        statement.quantity_kw, statement.direction = 12_340, trades_pb2.SELL
        statement.delivery_day, statement.delivery_hour = "2023-02-28", 14
        statement.execution_time_us = NOON_US
    return made


class Owners:
    """All stand-ins on one port each."""

    def __init__(self) -> None:
        self.trades, self.reports = FakeTrades(), FakeReports()
        self.prices, self.feed, self.meters = FakePrices(), FakeFeed(), FakeMeters()
        self.cash = FakeCash()
        registrations: list[tuple[Callable[[Any, grpc.Server], None], Any]] = [
            (trades_pb2_grpc.add_TradesServicer_to_server, self.trades),
            (reports_pb2_grpc.add_ReportsServicer_to_server, self.reports),
            (prices_pb2_grpc.add_PricesServicer_to_server, self.prices),
            (feed_pb2_grpc.add_FeedServicer_to_server, self.feed),
            (meters_pb2_grpc.add_MetersServicer_to_server, self.meters),
            (cash_pb2_grpc.add_CashServicer_to_server, self.cash),
        ]
        self._servers = [rpc.Server("127.0.0.1:0", guard=OPEN, workers=32) for _ in registrations]
        for server, (add, servicer) in zip(self._servers, registrations, strict=True):
            server.register(add, servicer, rules={})
        targets = [f"127.0.0.1:{server.start()}" for server in self._servers]
        self.trade_target, self.report_target, self.pricing_target, self.ingest_target = targets[:4]
        self.meter_target, self.cash_target = targets[4:]
        for server in self._servers:
            server.set_ready()

    def stop(self) -> None:
        self.trades.hold.set()
        for server in self._servers:
            server.stop(0.2)
