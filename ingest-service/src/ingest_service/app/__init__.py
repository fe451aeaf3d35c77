"""The ingest service: wiring, and the life of the process (``python -m ingest_service.app``)."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from wattbook import process, rpc, telemetry
from wattbook.bus import system_of
from wattbook.bus.consumer import Consumer
from wattbook.bus.topology import TRADE_SERVICE, Group, ingest_spool
from wattbook.clock import Clock, SystemClock
from wattbook.db import Store, maintain_if_asked
from wattbook.errors import Unavailable
from wattbook.outbox import Relay
from wattbook.process import EXIT_BAD_SETTINGS
from wattbook.startup import await_store
from wattbook.telemetry.messages import watch_group
from wattbook.tls import Tls
from wattbook_proto import feed_pb2_grpc

from ingest_service import usecases
from ingest_service.api import RULES, FeedServicer, InboxWatch, Refusals, confirmed_events
from ingest_service.app.figures import watch_feed
from ingest_service.app.nodes import Nodes, build_nodes
from ingest_service.app.settings import Settings
from ingest_service.clients import DropFolder, Gateway, PatientBus
from ingest_service.domain import FrameRules, Stillness
from ingest_service.store import FeedDays, Ledger, QuarantineStore, Spool
from ingest_service.usecases import Importer, Listener, Reconciler, Scanner

_log = logging.getLogger(__name__)

CLAIM_WAIT_S = 10.0  # an earlier process may be about to end
NAME = "ingest-service"
HANDLERS = 32
ASKERS = 24  # of them; the others are for nodes that ask us


@dataclass(frozen=True, slots=True)
class Feed:
    """The exchange's feed, wired; without a bus it only answers what it knows."""

    intake: usecases.Intake
    spooler: usecases.Spooler
    listeners: Sequence[Listener]
    status: usecases.FeedStatus
    reconciler: Reconciler
    nodes: Nodes
    relay: Relay | None
    refusals: Consumer | None
    bus: PatientBus | None
    replaying: usecases.ReplayAtStart

    def start(self) -> None:
        """Write, publish and hear refusals; listening is the event loop's."""
        self.spooler.start()
        for part in (self.relay, self.refusals, self.replaying):
            if part is not None:
                part.start()

    def stop(self) -> None:
        """Finish what was heard, publish it if that works, let go."""
        parts = [part.stop for part in (self.replaying, self.refusals, self.relay) if part is not None]
        closing = [self.bus.close] if self.bus is not None else []
        process.shut_down(self.spooler.stop, *parts, *closing)


def build_feed(settings: Settings, store: Store) -> Feed:
    """The feed's parts over a migrated store; nothing runs yet.

    Raises:
        ValueError: no engine knows the bus's address.
    """
    clock = settings.desk_clock()
    spool = Spool(store)
    name = spool.state().spool
    ours = ingest_spool(name)
    rules = FrameRules(frozenset(settings.allowed_fields), frozenset(settings.heartbeats))
    bus = _bus(settings, ours) if settings.bus_url else None
    relay = Relay(store, bus) if bus is not None else None
    committed = relay.notify if relay is not None else lambda: None
    quarantine = usecases.Quarantine(
        QuarantineStore(store), clock=clock, spool=name, announce=confirmed_events, committed=committed,
        node=settings.node, rules=rules,
    )  # fmt: skip
    refusals = _refusals(bus, ours, quarantine, spool=name) if bus is not None else None
    intake = usecases.Intake(most_frames=settings.queue_frames, most_bytes=settings.queue_bytes)
    listeners = _listeners(settings, intake, clock)
    spooler = usecases.Spooler(
        intake=intake, spool=spool, clock=clock, announce=confirmed_events, committed=committed, rules=rules,
        housekeeping=usecases.Housekeeping(
            spool, clock=clock, keep_s=settings.spool_keep_s, most_frames=settings.spool_keep_frames,
            keep_days=settings.trades_keep_days,
        ),
    )  # fmt: skip
    states = [listener.state for listener in listeners]
    status = usecases.FeedStatus(
        states, spool=spool, quarantine=quarantine, intake=intake, spooler=spooler, clock=clock
    )
    watch_feed(status, clock, relay)
    days = FeedDays(store)
    own = usecases.Own(settings.node, status, quarantine, usecases.Completeness(days, states))
    nodes = build_nodes(settings, own, days, askers=ASKERS)
    reconciler = Reconciler(days=days, spool=spool, clock=clock, elsewhere=nodes.elsewhere)
    catching_up = usecases.ReplayAtStart(quarantine)
    return Feed(intake, spooler, listeners, status, reconciler, nodes, relay, refusals, bus, catching_up)


def _listeners(settings: Settings, intake: usecases.Intake, clock: Clock) -> list[Listener]:
    terms = usecases.Terms(settings.ping_s, settings.silence_s, settings.most_frame_bytes)
    return [
        Listener(url, intake=intake, clock=clock, terms=terms, node=settings.node)
        for url in settings.exchange_urls
    ]


def _bus(settings: Settings, ours: Group) -> PatientBus:
    """The owner of the trades may never have started: what is confirmed is kept for it all the same."""
    opening = partial(settings.open_bus, groups=(TRADE_SERVICE, ours))
    return PatientBus(opening, system=system_of(settings.bus_url))


def _refusals(bus: PatientBus, ours: Group, quarantine: usecases.Quarantine, *, spool: str) -> Consumer:
    watch_group(bus, ours.types, group=ours.name)
    hear = partial(bus.subscribe, ours.types, group=ours.name)
    handle = Refusals(quarantine, spool=spool)
    return Consumer(hear, handle, name="refusals", system=bus.system, group=ours.name)


