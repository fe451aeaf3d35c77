"""Who listens: subscriptions with their process and the UDP port on which they are woken."""

from __future__ import annotations

import os
import socket
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_LOOPBACK = "127.0.0.1"


class Bell:
    """A UDP socket on loopback that interrupts a wait. Without a port, waits just take their time."""

    def __init__(self) -> None:
        """Take a free port."""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.bind((_LOOPBACK, 0))
        except OSError:
            self.port = 0
        else:
            self.port = int(self._socket.getsockname()[1])

    def wait(self, timeout_s: float) -> None:
        """Until it is rung or the time has passed; several rings before this count as one."""
        try:
            self._socket.settimeout(max(timeout_s, 0.0005))
            self._socket.recv(16)
            self._socket.settimeout(0.0)
            while True:
                self._socket.recv(16)
        except OSError:
            pass  # timed out, or nothing more is waiting

    def ring(self, ports: Sequence[int]) -> None:
        """Ring the bells at these ports; whether it arrives does not matter. Any thread may."""
        for port in ports:
            with suppress(OSError):
                self._socket.sendto(b"w", socket.MSG_DONTWAIT, (_LOOPBACK, port))

    def close(self) -> None:
        """Let go of the port."""
        self._socket.close()


def join(raw: sqlite3.Connection, *, group_id: int | None, port: int) -> int:
    """Register a subscription of this process; its member id. Forgets those whose process is gone."""
    forget_gone(raw)
    pid = os.getpid()
    cursor = raw.execute(
        "INSERT INTO members (group_id, pid, born, port) VALUES (?, ?, ?, ?)",
        (group_id, pid, _born(pid), port),
    )
    return int(cursor.lastrowid or 0)


def leave(raw: sqlite3.Connection, member: int) -> None:
    """Take a member off the list."""
    raw.execute("DELETE FROM members WHERE id = ?", (member,))


def gone(rows: Sequence[tuple[int, int, str]]) -> list[int]:
    """Of (member, pid, born) those members whose process has ended."""
    return [member for member, pid, born in rows if not _lives(pid, born)]


def forget_gone(raw: sqlite3.Connection) -> None:
    """Remove members whose process has ended; what they had in hand may be handed out at once."""
    ended = gone(raw.execute("SELECT id, pid, born FROM members").fetchall())
    for member in ended:
        raw.execute("UPDATE pending SET due_us = 0 WHERE member = ?", (member,))
        raw.execute("DELETE FROM members WHERE id = ?", (member,))


def ports(raw: sqlite3.Connection) -> list[int]:
    """Where to ring."""
    return [port for (port,) in raw.execute("SELECT port FROM members WHERE port > 0")]


def _lives(pid: int, born: str) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # there is one, of another user
    now_born = _born(pid)
    return not (born and now_born) or born == now_born


def _born(pid: int) -> str:
    """When the process started, where the system tells: a restarted container has the same pid again."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    after_name = stat.rpartition(")")[2].split()
    # State Z or X: it has ended, only nobody has asked for its exit status yet.
    return "ended" if after_name[0] in "ZX" else after_name[19]
