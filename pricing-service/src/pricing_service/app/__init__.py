"""How pricing-service is put together, started and stopped."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from uuid import uuid4

import grpc
from wattbook import db, rpc
from wattbook.bus import Bus
from wattbook.bus.consumer import Consumer
from wattbook.bus.settings import BusSettings
from wattbook.bus.topology import PRICING_SERVICE
from wattbook.clock import Clock
from wattbook.clock_settings import ClockSettings
from wattbook.errors import WattbookError
from wattbook.outbox import Relay
from wattbook.process import (
    EXIT_BAD_SETTINGS,
    DrainSettings,
    ProcessSettings,
    keep_what_is_made,
    leave,
    load_settings_or_exit,
    shut_down,
    start_telemetry,
    stop_on_signals,
    stop_with_parent,
    wait_for_stop,
)
from wattbook.settings import SettingsError, setting
from wattbook.startup import alive_on_grpc, await_store
from wattbook.telemetry import configure_logging
from wattbook.telemetry.messages import watch_group
from wattbook.tls import Tls
from wattbook.walls import WallSettings, service_passes
from wattbook_proto import prices_pb2_grpc

from pricing_service.api import RULES, PricesServicer, TradedHours, price_events
from pricing_service.app.figures import watch_prices
from pricing_service.clients import MarketData, traded_periods
from pricing_service.domain import Limits
from pricing_service.store import PriceStore, Wishes
from pricing_service.usecases import Pace, Poller, Running, UntilItWorks

_log = logging.getLogger(__name__)

NAME = "pricing-service"
HANDLERS = 16


@dataclass(frozen=True)
class Settings(ProcessSettings, ClockSettings, WallSettings, DrainSettings, db.StoreSettings, BusSettings):
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

    def __post_init__(self) -> None:
        """Refuse what would only fail later.

        Raises:
            SettingsError: names each variable.
        """
        problems = []
        if not self.market_data_url.startswith(("http://", "https://")):
            problems.append(f"WATTBOOK_MARKET_DATA_URL: {self.market_data_url!r} is no http address")
        for name, limit in (("MINUTE", self.minute_limit), ("HOUR", self.hour_limit)):
            if not 1 <= limit <= 1_000_000:
                problems.append(f"WATTBOOK_MARKET_DATA_{name}_LIMIT: {limit} is not in 1…1000000")
        if not 0 < self.watch_s <= 86_400:
            problems.append(f"WATTBOOK_PRICING_WATCH_S: {self.watch_s:g} is not above 0 and at most 86400")
        problems += self.clock_problems() + self.drain_problems()
        if problems:
            raise SettingsError(problems)

    @property
    def limits(self) -> Limits:
        """The provider's limits, and what is kept of them in reserve."""
        return Limits.of(per_minute=self.minute_limit, per_hour=self.hour_limit)


@dataclass(frozen=True, slots=True)
class App:
    """The parts of a pricing-service, wired; :meth:`start` and :meth:`stop` them together."""

    store: db.Store
    bus: Bus
    relay: Relay
    provider: MarketData
    running: Running
    consumer: Consumer
    learning: UntilItWorks | None
    trades: grpc.Channel | None
    server: rpc.Server

    def start(self) -> int:
        """Serve and poll; the port.

        Raises:
            OSError: the address is in use.
        """
        port = self.server.start()
        self.relay.start()
        self.consumer.start()
        if self.learning:
            self.learning.start()
        self.running.start()
        self.server.set_ready()
        return port

    def stop(self) -> None:
        """Ask nothing more, write down what came back, publish it, let go."""
        steps: list[Callable[[], None]] = [self.learning.stop] if self.learning else []
        steps += [self.running.stop, self.provider.close, partial(self.server.stop, 2.0), self.consumer.stop]
        if self.trades:
            steps.append(self.trades.close)
        shut_down(*steps, self.relay.stop, self.bus.close, self.store.close)


