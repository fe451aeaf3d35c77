"""One file from the inbox to the gateway and into the archive, in steps that may be interrupted anywhere.

The order makes it safe: the ledger knows the content before the upload, the gateway counts what it
already has as duplicates, refused rows are on disk before the ledger says "uploaded", and it says "done"
only after the original is in the archive. Whatever step a killed process was in, doing it again is right.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import partial

from wattbook import telemetry
from wattbook.errors import WattbookError

from ingest_service.clients import RejectedFile, SourceFile
from ingest_service.domain import (
    Counts,
    Digest,
    FileRecord,
    FileRefused,
    FileState,
    Fingerprint,
    NotYet,
    RefusedRow,
    date_warning,
    shown,
)
from ingest_service.usecases.parts import Parts

_log = logging.getLogger(__name__)


async def take_in(parts: Parts, *, name: str, settled: bool) -> FileRecord:
    """Book the file under ``name`` and archive it; the record says what became of it.

    One that has not ``settled`` (stood still for long enough) is taken only where the system says for
    certain that nobody has it open for writing.

    Raises:
        NotYet: it is not whole, or was changed or replaced meanwhile.
        Unavailable: the gateway, a folder or the ledger is not usable now; trying again is safe.
    """
    with parts.folder.open(name) as source:
        is_open = source.is_open_for_writing()
        if is_open or (is_open is None and not settled):
            raise NotYet("it is open for writing")
        as_read = source.fingerprint()
        digest = await parts.in_thread(partial(source.digest, keep_going=parts.keep_going))
        if source.fingerprint() != as_read:
            raise NotYet("it was changed while it was read")
        with telemetry.entering("take in file", kind="internal", request_id=f"file-{digest.sha256[:16]}"):
            return await _take_in(parts, source, digest, as_read)


async def _take_in(parts: Parts, source: SourceFile, digest: Digest, as_read: Fingerprint) -> FileRecord:
    sha256, name = digest.sha256, shown(source.name)
    record = await parts.in_thread(
        partial(parts.ledger.note, sha256=sha256, name=name, size_bytes=as_read.size_bytes)
    )
    if record.state is FileState.DONE:
        return await _archive_duplicate(parts, source, record, as_read)
    if record.state is FileState.FOUND:
        odd_dates = date_warning(source.name, digest.delivery_days)
        if odd_dates:
            _log.warning("the dates of %s are odd; it is booked all the same: %s", name, odd_dates)
        await _upload(parts, source, sha256, as_read)
    await _tie_out(parts, source, sha256)
    kept_name = await _reserve(parts, source.name, sha256)
    try:
        await parts.in_thread(partial(parts.folder.archive, source, kept_name, as_read=as_read))
    except NotYet:
        await parts.in_thread(partial(parts.ledger.reopened, sha256))
        raise
    await parts.in_thread(partial(parts.ledger.done, sha256))
    return await parts.in_thread(partial(parts.ledger.get, sha256))


async def _tie_out(parts: Parts, source: SourceFile, sha256: str) -> None:
    """Compare with the feed while the file is still in the inbox, so that a killed process does it again."""
    if parts.tie_out is None:
        return
    record = await parts.in_thread(partial(parts.ledger.get, sha256))
    try:
        await parts.in_thread(partial(parts.tie_out.compare, source, record, keep_going=parts.keep_going))
    except (NotYet, WattbookError, OSError):
        raise
    except Exception:  # the rows are booked; a fault of ours must not keep the file out of the archive
        _log.exception("%s could not be compared with the feed", shown(source.name))


async def _upload(parts: Parts, source: SourceFile, sha256: str, as_read: Fingerprint) -> None:
    """Book the rows; on return the refused ones are in their file and the ledger says so."""
    rejected = RejectedFile(source, folder=parts.folder.rejected, key=sha256, keep_going=parts.keep_going)
    try:
        counts, refusal = Counts(), None
        try:
            counts = await _send(parts, source, sha256, as_read, rejected)
        except FileRefused as error:
            refusal = error.message
        if source.fingerprint() != as_read:
            raise NotYet("it was changed or replaced while it was uploaded")
        if refusal is not None:
            await parts.in_thread(rejected.discard)
            await parts.in_thread(partial(rejected.write_all, f"the whole file was refused: {refusal}"))
        if refusal is not None or counts.refused:
            kept_name = await _reserve(parts, source.name, sha256)
            await parts.in_thread(partial(rejected.publish, kept_name))
        await parts.in_thread(partial(parts.ledger.uploaded, sha256, counts=counts, refusal=refusal))
    finally:
        rejected.discard()


async def _send(
    parts: Parts, source: SourceFile, sha256: str, as_read: Fingerprint, rejected: RejectedFile
) -> Counts:
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
            chunk = await parts.in_thread(partial(read_and_hash, offset))
            if not chunk:
                raise NotYet("it became shorter while it was uploaded")
            offset += len(chunk)
            yield chunk

    async def on_refused(rows: Sequence[RefusedRow]) -> None:
        await parts.in_thread(partial(rejected.write, rows))

    counts = await parts.gateway.upload(body=body, size_bytes=as_read.size_bytes, on_refused=on_refused)
    if hashed.hexdigest() != sha256:
        raise NotYet("it was changed while it was uploaded")
    return counts


async def _reserve(parts: Parts, name: str, sha256: str) -> str:
    def reserve() -> str:
        return parts.ledger.reserve(
            sha256, choose=lambda promised: parts.folder.free_name(name, is_reserved=promised)
        )

    return await parts.in_thread(reserve)


async def _archive_duplicate(
    parts: Parts, source: SourceFile, record: FileRecord, as_read: Fingerprint
) -> FileRecord:
    await _tie_out(parts, source, record.sha256)

    def archive() -> str:
        kept_name = parts.folder.free_name(source.name, is_reserved=parts.ledger.is_promised)
        parts.folder.archive(source, kept_name, as_read=as_read)
        return kept_name

    kept_name = await parts.in_thread(archive)
    refused_then = f"; it was refused then: {record.refusal}" if record.refusal else ""
    _log.info(
        "%s is a duplicate of %s and was not uploaded%s",
        shown(source.name),
        record.first_name,
        refused_then,
        extra={"kept_as": kept_name, "sha256": record.sha256},
    )
    return replace(record, kept_name=kept_name, refusal=None, counts=Counts())


async def finish_interrupted(parts: Parts) -> None:
    """Finish what a stopped process left between the archive and the ledger, and remove its temporary files.

    Raises:
        Unavailable: a folder or the ledger is not usable now.
    """
    await parts.in_thread(parts.folder.remove_leftovers)
    for record in await parts.in_thread(parts.ledger.unfinished):
        if record.kept_name is not None:
            await _finish(parts, record, record.kept_name)


async def _finish(parts: Parts, record: FileRecord, kept_name: str) -> None:
    def is_archived() -> bool:
        with parts.folder.open_archived(kept_name) as source:
            if source.digest(keep_going=parts.keep_going).sha256 == record.sha256:
                return not source.is_open_for_writing()
        back_as = parts.folder.put_back(kept_name, record.first_name)
        _log.warning("%s grew after it was uploaded; it is taken in again", back_as)
        return False

    try:
        if await parts.in_thread(is_archived):
            await parts.in_thread(parts.folder.sync)
            await parts.in_thread(partial(parts.ledger.done, record.sha256))
            _log.info("%s was archived before the last stop", record.first_name)
        else:
            await parts.in_thread(partial(parts.ledger.reopened, record.sha256))
    except NotYet:
        return  # still in the inbox, so the usual way ends well; or somebody took it away
