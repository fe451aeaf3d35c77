"""One file of the inbox, held open and read piece by piece: never as a whole."""

from __future__ import annotations

import contextlib
import datetime
import errno
import fcntl
import hashlib
import os
import re
import signal
from collections.abc import Callable, Iterator

from ingest_service.domain import Digest, Fingerprint, NotYet

CHUNK_BYTES = 256 * 1024
_DELIVERY_DAY = re.compile(rb'[,"\n](\d{4}-\d\d-\d\d)(?=[,"\r\n])')
_SAMPLE_BYTES = 4096  # of each piece after the first: enough to warn, and it costs nothing


def fingerprint_of(status: os.stat_result) -> Fingerprint:
    """What tells one state of one file from another."""
    return Fingerprint(
        device=status.st_dev,
        inode=status.st_ino,
        size_bytes=status.st_size,
        modified_ns=status.st_mtime_ns,
        changed_ns=status.st_ctime_ns,
    )


class SourceFile:
    """A file that stays the one we opened, by whatever name it goes."""

    def __init__(self, name: str, descriptor: int) -> None:
        """``descriptor`` stays the opener's, to close."""
        self.name = name
        self._descriptor = descriptor

    def fingerprint(self) -> Fingerprint:
        """Its state now."""
        return fingerprint_of(os.fstat(self._descriptor))

    def is_open_for_writing(self) -> bool | None:
        """Whether somebody may still write; None where the system cannot tell (not Linux, a network disk).

        A read lease (fcntl(2), F_SETLEASE) is refused while the file is open for writing anywhere on
        this machine. It is given back at once: a writer who comes meanwhile waits for us until then.
        """
        set_lease = getattr(fcntl, "F_SETLEASE", None)
        if set_lease is None:
            return None
        try:
            # By default the kernel tells a lease's holder of that writer by SIGIO, which ends a process.
            fcntl.fcntl(self._descriptor, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(self._descriptor, set_lease, fcntl.F_RDLCK)
        except OSError as error:
            return True if error.errno in {errno.EAGAIN, errno.EBUSY} else None
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._descriptor, set_lease, fcntl.F_UNLCK)
        return False

    def digest(self, *, keep_going: Callable[[], bool]) -> Digest:
        """The hash of the content and delivery days in it, read once.

        Days are looked for in the whole of a small file, here and there in a large one.

        Raises:
            NotYet: ``keep_going`` said no.
        """
        hashed = hashlib.sha256()
        days: set[bytes] = set()
        sample_bytes = CHUNK_BYTES
        for chunk in self.chunks():
            if not keep_going():
                raise NotYet("the service is stopping")
            hashed.update(chunk)
            days.update(_DELIVERY_DAY.findall(chunk[:sample_bytes]))
            sample_bytes = _SAMPLE_BYTES
        return Digest(hashed.hexdigest(), frozenset(filter(None, map(_day, days))))

    def chunks(self) -> Iterator[bytes]:
        """The content from the start, in pieces; reading again starts anew."""
        offset = 0
        while chunk := self.read(offset):
            yield chunk
            offset += len(chunk)

    def read(self, offset: int, size_bytes: int = CHUNK_BYTES) -> bytes:
        """Up to ``size_bytes`` from ``offset``; empty at the end."""
        return os.pread(self._descriptor, size_bytes, offset)

    def lines(self, *, longest_bytes: int) -> Iterator[bytes]:
        """The content line by line with their ends; what is longer is cut, and the rest of it skipped."""
        with open(os.dup(self._descriptor), "rb", buffering=CHUNK_BYTES) as reader:
            reader.seek(0)
            while line := reader.readline(longest_bytes):
                yield line
                while line and not line.endswith(b"\n"):
                    line = reader.readline(longest_bytes)

    def sync(self) -> None:
        """Make the content durable: its writer may have left that to the system."""
        os.fsync(self._descriptor)


def _day(text: bytes) -> datetime.date | None:
    try:
        return datetime.date.fromisoformat(text.decode())
    except ValueError:
        return None
