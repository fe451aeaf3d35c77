"""From the exchange's socket to what a browser shows, at ten times today's load.

The exchange is in this process, so that the clock that is read before a frame is sent is the one that is
read when an event comes back: over real server-sent events here, and in the cell of a page in Chromium.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from playwright.async_api import Page, async_playwright
from websockets.asyncio.server import Server, ServerConnection, serve

from bench.context import Context, Row, at_most, plain
from tests.integration.pricing_process import ProviderProcess, Time
from tests.support.browser import FLAGS, chromium_path
from tests.support.engines import is_production
from tests.support.live_desk import LiveDesk
from tests.support.pages import LIVE_PATH, STREAM_PATH, TOTAL_SLOTS, PageReader, figure
from tests.support.ports import free_port
from tests.support.trades import BERLIN

TRADERS = 4
TRADES_PER_MIN = 1_000
GOAL_P50_MS, GOAL_P99_MS = 15, 50
PRODUCTION_GOAL_P99_MS = 80
COUNT = TOTAL_SLOTS["trades"]
_WATCH = """(slot) => {
  const cell = document.querySelector(`[data-slot="${slot}"]`);
  const now = () => performance.timeOrigin + performance.now();
  window.seen = [];
  new MutationObserver(() => {
    const one = { text: cell.textContent, at: now(), painted: null };
    window.seen.push(one);
    requestAnimationFrame(() => requestAnimationFrame(() => { one.painted = now(); }));
  }).observe(cell, { childList: true, characterData: true, subtree: true });
}"""


@dataclass
class Waits:
    """When each trade of each trader was sent, and how long it took until it showed."""

    sent_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    shown: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    waits_ms: list[float] = field(default_factory=list)

    def seen(self, trader_id: str, count: int, at_s: float) -> None:
        """The page of ``trader_id`` counts so many trades now."""
        sent = self.sent_s[trader_id]
        for sent_s in sent[self.shown[trader_id] : count]:
            self.waits_ms.append((at_s - sent_s) * 1000)
        self.shown[trader_id] = max(count, self.shown[trader_id])

    def at(self, share: float) -> float:
        ordered = sorted(self.waits_ms)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


class Exchange:
    """A websocket that says what it is told to whoever listens."""

    def __init__(self) -> None:
        self.listeners: set[ServerConnection] = set()
        self.port = free_port()
        self._server: Server | None = None

    async def start(self) -> None:
        self._server = await serve(self._hold, "127.0.0.1", self.port, compression=None)

    async def _hold(self, connection: ServerConnection) -> None:
        self.listeners.add(connection)
        with suppress(Exception):
            await connection.wait_closed()
        self.listeners.discard(connection)

    async def confirm(self, trade: dict[str, Any]) -> float:
        """Send a trade; when it was about to be, seconds since 1970."""
        frame = json.dumps({"trade_confirmation": trade})
        at_s = time.time()
        for each in list(self.listeners):
            await each.send(frame)
        return at_s


class RealTime(Time):
    """No simulated clock."""

    def __init__(self) -> None:
        super().__init__(speed=1.0)
        self.settings = {}


def run(context: Context) -> list[Row]:
    return asyncio.run(_run(context))


async def _run(context: Context) -> list[Row]:
    exchange = Exchange()
    await exchange.start()
    folder = context.new_folder()
    provider = await asyncio.to_thread(lambda: ProviderProcess(folder, RealTime()).start())
    outside = {
        "WATTBOOK_EXCHANGE_URLS": f"ws://127.0.0.1:{exchange.port}",
        "WATTBOOK_MARKET_DATA_URL": provider.url,
    }
    desk = LiveDesk(folder, "--no-sandbox", environment=outside)
    try:
        await asyncio.to_thread(desk.start)
        async with asyncio.timeout(60):
            while not exchange.listeners:
                await asyncio.sleep(0.05)
        streams, browser = await _measure(desk, exchange, context)
        if await asyncio.to_thread(desk.stop):
            raise RuntimeError(desk.logs())
    finally:
        desk.kill_all()
        provider.close()
    return _rows(streams, browser[0], browser[1])


async def _measure(
    desk: LiveDesk, exchange: Exchange, context: Context
) -> tuple[Waits, tuple[Waits, list[float]]]:
    day = (datetime.now(BERLIN).date() + timedelta(days=1)).isoformat()
    traders = [f"trader_{number + 1}" for number in range(TRADERS)]
    with await asyncio.to_thread(PageReader, desk.pages_url, "admin", desk.admin_password) as reader:
        cookie = reader.cookie
    maker = _trades(traders, day)
    for trader_id in traders:  # so that every page has its first trade, which shows more than a change
        await exchange.confirm(next(maker)(trader_id))
    counts = dict.fromkeys(traders, 1)
    streams, shown = Waits(), Waits()
    # One after the other: a Chromium that draws without a graphics card takes one of two cores for itself.
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_follow(desk, cookie, trader_id, day, streams)) for trader_id in traders]
        await asyncio.sleep(1)
        await _rounds(exchange, maker, counts, streams, context)
        for task in tasks:
            task.cancel()
    async with _chromium(desk, traders[0], day) as page:
        await asyncio.sleep(1)
        await page.evaluate(_WATCH, COUNT)
        first = await _rounds(exchange, maker, counts, shown, context)
        seen = await page.evaluate("window.seen")
    for one in seen:
        shown.seen(traders[0], int(figure(one["text"]) or 0), one["at"] / 1000)
    del shown.waits_ms[: first[traders[0]]]
    painted = [one["painted"] - one["at"] for one in seen if one["painted"]]
    return streams, (shown, painted)


async def _rounds(
    exchange: Exchange, maker: Any, counts: dict[str, int], waits: Waits, context: Context
) -> dict[str, int]:
    """Trade to warm up and then to measure; how many trades of each trader the warming up took."""
    before = dict(counts)
    for trader_id, count in counts.items():
        waits.sent_s[trader_id] += [0.0] * count
        waits.shown[trader_id] = count
    await _trade(exchange, maker, counts, seconds=context.sizes.warm_up_s, waits=waits)
    waits.waits_ms.clear()
    warm = {trader_id: count - before[trader_id] for trader_id, count in counts.items()}
    await _trade(exchange, maker, counts, seconds=context.sizes.seconds * 2, waits=waits)
    await asyncio.sleep(1)
    return warm


async def _trade(
    exchange: Exchange, maker: Any, counts: dict[str, int], *, seconds: float, waits: Waits
) -> None:
    """Trade at the rate, with chance between one trade and the next."""
    chance = random.Random(7)
    due = time.perf_counter()
    until = due + seconds
    traders = list(counts)
    while due < until:
        due += chance.expovariate(TRADES_PER_MIN / 60)
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        trader_id = chance.choice(traders)
        at_s = await exchange.confirm(next(maker)(trader_id))
        counts[trader_id] += 1
        waits.sent_s[trader_id].append(at_s)


def _trades(traders: list[str], day: str) -> Any:
    chance = random.Random(3)
    number = 0
    while True:
        number += 1
        hour = chance.randrange(24)
        made = {
            "id": f"live_{number}",
            "price": round(chance.uniform(-20, 180), 2),
            "quantity": round(chance.uniform(0.1, 30), 1),
            "direction": chance.choice(("buy", "sell")),
            "delivery_day": day,
            "delivery_hour": f"{hour:02d}-{hour + 1:02d}",
            "execution_time": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        }
        yield lambda trader_id, made=made: {**made, "trader_id": trader_id}


async def _follow(desk: LiveDesk, cookie: str, trader_id: str, day: str, waits: Waits) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", desk.port + 1, limit=1 << 22)
    path = STREAM_PATH.format(trader_id=trader_id, day=day)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie}\r\n\r\n".encode())
    try:
        async for at_s, changed in _changes(reader):
            if COUNT in changed:
                waits.seen(trader_id, int(figure(_text(changed[COUNT])) or 0), at_s)
    finally:
        writer.close()


async def _changes(reader: asyncio.StreamReader) -> AsyncIterator[tuple[float, dict[str, str]]]:
    """When each event came, and the slots that it changes."""
    while True:
        block = await reader.readuntil(b"\n\n")
        at_s = time.time()
        for line in block.split(b"\n"):
            if line.startswith(b"data: {") and line != b"data: {}":
                yield at_s, json.loads(line[6:])


def _text(markup: str) -> str:
    return "".join(part.split(">")[-1] for part in markup.split("<"))


@asynccontextmanager
async def _chromium(desk: LiveDesk, trader_id: str, day: str) -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium_path(), args=list(FLAGS))
        page = await (await browser.new_context(locale="en-GB")).new_page()
        await page.goto(f"{desk.pages_url}/sign-in")
        await page.fill("#username", "admin")
        await page.fill("#password", desk.admin_password)
        await page.click("form.card button")
        await page.wait_for_url(lambda url: "/sign-in" not in url)
        await page.goto(desk.pages_url + LIVE_PATH.format(trader_id=trader_id, day=day))
        await page.wait_for_selector("body.live")
        try:
            yield page
        finally:
            await browser.close()


def _rows(streams: Waits, shown: Waits, painted_ms: list[float]) -> list[Row]:
    rows = []
    for what, waits in (("an event at an SSE client", streams), ("the cell in Chromium", shown)):
        count = len(waits.waits_ms)
        median = f"socket to {what}, {TRADES_PER_MIN:,} trades/min, {count} trades: p50"
        if is_production():
            rows.append(plain(median, waits.at(0.5), "ms", decimals=1))
            rows.append(at_most("  p99", waits.at(0.99), PRODUCTION_GOAL_P99_MS, "ms"))
        else:
            rows.append(at_most(median, waits.at(0.5), GOAL_P50_MS, "ms"))
            rows.append(at_most("  p99", waits.at(0.99), GOAL_P99_MS, "ms"))
        rows.append(plain("  longest", waits.at(1.0), "ms", decimals=1))
    painted_ms.sort()
    rows.append(plain("  from the cell to the frame after it, p50", painted_ms[len(painted_ms) // 2], "ms"))
    return rows
