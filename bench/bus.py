"""The bus: messages a second, and how long one takes from publisher to consumer."""

from __future__ import annotations

import threading
import time

from wattbook.bus import Bus, Message, open_bus
from wattbook.clock import SystemClock

from bench.context import Context, Row, plain
from tests.support import engines

BATCH = 100
PAUSE_S = 0.002
BODY = b"x" * 200


def run(context: Context) -> list[Row]:
    """On the engine that was chosen."""
    folder = context.folder / "bench-bus"
    return measured(context, engines.bus_url(folder) if engines.is_production() else f"sqlite:///{folder}.db")


def measured(context: Context, url: str) -> list[Row]:
    bus = open_bus(url)
    try:
        singles = publish(bus, context.sizes.bus_messages // 10, 1)
        batches = publish(bus, context.sizes.bus_messages, BATCH)
        drained = drain(bus, context.sizes.bus_messages)
        waits_ms = latencies_ms(bus, context.sizes.bus_messages // 20)
    finally:
        bus.close()
    return [
        plain("bus: published one by one, each durable", singles, "/s"),
        plain(f"bus: published {BATCH} at a time, durable", batches, "/s"),
        plain("bus: published by one, consumed and acknowledged by another", drained, "/s"),
        plain("bus: from publisher to consumer, p50", waits_ms[len(waits_ms) // 2], "ms", decimals=2),
        plain("  p99", waits_ms[int(len(waits_ms) * 0.99)], "ms", decimals=2),
    ]


def messages(count: int) -> list[Message]:
    now = SystemClock().now()
    return [Message(type="bench.made", body=BODY, occurred_at=now) for _ in range(count)]


def publish(bus: Bus, count: int, batch: int) -> float:
    began = time.perf_counter()
    for _ in range(max(1, count // batch)):
        bus.publish(messages(batch))
    return count / (time.perf_counter() - began)


def drain(bus: Bus, count: int) -> float:
    subscription = bus.subscribe(["bench.made"], group="drain")
    got = 0
    publisher = threading.Thread(target=publish, args=(bus, count, BATCH))
    began = time.perf_counter()
    publisher.start()
    while got < count // BATCH * BATCH:
        deliveries = subscription.receive(timeout_s=5, most=BATCH)
        if not deliveries:
            raise RuntimeError(f"only {got} of {count} messages came")
        subscription.ack(deliveries)
        got += len(deliveries)
    elapsed_s = time.perf_counter() - began
    publisher.join()
    subscription.close()
    return got / elapsed_s


def latencies_ms(bus: Bus, count: int) -> list[float]:
    """Sorted waits of messages published one at a time, with a consumer waiting for each."""
    sent: dict[str, float] = {}
    waits_ms: list[float] = []
    ready = threading.Event()

    def consume() -> None:
        subscription = bus.subscribe(["bench.made"], group=None)
        ready.set()
        while len(waits_ms) < count:
            for delivery in subscription.receive(timeout_s=5):
                waits_ms.append((time.perf_counter() - sent[delivery.message.id]) * 1000)
                subscription.ack([delivery])
        subscription.close()

    consumer = threading.Thread(target=consume)
    consumer.start()
    ready.wait(5)
    for message in messages(count):
        sent[message.id] = time.perf_counter()
        bus.publish([message])
        time.sleep(PAUSE_S)
    consumer.join(30)
    return sorted(waits_ms)
