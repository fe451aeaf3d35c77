"""How ingest-service is put together."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from wattbook import rpc
from wattbook.bus import system_of
from wattbook.bus.consumer import Consumer
from wattbook.bus.topology import TRADE_SERVICE, Group, ingest_spool
from wattbook.clock import Clock, SystemClock
from wattbook.db import Store
from wattbook.errors import Unavailable
from wattbook.outbox import Relay
from wattbook.service import App, Part, Service
from wattbook.startup import await_store
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

    spooler: usecases.Spooler
    listeners: Sequence[Listener]
    status: usecases.FeedStatus
    reconciler: Reconciler
    nodes: Nodes
    relay: Relay | None
    refusals: Consumer | None
    bus: PatientBus | None
    replaying: usecases.ReplayAtStart

    @property
    def parts(self) -> list[Part]:
        """What runs beside the event loop, which does the listening."""
        return [*([self.refusals] if self.refusals else []), self.replaying, self.spooler]


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
    return Feed(spooler, listeners, status, reconciler, nodes, relay, refusals, bus, catching_up)


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
    return Consumer.of(bus, ours, Refusals(quarantine, spool=spool), name="refusals")


def build_inbox(
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
        self._facts = {"inbox": str(settings.inbox), "listeners": len(feed.listeners)}
        self._build = partial(build_inbox, settings, store, on_ready=on_ready, reconciler=reconciler)
        self._status = feed.status
        self._listeners = feed.listeners
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self.failed = False

    def run(self) -> None:
        """The thread's work; whatever ends it by itself is a fault."""
        _log.info("started", extra=self._facts)
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._run())
            self.failed = not self._stopping.is_set()
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


def build(settings: Settings, *, stopping: threading.Event) -> App:
    """Everything wired; see :class:`wattbook.service.Build`."""
    server = rpc.Server.of(NAME, settings, settings.listen, workers=HANDLERS)
    store = await_store(
        settings.store_url, name="ingest", package="ingest_service", settings=settings,
        alive=server.alive, stopping=stopping,
    )  # fmt: skip
    claimed = _claim(store)
    feed = build_feed(settings, store)
    server.register(feed_pb2_grpc.add_FeedServicer_to_server, FeedServicer(feed.nodes.all), rules=RULES)
    ingest = Ingest(settings, store, feed, on_ready=server.set_ready)
    return App(
        store=store, bus=feed.bus, relay=feed.relay, server=server, ready=False,
        parts=[*feed.parts, ingest], closing=[feed.nodes.close, claimed.close],
        failed=lambda: ingest.failed or feed.spooler.failed,
    )  # fmt: skip


def _claim(store: Store) -> ExitStack:
    """Be the only one that uses the store, as long as what is returned lives: a spool has one writer.

    Raises:
        Unavailable: another one does.
    """
    held = ExitStack()
    if not held.enter_context(store.sole("spool", wait_s=CLAIM_WAIT_S)):
        raise Unavailable("another ingest-service uses this store; give each its own")
    return held


main = Service(NAME, Settings, build, restored=partial(usecases.restored, announce=confirmed_events)).main
