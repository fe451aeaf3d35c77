"""How trade-service is put together."""

from __future__ import annotations

import gc
import threading
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from wattbook import db, rpc, service
from wattbook.bus.consumer import Consumer
from wattbook.bus.settings import BusSettings
from wattbook.bus.topology import INGEST_SPOOLS, PRICING_SERVICE, TRADE_SERVICE
from wattbook.clock import Clock, iso_z
from wattbook.outbox import Relay
from wattbook.service import Service, ServiceSettings
from wattbook.settings import setting
from wattbook.startup import await_store
from wattbook_proto import trades_pb2_grpc

from trade_service.api import HANDLERS, RULES, Confirmations, TradesServicer, booked_events
from trade_service.store import TradeStore
from trade_service.usecases import GroupCommit

NAME = "trade-service"
CONFIRMED_MESSAGES = 500  # at a time


@dataclass(frozen=True)
class Settings(ServiceSettings, db.StoreSettings, BusSettings):
    """The environment of trade-service."""

    store_url: str = setting("WATTBOOK_TRADE_STORE_URL", "sqlite:///… or postgresql+psycopg://…", secret=True)
    listen: str = setting("WATTBOOK_TRADE_LISTEN", "host:port of gRPC", default="127.0.0.1:8090")


@dataclass(frozen=True, kw_only=True)
class App(service.App):
    """What trade-service has; ``booker`` is who books."""

    booker: GroupCommit


def build(settings: Settings, *, clock: Clock | None = None, stopping: threading.Event | None = None) -> App:
    """Everything wired; see :class:`wattbook.service.Build`."""
    server = rpc.Server.of(NAME, settings, settings.listen, workers=HANDLERS)
    store = await_store(
        settings.store_url, name="trade", package="trade_service", settings=settings,
        alive=server.alive, stopping=stopping,
    )  # fmt: skip
    bus = settings.open_bus(groups=(INGEST_SPOOLS, PRICING_SERVICE))
    clock = clock or settings.desk_clock()
    relay = Relay(store, bus)
    relay.watch(clock)
    book = TradeStore(store)
    booker = GroupCommit(book, clock=clock, announce=booked_events, committed=relay.notify)
    server.register(
        trades_pb2_grpc.add_TradesServicer_to_server, TradesServicer(store=book, booker=booker), rules=RULES
    )
    confirmed = Confirmations(booker=booker, store=book, clock=clock)
    confirmations = Consumer.of(bus, TRADE_SERVICE, confirmed, name="confirmations", most=CONFIRMED_MESSAGES)
    return App(store=store, bus=bus, relay=relay, server=server, parts=(booker, confirmations), booker=booker)


def _restored(store: db.Store, since: datetime) -> str:
    """Whoever follows the book must not take what was booked since for what is booked from now on."""
    TradeStore(store).renew_epoch()
    return f"the book begins a new history with what it held at {iso_z(since)}"


# Look for cycles rarely: booking makes many tuples and no cycles, and looking took a tenth of it.
main = Service(NAME, Settings, build, restored=_restored, tune=partial(gc.set_threshold, 50_000, 50, 50)).main

if __name__ == "__main__":
    main()
