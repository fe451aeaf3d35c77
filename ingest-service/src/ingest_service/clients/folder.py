"""The drop folder: what lies in it, whether a file is whole, and moving it to where it is kept."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from ingest_service.clients.source import SourceFile, fingerprint_of
from ingest_service.domain import (
    METERS,
    Entry,
    Fingerprint,
    FolderTrouble,
    Kind,
    NotYet,
    Writer,
    kept_names,
)

ARCHIVE, REJECTED = "archive", "rejected"
# No link is followed, and opening a pipe does not wait for its writer.
_OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_OWN_MODE = 0o750  # what lies there is the desk's trades


class DropFolder:
    """``inbox`` with ``archive/``, ``rejected/`` and ``meters/`` under it, on its file system.

    A file in ``meters/`` is named with its folder; it is archived as those of the inbox are.

    Whoever writes into the inbox may put anything in place of the three: they are opened anew for every step,
    never through a link, and what is done is done inside the folder that was opened.
    """

    def __init__(self, inbox: Path) -> None:
        """Nothing is touched before :meth:`prepare`."""
        self.inbox = inbox

    def prepare(self) -> None:
        """Make what is missing, the inbox itself only where its parent exists (a lost mount stays lost).

        Raises:
            FolderTrouble: one of the four cannot be made or written to, or is no folder of ours.
        """
        with self._named(self.inbox), contextlib.suppress(FileExistsError):
            self.inbox.mkdir()
        for name in ("", ARCHIVE, REJECTED, METERS):
            with self._named(self.inbox / name), self._inbox() as inbox:
                if name:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(name, 0o777 if name == METERS else _OWN_MODE, dir_fd=inbox)
                with _subfolder(inbox, name) as folder:
                    _probe(folder)
                    if name in (ARCHIVE, REJECTED):
                        _hide_from_others(folder)

    @contextlib.contextmanager
    def rejected(self) -> Iterator[int]:
        """The folder of refused rows, open; :mod:`os` takes it as ``dir_fd``.

        Raises:
            OSError: it is no folder of ours.
        """
        with self._inbox() as inbox, _subfolder(inbox, REJECTED) as folder:
            yield folder

    def remove_leftovers(self) -> None:
        """Remove temporary files that a killed process left among the rejected rows."""
        with self.rejected() as folder:
            for name in os.listdir(folder):
                if name.startswith(".") and name.endswith(".part"):
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(name, dir_fd=folder)

    def entries(self) -> list[Entry]:
        """What lies in the inbox now, by name.

        Raises:
            FolderTrouble: it cannot be read.
        """
        found = []
        try:
            for folder in ("", METERS):
                with self._inbox() as inbox, _subfolder(inbox, folder) as descriptor:
                    for name in os.listdir(descriptor):
                        with contextlib.suppress(FileNotFoundError):
                            status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                            whole = f"{folder}/{name}" if folder else name
                            found.append(Entry(whole, _kind(status.st_mode), fingerprint_of(status)))
        except OSError as error:
            raise FolderTrouble(f"cannot read {self.inbox}: {error.strerror}") from error
        return sorted(found, key=lambda entry: entry.name)

    @contextlib.contextmanager
    def open(self, name: str, *, archived: bool = False) -> Iterator[SourceFile]:
        """The file under ``name``, held open: what is read stays that file, whatever is put in its place.

        Raises:
            NotYet: it is gone, or no longer a file.
            FolderTrouble: it cannot be read.
        """
        try:
            base, place = (name, ARCHIVE) if archived else _base_and_folder(name)
            with self._inbox() as inbox, _subfolder(inbox, place) as folder:
                descriptor = os.open(base, _OPEN_FLAGS, dir_fd=folder)
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
        with self._both() as (_, archive), self.rejected() as rejected:
            return next(
                kept
                for kept in kept_names(name)
                if _status(archive, kept) is None
                and _status(rejected, kept) is None
                and not is_reserved(kept)
            )

    def archive(self, source: SourceFile, kept_name: str, *, as_read: Fingerprint) -> None:
        """Move ``source`` into the archive, for good; what was not read is put back.

        Raises:
            NotYet: it is gone from the inbox, or has changed since ``as_read``.
            FolderTrouble: it cannot be moved.
        """
        try:
            base, place = _base_and_folder(source.name)
            with self._both(place) as (folder, archive):
                if _status(folder, base) != as_read:
                    raise NotYet("it was changed or replaced meanwhile")
                source.sync()
                os.rename(base, kept_name, src_dir_fd=folder, dst_dir_fd=archive)
                # Only now can nobody open it by its name any more, so only now is the last look the last.
                moved = _status(archive, kept_name)
        except FileNotFoundError as error:
            raise NotYet("it is gone") from error
        except OSError as error:
            where = self.inbox / ARCHIVE / kept_name
            raise FolderTrouble(f"cannot move it to {where}: {error.strerror}") from error
        if moved is None or not moved.same_content(as_read) or source.writer() is Writer.OPEN:
            self.put_back(kept_name, source.name)
            raise NotYet("it was changed while it was moved")
        self.sync()

    def archived_size_bytes(self, kept_name: str) -> int | None:
        """How large a file in the archive is; None where it is not there."""
        with self._both() as (_, archive):
            found = _status(archive, kept_name)
        return None if found is None else found.size_bytes

    def put_back(self, kept_name: str, name: str) -> str:
        """Move a file from the archive into the inbox again; returns the name it has there."""
        base, place = _base_and_folder(name)
        with self._both(place) as (folder, archive):
            free = next(n for n in (base, *_numbered(base)) if _status(folder, n) is None)
            os.rename(kept_name, free, src_dir_fd=archive, dst_dir_fd=folder)
        return f"{place}/{free}" if place else free

    def sync(self) -> None:
        """Make moves into the archive and out of the inbox last through a power cut."""
        for place in ("", METERS):
            with self._both(place) as (folder, archive):
                os.fsync(archive)
                os.fsync(folder)

    @contextlib.contextmanager
    def _inbox(self) -> Iterator[int]:
        descriptor = os.open(self.inbox, _FOLDER_FLAGS)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def _both(self, place: str = "") -> Iterator[tuple[int, int]]:
        """Where files lie, and the archive."""
        with (
            self._inbox() as inbox,
            _subfolder(inbox, place) as folder,
            _subfolder(inbox, ARCHIVE) as archive,
        ):
            yield folder, archive

    @contextlib.contextmanager
    def _named(self, folder: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise FolderTrouble(f"cannot write to {folder}: {error.strerror}") from error


@contextlib.contextmanager
def _subfolder(inbox: int, name: str) -> Iterator[int]:
    """A folder in the inbox, open; the inbox itself for ``""``.

    Raises:
        OSError: it is none; a link to one is none either.
    """
    try:
        descriptor = os.open(name or ".", _FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=inbox)
    except NotADirectoryError as error:
        raise NotADirectoryError(error.errno, "it is not a folder") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _status(folder: int, name: str) -> Fingerprint | None:
    try:
        return fingerprint_of(os.stat(name, dir_fd=folder, follow_symlinks=False))
    except FileNotFoundError:
        return None


def _base_and_folder(name: str) -> tuple[str, str]:
    """A file's own name, and which folder of the inbox it lies in."""
    place, _, base = name.rpartition("/")
    return (base, METERS) if place == METERS else (name, "")


def _numbered(name: str) -> list[str]:
    stem, dot, suffix = name.rpartition(".") if "." in name else (name, "", "")
    return [f"{stem}-again{number}{dot}{suffix}" for number in range(1, 1000)]


def _probe(folder: int) -> None:
    if not os.access(".", os.W_OK | os.X_OK, dir_fd=folder):
        raise PermissionError(13, "no permission")
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        raise OSError(30, "the file system is read-only")


def _hide_from_others(folder: int) -> None:
    mode = stat.S_IMODE(os.fstat(folder).st_mode)
    if mode & stat.S_IRWXO:
        with contextlib.suppress(PermissionError):  # somebody else made it, and decides
            os.fchmod(folder, mode & ~stat.S_IRWXO)


def _kind(mode: int) -> Kind:
    if stat.S_ISREG(mode):
        return Kind.FILE
    if stat.S_ISDIR(mode):
        return Kind.FOLDER
    return Kind.LINK if stat.S_ISLNK(mode) else Kind.OTHER
