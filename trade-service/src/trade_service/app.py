"""How trade-service is put together, started and stopped."""

from __future__ import annotations

import gc
import logging
import os
import sys
import threading
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from wattbook import db, rpc
from wattbook.bus import Bus
from wattbook.bus.consumer import Consumer
from wattbook.bus.settings import BusSettings
from wattbook.bus.topology import INGEST_SPOOLS, PRICING_SERVICE, TRADE_SERVICE
from wattbook.clock import Clock, iso_z
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
from wattbook.walls import WallSettings
from wattbook_proto import trades_pb2_grpc

from trade_service.api import HANDLERS, RULES, Confirmations, TradesServicer, booked_events
from trade_service.store import TradeStore
from trade_service.usecases import GroupCommit

_log = logging.getLogger(__name__)

NAME = "trade-service"
CONFIRMED_MESSAGES = 500  # at a time


@dataclass(frozen=True)
class Settings(ProcessSettings, ClockSettings, WallSettings, DrainSettings, db.StoreSettings, BusSettings):
    """The environment of trade-service."""

    store_url: str = setting("WATTBOOK_TRADE_STORE_URL", "sqlite:///… or postgresql+psycopg://…", secret=True)
    listen: str = setting("WATTBOOK_TRADE_LISTEN", "host:port of gRPC", default="127.0.0.1:8090")

    def __post_init__(self) -> None:
        """Refuse what would only fail later.

        Raises:
            SettingsError: names each variable.
        """
        if problems := self.clock_problems() + self.drain_problems():
            raise SettingsError(problems)


@dataclass(frozen=True, slots=True)
class App:
    """The parts of a trade-service, wired; :meth:`start` and :meth:`stop` them together."""

    store: db.Store
    bus: Bus
    relay: Relay
    booker: GroupCommit
    confirmations: Consumer
    server: rpc.Server

    def start(self) -> int:
        """Serve; the port.

        Raises:
            OSError: the address is in use.
        """
        port = self.server.start()
        self.relay.start()
        self.booker.start()
        self.confirmations.start()
        self.server.set_ready()
        return port

    def stop(self) -> None:
        """Take nothing more, finish what was taken, publish what was booked, let go."""
        shut_down(self.server.stop, self.confirmations.stop, self.booker.stop)
        shut_down(self.relay.stop, self.bus.close, self.store.close)


def build(settings: Settings, *, clock: Clock | None = None, stopping: threading.Event | None = None) -> App:
    """Everything wired, its store at the newest schema, nothing running.

    Raises:
        Unavailable: the store or the bus cannot be opened.
        ValueError: an address, a file or a key in the settings is of no use.
    """
    guard, tls = settings.guard(NAME), Tls.of(settings)
    store = await_store(
        settings.store_url, name="trade", package="trade_service", settings=settings,
        stopping=stopping or threading.Event(), alive=partial(alive_on_grpc, settings.listen, tls),
    )  # fmt: skip
    bus = settings.open_bus(groups=(INGEST_SPOOLS, PRICING_SERVICE))
    relay = Relay(store, bus)
    book = TradeStore(store)
    clock = clock or settings.desk_clock()
    booker = GroupCommit(book, clock=clock, announce=booked_events, committed=relay.notify)
    confirmations = Consumer(
        lambda: bus.subscribe(TRADE_SERVICE.types, group=TRADE_SERVICE.name),
        Confirmations(booker=booker, store=book, clock=clock),
        name="confirmations",
        most=CONFIRMED_MESSAGES,
        system=bus.system,
        group=TRADE_SERVICE.name,
    )
    watch_group(bus, TRADE_SERVICE.types, group=TRADE_SERVICE.name)
    relay.watch(clock)
    server = rpc.Server(settings.listen, guard=guard, tls=tls, workers=HANDLERS, drain_s=settings.drain_s)
    servicer = TradesServicer(store=book, booker=booker)
    server.register(trades_pb2_grpc.add_TradesServicer_to_server, servicer, rules=RULES)
    return App(store, bus, relay, booker, confirmations, server)


def _calm_garbage_collector() -> None:
    """Look for cycles rarely: booking makes many tuples and no cycles, and looking took a tenth of it."""
    keep_what_is_made()
    gc.set_threshold(50_000, 50, 50)


def _restored(store: db.Store, since: datetime) -> str:
    """Whoever follows the book must not take what was booked since for what is booked from now on."""
    TradeStore(store).renew_epoch()
    return f"the book begins a new history with what it held at {iso_z(since)}"


def main() -> None:
    """Run until SIGTERM or SIGINT. Arguments: see ``wattbook.db.command``."""
    db.maintain_if_asked(
        sys.argv[1:], os.environ, store_url="WATTBOOK_TRADE_STORE_URL", name="trade", package="trade_service",
        restored=_restored,
    )  # fmt: skip
    settings = load_settings_or_exit(Settings, os.environ)
    stopping = stop_on_signals()
    try:
        configure_logging(NAME, level=settings.log_level, json_lines=settings.log_json)
        exporting = start_telemetry(NAME, os.environ)
        if settings.stop_with_parent:
            stop_with_parent(stopping)
        app = build(settings, stopping=stopping)
        port = app.start()
    except ValueError as error:  # an address that nothing here knows
        print(f"setting: {error}", file=sys.stderr)
        sys.exit(EXIT_BAD_SETTINGS)
    except (OSError, WattbookError) as error:
        sys.exit(f"{NAME}: {error}")
    _calm_garbage_collector()
    _log.info("listening", extra={"port": port})
    wait_for_stop(stopping)
    _log.info("stopping")
    shut_down(app.stop, exporting.stop)
    leave()


if __name__ == "__main__":
    main()
