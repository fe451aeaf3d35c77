"""The file system's door: events of the drop folder, and the clock."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from watchdog.events import FileClosedEvent, FileCreatedEvent, FileMovedEvent, FileSystemEvent
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

from ingest_service.domain import METERS
from ingest_service.usecases import Scanner

_log = logging.getLogger(__name__)

SHORTEST_SLEEP_S = 0.02  # between two scans; many events then make one scan


class InboxWatch:
    """Scans when something happens in the inbox, a file or a rescan is due; events may be missed."""

    def __init__(
        self, scanner: Scanner, *, inbox: Path, rescan_s: float, on_ready: Callable[[bool], None]
    ) -> None:
        """Watch ``inbox``; ``on_ready`` is told after each scan whether it can be used."""
        self._scanner = scanner
        self._inbox = inbox
        self._rescan_s = rescan_s
        self._on_ready = on_ready
        self._happened = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        with _Events(self._inbox, asyncio.get_running_loop(), self._on_event) as events:
            while True:
                self._happened.clear()
                self._on_ready(await self._scanner.scan())
                if events.keep_watching():  # what came before may have gone unheard
                    continue
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._happened.wait(), self._sleep_s())

    def _sleep_s(self) -> float:
        due_in_s = self._scanner.next_due_in_s()
        if due_in_s is None:
            return self._rescan_s
        return min(self._rescan_s, max(due_in_s, SHORTEST_SLEEP_S))

    def _on_event(self, renamed_to: str | None) -> None:
        if renamed_to is not None:
            self._scanner.heard_of_rename(renamed_to)
        self._happened.set()


class _Events:
    """watchdog's events of one folder, handed to the event loop; without them there is still the rescan."""

    def __init__(
        self, folder: Path, loop: asyncio.AbstractEventLoop, on_event: Callable[[str | None], None]
    ) -> None:
        self._folder = folder
        self._loop = loop
        self._on_event = on_event
        self._observer: BaseObserver | None = None
        self._watched: tuple[int, int] | None = None

    def __enter__(self) -> _Events:
        return self

    def __exit__(self, *_raised: object) -> None:
        self._stop()

    def keep_watching(self) -> bool:
        """Watch the folder that lies there now: it may have been made anew, or another disk mounted on it.

        Returns whether watching has just begun.
        """
        try:
            status = os.stat(self._folder)
        except OSError:
            return False
        if self._watched == (status.st_dev, status.st_ino):
            return False
        self._stop()
        self._watched = (status.st_dev, status.st_ino)
        # Only inotify tells a file moved in from elsewhere from a new one, and only when asked.
        options: dict[str, Any] = {"generate_full_events": True} if sys.platform == "linux" else {}
        observer = Observer(**options)
        try:
            for folder in (self._folder, self._folder / METERS):
                observer.schedule(
                    self,  # type: ignore[arg-type]  # all that is called is dispatch()
                    str(folder),
                    event_filter=[FileCreatedEvent, FileClosedEvent, FileMovedEvent],
                )
            observer.start()
        except OSError as error:
            _log.warning("no file events, the rescan has to do: %s", error)
            return False
        self._observer = observer
        return True

    def dispatch(self, event: FileSystemEvent) -> None:
        """Called by watchdog's thread."""
        moved_to = event.dest_path if isinstance(event, FileMovedEvent) else ""
        renamed_to = os.path.relpath(os.fsdecode(moved_to), self._folder) if moved_to else None
        with contextlib.suppress(RuntimeError):  # the loop is closed: we are stopping
            self._loop.call_soon_threadsafe(self._on_event, renamed_to)

    def _stop(self) -> None:
        if self._observer is not None:
            self._observer.stop()
            self._observer.join(timeout=2)
            self._observer = None
