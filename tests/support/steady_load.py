"""Users at a steady rate, whatever the answers: bookings, searches, reports, pages, and browsers that stream.

Requests begin at their time, also while earlier ones wait (an open loop), on connections that are kept. Each
that is not answered with 2xx or 304 is a failure, and so is each whose connection was refused or broke
off. Nothing is tried again, except that a stream that ends is opened again, as EventSource does.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from tests.support.kept_connections import Answer, Broken, Connections, credentials
from tests.support.live_desk import Live
from tests.support.pages import LIVE_PATH, STREAM_PATH, PageReader
from tests.support.trades import random_trade, unique

TIMEOUT_S = 15.0
SILENT_S = 40.0  # streams beat every ten seconds
RETRY_S = 1.0  # what the product's streams ask browsers for
# What comes one after the other, again and again.
MIX = ("book", "search", "book", "report", "book", "search", "book", "report", "book", "page")


@dataclass(frozen=True)
class Failure:
    """A request that was not answered well."""

    at_s: float
    what: str
    why: str


@dataclass
class Stream:
    """A live page that somebody looks at."""

    trader_id: str
    slots: dict[str, str] = field(default_factory=dict)
    last_id: str = ""
    opened: int = 0


class SteadyLoad:
    """``rate_per_s`` requests for the length of the block, and ``streams`` live pages."""

    def __init__(self, live: Live, *, rate_per_s: float, day: date, streams: int = 4, seed: int = 1) -> None:
        self.traders = [unique("rest") for _ in range(3)]
        self.acknowledged: dict[str, dict[str, Any]] = {}
        self.failures: list[Failure] = []
        self.answers: Counter[str] = Counter()
        self.latencies_s: list[float] = []
        self.began_s = self.ended_s = 0.0
        self.streams = [Stream(self.traders[number % len(self.traders)]) for number in range(streams)]
        self._live = live
        self._rate_per_s = rate_per_s
        self.day = day
        self._chance = random.Random(seed)
        self._tags: dict[str, str] = {}
        self._held, self._stopping = threading.Event(), threading.Event()
        self._answered = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="users", daemon=True)

    def __enter__(self) -> Self:
        with PageReader(self._live.pages_url, "admin", self._live.admin_password) as reader:
            self._cookie = reader.cookie
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish()

    def hold(self) -> None:
        """Ask for nothing more, and wait for the last answers; streams stay open."""
        self._held.set()
        assert self._answered.wait(3 * TIMEOUT_S), "some requests do not come to an end"

    def finish(self) -> None:
        """The same, and close the streams."""
        self._held.set()
        self._stopping.set()
        self._thread.join(3 * TIMEOUT_S)
        assert not self._thread.is_alive(), "the users do not come to an end"

    @property
    def sent(self) -> int:
        return len(self.latencies_s)

    @property
    def rate_per_s(self) -> float:
        """What was really sent."""
        return self.sent / (self.ended_s - self.began_s)

    def percentile_s(self, share: float) -> float:
        """So long that this share of the answers took less."""
        return sorted(self.latencies_s)[int(share * (self.sent - 1))]

    async def _run(self) -> None:
        api, pages = urlsplit(self._live.url), urlsplit(self._live.pages_url)
        self._api = Connections(
            api.hostname or "", api.port or 0, timeout_s=TIMEOUT_S, content_type="application/json",
            **credentials("admin", self._live.admin_password),
        )  # fmt: skip
        self._pages = Connections(
            pages.hostname or "", pages.port or 0, timeout_s=TIMEOUT_S, cookie=self._cookie,
            accept_language="en-GB",
        )  # fmt: skip
        looking = [asyncio.create_task(self._look(stream)) for stream in self.streams]
        await self._ask_steadily()
        self._answered.set()
        await asyncio.to_thread(self._stopping.wait)
        for task in looking:
            task.cancel()
        await asyncio.gather(*looking, return_exceptions=True)
        for connections in (self._api, self._pages):
            connections.close()

    async def _ask_steadily(self) -> None:
        running: set[asyncio.Task[None]] = set()
        self.began_s = time.monotonic()
        number = 0
        while not self._held.is_set():
            await asyncio.sleep(max(self.began_s + number / self._rate_per_s - time.monotonic(), 0))
            task = asyncio.create_task(self._ask(MIX[number % len(MIX)]))
            running.add(task)
            task.add_done_callback(running.discard)
            number += 1
        self.ended_s = time.monotonic()
        await asyncio.gather(*running)

    async def _ask(self, what: str) -> None:
        began_s = time.monotonic()
        try:
            answer = await getattr(self, f"_{what}")(self._chance.choice(self.traders))
        except Broken as error:
            self._fail(what, str(error))
        else:
            self.answers[f"{what} {answer.status}"] += 1
            if not answer.is_good:
                self._fail(what, f"{answer.status} {answer.body[:200].decode()}")
        self.latencies_s.append(time.monotonic() - began_s)

    def _fail(self, what: str, why: str) -> None:
        self.failures.append(Failure(round(time.monotonic() - self.began_s, 2), what, why))

    async def _book(self, trader_id: str) -> Answer:
        trade = random_trade(self._chance, trader_id=trader_id, day=self.day)
        answer = await self._api.ask("POST", "/v1/trades", json.dumps(trade).encode())
        if answer.status == 200:
            if json.loads(answer.body)["result"] != "added":
                self._fail("book", answer.body.decode())
            self.acknowledged[trade["id"]] = trade
        return answer

    async def _search(self, trader_id: str) -> Answer:
        return await self._api.ask("GET", f"/v1/trades?trader_id={trader_id}&limit=20")

    async def _report(self, trader_id: str) -> Answer:
        return await self._api.ask("GET", f"/v1/reports/pnl?trader_id={trader_id}&delivery_day={self.day}")

    async def _page(self, trader_id: str) -> Answer:
        path = LIVE_PATH.format(trader_id=trader_id, day=self.day)
        answer = await self._pages.ask("GET", path, if_none_match=self._tags.get(path, '""'))
        self._tags[path] = answer.headers.get("etag", '""')
        return answer

    async def _look(self, stream: Stream) -> None:
        """As a browser's EventSource: what ends is opened again, what is refused is not."""
        path = STREAM_PATH.format(trader_id=stream.trader_id, day=self.day)
        while True:
            headers = {"last_event_id": stream.last_id} if stream.last_id else {}
            try:
                status, reader, writer = await self._pages.open(path, **headers)
            except (OSError, EOFError) as error:
                self._fail("stream", repr(error))
            else:
                if status == 200:
                    stream.opened += 1
                    await self._read(stream, reader)
                else:
                    self._fail("stream", str(status))
                writer.close()
            await asyncio.sleep(RETRY_S)

    async def _read(self, stream: Stream, reader: asyncio.StreamReader) -> None:
        """To its end, however it ends."""
        event: dict[str, str] = {}
        with suppress(OSError, TimeoutError):
            while line := await _line(reader):
                if text := line.decode().rstrip("\n"):
                    name, _, value = text.partition(": ")
                    event[name] = value
                    continue
                if event.get("event") == "change":
                    stream.slots |= json.loads(event["data"])
                    stream.last_id = event["id"]
                event = {}


async def _line(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(SILENT_S):  # wait_for of Python 3.11 may swallow that it is cancelled
        return await reader.readline()
