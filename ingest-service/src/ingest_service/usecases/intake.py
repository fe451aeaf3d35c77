"""What was heard and is not on disk yet: a bounded queue from the event loop to the thread that writes."""

from __future__ import annotations

import asyncio
import threading
from collections import deque

from ingest_service.domain import Heard, HeardKind

MOST_AT_ONCE = 2_000


class Intake:
    """In order. Listeners put in, on the event loop; one thread takes out."""

    def __init__(self, *, most_frames: int, most_bytes: int) -> None:
        """Take so many frames and bytes; then listeners wait and stop reading their sockets."""
        self._most_frames = most_frames
        self._most_bytes = most_bytes
        self._waiting: deque[Heard] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._closed = False
        self._room: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def offer(self, heard: Heard) -> bool:
        """Put in, whatever there is room for; False asks to wait for :meth:`room` before the next."""
        with self._changed:
            self._waiting.append(heard)
            self._bytes += len(heard.data)
            if len(self._waiting) == 1:
                self._changed.notify()
            return not self._is_full()

    async def room(self) -> None:
        """Wait until there is room again. Call it on an event loop."""
        event = asyncio.Event()
        with self._changed:
            if not self._is_full():
                return
            self._room.append((asyncio.get_running_loop(), event))
        await event.wait()

    def take(self, *, timeout_s: float) -> list[Heard]:
        """All that waits, up to a limit, as soon as there is something; empty after ``timeout_s``."""
        with self._changed:
            if not self._waiting and not self._closed:
                self._changed.wait(timeout_s)
            count = min(len(self._waiting), MOST_AT_ONCE)
            taken = [self._waiting.popleft() for _ in range(count)]
            self._bytes -= sum(len(heard.data) for heard in taken)
            waiters = [] if self._is_full() else self._room
            if waiters:
                self._room = []
        for loop, event in waiters:
            loop.call_soon_threadsafe(event.set)
        return taken

    def close(self) -> None:
        """Nothing more will come; what is there can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def depth(self) -> int:
        """How many frames wait."""
        with self._changed:
            return sum(heard.kind is HeardKind.FRAME for heard in self._waiting)

    def _is_full(self) -> bool:
        return len(self._waiting) >= self._most_frames or self._bytes >= self._most_bytes
