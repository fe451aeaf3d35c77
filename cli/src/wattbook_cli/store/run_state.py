"""What runs on a data folder: one supervisor at most, and its state for others to read."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from wattbook_cli.domain.desk import Layout
from wattbook_cli.domain.stops import Stop
from wattbook_cli.store.files import write_whole


class RunState:
    """``run/state.json`` and ``run/lock`` of a data folder."""

    def __init__(self, layout: Layout) -> None:
        """Look at the folder of ``layout``; nothing is opened yet."""
        self._state = layout.run / "state.json"
        self._lock = layout.run / "lock"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Be the only supervisor of this folder for the block; the kernel frees it however we end.

        Raises:
            Stop: another one runs, and where.
        """
        with self._lock.open("a+") as file:
            if not _locked(file):
                raise Stop(self._already_running())
            yield

    def is_held(self) -> bool:
        """Whether a supervisor runs on this folder."""
        try:
            with self._lock.open("a+") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def write(self, state: dict[str, Any]) -> None:
        """Replace the state in one step."""
        write_whole(self._state, json.dumps(state, indent=2).encode() + b"\n")

    def read(self) -> dict[str, Any] | None:
        """The last state written, ``None`` where there is none to read."""
        return read_state(self._state)

    def clear(self) -> None:
        """Nothing runs any more."""
        with suppress(OSError):
            self._state.unlink(missing_ok=True)

    def _already_running(self) -> str:
        state = self.read() or {}
        folder = self._state.parent.parent
        where = f", pid {state['pid']}, at {state['gateway_url']}" if "gateway_url" in state else ""
        return f"Wattbook already runs on {folder}{where}; `wattbook status --data {folder}` shows it"


def _locked(file: TextIO) -> bool:
    """Take the lock; asked more than once, since ``wattbook status`` holds it for an instant."""
    for _ in range(5):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.02)
        else:
            return True
    return False


def read_state(path: Path) -> dict[str, Any] | None:
    """A state file's content, ``None`` where it is missing or no state."""
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return state if isinstance(state, dict) else None


def start_mark(pid: int) -> str:
    """What tells this process from a later one of the same number; ``""`` where it is gone or unknown."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[19]  # field 22 of proc(5): start time in ticks since boot


def own_mark() -> str:
    """The mark of this process."""
    return start_mark(os.getpid())