def build(
    settings: Settings,
    store: Store,
    *,
    on_ready: Callable[[bool], None],
    reconciler: Reconciler | None = None,
) -> tuple[InboxWatch, Scanner, Importer]:
    """The drop folder, wired; call it where the event loop runs. Nothing is read or sent yet."""
    clock = settings.desk_clock()
    importer = Importer(
        folder=DropFolder(settings.inbox.absolute()),
        ledger=Ledger(store, clock),
        gateway=Gateway(
            url=settings.gateway_url,
            client_id=settings.client_id,
            client_secret=settings.client_secret,
            clock=SystemClock(),  # it says when to come back in real time
        ),
        clock=clock,
        reconciler=reconciler,
    )
    stillness = Stillness(settings.settle_s, max(settings.settle_s, settings.settle_unknown_s))
    scanner = Scanner(importer, stillness=stillness, recheck_s=settings.recheck_s)
    watch = InboxWatch(scanner, inbox=importer.folder.inbox, rescan_s=settings.rescan_s, on_ready=on_ready)
    return watch, scanner, importer


class Ingest(threading.Thread):
    """The event loop in a thread of its own, so that the main thread hears signals at once."""

    def __init__(
        self, settings: Settings, store: Store, feed: Feed, *, on_ready: Callable[[bool], None]
    ) -> None:
        """Prepare; ``on_ready`` is told whether the inbox can be used."""
        super().__init__(name="ingest", daemon=True)
        reconciler = feed.reconciler if feed.listeners else None
        self._build = partial(build, settings, store, on_ready=on_ready, reconciler=reconciler)
        self._status = feed.status
        self._listeners = feed.listeners
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self.failed = False

    def run(self) -> None:
        """The thread's work; whatever ends it by itself is a fault."""
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._run())
        except Exception:
            _log.exception("the event loop failed")
            self.failed = True

    def stop(self, *, timeout_s: float = 3.0) -> None:
        """Break off what is going on (it is repeated at the next start) and end."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stopping.set)
        self.join(timeout_s)

    async def _run(self) -> None:
        watch, scanner, importer = self._build()
        self._status.files_waiting = scanner.waiting
        running = [
            asyncio.create_task(each) for each in (watch.run(), *(each.run() for each in self._listeners))
        ]
        stopped = asyncio.create_task(self._stopping.wait())
        try:
            done, _ = await asyncio.wait([*running, stopped], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in running:
                task.cancel()
            await asyncio.wait(running)
            await importer.gateway.close()


def main() -> None:
    """Run until SIGTERM or SIGINT; exit 1 where something failed. Arguments: see ``wattbook.db.command``."""
    maintain_if_asked(
        sys.argv[1:], os.environ,
        store_url="WATTBOOK_INGEST_STORE_URL", name="ingest", package="ingest_service",
        restored=partial(usecases.restored, announce=confirmed_events),
    )  # fmt: skip
    settings = process.load_settings_or_exit(Settings, os.environ)
    telemetry.configure_logging(NAME, level=settings.log_level, json_lines=settings.log_json)
    _quieten_libraries()
    exporting = process.start_telemetry(NAME, os.environ)
    stopping = process.stop_on_signals()
    if settings.stop_with_parent:
        process.stop_with_parent(stopping)
    try:
        server = _server(settings)
        store = _store(settings, server, stopping)
        claimed = _claim(store)
        feed = build_feed(settings, store)
        server.register(feed_pb2_grpc.add_FeedServicer_to_server, FeedServicer(feed.nodes.all), rules=RULES)
        server.start()
    except ValueError as error:  # an address that nothing here knows
        print(f"setting: {error}", file=sys.stderr)
        sys.exit(EXIT_BAD_SETTINGS)
    except (OSError, Unavailable) as error:
        sys.exit(f"{NAME} cannot start: {error}")
    feed.start()
    ingest = Ingest(settings, store, feed, on_ready=server.set_ready)
    ingest.start()
    process.keep_what_is_made()
    _log.info("started", extra={"inbox": str(settings.inbox), "listeners": len(feed.listeners)})
    while ingest.is_alive() and feed.spooler.is_alive and not stopping.wait(0.5):
        pass
    failed = not feed.spooler.is_alive
    serving = (lambda: server.stop(0.5), feed.nodes.close)  # first: whoever asks goes to another node
    process.shut_down(*serving, ingest.stop, feed.stop, claimed.close, store.close)
    _log.info("stopped")
    exporting.stop()
    failed = failed or ingest.failed
    process.leave(1 if failed else 0)  # breaking off what still waits loses nothing, as kill -9 does not


def _store(settings: Settings, server: rpc.Server, stopping: threading.Event) -> Store:
    return await_store(
        settings.store_url, name="ingest", package="ingest_service", settings=settings,
        stopping=stopping, alive=server.alive,
    )  # fmt: skip


def _server(settings: Settings) -> rpc.Server:
    guard, tls = settings.guard(NAME), Tls.of(settings)
    return rpc.Server(settings.listen, guard=guard, tls=tls, workers=HANDLERS, drain_s=settings.drain_s)


def _claim(store: Store) -> ExitStack:
    """Be the only one that uses the store, as long as what is returned lives: a spool has one writer.

    Raises:
        Unavailable: another one does.
    """
    held = ExitStack()
    if not held.enter_context(store.sole("spool", wait_s=CLAIM_WAIT_S)):
        raise Unavailable("another ingest-service uses this store; give each its own")
    return held


def _quieten_libraries() -> None:
    for chatty in ("httpx", "httpcore", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.getLogger("watchdog").setLevel(logging.CRITICAL)  # it calls its own orderly stop an error
    logging.getLogger("websockets").setLevel(logging.CRITICAL)  # what it raises is told by who catches it
