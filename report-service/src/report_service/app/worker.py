"""The worker process: read model, feed, gRPC door and pages, put together."""

from __future__ import annotations

import resource
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import grpc
from wattbook import rpc
from wattbook.auth.gateway import Gateway
from wattbook.auth.people import People
from wattbook.auth.revocations import Follower as RevocationFollower
from wattbook.auth.revocations import Revocations
from wattbook.bus import Bus
from wattbook.bus.topology import PRICE_UPDATED, TRADE_BOOKED
from wattbook.clock import Clock, SystemClock
from wattbook.process import shut_down
from wattbook.telemetry import Running
from wattbook.tls import Tls
from wattbook.walls import service_passes
from wattbook.web.server import Server
from wattbook.web.settings import address_of
from wattbook_proto.reports_pb2_grpc import add_ReportsServicer_to_server

from report_service.api.assets import Assets
from report_service.api.book_feed import BookFeed
from report_service.api.front import Front, Health
from report_service.api.prices import PriceFeed
from report_service.api.rpc import RULES, Reports
from report_service.api.sessions import EncryptedSessions
from report_service.api.site import Site
from report_service.api.streaming import Streaming
from report_service.api.streams import Hub
from report_service.api.watching import FeedWatcher
from report_service.api.web import build_web, routes_of
from report_service.app import SERVICE, Settings
from report_service.app.figures import watch_reports
from report_service.clients.corrections import CorrectionsDesk
from report_service.clients.desk import QuarantineDesk
from report_service.clients.feed import FeedService
from report_service.clients.prices import PricingService
from report_service.clients.trades import TradeService
from report_service.domain.prices import BookDay, DayKey
from report_service.usecases.corrections import Corrections
from report_service.usecases.details import Details
from report_service.usecases.feed import FEED, FeedBoard, FeedKeeper
from report_service.usecases.follow import Follower
from report_service.usecases.model import ReadModel
from report_service.usecases.performance import Performances
from report_service.usecases.prices import PriceBoard
from report_service.usecases.quarantine import Quarantine
from report_service.usecases.watch import PriceKeeper

MOST_SOCKETS = 8192


@dataclass(frozen=True)
class Prices:
    """The way to pricing-service."""

    feed: PriceFeed
    channel: grpc.Channel
    owner: PricingService


@dataclass(frozen=True)
class FeedHealth:
    """The way to ingest-service."""

    watcher: FeedWatcher
    channel: grpc.Channel


class Worker:
    """What runs in the worker process."""

    def __init__(
        self,
        *,
        bus: Bus,
        channel: grpc.Channel,
        gateway: Gateway,
        feed: BookFeed,
        prices: Prices | None,
        health: FeedHealth | None,
        server: rpc.Server,
        hub: Hub,
        revocations: RevocationFollower,
        settings: Settings,
        front: Front,
        probing: socket.socket | None,
        exporting: Running,
    ) -> None:
        """Hold the parts; nothing runs until :meth:`start`."""
        self._bus = bus
        self._channel = channel
        self._gateway = gateway
        self._feed = feed
        self._prices = prices
        self._health = health
        self._server = server
        self._hub = hub
        self._revocations = revocations
        self._exporting = exporting
        self._settings = settings
        self._front = front
        self._probing = probing

    def start(self) -> None:
        """Open the gRPC door and follow the book."""
        _allow_many_sockets()
        self._server.start()
        self._hub.start()
        self._feed.start()
        self._revocations.start()
        if self._prices is not None:
            self._prices.feed.start()
        if self._health is not None:
            self._health.watcher.start()

    def serve(
        self, sockets: Sequence[socket.socket], *, stopping: threading.Event, notify: Callable[[], None]
    ) -> None:
        """Answer HTTP until ``stopping`` is set; ``notify`` is called once a second."""
        Server(
            self._front,
            settings=self._settings,
            stopping=stopping,
            drain_s=self._settings.drain_s,
            probes=self._front.health,
            notify=notify,
            end_streams=self._hub.close,
            has_lifespan=False,
        ).serve_on(sockets, probing=self._probing)

    def drain(self) -> None:
        """The stop is near."""
        self._server.drain()

    def stop(self) -> None:
        """Stop taking, finish what was taken, let go."""
        steps = [self._revocations.stop, self._hub.stop, self._front.close, self._server.stop]
        steps += [self._feed.stop, self._channel.close, self._gateway.close]
        if self._prices is not None:
            steps += [self._prices.feed.stop, self._prices.channel.close]
        if self._health is not None:
            steps += [self._health.watcher.stop, self._health.channel.close]
        shut_down(*steps, self._bus.close, self._exporting.stop)


