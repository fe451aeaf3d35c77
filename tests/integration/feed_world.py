"""The exchange, ingest-service and trade-service as processes with sockets between them, and their books."""

from __future__ import annotations

import contextlib
import csv
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
from wattbook import rpc
from wattbook_proto import feed_pb2, feed_pb2_grpc, trades_pb2

from tests.integration.ingest_process import IngestProcess
from tests.integration.trade_process import Caller, TradeProcess
from tests.support.ports import free_port
from tests.support.trades import FIELDS
from tests.support.waiting import wait_until

PAGE = 100_000


class Exchange:
    """``python -m sandbox.exchange``, paused until told; keeps its memory of what it sent."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.files = folder / "exchange-files"
        self.url = f"ws://127.0.0.1:{free_port()}"
        self.control = f"http://127.0.0.1:{free_port()}"
        prefix = "WATTBOOK_SANDBOX_EXCHANGE_"
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONDONTWRITEBYTECODE": "1",
            "WATTBOOK_STOP_WITH_PARENT": "true",
            "WATTBOOK_OPEN_WALLS": "true",
            f"{prefix}LISTEN": self.url.removeprefix("ws://"),
            f"{prefix}CONTROL_LISTEN": self.control.removeprefix("http://"),
            f"{prefix}FILES": str(self.files),
            f"{prefix}TRADES_PER_MIN": "0",
            f"{prefix}NIGHTLY_FILE": "false",
            **settings,
        }
        with (folder / "exchange.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "sandbox.exchange"], env=environment, stdout=log, stderr=log
            )
        self._http = httpx.Client(
            base_url=f"{self.control}/control", timeout=60, trust_env=False, verify=False
        )
        wait_until(lambda: self.get("stats") is not None, timeout_s=30, what="the exchange is open")

    def get(self, what: str, **query: Any) -> Any:
        return self._http.get(f"/{what}", params=query).raise_for_status().json()

    def post(self, what: str, **body: Any) -> Any:
        return self._http.post(f"/{what}", json=body).raise_for_status().json()

    def faults(self, **faults: Any) -> None:
        self.post("faults", **faults)

    def no_faults(self) -> None:
        self._http.delete("/faults").raise_for_status()

    def heard_ids(self, *, listeners: int = 1) -> list[str]:
        """The trades that at least so many connections were handed."""
        ids: list[str] = []
        after = 0
        while after is not None:
            page = self.get("sent", after_seq=after, limit=PAGE, listeners=listeners, ids="true")
            ids += page["trades"]
            after = page["next_after_seq"]
        return ids

    def sent(self) -> list[dict[str, Any]]:
        """All trades with their fields."""
        trades: list[dict[str, Any]] = []
        after = 0
        while after is not None:
            page = self.get("sent", after_seq=after, limit=10_000)
            trades += page["trades"]
            after = page["next_after_seq"]
        return trades

    def nightly_file(self) -> Path:
        """Today's file, written now."""
        return self.files / self.post("nightly-file")["name"]

    def wait_listeners(self, count: int) -> None:
        wait_until(
            lambda: self.get("stats")["listeners"] == count, timeout_s=30, what=f"{count} listeners there"
        )

    def close(self) -> None:
        self._http.close()
        self._process.kill()
        self._process.wait()


