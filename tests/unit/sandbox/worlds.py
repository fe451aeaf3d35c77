"""Simulated worlds on real sockets, their time in the test's hands."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from sandbox.bank import app as bank_app
from sandbox.bank.usecases.bank import Bank
from sandbox.exchange import app as exchange_app
from sandbox.exchange.domain.noise import Noise
from sandbox.exchange.usecases import Exchange
from sandbox.market_data import app as market_data_app
from sandbox.market_data.usecases import Provider
from wattbook.clock import FakeClock
from wattbook.settings import load
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

MORNING = datetime(2023, 2, 6, 9, 31, tzinfo=UTC)  # 10:31 in Berlin
WAIT_S = 10.0


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a test's coroutine, bounded."""

    async def bounded() -> Any:
        async with asyncio.timeout(60):
            return await work

    return asyncio.run(bounded())


async def until(condition: Any, what: str) -> None:
    """Wait until something that other tasks do has happened."""
    try:
        async with asyncio.timeout(WAIT_S):
            while not condition():
                await asyncio.sleep(0.002)
    except TimeoutError:
        raise AssertionError(f"not within {WAIT_S:g} s: {what}") from None


class Control:
    """A client of a control endpoint."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def get(self, path: str, **query: Any) -> Any:
        answer = await self.http.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, **body: Any) -> Any:
        answer = await self.http.post(path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def stats(self) -> Any:
        return await self.get("/control/stats")

    async def sent(self, **query: Any) -> list[dict[str, Any]]:
        """All trades, page by page."""
        found: list[dict[str, Any]] = []
        after: int | None = 0
        while after is not None:
            page = await self.get("/control/sent", after_seq=after, **query)
            found += page["trades"]
            after = page["next_after_seq"]
        return found


class Ear:
    """A listener that keeps every frame it gets."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.frames: list[str | bytes] = []
        self.closed = False
        self.task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for frame in self.connection:
                self.frames.append(frame)
        self.closed = True

    async def gone(self) -> None:
        """Wait until the exchange ended the connection."""
        await asyncio.wait_for(self.task, WAIT_S)

    def ids(self) -> list[str]:
        """The ids of the trades confirmed, in order, repetitions included."""
        return [trade["id"] for trade in self.trades()]

    def trades(self) -> list[dict[str, Any]]:
        return [trade for frame in self.frames if (trade := confirmed(frame)) is not None]

    def others(self) -> list[str | bytes]:
        """Frames that confirm nothing."""
        return [frame for frame in self.frames if confirmed(frame) is None]


def confirmed(frame: str | bytes) -> dict[str, Any] | None:
    """The trade of a frame that a strict reader would take."""
    try:
        message = json.loads(frame)
        trade = message.get("trade_confirmation") or message.get("deal_confirmation")
        return trade if trade and str(trade["id"]).startswith("t_") else None
    except (ValueError, AttributeError, TypeError, KeyError, UnicodeDecodeError):
        return None


class ExchangeWorld:
    """A served exchange whose clock stands still until told."""

    def __init__(
        self, *, exchange: Exchange, clock: FakeClock, url: str, control: Control, folder: Path
    ) -> None:
        self.exchange, self.clock, self.url, self.control = exchange, clock, url, control
        self.folder = folder
        self._marks = 0

    @contextlib.asynccontextmanager
    async def ear(self, **options: Any) -> AsyncIterator[Ear]:
        """A connected listener, known to the exchange."""
        before = self.exchange.counts["connections"]
        async with connect(self.url, max_queue=None, ping_interval=None, **options) as connection:
            ear = Ear(connection)
            await until(lambda: self.exchange.counts["connections"] > before, "the exchange knows the ear")
            yield ear
            await connection.close()
            await ear.gone()

    def step(self, seconds: float = 0.0) -> None:
        """Let simulated time pass at once, then do what is due."""
        self.clock.advance(seconds)
        self.exchange.step(self.clock.now())

    def pass_time(self, seconds: int) -> None:
        """Let simulated time pass second by second."""
        for _ in range(seconds):
            self.step(1)

    async def heard_out(self, *ears: Ear) -> None:
        """Wait until the ears have all that was sent to them so far: a last frame came in after it."""
        self._marks += 1
        mark = f"mark {self._marks}"
        self.exchange.send(Noise("mark", mark))
        for ear in ears:
            await until(lambda heard=ear: mark in heard.frames, "the last frame is heard")
            ear.frames.remove(mark)


