"""Disks that fill up or turn read-only on demand."""

from __future__ import annotations

import array
import fcntl
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_GET_FLAGS = 0x80086601  # FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_IMMUTABLE_FL of linux/fs.h
_SET_FLAGS = 0x40086602
_IMMUTABLE = 0x10


@contextmanager
def small_disk(at: Path, *, mebibytes: int) -> Iterator[Path]:
    """A file system of that size at a folder; the test is skipped where none may be mounted."""
    at.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "wattbook-test", str(at)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("no mount command")
    if done.returncode:
        pytest.skip(f"may not mount a small disk: {done.stderr.strip()}")
    try:
        yield at
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)


class Ballast:
    """A file that leaves no room for others on its disk."""

    def __init__(self, disk: Path) -> None:
        self.path = disk / "ballast"

    def fill(self) -> None:
        """Take all that is left, to the last byte."""
        with self.path.open("ab", buffering=0) as out:
            for size in (1 << 16, 1 << 12, 1):
                self._append(out.fileno(), size)

    def free(self) -> None:
        """Give it back."""
        self.path.unlink()

    @staticmethod
    def _append(descriptor: int, size: int) -> None:
        block = b"\0" * size
        while True:
            try:
                if os.write(descriptor, block) < size:
                    return
            except OSError:
                return


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Nobody else can write to a SQLite file."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


@contextmanager
def read_only(*paths: Path) -> Iterator[None]:
    """Nobody, root included, may write to these files; skipped where the file system cannot do that."""
    try:
        for path in paths:
            _set_immutable(path, True)
    except OSError as error:
        for path in paths:
            _relent(path)
        pytest.skip(f"cannot make a file immutable here: {error}")
    try:
        yield
    finally:
        for path in paths:
            _set_immutable(path, False)


def _relent(path: Path) -> None:
    try:
        _set_immutable(path, False)
    except OSError:
        return


def _set_immutable(path: Path, immutable: bool) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        flags = array.array("l", [0])
        fcntl.ioctl(descriptor, _GET_FLAGS, flags)
        flags[0] = flags[0] | _IMMUTABLE if immutable else flags[0] & ~_IMMUTABLE
        fcntl.ioctl(descriptor, _SET_FLAGS, flags)
    finally:
        os.close(descriptor)
