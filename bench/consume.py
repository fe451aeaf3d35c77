"""One replica of trade-service, and what the bus holds for it: how fast confirmed trades are booked."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psycopg
import sqlalchemy as sa
from trade_service.app import Settings, build
from wattbook.bus import Bus, Message
from wattbook.bus.topology import TRADE_SERVICE
from wattbook.clock import SystemClock, to_epoch_us
from wattbook.db import Store
from wattbook.settings import load
from wattbook_proto import events_pb2

from bench.context import Context, Row, at_least, plain
from tests.support import engines
from tests.support.waiting import wait_until

GOAL_PER_S = 15_000
EVENT_TRADES = 100  # what an ingest-service announces together at some thousand a second


def run(context: Context) -> list[Row]:
    trades = context.sizes.batch_trades // 4
    folder = Path(tempfile.mkdtemp(dir=context.folder))
    bus_url = engines.bus_url(folder) if engines.is_production() else f"sqlite:///{folder}/bus.db"
    told = {
        "WATTBOOK_TRADE_STORE_URL": engines.store_url(folder, "trade"),
        "WATTBOOK_BUS_URL": bus_url,
        "WATTBOOK_TRADE_LISTEN": "127.0.0.1:0",
        "WATTBOOK_OPEN_WALLS": "true",
    }
    events = [_event(start) for start in range(0, trades, EVENT_TRADES)]
    bare_per_s = _bare(load(Settings, told).open_bus, events, trades)
    app = build(load(Settings, told))
    app.bus.subscribe(TRADE_SERVICE.types, group=TRADE_SERVICE.name).close()
    _publish(app.bus, events)
    began = time.perf_counter()
    app.start()
    try:
        wait_until(
            lambda: _booked(app.store) >= trades,
            timeout_s=300,
            what="all are booked",
            every_s=0.05,
            most_s=0.05,
        )
        elapsed_s = time.perf_counter() - began
    finally:
        app.stop()
    booked_per_s = trades / elapsed_s
    rows = [
        at_least(
            "consumer: confirmed trades from the bus into the store, one replica",
            booked_per_s, GOAL_PER_S, "trades/s",
        ),
        plain(f"  the bus alone: the same messages, {EVENT_TRADES} trades each", bare_per_s, "trades/s"),
        plain("  ratio to that", booked_per_s / bare_per_s, "", decimals=3),
    ]  # fmt: skip
    if engines.is_production():
        copied_per_s = _copied(told["WATTBOOK_TRADE_STORE_URL"], trades)
        rows += [
            plain(
                "  bare COPY of the same rows into a table with the same indexes", copied_per_s, "trades/s"
            ),
            plain("  ratio to that", booked_per_s / copied_per_s, "", decimals=3),
        ]
    return rows


def _copied(url: str, trades: int) -> float:
    with psycopg.connect(url.replace("+psycopg", "", 1)) as connection, connection.cursor() as cursor:
        with cursor.copy("COPY trades TO STDOUT") as reading:
            rows = b"".join(bytes(part) for part in reading)
        cursor.execute("CREATE TABLE bare (LIKE trades INCLUDING ALL)")
        connection.commit()
        began = time.perf_counter()
        with cursor.copy("COPY bare FROM STDIN") as writing:
            writing.write(rows)
        connection.commit()
        return trades / (time.perf_counter() - began)


def _bare(open_bus: Callable[[], Bus], events: Sequence[Message], trades: int) -> float:
    bus = open_bus()
    bus.subscribe(TRADE_SERVICE.types, group="bare").close()
    _publish(bus, events)
    got = 0
    began = time.perf_counter()
    subscription = bus.subscribe(TRADE_SERVICE.types, group="bare")
    while got < len(events):
        deliveries = subscription.receive(timeout_s=10, most=500)
        subscription.ack(deliveries)
        got += len(deliveries)
    elapsed_s = time.perf_counter() - began
    subscription.close()
    bus.close()
    return trades / elapsed_s


def _publish(bus: Bus, events: Sequence[Message]) -> None:
    for start in range(0, len(events), 100):
        bus.publish(events[start : start + 100])


def _booked(store: Store) -> int:
    with store.read() as connection:
        return int(
            connection.execute(sa.text("SELECT coalesce(max(booking_seq), 0) FROM trades")).scalar_one()
        )


def _event(first: int) -> Message:
    now = SystemClock().now()
    body = events_pb2.TradesConfirmed()
    for number in range(first, first + EVENT_TRADES):
        trade = body.trades.add(frame_id=number + 1, spool="bench", received_us=to_epoch_us(now)).trade
        trade.id, trade.trader_id = f"c_{number}", f"trader_{number % 50}"
        trade.price_ct_per_mwh, trade.quantity_kw = 4_000 + number % 3_000, 100 * (1 + number % 200)
        trade.direction, trade.delivery_day, trade.delivery_hour = 1 + number % 2, "2026-03-10", number % 24
        trade.execution_time_us = to_epoch_us(now)
    return Message(type="trade.confirmed", body=body.SerializeToString(), occurred_at=now)