def build(settings: Settings, *, stopping: threading.Event | None = None) -> App:
    """Everything wired, its store at the newest schema, nothing running.

    Raises:
        Unavailable: the store or the bus cannot be opened.
    """
    guard, tls = settings.guard(NAME), Tls.of(settings)
    clock = settings.world_clock()
    store = await_store(
        settings.store_url, name="pricing", package="pricing_service", settings=settings,
        stopping=stopping or threading.Event(), alive=partial(alive_on_grpc, settings.listen, tls),
    )  # fmt: skip
    bus = settings.open_bus()
    relay = Relay(store, bus)
    prices, wishes = PriceStore(store, announce=price_events), Wishes(store)
    provider, poller = _polling(settings, clock, prices, wishes, committed=relay.notify)
    traded = TradedHours(wishes=wishes, clock=clock)
    consumer = Consumer(
        lambda: bus.subscribe(PRICING_SERVICE.types, group=PRICING_SERVICE.name),
        traded.handle,
        name="traded-hours",
        system=bus.system,
        group=PRICING_SERVICE.name,
    )
    _watch(bus, relay, clock)
    watch_prices(prices, wishes, clock, limits=settings.limits, leads=lambda: poller.leads)
    trades = _trades(settings, tls) if settings.trade_target else None
    learning = UntilItWorks("traded-hours", lambda: traded.learn(traded_periods(trades))) if trades else None
    servicer = PricesServicer(
        store=prices,
        wishes=wishes,
        clock=clock,
        limits=settings.limits,
        leads=lambda: poller.leads,
        watch_s=settings.watch_s * settings.clock_speed,  # people look in real time
    )
    server = rpc.Server(settings.listen, guard=guard, tls=tls, workers=HANDLERS, drain_s=settings.drain_s)
    server.register(prices_pb2_grpc.add_PricesServicer_to_server, servicer, rules=RULES)
    running = Running(poller, speed=settings.clock_speed)
    return App(store, bus, relay, provider, running, consumer, learning, trades, server)


def _watch(bus: Bus, relay: Relay, clock: Clock) -> None:
    watch_group(bus, PRICING_SERVICE.types, group=PRICING_SERVICE.name)
    relay.watch(clock)


def _trades(settings: Settings, tls: Tls | None) -> grpc.Channel:
    passes = service_passes(
        gateway_url=settings.gateway_url,
        client_id=NAME,
        secret=settings.client_secret,
        audience="trade-service",
    )
    return rpc.channel(settings.trade_target, tls=tls, passes=passes)


def _polling(
    settings: Settings, clock: Clock, prices: PriceStore, wishes: Wishes, *, committed: Callable[[], None]
) -> tuple[MarketData, Poller]:
    real = Pace()
    provider = MarketData(
        url=settings.market_data_url,
        clock=clock,
        send_within_s=real.send_within_s,
        answer_within_s=real.answer_within_s,
    )
    poller = Poller(
        store=prices,
        wishes=wishes,
        provider=provider,
        clock=clock,
        limits=settings.limits,
        holder=uuid4().hex,
        committed=committed,
        pace=Pace.at(settings.clock_speed),
    )
    return provider, poller


def main() -> None:
    """Run until SIGTERM or SIGINT. Arguments: see ``wattbook.db.command``."""
    url = "WATTBOOK_PRICING_STORE_URL"
    db.maintain_if_asked(sys.argv[1:], os.environ, store_url=url, name="pricing", package="pricing_service")
    settings = load_settings_or_exit(Settings, os.environ)
    stopping = stop_on_signals()
    try:
        configure_logging(NAME, level=settings.log_level, json_lines=settings.log_json)
        exporting = start_telemetry(NAME, os.environ)
        for chatty in ("httpx", "httpcore", "alembic"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
        if settings.stop_with_parent:
            stop_with_parent(stopping)
        app = build(settings, stopping=stopping)
        port = app.start()
    except ValueError as error:  # an address that nothing here knows
        print(f"setting: {error}", file=sys.stderr)
        sys.exit(EXIT_BAD_SETTINGS)
    except (OSError, WattbookError) as error:
        sys.exit(f"{NAME}: {error}")
    keep_what_is_made()
    _log.info("listening", extra={"port": port})
    wait_for_stop(stopping)
    _log.info("stopping")
    shut_down(app.stop, exporting.stop)
    leave()
