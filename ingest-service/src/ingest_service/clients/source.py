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

from ingest_service.domain import Digest, Fingerprint, NotYet, Writer

CHUNK_BYTES = 256 * 1024
_DELIVERY_DAY = re.compile(rb'[,"\n](\d{4}-\d\d-\d\d)(?=[,"\r\n])')
_SAMPLE_BYTES = 4096  # of each piece after the first: enough to warn, and it costs nothing
# Where other machines may write too, or the kernel asks a program: there a lease says little or nothing.
_SHARED_FILE_SYSTEMS = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "gfs2", "ocfs2")
)
_MOUNTS = "/proc/self/mountinfo"


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

    def writer(self) -> Writer:
        """Whether somebody may still write, as far as the system can tell.

        A read lease (fcntl(2), F_SETLEASE) is refused while the file is open for writing anywhere on this
        machine. Only the file's owner (or CAP_LEASE) gets one: of another user's file nothing is known.
        Network file systems refuse it with the same EAGAIN where they have no delegation, and FUSE and the
        like grant it without knowing of other machines. It is given back at once: a writer who comes
        meanwhile waits for us until then.
        """
        set_lease = getattr(fcntl, "F_SETLEASE", None)
        if set_lease is None:
            return Writer.UNKNOWN
        is_shared = self._is_shared()
        try:
            # By default the kernel tells a lease's holder of that writer by SIGIO, which ends a process.
            fcntl.fcntl(self._descriptor, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(self._descriptor, set_lease, fcntl.F_RDLCK)
        except OSError as error:
            is_open = error.errno in {errno.EAGAIN, errno.EBUSY} and not is_shared
            return Writer.OPEN if is_open else Writer.UNKNOWN
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._descriptor, set_lease, fcntl.F_UNLCK)
        return Writer.UNKNOWN if is_shared else Writer.NONE

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

    def sync(self) -> None:
        """Make the content durable: its writer may have left that to the system."""
        os.fsync(self._descriptor)

    def _is_shared(self) -> bool:
        kind = file_system_of(os.fstat(self._descriptor).st_dev, mounts=_MOUNTS)
        return kind.startswith("fuse") or kind in _SHARED_FILE_SYSTEMS


def file_system_of(device: int, *, mounts: str) -> str:
    """The kind of file system on a device as ``mounts`` (proc(5), mountinfo) lists it, or ``""``."""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        with open(mounts, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                fields = line.split()
                if fields[2] == wanted:
                    return fields[fields.index("-") + 1]
    except (OSError, ValueError, IndexError):
        return ""
    return ""


def _day(text: bytes) -> datetime.date | None:
    try:
        return datetime.date.fromisoformat(text.decode())
    except ValueError:
        return None
