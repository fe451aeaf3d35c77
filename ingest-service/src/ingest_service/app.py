"""The ingest service: settings, wiring, and the life of the process (``python -m ingest_service.app``)."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from wattbook import process, rpc, telemetry
from wattbook.clock import SystemClock
from wattbook.db import Store, migrate, open_store
from wattbook.errors import Unavailable
from wattbook.settings import LogLevel, SettingsError, setting

from ingest_service.api import InboxWatch
from ingest_service.clients import DropFolder, Gateway
from ingest_service.store import Ledger
from ingest_service.usecases import Parts, Rounds

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says."""

    store_url: str = setting("WATTBOOK_INGEST_STORE_URL", "where the ledger of files is, sqlite:///…")
    inbox: Path = setting("WATTBOOK_INBOX", "the drop folder")  # noqa: RUF009  # a frozen field
    client_secret: str = setting(
        "WATTBOOK_INGEST_CLIENT_SECRET", "the secret of our OAuth client at the gateway", secret=True
    )
    client_id: str = setting(
        "WATTBOOK_INGEST_CLIENT_ID", "our OAuth client at the gateway", default="ingest-service"
    )
    gateway_url: str = setting(
        "WATTBOOK_GATEWAY_URL", "the gateway, without /v1", default="http://127.0.0.1:8080"
    )
    listen: str = setting("WATTBOOK_INGEST_LISTEN", "gRPC health, host:port", default="127.0.0.1:8092")
    settle_s: float = setting("WATTBOOK_INGEST_SETTLE_S", "how long a file must stand still, s", default=2.0)
    rescan_s: float = setting(
        "WATTBOOK_INGEST_RESCAN_S", "look at the folder this often even without events, s", default=5.0
    )
    log_level: LogLevel = setting("WATTBOOK_LOG_LEVEL", "DEBUG, INFO, WARNING or ERROR", default="INFO")
    log_json: bool | None = setting("WATTBOOK_LOG_JSON", "true or false; unset: off a terminal", default=None)
    stop_with_parent: bool = setting(
        "WATTBOOK_STOP_WITH_PARENT", "stop when the starting process is gone", default=False
    )

    def __post_init__(self) -> None:
        """Refuse what would only fail later.

        Raises:
            SettingsError: names each variable.
        """
        problems = []
        if not self.gateway_url.startswith(("http://", "https://")):
            problems.append(f"WATTBOOK_GATEWAY_URL: {self.gateway_url!r} is no http address")
        if not 0 <= self.settle_s <= 3600:
            problems.append(f"WATTBOOK_INGEST_SETTLE_S: {self.settle_s} is not between 0 and 3600")
        if not 0 < self.rescan_s <= 3600:
            problems.append(f"WATTBOOK_INGEST_RESCAN_S: {self.rescan_s} is not above 0 and at most 3600")
        if problems:
            raise SettingsError(problems)


def build(settings: Settings, store: Store, *, on_ready: Callable[[bool], None]) -> tuple[InboxWatch, Parts]:
    """The service, wired; call it where the event loop runs. Nothing is read or sent yet."""
    clock = SystemClock()
    parts = Parts(
        folder=DropFolder(settings.inbox.absolute()),
        ledger=Ledger(store, clock),
        gateway=Gateway(
            url=settings.gateway_url,
            client_id=settings.client_id,
            client_secret=settings.client_secret,
            clock=clock,
        ),
        clock=clock,
    )
    rounds = Rounds(parts, settle_s=settings.settle_s)
    watch = InboxWatch(rounds, inbox=parts.folder.inbox, rescan_s=settings.rescan_s, on_ready=on_ready)
    return watch, parts


class Ingest(threading.Thread):
    """The event loop in a thread of its own, so that the main thread hears signals at once."""

    def __init__(self, settings: Settings, store: Store, *, on_ready: Callable[[bool], None]) -> None:
        """Prepare; ``on_ready`` is told whether the inbox can be used."""
        super().__init__(name="ingest", daemon=True)
        self._build = partial(build, settings, store, on_ready=on_ready)
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self.failed = False

    def run(self) -> None:
        """The thread's work; whatever ends it by itself is a fault."""
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._run())
        except Exception:
            _log.exception("the drop folder's loop failed")
            self.failed = True

    def stop(self, *, timeout_s: float = 3.0) -> None:
        """Break off what is going on (it is repeated at the next start) and end."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stopping.set)
        self.join(timeout_s)

    async def _run(self) -> None:
        watch, parts = self._build()
        running = asyncio.create_task(watch.run())
        stopped = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([running, stopped], return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
        finally:
            running.cancel()
            await asyncio.wait([running])
            await parts.gateway.close()


def main() -> None:
    """Run until SIGTERM or SIGINT; exit 1 where the start or the loop failed."""
    settings = process.load_settings_or_exit(Settings, os.environ)
    telemetry.configure_logging("ingest-service", level=settings.log_level, json_lines=settings.log_json)
    for chatty in ("httpx", "httpcore", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.getLogger("watchdog").setLevel(logging.CRITICAL)  # it calls its own orderly stop an error
    stopping = process.stop_on_signals()
    if settings.stop_with_parent:
        process.stop_with_parent(stopping)
    try:
        store = open_store(settings.store_url, name="ingest")
        migrate(store, "ingest_service")
        server = rpc.Server(settings.listen, workers=4)
        server.start()
    except (OSError, ValueError, Unavailable) as error:
        sys.exit(f"ingest-service cannot start: {error}")
    ingest = Ingest(settings, store, on_ready=server.set_ready)
    ingest.start()
    _log.info("watching the drop folder", extra={"inbox": str(settings.inbox)})
    while ingest.is_alive() and not stopping.wait(0.5):
        pass
    process.shut_down(ingest.stop, lambda: server.stop(0.5), store.close)
    _log.info("stopped")
    if ingest.is_alive():  # waiting for a lock or a disk; breaking off loses nothing, as kill -9 does not
        logging.shutdown()
        os._exit(0)
    sys.exit(1 if ingest.failed else 0)


if __name__ == "__main__":
    main()
