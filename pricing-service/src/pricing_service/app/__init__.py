"""How pricing-service is put together."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from uuid import uuid4

from wattbook import db, rpc
from wattbook.bus.consumer import Consumer
from wattbook.bus.settings import BusSettings
from wattbook.bus.topology import PRICING_SERVICE
from wattbook.outbox import Relay
from wattbook.service import App, Part, Service, ServiceSettings
from wattbook.settings import setting
from wattbook.startup import await_store
from wattbook_proto import prices_pb2_grpc

from pricing_service.api import RULES, PricesServicer, TradedHours, price_events
from pricing_service.app.figures import watch_prices
from pricing_service.clients import MarketData, traded_periods
from pricing_service.domain import Limits
from pricing_service.store import PriceStore, Wishes
from pricing_service.usecases import Pace, Poller, Polling, UntilItWorks

NAME = "pricing-service"
HANDLERS = 16


@dataclass(frozen=True)
class Settings(ServiceSettings, db.StoreSettings, BusSettings):
    """The environment of pricing-service."""

    store_url: str = setting(
        "WATTBOOK_PRICING_STORE_URL", "sqlite:///… or postgresql+psycopg://…", secret=True
    )
    market_data_url: str = setting(
        "WATTBOOK_MARKET_DATA_URL", "the provider's base address, with or without /v1 as it has it"
    )
    listen: str = setting("WATTBOOK_PRICING_LISTEN", "host:port of gRPC", default="127.0.0.1:8093")
    trade_target: str = setting(
        "WATTBOOK_TRADE_TARGET", "trade-service, asked at the start for what is traded", default=""
    )
    gateway_url: str = setting(
        "WATTBOOK_GATEWAY_URL", "the gateway, which gives passes", default="http://127.0.0.1:8080"
    )
    client_secret: str = setting(
        "WATTBOOK_PRICING_CLIENT_SECRET",
        "the secret of our OAuth client at the gateway",
        default="",
        secret=True,
    )
    minute_limit: int = setting(
        "WATTBOOK_MARKET_DATA_MINUTE_LIMIT", "requests that the provider allows in any minute", default=50
    )
    hour_limit: int = setting(
        "WATTBOOK_MARKET_DATA_HOUR_LIMIT", "requests that the provider allows in any hour", default=1000
    )
    watch_s: float = setting(
        "WATTBOOK_PRICING_WATCH_S", "how long an hour counts as looked at, s", default=900.0
    )

    def problems(self) -> list[str]:
        """What is wrong with them, a line each."""
        problems = []
        if not self.market_data_url.startswith(("http://", "https://")):
            problems.append(f"WATTBOOK_MARKET_DATA_URL: {self.market_data_url!r} is no http address")
        for name, limit in (("MINUTE", self.minute_limit), ("HOUR", self.hour_limit)):
            if not 1 <= limit <= 1_000_000:
                problems.append(f"WATTBOOK_MARKET_DATA_{name}_LIMIT: {limit} is not in 1…1000000")
        if not 0 < self.watch_s <= 86_400:
            problems.append(f"WATTBOOK_PRICING_WATCH_S: {self.watch_s:g} is not above 0 and at most 86400")
        return problems + super().problems()

    @property
    def limits(self) -> Limits:
        """The provider's limits, and what is kept of them in reserve."""
        return Limits.of(per_minute=self.minute_limit, per_hour=self.hour_limit)


def build(settings: Settings, *, stopping: threading.Event | None = None) -> App:
    """Everything wired; see :class:`wattbook.service.Build`."""
    clock, limits, pace = settings.world_clock(), settings.limits, Pace()
    server = rpc.Server.of(NAME, settings, settings.listen, workers=HANDLERS)
    store = await_store(
        settings.store_url, name="pricing", package="pricing_service", settings=settings,
        alive=server.alive, stopping=stopping,
    )  # fmt: skip
    bus = settings.open_bus()
    relay = Relay(store, bus)
    relay.watch(clock)
    prices, wishes = PriceStore(store, announce=price_events), Wishes(store)
    provider = MarketData(
        url=settings.market_data_url, clock=clock,
        send_within_s=pace.send_within_s, answer_within_s=pace.answer_within_s,
    )  # fmt: skip
    poller = Poller(
        store=prices, wishes=wishes, provider=provider, clock=clock, limits=limits, holder=uuid4().hex,
        committed=relay.notify, pace=Pace.at(settings.clock_speed),
    )  # fmt: skip
    watch_prices(prices, wishes, clock, limits=limits, leads=lambda: poller.leads)
    servicer = PricesServicer(
        store=prices, wishes=wishes, clock=clock, limits=limits, leads=lambda: poller.leads,
        watch_s=settings.watch_s * settings.clock_speed,  # people look in real time
    )  # fmt: skip
    server.register(prices_pb2_grpc.add_PricesServicer_to_server, servicer, rules=RULES)
    traded = TradedHours(wishes=wishes, clock=clock)
    parts: list[Part] = [Consumer.of(bus, PRICING_SERVICE, traded.handle, name="traded-hours")]
    closing = [provider.close]
    if settings.trade_target:
        trades = rpc.channel_to(
            "trade-service", settings.trade_target, settings,
            caller=NAME, gateway_url=settings.gateway_url, secret=settings.client_secret,
        )  # fmt: skip
        parts.append(UntilItWorks("traded-hours", lambda: traded.learn(traded_periods(trades))))
        closing.append(trades.close)
    parts.append(Polling(poller, speed=settings.clock_speed))
    return App(store=store, bus=bus, relay=relay, server=server, parts=parts, closing=closing)


main = Service(NAME, Settings, build).main