class FeedIngest(IngestProcess):
    """The ingest process with listeners on the exchange."""

    def __init__(
        self,
        folder: Path,
        exchange: Exchange,
        *,
        bus_url: str,
        listeners: int = 2,
        passes: Callable[[], str] | None = None,
        **more: str,
    ) -> None:
        urls = ",".join(f"{exchange.url}/listener-{number}" for number in range(1, listeners + 1))
        super().__init__(
            folder,
            **{
                "gateway_url": "http://127.0.0.1:9",
                "WATTBOOK_EXCHANGE_URLS": urls,
                "WATTBOOK_BUS_URL": bus_url,
            }
            | more,
        )
        self.channel = rpc.channel(f"127.0.0.1:{self.port}", passes=passes)
        self.stub = feed_pb2_grpc.FeedStub(self.channel)

    def status(self) -> feed_pb2.StatusReply:
        return rpc.call(self.stub.Status, feed_pb2.StatusRequest())

    def quarantine(self, state: int = 0) -> list[feed_pb2.Quarantined]:
        items: list[feed_pb2.Quarantined] = []
        request = feed_pb2.ListQuarantineRequest(state=state, limit=500)
        while True:
            reply = rpc.call(self.stub.ListQuarantine, request)
            items += reply.items
            request.before_id, request.before_us = reply.next_before_id, reply.next_before_us
            if not request.before_id:
                return items

    def show(self, number: int) -> feed_pb2.Quarantined:
        return rpc.call(self.stub.ShowQuarantined, feed_pb2.QuarantinedRequest(id=number))

    def replay(self, number: int) -> feed_pb2.Quarantined:
        return rpc.call(self.stub.ReplayQuarantined, feed_pb2.QuarantinedRequest(id=number))

    def reconciliation(self, day: str, *, alone: bool = False) -> feed_pb2.ReconciliationReply:
        """What all nodes know of a day, or this one ``alone``."""
        request = feed_pb2.ReconciliationRequest(day=day, only_yourself=alone)
        return rpc.call(self.stub.Reconciliation, request)

    def wait_drained(self, *, timeout_s: float = 60) -> feed_pb2.StatusReply:
        """Everything heard is on the bus."""

        def drained() -> feed_pb2.StatusReply | None:
            status = self.status()
            return None if status.spool_depth or status.outbox_depth else status

        return wait_until(drained, timeout_s=timeout_s, what="spool and outbox are empty")

    def close(self) -> None:
        self.channel.close()
        self.kill()


class FeedWorld:
    """All three, wired."""

    def __init__(self, folder: Path, *, listeners: int = 2, exchange: Exchange, **ingest: str) -> None:
        self.exchange = exchange
        self.trade = TradeProcess(folder)
        self.ingest = FeedIngest(folder, exchange, bus_url=self.trade.bus_url, listeners=listeners, **ingest)
        self.listeners = listeners
        self.caller = Caller(self.trade.target)

    def start(self, names: tuple[str, ...] = ("trade", "ingest")) -> FeedWorld:
        for name in names:
            getattr(self, name).start()
        self.exchange.wait_listeners(self.listeners)
        return self

    def booked(self) -> list[trades_pb2.BookedTrade]:
        return self.caller.found()

    def wait_booked(self, count: int, *, timeout_s: float = 60) -> None:
        """At least so many trades are booked."""

        def last_seq() -> int:
            pages = self.caller.positions()
            return pages[0].as_of_seq

        wait_until(lambda: last_seq() >= count, timeout_s=timeout_s, what=f"{count} trades are booked")

    def assert_booked_once(self, expected: list[str]) -> None:
        """Exactly these are booked, each once, as the exchange said it."""
        self.wait_booked(len(expected))
        booked = self.booked()
        ids = [trade.id for trade in booked]
        assert len(ids) == len(set(ids))
        assert set(ids) == set(expected)
        said = {trade["id"]: trade for trade in self.exchange.sent()}
        for trade in booked:
            there = said[trade.id]
            assert trade.price_ct_per_mwh == there["price"]
            assert trade.quantity_kw == round(there["quantity"] * 1000)
            assert trade.direction == (trades_pb2.BUY if there["direction"] == "buy" else trades_pb2.SELL)
            assert trade.trader_id == there["trader_id"]
            assert trade.source == trades_pb2.FEED

    def close(self) -> None:
        self.caller.close()
        self.ingest.close()
        self.trade.close()
        self.exchange.close()


@contextlib.contextmanager
def feed_world(
    folder: Path,
    *,
    listeners: int = 2,
    exchange: dict[str, str] | None = None,
    start: tuple[str, ...] = ("trade", "ingest"),
    **ingest: str,
) -> Iterator[FeedWorld]:
    """Started and connected, the exchange paused; all ended afterwards."""
    world = FeedWorld(folder, listeners=listeners, exchange=Exchange(folder, **exchange or {}), **ingest)
    try:
        yield world.start(start)
    finally:
        world.close()


def rows_of(path: Path) -> list[dict[str, str]]:
    """The rows of a nightly file."""
    with path.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert all(tuple(row) == FIELDS for row in rows)
    return rows
