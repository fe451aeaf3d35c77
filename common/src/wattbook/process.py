"""The life of a service process: start, wait for a signal, orderly stop."""

from __future__ import annotations

import _thread
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn, TypeVar

from wattbook.settings import LogLevel, SettingsError, load, setting
from wattbook.telemetry import Running, TelemetrySettings, start, telemetry_settings

T = TypeVar("T")
_log = logging.getLogger(__name__)

EXIT_BAD_SETTINGS = 78  # EX_CONFIG of sysexits.h: restarting will not help


WAKE_S = 0.5
LONGEST_DRAIN_S = 20.0  # what is left of a pod's grace period is for finishing


@dataclass(frozen=True, kw_only=True)
class ProcessSettings:
    """Base of the settings of every process: what it logs, and with whom it ends."""

    log_level: LogLevel = setting("WATTBOOK_LOG_LEVEL", "least important log line", default="INFO")
    log_json: bool | None = setting(
        "WATTBOOK_LOG_JSON", "logs as JSON lines; unset: unless they go to a terminal", default=None
    )
    stop_with_parent: bool = setting(
        "WATTBOOK_STOP_WITH_PARENT", "stop when the process that started this one is gone", default=False
    )


@dataclass(frozen=True, kw_only=True)
class DrainSettings:
    """Base of a service's settings whose callers have other replicas to go to.

    A service lists :meth:`drain_problems` with its own problems.
    """

    drain_s: float = setting(
        "WATTBOOK_DRAIN_S",
        "told to stop, go on answering so long and send callers to other replicas; 0: there are none",
        default=0.0,
    )

    def drain_problems(self) -> list[str]:
        """What is wrong with it, in one line."""
        if 0 <= self.drain_s <= LONGEST_DRAIN_S:
            return []
        return [f"WATTBOOK_DRAIN_S: {self.drain_s:g} is not in 0…{LONGEST_DRAIN_S:g}"]


def load_settings_or_exit(kind: type[T], environment: Mapping[str, str]) -> T:
    """Settings of ``kind``, or one line a problem on standard error and exit status 78."""
    return _or_exit(lambda: load(kind, environment))


def load_telemetry_or_exit(environment: Mapping[str, str]) -> TelemetrySettings:
    """What the standard ``OTEL_*`` variables say, or an exit as above."""
    return _or_exit(lambda: telemetry_settings(environment))


def start_telemetry(service: str, environment: Mapping[str, str]) -> Running:
    """Export what the ``OTEL_*`` variables say, or an exit as above; before parts are built."""
    return start(service, load_telemetry_or_exit(environment))


def _or_exit(read: Callable[[], T]) -> T:
    try:
        return read()
    except SettingsError as error:
        for problem in error.problems:
            print(f"setting: {problem}", file=sys.stderr)
        sys.exit(EXIT_BAD_SETTINGS)


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM or SIGINT sets; call it in the main thread."""
    stopping = threading.Event()

    def stop(_signum: int, _frame: object) -> None:
        # A handler interrupts the main thread, which may hold the very lock that set() would wait for.
        _thread.start_new_thread(stopping.set, ())

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    return stopping


def wait_for_stop(stopping: threading.Event, *, failed: Callable[[], bool] = lambda: False) -> None:
    """Until it is set, or something has ``failed``; call it in the main thread.

    The system may give a signal to any thread. Its handler runs in the main one, once that wakes: one that
    waits for ever need not hear of it.
    """
    while not stopping.wait(WAKE_S) and not failed():
        pass


def stop_with_parent(stopping: threading.Event, *, every_s: float = 1.0) -> None:
    """Set ``stopping`` once the process that started this one is gone, so that no orphan is left behind."""
    parent = os.getppid()

    def watch() -> None:
        while not stopping.wait(every_s):
            if os.getppid() != parent:
                _log.warning("the starting process is gone; stopping")
                stopping.set()

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def keep_what_is_made() -> None:
    """What was made so far stays: collecting garbage never looks at it again. Call it once all is started.

    Modules and what they define are most of a service's objects; looking through them stops every thread
    for tens of milliseconds.
    """
    gc.collect()
    gc.freeze()


def shut_down(*steps: Callable[[], None]) -> None:
    """Run every step in order; a failing one is logged and the rest still run."""
    for step in steps:
        try:
            step()
        except Exception:
            _log.exception("a step of the orderly stop failed")


def leave(code: int = 0) -> NoReturn:
    """End the process now, after an orderly stop that has kept all that must be kept.

    Whatever thread still waits for somebody who does not answer (a handler for a database, say) would hold
    up the interpreter's own end, and with it whoever waits for ours.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
