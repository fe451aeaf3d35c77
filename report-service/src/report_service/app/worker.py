"""How the worker process is put together: read model, feed, gRPC server and pages."""

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
from wattbook.bus.topology import CASH_CHANGED, PRICE_UPDATED, TRADE_BOOKED
from wattbook.clock import Clock, SystemClock
from wattbook.service import App, Part
from wattbook.telemetry import Running
from wattbook.web.server import Server
from wattbook.web.settings import address_of
from wattbook_proto.reports_pb2_grpc import add_ReportsServicer_to_server

from report_service.api.assets import Assets
from report_service.api.book_feed import BookFeed
from report_service.api.cash_feed import CashFeed
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
from report_service.clients.cash import CashService
from report_service.clients.corrections import CorrectionsDesk
from report_service.clients.desk import QuarantineDesk
from report_service.clients.feed import FeedService
from report_service.clients.prices import PricingService
from report_service.clients.trades import TradeService
from report_service.domain.prices import BookDay, DayKey
from report_service.usecases.cash import CashBoard
from report_service.usecases.corrections import Corrections
from report_service.usecases.details import Details
from report_service.usecases.feed import FEED, FeedBoard, FeedKeeper, Unconfirmed
from report_service.usecases.follow import Follower
from report_service.usecases.model import ReadModel
from report_service.usecases.performance import Performances
from report_service.usecases.prices import PriceBoard
from report_service.usecases.quarantine import Quarantine
from report_service.usecases.watch import PriceKeeper

MOST_SOCKETS = 8192


@dataclass(frozen=True, kw_only=True)
class Worker(App):
    """What runs in the worker process."""

    settings: Settings
    front: Front
    hub: Hub
    probing: socket.socket | None

    def start(self) -> int:
        """Open the gRPC port and follow the book."""
        _allow_many_sockets()
        return super().start()

    def serve_on(
        self, sockets: Sequence[socket.socket], *, stopping: threading.Event, notify: Callable[[], None]
    ) -> None:
        """Answer HTTP until ``stopping`` is set; ``notify`` is called once a second."""
        Server(
            self.front,
            settings=self.settings,
            stopping=stopping,
            drain_s=self.settings.drain_s,
            probes=self.front.health,
            notify=notify,
            end_streams=self.hub.close,
            has_lifespan=False,
        ).serve_on(sockets, probing=self.probing)

    def drain(self) -> None:
        """The stop is near."""
        if self.server:
            self.server.drain()


def build(settings: Settings, exporting: Running, *, probing: socket.socket | None) -> Worker:
    """Everything wired, nothing running.

    Raises:
        WattbookError: the bus cannot be opened.
    """
    clock, bus = settings.desk_clock(), settings.open_bus()
    model, hub = ReadModel(clock), _hub(settings, clock)
    board = PriceBoard(clock, is_used=bool(settings.pricing_target))
    exchange = FeedBoard(clock, is_used=bool(settings.ingest_target))
    _announce(hub, model, board, exchange, clock)
    performances, (gateway, people, revocations) = Performances(model, board), _sign_in(settings, hub)
    to_trades = _channel(settings, settings.trade_target, "trade-service")
    channels, parts = [to_trades], list[Part]()
    trades, prices = TradeService(to_trades), None
    if settings.pricing_target:
        channels.append(_channel(settings, settings.pricing_target, "pricing-service"))
        prices = PricingService(channels[-1])
        updated = partial(bus.subscribe, (PRICE_UPDATED,), group=None)
        keeper = PriceKeeper(board, prices, SystemClock())
        parts.append(PriceFeed(updated, keeper, board, system=bus.system))
    if settings.ingest_target:
        channels.append(_channel(settings, settings.ingest_target, "ingest-service"))
        tended = FeedKeeper(exchange, FeedService(channels[-1]), unconfirmed=Unconfirmed(trades, clock))
        parts.append(FeedWatcher(tended, exchange))
    cash = _cash(settings, bus, hub, channels, parts)
    booked = partial(bus.subscribe, (TRADE_BOOKED,), group=None)
    feed = BookFeed(booked, Follower(model, trades, clock), model, clock=clock, system=bus.system)
    asked = Quarantine(QuarantineDesk(gateway)), Corrections(CorrectionsDesk(gateway))
    shown = performances, people, clock, Assets(), hub, exchange, *asked, Details(trades, prices)
    front = _front(settings, Site(*shown, cash, meter_pages=settings.meter_pages))
    closing = [front.close, gateway.close, *(each.close for each in channels), exporting.stop]
    return Worker(
        bus=bus, server=_server(settings, performances), ready=False, parts=[*parts, feed, revocations, hub],
        closing=closing, settings=settings, front=front, hub=hub, probing=probing,
    )  # fmt: skip


def _cash(
    settings: Settings, bus: Bus, hub: Hub, channels: list[grpc.Channel], parts: list[Part]
) -> CashBoard:
    """The board of companies' cash, and what keeps it fresh where there is a cash-service."""
    if not settings.cash_target:
        return CashBoard(None, SystemClock())
    channels.append(_channel(settings, settings.cash_target, "cash-service"))
    board = CashBoard(CashService(channels[-1]), SystemClock())
    board.on_change(hub.changed)
    changed = partial(bus.subscribe, (CASH_CHANGED,), group=None)
    parts.append(CashFeed(changed, board, system=bus.system))
    return board


def _sign_in(settings: Settings, hub: Hub) -> tuple[Gateway, People, RevocationFollower]:
    clock, secret = SystemClock(), settings.client_secret  # tokens and sessions end in real time
    gateway = Gateway(settings.gateway_url, clock, client=(SERVICE, secret) if secret else None)
    revocations = Revocations(clock, is_used=bool(secret))
    idle_s, longest_s = settings.session_idle_s, settings.session_longest_s
    people = People(gateway, clock, idle_s=idle_s, longest_s=longest_s, revocations=revocations)

    def end_and_revoke() -> None:
        hub.end_sessions()  # first: what waits to be revoked at the gateway may take long
        people.revoke_waiting()

    return gateway, people, RevocationFollower(revocations, gateway.revocations, then=end_and_revoke)


def _hub(settings: Settings, desk: Clock) -> Hub:
    return Hub(SystemClock(), desk=desk, most_of_one_user=settings.streams_per_user)


def _announce(hub: Hub, model: ReadModel, board: PriceBoard, exchange: FeedBoard, clock: Clock) -> None:
    """Let the streams and the metrics know what changes."""
    model.on_change(lambda changed: hub.changed(changed or ()))
    model.on_change(
        lambda changed: hub.changed({BookDay(DayKey(key.area, key.day)) for key in changed or ()})
    )
    board.on_change(lambda key: hub.changed((key,)))
    exchange.on_change(lambda: hub.changed((FEED,)))
    watch_reports(model, hub, clock)


def _allow_many_sockets() -> None:
    """A live stream holds one each, and the usual limit of 1,024 would be near."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_SOCKETS if hard == resource.RLIM_INFINITY else min(MOST_SOCKETS, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _server(settings: Settings, performances: Performances) -> rpc.Server:
    model = performances.model
    server = rpc.Server.of(SERVICE, settings, settings.listen, workers=8)
    server.register(add_ReportsServicer_to_server, Reports(model, performances), rules=RULES)
    model.on_ready(server.set_ready)
    return server


def _channel(settings: Settings, target: str, owner: str) -> grpc.Channel:
    return rpc.channel_to(
        owner, target, settings,
        caller=SERVICE, gateway_url=settings.gateway_url, secret=settings.client_secret,
    )  # fmt: skip


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
