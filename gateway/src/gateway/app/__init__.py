"""How the gateway is put together. ``python -m gateway.app`` starts it."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from joserfc.jwk import ECKey
from wattbook.clock import Clock, SystemClock
from wattbook.db import Store
from wattbook.process import shut_down
from wattbook.service import App, Service
from wattbook.services import services
from wattbook.startup import alive_on_http, await_store
from wattbook.tls import Tls
from wattbook.web.server import Server
from wattbook.web.settings import listen

from gateway import api
from gateway.api import batch, cash, feed, meters, oauth, pages, performance, prices, reports, trades, users
from gateway.app.settings import Settings
from gateway.clients import CashClient, FeedClient, MetersClient, PricesClient, ReportsClient, TradesClient
from gateway.clients.coalescer import Limits
from gateway.clients.owner import Door
from gateway.store import RevocationStore, TokenStore, UserStore, restored
from gateway.usecases import accounts, live, memory, passes, revocations, signin, tokens
from gateway.usecases import batch as batch_usecase
from gateway.usecases import cash as cash_usecase
from gateway.usecases import meters as meters_usecase
from gateway.usecases import oauth as oauth_usecase
from gateway.usecases import reports as reports_usecase
from gateway.usecases import trades as trades_usecase
from gateway.usecases.desk import DeskReports
from gateway.usecases.passwords import Passwords
from gateway.usecases.threads import Pool
from gateway.usecases.throttle import Throttle

# While a batch is parsed in a thread, requests get their turn after 1 ms instead of 5.
SWITCH_INTERVAL_S = 0.001
# Bookings that come together are a commit together: measured on PostgreSQL, half as many more a second.
PATIENCE_S, LINGER_S = 0.05, 0.003


class Gateway:
    """The wired gateway: an ASGI application and what must be closed after it."""

    def __init__(
        self, settings: Settings, *, store: Store, key: ECKey, clock: Clock, passwords: Passwords
    ) -> None:
        """Wire everything; channels are opened on the event loop, when the application starts."""
        self._settings = settings
        self._clock = clock
        self._passwords = passwords
        self._database = Pool("store", threads=4, most_waiting=1_000)
        self._formatting = Pool("format", threads=1, most_waiting=200)
        self._users = UserStore(store)
        self._clients = oauth_usecase.clients_of(
            {
                entry.name: getattr(settings, f"{entry.short}_client_secret")
                for entry in services().values()
                if entry.is_client
            }
        )
        self._passes = passes.Passes(key)
        programs = frozenset(name for name, client in self._clients.items() if client.uses_api)
        self._tokens = tokens.AccessTokens(key=key, clock=clock, clients=programs)
        self._sessions = TokenStore(store)
        self._memory = memory.Memory(clock)
        self._revocations = revocations.Revocations(
            store=RevocationStore(store), database=self._database, memory=self._memory
        )
        self._token_server = oauth_usecase.TokenServer(
            store=self._sessions,
            access=self._tokens,
            service_pass=self._passes.for_service,
            clients=self._clients,
            clock=clock,
        )
        self._open_doors(settings)
        self._batches = batch_usecase.Batches(self._trades, self._memory)
        self._make_applications(self._services())

    def _make_applications(self, services: api.Services) -> None:
        settings = self._settings
        self._probe_application = api.make_probes(services)
        self.application = api.make_application(
            services,
            body_limit=settings.body_limit_bytes,
            running=self._running,
            proxies=settings.proxies(),
        )

    def server(self, stopping: threading.Event) -> Server:
        """What serves it until ``stopping`` is set."""
        settings = self._settings
        return Server(
            self.application,
            settings=settings,
            stopping=stopping,
            drain_s=settings.drain_s,
            probes=self._probe_application,
        )

    def _open_doors(self, settings: Settings) -> None:
        door = partial(_door, signed=self._passes, tls=Tls.of(settings))
        timeout_s = settings.report_timeout_s
        self._trades = TradesClient(
            door("trade-service", settings.trade_target),
            limits=Limits(timeout_s=settings.book_timeout_s, patience_s=PATIENCE_S, linger_s=LINGER_S),
        )
        self._reports = ReportsClient(
            door("report-service", settings.report_target), limits=Limits(timeout_s=timeout_s)
        )
        pricing, ingest = settings.pricing_target, settings.ingest_target
        self._prices = PricesClient(
            door("pricing-service", pricing) if pricing else None, timeout_s=timeout_s
        )
        self._feed = FeedClient(door("ingest-service", ingest) if ingest else None, timeout_s=timeout_s)
        meter = settings.meter_target
        self._meters = MetersClient(door("meter-service", meter) if meter else None, timeout_s=timeout_s)
        bank = settings.cash_target
        self._cash = CashClient(door("cash-service", bank) if bank else None, timeout_s=timeout_s)

    def _services(self) -> api.Services:
        settings = self._settings
        sign_in = signin.SignIn(
            users=self._users,
            sessions=self._sessions,
            database=self._database,
            passwords=self._passwords,
            tokens=self._tokens,
            memory=self._memory,
            throttle=Throttle(self._clock),
        )
        people = accounts.Accounts(
            users=self._users, database=self._database, passwords=self._passwords, sign_in=sign_in,
            clock=self._clock,
        )  # fmt: skip
        return api.Services(
            trades=trades.TradesApi(trades_usecase.Trades(self._trades), self._formatting),
            batch=batch.BatchApi(
                self._batches,
                limit_bytes=settings.batch_limit_bytes,
                array_limit_bytes=settings.batch_array_limit_bytes,
            ),
            reports=reports.ReportsApi(reports_usecase.Reports(self._reports.pnl, reports.render)),
            live=self._live(),
            meters=meters.MetersApi(meters_usecase.Meters(self._meters), settings.flow_file_limit_bytes),
            cash=cash.CashApi(cash_usecase.Cash(self._cash), settings.desk_clock(), self._formatting),
            users=users.UsersApi(people),
            oauth=oauth.OAuthApi(
                server=self._token_server,
                sign_in=sign_in,
                tokens=self._tokens,
                revocations=self._revocations,
                database=self._database,
            ),
            sign_in=sign_in,
            clock=settings.desk_clock(),
            probes=self._probes(),
        )

    def _probes(self) -> dict[str, pages.Probe]:
        found: dict[str, pages.Probe] = {
            "trade-service": self._trades.is_ready,
            "report-service": self._reports.is_ready,
        }
        if self._settings.pricing_target:
            found["pricing-service"] = self._prices.is_ready
        if self._settings.ingest_target:
            found["ingest-service"] = self._feed.is_ready
        if self._settings.meter_target:
            found["meter-service"] = self._meters.is_ready
        if self._settings.cash_target:
            found["cash-service"] = self._cash.is_ready
        return found

    def _live(self) -> api.Live:
        clock = self._settings.desk_clock()
        performances = reports_usecase.Reports(self._reports.performance, performance.render)
        desks = DeskReports(self._reports, performance.render_desk, self._formatting)
        return api.Live(
            performance=performance.PerformanceApi(performances, desks),
            prices=prices.PricesApi(live.Prices(self._prices, clock), clock),
            feed=feed.FeedApi(live.Feed(self._feed, self._prices, self._trades)),
            quarantine=feed.QuarantineApi(live.Quarantine(self._feed)),
        )

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        clients = (self._trades, self._reports, self._prices, self._feed, self._meters, self._cash)
        for client in clients:
            client.open()
        following = asyncio.create_task(self._revocations.follow())
        try:
            yield
        finally:
            following.cancel()
            for client in clients:
                await client.close()

    def close(self) -> None:
        """End the threads, once nothing is served any more."""
        shut_down(self._batches.close, self._formatting.close, self._passwords.close, self._database.close)


def _door(owner: str, target: str, *, signed: passes.Passes, tls: Tls | None) -> Door:
    return Door(target, reading=signed.reading(owner), writing=signed.writing(owner), tls=tls)


def build_gateway(settings: Settings, *, store: Store, key: ECKey, clock: Clock | None = None) -> Gateway:
    """The gateway over a store at its newest schema; makes the first user."""
    clock = clock or SystemClock()
    passwords = Passwords()
    accounts.ensure_admin(
        UserStore(store),
        passwords,
        clock,
        password=settings.admin_password,
        password_if_new=settings.admin_password_if_new,
    )
    return Gateway(settings, store=store, key=key, clock=clock, passwords=passwords)


def build(settings: Settings, *, stopping: threading.Event) -> App:
    """Everything wired; see :class:`wattbook.service.Build`."""
    try:
        key = tokens.load_signing_key(settings.signing_key_file)
    except ValueError as error:
        raise ValueError(f"WATTBOOK_SIGNING_KEY_FILE: {settings.signing_key_file} {error}") from None
    listening = listen(settings.listen)
    probing = listen(settings.probe_listen) if settings.probe_listen else None
    store = await_store(
        settings.store_url, name="gateway", package="gateway", settings=settings,
        alive=partial(alive_on_http, listening, *([probing] if probing else ())), stopping=stopping,
    )  # fmt: skip
    gateway = build_gateway(settings, store=store, key=key)

    def serve(stopping: threading.Event) -> None:
        gateway.server(stopping).serve_on([listening], probing=probing)

    return App(store=store, closing=[gateway.close], serve=serve, address=settings.listen)


main = Service(
    "gateway", Settings, build, restored=restored, tune=partial(sys.setswitchinterval, SWITCH_INTERVAL_S)
).main
