"""What the use cases work with, and how they do what waits for a disk."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from wattbook.clock import Clock

from ingest_service.clients import DropFolder, Gateway
from ingest_service.store import Ledger
from ingest_service.usecases.tie_out import TieOut

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Parts:
    """The drop folder, the ledger, the gateway, the time, and what files are compared with."""

    folder: DropFolder
    ledger: Ledger
    gateway: Gateway
    clock: Clock
    tie_out: TieOut | None = None  # where the exchange's feed is listened to
    stopping: threading.Event = field(default_factory=threading.Event)

    def keep_going(self) -> bool:
        """False once long work should break off."""
        return not self.stopping.is_set()

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run ``work`` beside the event loop; where this is cancelled, wait for its end first.

        So no thread uses a file that was closed under it.
        """
        running = asyncio.ensure_future(asyncio.to_thread(work))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            self.stopping.set()
            await asyncio.gather(running, return_exceptions=True)
            raise
