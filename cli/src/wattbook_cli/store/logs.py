"""The services' logs: files with a bound on their size, and what is new in them."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from wattbook.text import shown

MOST_BYTES = 20 * 1024 * 1024
KEPT = 3
_READ_BYTES = 256 * 1024
_LOUD = frozenset({"warning", "error", "critical"})


@dataclass(frozen=True, slots=True)
class Notice:
    """A warning or an error that a service logged."""

    level: str
    message: str


class ServiceLog:
    """One service's log. The service writes to the file itself, so it never waits for its supervisor."""

    def __init__(self, path: Path, *, most_bytes: int = MOST_BYTES) -> None:
        """Begin a new file, keeping the last few."""
        self.path = path
        self._most_bytes = most_bytes
        if path.exists() and path.stat().st_size:
            self._shift()
            path.replace(_numbered(path, 1))
        self._offset = 0
        self._torn = b""

    def open(self) -> BinaryIO:
        """For a new process to append to."""
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return os.fdopen(handle, "ab", buffering=0)

    def notices(self) -> list[Notice]:
        """Warnings and errors written since the last call (the newest of them where there is too much)."""
        try:
            size = self.path.stat().st_size
            if size == self._offset:
                return []
            with self.path.open("rb") as file:
                if size < self._offset:
                    self._offset, self._torn = 0, b""
                file.seek(max(self._offset, size - _READ_BYTES))
                fresh = self._torn + file.read(_READ_BYTES)
                self._offset = file.tell()
        except OSError:
            return []
        *lines, self._torn = fresh.split(b"\n")
        return [notice for line in lines if (notice := _notice(line))]

    def last_lines(self, count: int) -> list[str]:
        """The newest lines, for people: a JSON line is shown as its level and message."""
        try:
            with self.path.open("rb") as file:
                file.seek(max(0, self.path.stat().st_size - _READ_BYTES))
                lines = file.read().decode(errors="replace").splitlines()
        except OSError:
            return []
        return [shown(_readable(line)) for line in lines if line.strip()][-count:]

    def keep_small(self) -> None:
        """Move a file over the bound aside.

        The service keeps the file open, so its content is copied and the file emptied; a line written in
        the microseconds between the two is lost.
        """
        with suppress(OSError):
            if self.path.stat().st_size <= self._most_bytes:
                return
            self._shift()
            with self.path.open("rb+") as file, _numbered(self.path, 1).open("wb") as kept:
                while chunk := file.read(1024 * 1024):
                    kept.write(chunk)
                file.truncate(0)

    def _shift(self) -> None:
        for number in range(KEPT - 1, 0, -1):
            with suppress(FileNotFoundError):
                _numbered(self.path, number).replace(_numbered(self.path, number + 1))


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def _parsed(line: bytes | str) -> dict[str, object]:
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}


def _notice(line: bytes) -> Notice | None:
    if not line.startswith(b"{"):
        return None
    entry = _parsed(line)
    level = str(entry.get("level", ""))
    return Notice(level, shown(str(entry.get("message", "")))) if level in _LOUD else None


def _readable(line: str) -> str:
    entry = _parsed(line) if line.startswith("{") else {}
    if "message" not in entry:
        return line
    exception = str(entry.get("exception", "")).strip().splitlines()
    reason = f" ({exception[-1]})" if exception else ""
    return f"{entry.get('level', '')}: {entry['message']}{reason}"
