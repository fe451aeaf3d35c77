"""The machine that the figures are from, and how much memory its processes take."""

from __future__ import annotations

import datetime
import os
import platform
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

MIB = 1024 * 1024


def facts() -> dict[str, str]:
    """What to know about the machine before believing a figure."""
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "processor": _processor(),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        "disk, one durable 4 KiB write": f"{_fsync_ms():.2f} ms",
    }


def _processor() -> str:
    try:
        return re.findall(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())[0]
    except (OSError, IndexError):
        return platform.processor() or "unknown"


def _fsync_ms() -> float:
    """The median of some: it decides what one commit a request can reach."""
    import tempfile
    import time

    waits: list[float] = []
    with tempfile.TemporaryFile() as file:
        for _ in range(50):
            began = time.perf_counter()
            file.write(b"\0" * 4096)
            file.flush()
            os.fdatasync(file.fileno())
            waits.append((time.perf_counter() - began) * 1000)
    return sorted(waits)[len(waits) // 2]


def name_of(process: psutil.Process) -> str:
    """``trade_service`` of ``python -m trade_service.app``; the supervisor is ``wattbook up``."""
    line = " ".join(process.cmdline())
    found = re.search(r"-m (\w+)\.app", line)
    return found.group(1) if found else ("wattbook up" if "wattbook" in line else process.name())


def rss_mib(processes: list[psutil.Process]) -> dict[str, float]:
    """Resident memory of each process (several of one name are numbered), shared pages counted in each."""
    found: dict[str, float] = {}
    for process in processes:
        try:
            name, size = name_of(process), process.memory_info().rss / MIB
        except psutil.NoSuchProcess:
            continue
        number = sum(other.split(" #")[0] == name for other in found) + 1
        found[name if number == 1 else f"{name} #{number}"] = size
    return found


class Spent:
    """The processor time that processes take from now on."""

    def __init__(self, processes: list[psutil.Process]) -> None:
        self._processes = processes
        self._before_s = [processor_s(process) for process in processes]

    def said(self) -> str:
        """Seconds of each that took any."""
        spent = {
            name_of(process): processor_s(process) - before_s
            for process, before_s in zip(self._processes, self._before_s, strict=True)
        }
        return ", ".join(f"{name} {seconds:.1f}" for name, seconds in spent.items() if seconds >= 0.05) + " s"


def processor_s(process: psutil.Process) -> float:
    """Processor seconds that a process has taken so far."""
    times = process.cpu_times()
    return float(times.user + times.system)


def pss_mib(processes: list[psutil.Process]) -> float:
    """Proportional memory of all together: a page shared by two counts half in each."""
    return sum(process.memory_full_info().pss for process in processes) / MIB


@contextmanager
def peak_rss(processes: Callable[[], list[psutil.Process]]) -> Iterator[dict[str, float]]:
    """The most that each process took within the block, looked at four times a second."""
    peaks: dict[str, float] = {}
    stop = threading.Event()

    def watch() -> None:
        while True:
            for name, size in rss_mib(processes()).items():
                peaks[name] = max(size, peaks.get(name, 0.0))
            if stop.wait(0.25):
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peaks
    finally:
        stop.set()
        watcher.join()
