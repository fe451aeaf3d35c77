"""The handlers by operation id, and connexion around them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from wattbook.clock import Clock
from wattbook.proxies import TrustedProxies

from gateway.api import documents
from gateway.api.batch import BatchApi
from gateway.api.cash import CashApi
from gateway.api.connexion_parts import LifespanMiddleware, Resolver, SecurityMiddleware
from gateway.api.edge import Edge
from gateway.api.feed import FeedApi, QuarantineApi
from gateway.api.meters import MetersApi
from gateway.api.oauth import OAuthApi
from gateway.api.pages import Probe, pages_of
from gateway.api.performance import PerformanceApi
from gateway.api.prices import PricesApi
from gateway.api.reports import ReportsApi
from gateway.api.routing import Application, Handler, Probes, Routing
from gateway.api.security import security_map
from gateway.api.trades import TradesApi
from gateway.api.users import UsersApi
from gateway.usecases.signin import SignIn


@dataclass(frozen=True, slots=True)
class Live:
    """The handlers of the live document."""

    performance: PerformanceApi
    prices: PricesApi
    feed: FeedApi
    quarantine: QuarantineApi


@dataclass(frozen=True, slots=True)
class Services:
    """Everything the handlers need."""

    trades: TradesApi
    batch: BatchApi
    reports: ReportsApi
    live: Live
    meters: MetersApi
    cash: CashApi
    users: UsersApi
    oauth: OAuthApi
    sign_in: SignIn
    probes: Mapping[str, Probe]
    clock: Clock


def make_application(
    services: Services,
    *,
    body_limit: int,
    running: Callable[[], AbstractAsyncContextManager[None]],
    proxies: TrustedProxies,
) -> Edge:
    """The ASGI application; ``running`` is entered while it serves."""

    @asynccontextmanager
    async def lifespan(_app: Any) -> AsyncIterator[None]:
        async with running():
            yield

    application = Application(
        __name__,
        lifespan=lifespan,
        middlewares=[
            partial(Routing, pages=pages_of(services.probes, clock=services.clock)),
            SecurityMiddleware,
            LifespanMiddleware,
        ],
        security_map=security_map(services.sign_in),
    )
    resolver = Resolver(_handlers(services).__getitem__)
    for name in documents.DOCUMENTS:
        application.add_api(
            documents.document(name), base_path=documents.BASE_PATH, resolver=resolver, body_limit=body_limit
        )
    return Edge(application, proxies=proxies)


def make_probes(services: Services) -> Edge:
    """The ASGI application of the socket for probes alone."""
    pages = pages_of(services.probes, clock=services.clock)
    return Edge(Probes(pages), proxies=TrustedProxies())


def _handlers(services: Services) -> dict[str, Handler]:
    return {
        "trades.add": services.trades.add,
        "trades.search": services.trades.search,
        "trades.corrections": services.trades.corrections,
        "trades.accept": services.trades.accept,
        "trades.differing": services.trades.differing,
        "trades.batch": services.batch.book,
        "reports.pnl": services.reports.pnl,
        "users.list": services.users.list,
        "users.add": services.users.add,
        "users.get": services.users.get,
        "users.change": services.users.change,
        "me.get": services.users.me,
        "me.change_password": services.users.change_password,
        "oauth.token": services.oauth.token,
        "oauth.revoke": services.oauth.revoke,
        "oauth.revocations": services.oauth.revocations,
        "oauth.jwks": services.oauth.jwks,
        **_live_handlers(services.live),
        **_meters_handlers(services.meters),
        **_cash_handlers(services.cash),
    }


def _live_handlers(live: Live) -> dict[str, Handler]:
    return {
        "reports.performance": live.performance.performance,
        "reports.desk": live.performance.desk,
        "prices.day": live.prices.day,
        "prices.history": live.prices.history,
        "feed.status": live.feed.status,
        "feed.reconciliation": live.feed.reconciliation,
        "quarantine.list": live.quarantine.list,
        "quarantine.show": live.quarantine.show,
        "quarantine.replay": live.quarantine.replay,
        "quarantine.drop": live.quarantine.drop,
    }


def _meters_handlers(meters: MetersApi) -> dict[str, Handler]:
    return {
        "flow_files.upload": meters.upload,
        "flow_files.list": meters.files,
        "flow_files.get": meters.file,
        "flow_files.errors": meters.errors,
        "flow_files.original": meters.original,
        "flow_files.retry": meters.retry,
        "flow_files.withdraw": meters.withdraw,
        "meter_readings.list": meters.readings,
        "meter_points.get": meters.meter_point,
    }


def _cash_handlers(cash: CashApi) -> dict[str, Handler]:
    return {
        "cash.companies": cash.companies,
        "cash.company": cash.company,
        "cash.balance": cash.balance,
        "cash.history": cash.history,
        "cash.countries": cash.countries,
        "cash.counterparties": cash.counterparties,
        "cash.transactions": cash.transactions,
        "cash.set_aside": cash.set_aside,
        "cash.quality": cash.quality,
        "cash.set_aside_of_all": cash.set_aside,
        "cash.quality_of_all": cash.quality,
        "cash.status": cash.status,
        "cash.windows": cash.windows,
        "cash.reclean": cash.reclean,
    }
