"""The drop folder: what lies in it, whether a file is whole, and moving it to where it is kept."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from ingest_service.clients.source import SourceFile, fingerprint_of
from ingest_service.domain import Entry, Fingerprint, FolderTrouble, Kind, NotYet, kept_names

# No link is followed, and opening a pipe does not wait for its writer.
_OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class DropFolder:
    """``inbox`` with ``archive/`` and ``rejected/`` under it. Both must be on the inbox's file system."""

    def __init__(self, inbox: Path) -> None:
        """Nothing is touched before :meth:`prepare`."""
        self.inbox = inbox
        self._archive = inbox / "archive"
        self.rejected = inbox / "rejected"

    def prepare(self) -> None:
        """Make what is missing, the inbox itself only where its parent exists (a lost mount stays lost).

        Raises:
            FolderTrouble: one of the three cannot be made or written to.
        """
        for folder in (self.inbox, self._archive, self.rejected):
            try:
                with contextlib.suppress(FileExistsError):
                    folder.mkdir()
                _probe(folder)
            except OSError as error:
                raise FolderTrouble(f"cannot write to {folder}: {error.strerror}") from error

    def remove_leftovers(self) -> None:
        """Remove temporary files that a killed process left among the rejected rows."""
        for path in self.rejected.glob(".*.part"):
            path.unlink(missing_ok=True)

    def entries(self) -> list[Entry]:
        """What lies in the inbox now, by name.

        Raises:
            FolderTrouble: it cannot be read.
        """
        found = []
        try:
            with os.scandir(self.inbox) as listing:
                for item in listing:
                    with contextlib.suppress(FileNotFoundError):
                        status = item.stat(follow_symlinks=False)
                        found.append(Entry(item.name, _kind(status.st_mode), fingerprint_of(status)))
        except OSError as error:
            raise FolderTrouble(f"cannot read {self.inbox}: {error.strerror}") from error
        return sorted(found, key=lambda entry: entry.name)

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[SourceFile]:
        """The file under ``name``, held open: what is read stays that file, whatever is put in its place.

        Raises:
            NotYet: it is gone, or no longer a file.
            FolderTrouble: it cannot be read.
        """
        try:
            descriptor = os.open(self.inbox / name, _OPEN_FLAGS)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotYet("it is gone") from error
        except OSError as error:
            raise FolderTrouble(f"cannot open it: {error.strerror}") from error
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise NotYet("it is not a file")
            yield SourceFile(name, descriptor)
        finally:
            os.close(descriptor)

    def free_name(self, name: str, *, is_reserved: Callable[[str], bool]) -> str:
        """The first name for ``name`` that neither the archive nor the rejected rows have."""
        return next(
            kept
            for kept in kept_names(name)
            if not os.path.lexists(self._archive / kept)
            and not os.path.lexists(self.rejected / kept)
            and not is_reserved(kept)
        )

    def archive(self, source: SourceFile, kept_name: str, *, as_read: Fingerprint) -> None:
        """Move ``source`` into the archive, for good; what was not read is put back.

        Raises:
            NotYet: it is gone from the inbox, or has changed since ``as_read``.
            FolderTrouble: it cannot be moved.
        """
        here, there = self.inbox / source.name, self._archive / kept_name
        if self._status(here) != as_read:
            raise NotYet("it was changed or replaced meanwhile")
        try:
            source.sync()
            os.rename(here, there)
        except FileNotFoundError as error:
            raise NotYet("it is gone") from error
        except OSError as error:
            raise FolderTrouble(f"cannot move it to {there}: {error.strerror}") from error
        # Only now can nobody open it by its name any more, so only now is the last look the last.
        moved = self._status(there)
        if moved is None or not moved.same_content(as_read) or source.is_open_for_writing():
            self.put_back(kept_name, source.name)
            raise NotYet("it was changed while it was moved")
        self.sync()

    def open_archived(self, kept_name: str) -> contextlib.AbstractContextManager[SourceFile]:
        """A file in the archive, by the name it is kept under. Raises like :meth:`open`."""
        return DropFolder(self._archive).open(kept_name)

    def put_back(self, kept_name: str, name: str) -> str:
        """Move a file from the archive into the inbox again; returns the name it has there."""
        free = next(n for n in (name, *_numbered(name)) if not os.path.lexists(self.inbox / n))
        os.rename(self._archive / kept_name, self.inbox / free)
        return free

    def sync(self) -> None:
        """Make moves into the archive and out of the inbox last through a power cut."""
        for folder in (self._archive, self.inbox):
            sync_folder(folder)

    def _status(self, path: Path) -> Fingerprint | None:
        try:
            return fingerprint_of(os.stat(path, follow_symlinks=False))
        except FileNotFoundError:
            return None


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _numbered(name: str) -> list[str]:
    stem, _, suffix = name.rpartition(".")
    return [f"{stem}-again{number}.{suffix}" for number in range(1, 1000)]


def _probe(folder: Path) -> None:
    if not folder.is_dir():
        raise NotADirectoryError(20, "it is not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(13, "no permission")
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        raise OSError(30, "the file system is read-only")


def _kind(mode: int) -> Kind:
    if stat.S_ISREG(mode):
        return Kind.FILE
    if stat.S_ISDIR(mode):
        return Kind.FOLDER
    return Kind.LINK if stat.S_ISLNK(mode) else Kind.OTHER
