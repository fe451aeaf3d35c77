"""What the process itself costs: processor time, memory, threads."""

from __future__ import annotations

import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from wattbook.telemetry import catalogue
from wattbook.telemetry.metrics import Reading, Sink

_STATM = Path("/proc/self/statm")


def watch_process(sink: Sink) -> None:
    """Let ``sink`` ask for these."""
    began_s = time.monotonic()

    def one(read: Callable[[], float]) -> Callable[[], list[Reading]]:
        return lambda: [(read(), {})]

    sink.watch(catalogue.PROCESS_CPU, _cpu)
    sink.watch(catalogue.PROCESS_MEMORY, one(_resident_bytes))
    sink.watch(catalogue.PROCESS_THREADS, one(threading.active_count))
    sink.watch(catalogue.PROCESS_UPTIME, one(lambda: time.monotonic() - began_s))


def _cpu() -> list[Reading]:
    used = os.times()
    return [(used.user, {"cpu.mode": "user"}), (used.system, {"cpu.mode": "system"})]


def _resident_bytes() -> float:
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):  # no Linux: the most that it ever was, in bytes on macOS
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
