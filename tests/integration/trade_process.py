"""trade-service for tests: in this process or as one of its own, and statements to book."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trade_service.app import App, Settings, build
from wattbook import rpc
from wattbook.bus import open_bus
from wattbook.clock import Clock, to_epoch_us
from wattbook_proto import events_pb2, trades_pb2, trades_pb2_grpc

from tests.support import engines
from tests.support.ports import free_port
from tests.support.waiting import wait_until

EXECUTED_US = to_epoch_us(datetime(2023, 2, 28, 11, 12, 35, tzinfo=UTC))
ADDED, DUPLICATE, CONFLICT, INVALID = (
    trades_pb2.ADDED,
    trades_pb2.DUPLICATE,
    trades_pb2.CONFLICT,
    trades_pb2.INVALID,
)


def stated(trade_id: str, **changes: Any) -> trades_pb2.TradeToBook:
    """The published example trade under another id."""
    fields: dict[str, Any] = {
        "price_ct_per_mwh": 120,
        "quantity_kw": 12_000,
        "direction": trades_pb2.SELL,
        "delivery_day": "2023-02-28",
        "delivery_hour": 14,
        "trader_id": "trader_1",
        "execution_time_us": EXECUTED_US,
    }
    return trades_pb2.TradeToBook(id=trade_id, **{**fields, **changes})


class Caller:
    """A client of the service; every call has a deadline."""

    def __init__(self, target: str) -> None:
        self.channel = rpc.channel(target)
        self.stub = trades_pb2_grpc.TradesStub(self.channel)

    def book(self, *trades: trades_pb2.TradeToBook, timeout_s: float = 30.0) -> trades_pb2.BookReply:
        """One request; raises what the service raised."""
        request = trades_pb2.BookRequest(trades=trades, source=trades_pb2.REST)
        return rpc.call(self.stub.Book, request, timeout_s=timeout_s)

    def results(self, *trades: trades_pb2.TradeToBook) -> list[int]:
        """Only what became of each."""
        return list(self.book(*trades).results)

    def pages(self, **criteria: Any) -> list[trades_pb2.TradePage]:
        """A whole search."""
        request = trades_pb2.SearchRequest(**criteria)
        return list(rpc.stream(self.stub.Search, request, timeout_s=60))

    def found(self, **criteria: Any) -> list[trades_pb2.BookedTrade]:
        """The trades of a whole search."""
        return [trade for page in self.pages(**criteria) for trade in page.trades]

    def announced(self) -> list[trades_pb2.BookedTrade]:
        """All trades as events tell them, which say nothing of who booked."""
        found = self.found()
        for trade in found:
            trade.ClearField("author")
        return found

    def ids(self, **criteria: Any) -> list[str]:
        """Only their ids."""
        return [trade.id for trade in self.found(**criteria)]

    def positions(self) -> list[trades_pb2.PositionPage]:
        """All position pages."""
        return list(rpc.stream(self.stub.Positions, trades_pb2.PositionsRequest(), timeout_s=60))

    def close(self) -> None:
        """Hang up."""
        self.channel.close()


class Listener:
    """A consumer group that hears every ``trade.booked`` from the first."""

    def __init__(self, bus_url: str) -> None:
        self._bus = open_bus(bus_url)
        self._subscription = self._bus.subscribe(["trade.booked"], group="test")
        self.heard: list[trades_pb2.BookedTrade] = []

    def hear(self, *, timeout_s: float = 0.2) -> None:
        """Take what is there."""
        deliveries = self._subscription.receive(timeout_s=timeout_s)
        for delivery in deliveries:
            assert delivery.message.version == 1
            self.heard.extend(events_pb2.TradesBooked.FromString(delivery.message.body).trades)
        self._subscription.ack(deliveries)

    def hear_until(self, booking_seq: int) -> dict[int, trades_pb2.BookedTrade]:
        """What was heard by place, once each up to ``booking_seq`` was."""

        def complete() -> bool:
            self.hear()
            return {trade.booking_seq for trade in self.heard} >= set(range(1, booking_seq + 1))

        wait_until(complete, timeout_s=30, what=f"every booking up to {booking_seq} is heard")
        return {trade.booking_seq: trade for trade in self.heard}

    def close(self) -> None:
        """Stop listening."""
        self._subscription.close()
        self._bus.close()


def settings(folder: Path, *, listen: str = "127.0.0.1:0", store_url: str = "") -> Settings:
    """Store and bus in ``folder``, unless the store is elsewhere."""
    chosen_url = store_url or engines.store_url(folder, "trade")
    return Settings(store_url=chosen_url, bus_url=engines.bus_url(folder), listen=listen, open_walls=True)


@contextmanager
def running(folder: Path, *, clock: Clock | None = None, store_url: str = "") -> Iterator[tuple[App, Caller]]:
    """The service in this process, and a client."""
    app = build(settings(folder, store_url=store_url), clock=clock)
    caller = Caller(f"127.0.0.1:{app.start()}")
    try:
        yield app, caller
    finally:
        caller.close()
        app.stop()


class TradeProcess:
    """``python -m trade_service.app`` over folders of its own; may be started again and again."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.port = free_port()
        self.target = f"127.0.0.1:{self.port}"
        self.log_path = folder / "trade.log"
        chosen = settings(folder)
        self.bus_url = chosen.bus_url
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONDONTWRITEBYTECODE": "1",
            "WATTBOOK_TRADE_LISTEN": self.target,
            "WATTBOOK_TRADE_STORE_URL": chosen.store_url,
            "WATTBOOK_BUS_URL": chosen.bus_url,
            "WATTBOOK_STOP_WITH_PARENT": "true",
            "WATTBOOK_OPEN_WALLS": "true",
            **environment,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def launch(self) -> subprocess.Popen[bytes]:
        """Start without waiting."""
        with self.log_path.open("ab") as log:
            command = [sys.executable, "-m", "trade_service.app"]
            self.process = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
        return self.process

    def start(self) -> TradeProcess:
        """Start, and wait until it is ready."""
        self.launch()
        self.wait_ready()
        return self

    def wait_ready(self) -> None:
        """Until it answers."""
        wait_until(lambda: rpc.is_healthy(self.target), timeout_s=60, what="the service is ready")

    def signal(self, signum: signal.Signals) -> int:
        """Send it a signal and wait for its end; the exit status."""
        assert self.process is not None
        self.process.send_signal(signum)
        return self.process.wait(30)

    def log(self) -> str:
        """All that it said."""
        return self.log_path.read_text()

    def close(self) -> None:
        """Make sure that it is gone."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(30)
