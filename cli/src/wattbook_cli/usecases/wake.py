"""Sleeping until something happens: a signal, a child's end, a word from another thread."""

from __future__ import annotations

import select
import signal
import socket
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Self

from wattbook.clock import Clock

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SAME_REQUEST_S = 0.5  # a closing terminal, make and timeout(1) each send more than one signal


class Wake:
    """Counts the requests to stop and wakes the main thread for them; use it as a context manager there."""

    def __init__(self, *, clock: Clock) -> None:
        """Nothing is caught before the block is entered."""
        self.stop_requests = 0
        self._clock = clock
        self._last_s = float("-inf")
        self._ear, self._mouth = socket.socketpair()
        self._ear.setblocking(False)
        self._mouth.setblocking(False)

    def __enter__(self) -> Self:
        """Catch the signals that ask to stop, and the end of children."""
        for number in _STOP_SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
                signal.signal(number, self._note_stop)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        # Python's handlers run between bytecodes; the byte written here ends the wait below at once.
        signal.set_wakeup_fd(self._mouth.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the command end undisturbed: later signals are no longer news."""
        for number in _STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        self._ear.close()
        self._mouth.close()

    def poke(self) -> None:
        """End the current wait, from any thread."""
        with suppress(OSError):
            self._mouth.send(b"!")

    def wait(self, most_s: float) -> None:
        """Sleep up to ``most_s``."""
        if select.select([self._ear], [], [], max(0.0, most_s))[0]:
            with suppress(BlockingIOError):
                self._ear.recv(4096)

    def _note_stop(self, _number: int, _frame: FrameType | None) -> None:
        now_s = self._clock.monotonic_s()
        if now_s - self._last_s >= _SAME_REQUEST_S:
            self._last_s = now_s
            self.stop_requests += 1