@contextlib.asynccontextmanager
async def exchange_world(
    folder: Path, *, start: datetime = MORNING, **settings: Any
) -> AsyncIterator[ExchangeWorld]:
    """An exchange on free ports, paused; ``settings`` are the ends of its variables' names."""
    environment = {
        "WATTBOOK_SANDBOX_SEED": str(settings.pop("seed", 7)),
        "WATTBOOK_SANDBOX_EXCHANGE_FILES": str(folder),
        "WATTBOOK_SANDBOX_EXCHANGE_LISTEN": "127.0.0.1:0",
        "WATTBOOK_SANDBOX_EXCHANGE_CONTROL_LISTEN": "127.0.0.1:0",
        **{f"WATTBOOK_SANDBOX_EXCHANGE_{name.upper()}": str(value) for name, value in settings.items()},
    }
    clock = FakeClock(start)
    loaded = load(exchange_app.Settings, environment)
    async with (
        exchange_app.served(loaded, clock=clock) as served,
        httpx.AsyncClient(base_url=served.control_url, timeout=WAIT_S) as http,
    ):
        yield ExchangeWorld(
            exchange=served.exchange, clock=clock, url=served.url, control=Control(http), folder=folder
        )


class ProviderWorld:
    """A served provider whose clock stands still until told."""

    def __init__(
        self, *, provider: Provider, clock: FakeClock, api: httpx.AsyncClient, control: Control
    ) -> None:
        self.provider, self.clock, self.api, self.control = provider, clock, api, control

    async def ask(self, day: str, hour: str, *, base: str = "/v1") -> httpx.Response:
        return await self.api.get(
            f"{base}/reference-price", params={"delivery_day": day, "delivery_hour": hour}
        )


@contextlib.asynccontextmanager
async def provider_world(*, start: datetime = MORNING, **settings: Any) -> AsyncIterator[ProviderWorld]:
    """A provider on free ports; ``settings`` as above."""
    environment = {
        "WATTBOOK_SANDBOX_SEED": str(settings.pop("seed", 7)),
        "WATTBOOK_SANDBOX_MARKET_DATA_LISTEN": "127.0.0.1:0",
        "WATTBOOK_SANDBOX_MARKET_DATA_CONTROL_LISTEN": "127.0.0.1:0",
        **{f"WATTBOOK_SANDBOX_MARKET_DATA_{name.upper()}": str(value) for name, value in settings.items()},
    }
    clock = FakeClock(start)
    loaded = load(market_data_app.Settings, environment)
    async with (
        market_data_app.served(loaded, clock=clock) as served,
        httpx.AsyncClient(base_url=served.url, timeout=WAIT_S) as api,
        httpx.AsyncClient(base_url=served.control_url, timeout=WAIT_S) as http,
    ):
        yield ProviderWorld(provider=served.provider, clock=clock, api=api, control=Control(http))


class BankWorld:
    """A served bank whose clock stands still until told."""

    def __init__(self, *, bank: Bank, clock: FakeClock, api: httpx.AsyncClient, control: Control) -> None:
        self.bank, self.clock, self.api, self.control = bank, clock, api, control


@contextlib.asynccontextmanager
async def bank_world(*, start: datetime = MORNING, **settings: Any) -> AsyncIterator[BankWorld]:
    """A bank on free ports; ``settings`` as above."""
    environment = {
        "WATTBOOK_SANDBOX_SEED": str(settings.pop("seed", 7)),
        "WATTBOOK_SANDBOX_BANK_LISTEN": "127.0.0.1:0",
        "WATTBOOK_SANDBOX_BANK_CONTROL_LISTEN": "127.0.0.1:0",
        **{f"WATTBOOK_SANDBOX_BANK_{name.upper()}": str(value) for name, value in settings.items()},
    }
    clock = FakeClock(start)
    loaded = load(bank_app.Settings, environment)
    data = bank_app.data_set(loaded, clock=clock)
    async with (
        bank_app.served(loaded, data, clock=clock) as served,
        httpx.AsyncClient(base_url=served.url, timeout=WAIT_S) as api,
        httpx.AsyncClient(base_url=served.control_url, timeout=WAIT_S) as http,
    ):
        yield BankWorld(bank=served.bank, clock=clock, api=api, control=Control(http))
