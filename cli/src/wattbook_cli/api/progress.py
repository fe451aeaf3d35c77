"""A progress bar for what takes longer than a second, on a terminal only."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from wattbook.clock import Clock

from wattbook_cli.api.tables import console

_PATIENCE_S = 1.0


class SendingBar:
    """Shows how much of a file has gone; a context manager."""

    def __init__(self, name: str, *, size_bytes: int | None, clock: Clock, then: str = "booking") -> None:
        """Be ready to show the sending of ``name``, and what Wattbook does ``then``."""
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=console(error=True), transient=True)
        self._task = self._progress.add_task(name, total=size_bytes)
        self._name, self._size_bytes, self._clock = name, size_bytes, clock
        self._then = then
        self._started_s = clock.monotonic_s()
        self._is_wanted = self._progress.console.is_terminal
        self._is_shown = False

    def __enter__(self) -> Self:
        """Count from here."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Clear the bar away."""
        if self._is_shown:
            self._progress.stop()

    def sent(self, total_bytes: int) -> None:
        """So much has gone by now."""
        if self._is_wanted and not self._is_shown:
            self._is_shown = self._clock.monotonic_s() - self._started_s > _PATIENCE_S
            if self._is_shown:
                self._progress.start()
        if self._is_shown:
            done = total_bytes == self._size_bytes
            description = f"{self._name}: {self._then} the rest" if done else self._name
            self._progress.update(self._task, completed=total_bytes, description=description)
