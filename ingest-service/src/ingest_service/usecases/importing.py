"""One file from the inbox to the gateway and into the archive, in steps that may be interrupted anywhere.

A pass over the file for its hash, one upload, and one parse by the parser that the gateway uses too: the
answer says which rows were refused, so the same rows make ``rejected/`` and the reconciliation.

The order makes it safe: the ledger knows the content before the upload, the gateway counts what it already
has as duplicates, refused rows and the reconciliation are kept before the ledger says "uploaded", and it says
"done" only after the original is in the archive. Whatever step a killed process was in, doing it again is
right.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from wattbook import telemetry
from wattbook.clock import Clock

from ingest_service.clients import Body, DropFolder, Gateway, SourceFile, keep_rejected
from ingest_service.domain import (
    ArchivedFile,
    Counts,
    FileRecord,
    FileRefused,
    FileState,
    Fingerprint,
    ListedRow,
    NotYet,
    Writer,
    WriterUnknown,
    date_warning,
    is_flow_file,
    shown,
)
from ingest_service.store import Ledger
from ingest_service.usecases.file_rows import FileRows
from ingest_service.usecases.reconciliation import Reconciler

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class Importer:
    """Imports the files of a drop folder, one at a time."""

    def __init__(
        self,
        *,
        folder: DropFolder,
        ledger: Ledger,
        gateway: Gateway,
        clock: Clock,
        reconciler: Reconciler | None = None,
    ) -> None:
        """``reconciler`` is None where the exchange's feed is not listened to."""
        self.folder = folder
        self.ledger = ledger
        self.gateway = gateway
        self.clock = clock
        self._reconciler = reconciler
        self.stopping = threading.Event()

    async def import_file(self, name: str, *, trust_stillness: bool) -> FileRecord:
        """Book the file under ``name`` and archive it; the record says what became of it.

        Where the system cannot tell whether somebody still writes to it, it is only taken if it stood still
        for long enough to ``trust_stillness``.

        Raises:
            NotYet: it is not whole, or was changed or replaced meanwhile.
            WriterUnknown: it must stand still for longer.
            Unavailable: the gateway, a folder or the ledger is not usable now; trying again is safe.
        """
        with self.folder.open(name) as source:
            writer = source.writer()
            if writer is Writer.OPEN:
                raise NotYet("it is open for writing")
            if writer is Writer.UNKNOWN and not trust_stillness:
                raise WriterUnknown("nobody can tell whether it is still written to")
            as_read = source.fingerprint()
            digest = await self.in_thread(partial(source.digest, keep_going=self._keep_going))
            if source.fingerprint() != as_read:
                raise NotYet("it was changed while it was read")
            odd_dates = date_warning(source.name, digest.delivery_days)
            with telemetry.entering("take in file", kind="internal", request_id=f"file-{digest.sha256[:16]}"):
                return await self._import(source, digest.sha256, as_read, odd_dates)

    async def finish_interrupted(self) -> None:
        """Finish what a stopped process left between the archive and the ledger; remove temporary files.

        Raises:
            Unavailable: a folder or the ledger is not usable now.
        """
        await self.in_thread(self.folder.remove_leftovers)
        for record in await self.in_thread(self.ledger.unfinished):
            if record.kept_name is not None:
                await self._finish(record, record.kept_name)

    def take_back_grown(self, *, since_us: int) -> None:
        """Put files that were archived since then and have grown back into the inbox: they were not whole.

        Raises:
            Unavailable: a folder or the ledger is not usable now.
        """
        for kept in self.ledger.archived(since_us=since_us):
            size_bytes = self.folder.archived_size_bytes(kept.kept_name)
            if size_bytes == kept.size_bytes:
                continue
            if size_bytes is not None:
                back_as = self.folder.put_back(kept.kept_name, kept.name)
                _log.warning(
                    "%s was written to after it was archived, from %s to %s bytes; it is imported again",
                    shown(back_as), kept.size_bytes, size_bytes,
                )  # fmt: skip
            self.ledger.not_archived(kept.kept_name)

    async def in_thread(self, work: Callable[[], _T]) -> _T:
        """Run ``work`` beside the event loop; where this is cancelled, wait for its end first.

        So no thread uses a file that was closed under it.
        """
        running = asyncio.ensure_future(asyncio.to_thread(work))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            self.stopping.set()
            await asyncio.gather(running, return_exceptions=True)
            raise

    def _keep_going(self) -> bool:
        return not self.stopping.is_set()

    async def _import(
        self, source: SourceFile, sha256: str, as_read: Fingerprint, odd_dates: str | None
    ) -> FileRecord:
        name = shown(source.name)
        note = partial(self.ledger.note, sha256=sha256, name=name, size_bytes=as_read.size_bytes)
        record = await self.in_thread(note)
        if record.state is FileState.DONE:
            return await self._import_again(source, record, as_read)
        if record.state is FileState.FOUND and is_flow_file(source.name):
            why = await self._hand_over(source, sha256, as_read)
            if why:
                kept = await self._reserve(source.name, sha256)
                await self.in_thread(partial(keep_rejected, self.folder, kept, source.chunks(), why))
            refusal = why.partition("\n")[0] or None
            await self.in_thread(partial(self.ledger.uploaded, sha256, counts=Counts(), refusal=refusal))
        elif record.state is FileState.FOUND:
            if odd_dates:
                _log.warning("the dates of %s are odd; it is booked all the same: %s", name, odd_dates)
            await self._book(source, sha256, as_read)
        kept_name = await self._reserve(source.name, sha256)
        try:
            await self.in_thread(partial(self.folder.archive, source, kept_name, as_read=as_read))
        except NotYet:
            await self.in_thread(partial(self.ledger.reopened, sha256))
            raise
        await self.in_thread(partial(self.ledger.done, sha256))
        return await self.in_thread(partial(self.ledger.get, sha256))

    async def _import_again(self, source: SourceFile, record: FileRecord, as_read: Fingerprint) -> FileRecord:
        """A content that is known: nothing is new in it, but what it is reconciled with may be.

        A flow file is handed over again: it may have been withdrawn meanwhile.
        """
        why = ""
        if is_flow_file(source.name):
            why = await self._hand_over(source, record.sha256, as_read)
        elif record.refusal is None and self._reconciler is not None:
            await self._book(source, record.sha256, as_read, again=True)

        def archive() -> str:
            kept_name = self.folder.free_name(source.name, is_reserved=self.ledger.is_promised)
            if why:
                keep_rejected(self.folder, kept_name, source.chunks(), why)
            self.folder.archive(source, kept_name, as_read=as_read)
            self.ledger.archived_again(ArchivedFile(kept_name, shown(source.name), as_read.size_bytes))
            return kept_name

        kept_name = await self.in_thread(archive)
        refused_then = f"; it was refused then: {record.refusal}" if record.refusal else ""
        _log.info(
            "%s is a duplicate of %s%s",
            shown(source.name),
            record.first_name,
            refused_then,
            extra={"kept_as": kept_name, "sha256": record.sha256},
        )
        return replace(record, kept_name=kept_name, refusal=None, counts=Counts())

    async def _book(
        self, source: SourceFile, sha256: str, as_read: Fingerprint, *, again: bool = False
    ) -> None:
        """Book the rows; on return refused ones are in their file, the days reconciled, the ledger says so.

        Of a file that comes ``again`` only the reconciliation is kept.
        """
        rows = FileRows(source, folder=self.folder, key=sha256, keep_going=self._keep_going)
        if self._reconciler is not None:
            rows.compare_with(await self.in_thread(partial(self._reconciler.begin, self._keep_going)))
        try:
            counts, refusal = Counts(), None
            try:
                counts = await self._book_rows(source, sha256, as_read, rows)
            except FileRefused as error:
                refusal = error.message
            if source.fingerprint() != as_read:
                raise NotYet("it was changed or replaced while it was uploaded")
            if refusal is None:
                await self.in_thread(partial(rows.finish, name=shown(source.name), sha256=sha256))
            elif not again:
                await self.in_thread(partial(rows.refuse_all, f"the whole file was refused: {refusal}"))
            if again:
                return
            if refusal is not None or counts.refused:
                kept_name = await self._reserve(source.name, sha256)
                await self.in_thread(partial(rows.rejected.publish, kept_name))
            await self.in_thread(partial(self.ledger.uploaded, sha256, counts=counts, refusal=refusal))
        finally:
            rows.rejected.discard()

    async def _hand_over(self, source: SourceFile, sha256: str, as_read: Fingerprint) -> str:
        """Send a flow file; why it is rejected, "" where it is in."""
        name = shown(source.name.rpartition("/")[2])

        async def send(body: Body) -> str:
            return await self.gateway.upload_flow_file(body=body, size_bytes=as_read.size_bytes, name=name)

        try:
            why = await self._upload(source, sha256, as_read, send)
        except FileRefused as error:
            why = f"{error.message}\n"
        if source.fingerprint() != as_read:
            raise NotYet("it was changed or replaced while it was uploaded")
        return why

    async def _book_rows(
        self, source: SourceFile, sha256: str, as_read: Fingerprint, rows: FileRows
    ) -> Counts:
        async def on_refused(refused: Sequence[ListedRow]) -> None:
            await self.in_thread(partial(rows.refuse, refused))

        async def send(body: Body) -> Counts:
            return await self.gateway.upload(body=body, size_bytes=as_read.size_bytes, on_refused=on_refused)

        return await self._upload(source, sha256, as_read, send)

    async def _upload(
        self, source: SourceFile, sha256: str, as_read: Fingerprint, send: Callable[[Body], Awaitable[_T]]
    ) -> _T:
        """What ``send`` answers, given the content; it is the one that was hashed.

        Raises:
            NotYet: it was changed meanwhile.
        """
        hashed = hashlib.sha256()

        def read_and_hash(offset: int) -> bytes:
            chunk = source.read(offset)[: as_read.size_bytes - offset]
            hashed.update(chunk)
            return chunk

        async def body() -> AsyncIterator[bytes]:
            nonlocal hashed
            hashed = hashlib.sha256()
            offset = 0
            while offset < as_read.size_bytes:
                chunk = await self.in_thread(partial(read_and_hash, offset))
                if not chunk:
                    raise NotYet("it became shorter while it was uploaded")
                offset += len(chunk)
                yield chunk

        answer = await send(body)
        if hashed.hexdigest() != sha256:
            raise NotYet("it was changed while it was uploaded")
        return answer

    async def _reserve(self, name: str, sha256: str) -> str:
        def reserve() -> str:
            return self.ledger.reserve(
                sha256, choose=lambda promised: self.folder.free_name(name, is_reserved=promised)
            )

        return await self.in_thread(reserve)

    async def _finish(self, record: FileRecord, kept_name: str) -> None:
        def is_archived() -> bool:
            with self.folder.open(kept_name, archived=True) as source:
                if source.digest(keep_going=self._keep_going).sha256 == record.sha256:
                    return source.writer() is not Writer.OPEN
            back_as = self.folder.put_back(kept_name, record.first_name)
            _log.warning("%s grew after it was uploaded; it is imported again", shown(back_as))
            return False

        try:
            if await self.in_thread(is_archived):
                await self.in_thread(self.folder.sync)
                await self.in_thread(partial(self.ledger.done, record.sha256))
                _log.info("%s was archived before the last stop", record.first_name)
            else:
                await self.in_thread(partial(self.ledger.reopened, record.sha256))
        except NotYet:
            return  # still in the inbox, so the usual way ends well; or somebody took it away