def build(settings: Settings, exporting: Running, *, probing: socket.socket | None) -> Worker:
    """Put the worker together.

    Raises:
        WattbookError: the bus cannot be opened.
    """
    clock, tls = settings.desk_clock(), Tls.of(settings)
    bus = settings.open_bus()
    channel = _channel(settings, settings.trade_target, "trade-service", tls)
    model, hub = ReadModel(clock), _hub(settings, clock)
    board = PriceBoard(clock, is_used=bool(settings.pricing_target))
    performances = Performances(model, board)
    server = _server(settings, tls, performances)
    trades = TradeService(channel)
    follower = Follower(model, trades, clock)
    booked = partial(bus.subscribe, (TRADE_BOOKED,), group=None)
    feed = BookFeed(booked, follower, model, clock=clock, system=bus.system)
    gateway, people, revocations = _sign_in(settings)
    exchange = FeedBoard(clock, is_used=bool(settings.ingest_target))
    _announce(hub, model, board, exchange)
    watch_reports(model, hub, clock)
    prices = _prices(settings, bus, board, tls) if settings.pricing_target else None
    asked = Quarantine(QuarantineDesk(gateway)), Corrections(CorrectionsDesk(gateway))
    parts = performances, people, clock, Assets(), hub, exchange, *asked
    site = Site(*parts, Details(trades, prices.owner if prices else None), meter_pages=settings.meter_pages)
    return Worker(
        bus=bus,
        channel=channel,
        gateway=gateway,
        feed=feed,
        prices=prices,
        health=_health(settings, exchange, tls) if settings.ingest_target else None,
        server=server,
        hub=hub,
        revocations=revocations,
        settings=settings,
        front=_front(settings, site),
        probing=probing,
        exporting=exporting,
    )


def _sign_in(settings: Settings) -> tuple[Gateway, People, RevocationFollower]:
    clock, secret = SystemClock(), settings.client_secret  # tokens and sessions end in real time
    gateway = Gateway(settings.gateway_url, clock, client=(SERVICE, secret) if secret else None)
    revocations = Revocations(clock, is_used=bool(secret))
    idle_s, longest_s = settings.session_idle_s, settings.session_longest_s
    people = People(gateway, clock, idle_s=idle_s, longest_s=longest_s, revocations=revocations)
    return gateway, people, RevocationFollower(revocations, gateway.revocations, then=people.revoke_waiting)


def _hub(settings: Settings, desk: Clock) -> Hub:
    return Hub(SystemClock(), desk=desk, most_of_one_user=settings.streams_per_user)


def _announce(hub: Hub, model: ReadModel, board: PriceBoard, exchange: FeedBoard) -> None:
    """Let the streams know what changes."""
    model.on_change(lambda changed: hub.changed(changed or ()))
    model.on_change(
        lambda changed: hub.changed({BookDay(DayKey(key.area, key.day)) for key in changed or ()})
    )
    board.on_change(lambda key: hub.changed((key,)))
    exchange.on_change(lambda: hub.changed((FEED,)))


def _allow_many_sockets() -> None:
    """A live stream holds one each, and the usual limit of 1,024 would be near."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_SOCKETS if hard == resource.RLIM_INFINITY else min(MOST_SOCKETS, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _server(settings: Settings, tls: Tls | None, performances: Performances) -> rpc.Server:
    guard, model = settings.guard(SERVICE), performances.model
    server = rpc.Server(settings.listen, guard=guard, tls=tls, workers=8, drain_s=settings.drain_s)
    server.register(add_ReportsServicer_to_server, Reports(model, performances), rules=RULES)
    model.on_ready(server.set_ready)
    return server


def _channel(settings: Settings, target: str, owner: str, tls: Tls | None) -> grpc.Channel:
    passes = service_passes(
        gateway_url=settings.gateway_url, client_id=SERVICE, secret=settings.client_secret, audience=owner
    )
    return rpc.channel(target, tls=tls, passes=passes)


def _prices(settings: Settings, bus: Bus, board: PriceBoard, tls: Tls | None) -> Prices:
    channel = _channel(settings, settings.pricing_target, "pricing-service", tls)
    owner = PricingService(channel)
    keeper = PriceKeeper(board, owner, SystemClock())
    updated = partial(bus.subscribe, (PRICE_UPDATED,), group=None)
    return Prices(PriceFeed(updated, keeper, board, system=bus.system), channel, owner)


def _health(settings: Settings, board: FeedBoard, tls: Tls | None) -> FeedHealth:
    channel = _channel(settings, settings.ingest_target, "ingest-service", tls)
    return FeedHealth(FeedWatcher(FeedKeeper(board, FeedService(channel)), board), channel)


def _front(settings: Settings, site: Site) -> Front:
    _, port = address_of(settings.http_listen)
    sessions = EncryptedSessions(
        settings.session_key,
        cookie=f"wattbook_session_{port}",
        secure=settings.secure_cookies,
        longest_s=settings.session_longest_s,
    )
    web = build_web(site, secret=settings.session_key, sessions=sessions)
    return Front(
        Streaming(web.wsgi_app, site.hub),
        health=Health(site.model),
        clock=SystemClock(),
        proxies=settings.proxies(),
        route_of=routes_of(web),
    )
