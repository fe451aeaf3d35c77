"""Flow files in, by whatever way: kept first, then read, checked and stored in one transaction a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from wattbook.clock import Clock
from wattbook.errors import Conflict

from meter_service.domain.files import Outcome, Result, base_name
from meter_service.domain.nem13 import Reader
from meter_service.models import FlowFile
from meter_service.store import connection, files
from meter_service.store.readings import Importing
from meter_service.usecases.archives import opened

_CHUNK_BYTES = 262_144


class _Rejected(Exception):  # ends a transaction that has stored too much
    """A file has errors."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sent a file, and which way it came: command, folder, upload or API."""

    name: str
    way: str


def import_file(source: BinaryIO, *, name: str, sender: Sender, clock: Clock) -> Iterator[Outcome]:
    """A flow file, or each member of an archive; an archive that is refused is kept as one rejected file.

    Raises:
        Unavailable: the store cannot be used now. A file that was kept before stays *received*.
    """
    name = base_name(name)
    for given in opened(source):
        if given.content is not None:
            yield _taken(given.content, name, given.member, sender, clock)
        elif given.member:
            yield _without_content(name, given.member, given.reason)
        else:
            yield _taken(source, name, "", sender, clock, refusal=given.reason)


def look_at(source: BinaryIO, *, name: str) -> Iterator[Outcome]:
    """What :func:`import_file` would say of a file or of each member; nothing is kept."""
    name = base_name(name)
    for given in opened(source):
        if given.content is None:
            yield _without_content(name, given.member, given.reason)
            continue
        sha256 = files.sha256_of(given.content)
        if (file := files.known(sha256)) is not None:
            yield files.outcome_of(file, Result.KNOWN)
            continue
        reader = Reader(_chunks(given.content), name=given.member or name)
        for _ in reader.batches():
            pass
        outcome = Outcome(
            name, Result.REJECTED if reader.findings.error_count else Result.VALID, member=given.member,
            sha256=sha256, header=reader.header, findings=reader.findings,
        )  # fmt: skip
        outcome.counts.records = reader.records
        yield outcome


def import_received(file_id: int, *, clock: Clock) -> Outcome:
    """Import a file that was kept, unless that is done already.

    Raises:
        NotFound: there is no such file.
        Unavailable: the store cannot be used now; the file stays *received*.
    """
    try:
        with connection.writing():
            file = files.named(file_id)
            if file.state != files.State.RECEIVED:
                return files.outcome_of(file)
            outcome = _stored(file)
            files.write_imported(file, outcome, clock.now())
            return outcome
    except _Rejected as rejected:
        return _reject(file_id, rejected.outcome, clock)


def catch_up(*, clock: Clock) -> list[Outcome]:
    """Import what was kept and not imported, because its process ended; several replicas may try at once."""
    return [import_received(file_id, clock=clock) for file_id in files.received()]


def retry(file_id: int, *, clock: Clock) -> Outcome:
    """Try a rejected file again.

    Raises:
        NotFound: there is no such file.
        Conflict: it is imported or withdrawn.
    """
    with connection.writing():
        file = files.named(file_id)
        if file.state not in {files.State.REJECTED, files.State.RECEIVED}:
            raise Conflict(f"the file is {file.state}; only a rejected one can be tried again")
        file.state = files.State.RECEIVED
        file.save(update_fields=["state"])
    return import_received(file_id, clock=clock)


def _taken(
    content: BinaryIO, name: str, member: str, sender: Sender, clock: Clock, *, refusal: str = ""
) -> Outcome:
    """One flow file, or an archive that is refused."""
    sha256 = files.sha256_of(content)
    file = None
    if (known := files.known(sha256)) is None:
        file = files.receive(
            content,
            name=name,
            member=member,
            sha256=sha256,
            way=sender.way,
            sent_by=sender.name,
            at=clock.now(),
        )
    if file is None:
        known = known or files.known(sha256)
        assert known is not None
        if known.state == files.State.RECEIVED:  # its process ended, or works on it now
            import_received(known.pk, clock=clock)
            known.refresh_from_db()
        return files.outcome_of(known, Result.KNOWN)
    if refusal:
        outcome = _without_content(name, member, refusal)
        outcome.file_id, outcome.sha256 = file.pk, sha256
        return _reject(file.pk, outcome, clock)
    return import_received(file.pk, clock=clock)


def _stored(file: FlowFile) -> Outcome:
    """A file's readings, stored within the transaction of its import.

    Raises:
        _Rejected: it has errors.
    """
    reader = Reader(files.original(file.pk), name=base_name(file.member or file.name))
    outcome = Outcome(
        file.name,
        Result.IMPORTED,
        member=file.member,
        file_id=file.pk,
        sha256=file.sha256,
        findings=reader.findings,
    )
    importing: Importing | None = None
    for batch in reader.batches():
        if importing is None:
            assert reader.header is not None  # or there would be no readings
            files.write_header(file, reader.header)  # versions are compared by it
            importing = Importing(file.pk, file.sha256, reader.header.created_at, reader.findings)
        importing.add(batch)
    outcome.header = reader.header
    if reader.findings.error_count:
        outcome.result = Result.REJECTED
        raise _Rejected(outcome)
    if importing is not None:
        outcome.counts = importing.counts
    return outcome


def _reject(file_id: int, outcome: Outcome, clock: Clock) -> Outcome:
    with connection.writing():
        file = files.named(file_id)
        if file.state == files.State.RECEIVED:
            files.write_rejected(file, outcome, clock.now())
    return outcome


def _without_content(name: str, member: str, reason: str) -> Outcome:
    outcome = Outcome(name, Result.REJECTED if reason else Result.LEFT_ALONE, member=member, reason=reason)
    if reason:
        outcome.findings.error(0, "", "", "", reason)
    return outcome


def _chunks(content: BinaryIO) -> Iterable[bytes]:
    while chunk := content.read(_CHUNK_BYTES):
        yield chunk
