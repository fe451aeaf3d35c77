"""Flow files and their originals."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime
from typing import Any, BinaryIO

import zstandard
from django.db import IntegrityError, transaction
from wattbook.errors import NotFound

from meter_service.domain.files import Counts, Outcome, Result
from meter_service.domain.problems import WARNINGS, Findings, Problem, Warned
from meter_service.domain.records import Header
from meter_service.models import FlowFile, FlowFileError, FlowFilePiece, FlowFileWarning
from meter_service.store.connection import explained

PIECE_BYTES = 1024 * 1024
_LEVEL = 3
State = FlowFile.State


def sha256_of(source: BinaryIO) -> str:
    """Of a whole file, hexadecimal; the file is back at its beginning then."""
    source.seek(0)
    found = hashlib.sha256()
    while piece := source.read(PIECE_BYTES):
        found.update(piece)
    source.seek(0)
    return found.hexdigest()


def known(sha256: str) -> FlowFile | None:
    """The file with that content, unless it was withdrawn."""
    with explained():
        return FlowFile.objects.filter(sha256=sha256).exclude(state=State.WITHDRAWN).first()


def receive(
    source: BinaryIO, *, name: str, member: str, sha256: str, way: str, sent_by: str, at: datetime
) -> FlowFile | None:
    """Keep a file's record and its original, in one transaction; None where it is known already.

    Raises:
        Unavailable: the store cannot be written now; nothing is kept.
    """
    try:
        with explained(), transaction.atomic(durable=True):
            file = FlowFile.objects.create(
                name=name, member=member, sha256=sha256, size_bytes=0, way=way, received_at=at,
                received_from=sent_by,
            )  # fmt: skip
            compress = zstandard.ZstdCompressor(level=_LEVEL).compress
            number = 0
            while piece := source.read(PIECE_BYTES):
                file.size_bytes += len(piece)
                FlowFilePiece.objects.create(flow_file=file, number=number, content=compress(piece))
                number += 1
            file.save(update_fields=["size_bytes"])
            return file
    except IntegrityError:
        if known(sha256) is None:
            raise
        return None


def original(file_id: int) -> Iterator[bytes]:
    """A file's bytes as they came, piece by piece."""
    decompress = zstandard.ZstdDecompressor().decompress
    pieces = FlowFilePiece.objects.filter(flow_file_id=file_id).order_by("number")
    for number in pieces.values_list("number", flat=True):  # one at a time: a piece is a mebibyte
        with explained():
            content = FlowFilePiece.objects.values_list("content", flat=True).get(
                flow_file_id=file_id, number=number
            )
        yield decompress(bytes(content), max_output_size=PIECE_BYTES)


def received() -> list[int]:
    """The files that wait to be imported, oldest first."""
    with explained():
        return list(FlowFile.objects.filter(state=State.RECEIVED).order_by("id").values_list("id", flat=True))


def named(file_id: int) -> FlowFile:
    """The record.

    Raises:
        NotFound: there is none.
    """
    with explained():
        file = FlowFile.objects.filter(pk=file_id).first()
    if file is None:
        raise NotFound(f"there is no flow file {file_id}")
    return file


def write_withdrawn(file: FlowFile, by: str, reason: str, at: datetime) -> None:
    """By whom and why; within the transaction that takes its readings away."""
    file.state = State.WITHDRAWN
    file.withdrawn_by, file.withdrawn_reason, file.withdrawn_at = by, reason, at
    file.save()


def write_header(file: FlowFile, header: Header) -> None:
    """Where a file came from, as it says; within the transaction of its import."""
    kept: Any = file
    kept.kind = header.version if header.version in {"NEM12", "NEM13"} else ""
    kept.header_created_at, kept.header_from, kept.header_to = (
        header.created_at,
        header.sender,
        header.recipient,
    )
    kept.save()


def write_imported(file: FlowFile, outcome: Outcome, at: datetime) -> None:
    """The end of an import, within its transaction."""
    _fill(file, outcome, at)
    file.state = State.IMPORTED
    file.records, file.stored = outcome.counts.records, outcome.counts.stored
    file.duplicates, file.superseded = outcome.counts.duplicates, outcome.counts.superseded
    file.save()


def write_rejected(file: FlowFile, outcome: Outcome, at: datetime) -> None:
    """Why a file was rejected; of its records nothing is stored."""
    _fill(file, outcome, at)
    file.state = State.REJECTED
    file.records = file.stored = file.duplicates = file.superseded = 0
    file.save()
    FlowFileError.objects.bulk_create(
        FlowFileError(
            flow_file=file, number=number, line=error.line, record=error.record, field=error.field,
            found=error.found, expected=error.expected,
        )
        for number, error in enumerate(outcome.findings.errors)
    )  # fmt: skip


def outcome_of(file: FlowFile, result: Result | None = None) -> Outcome:
    """What is kept of a file's import."""
    findings = Findings(
        errors=[
            Problem(error.line, error.record, error.field, error.found, error.expected)
            for error in file.errors.order_by("number")
        ],
        error_count=file.error_count,
        warnings={each.kind: Warned(each.count, each.lines) for each in file.warnings.order_by("kind")},
    )
    return Outcome(
        name=file.name, member=file.member, result=result or Result(file.state), file_id=file.pk,
        sha256=file.sha256,
        counts=Counts(file.records, file.stored, file.duplicates, file.superseded), findings=findings,
    )  # fmt: skip


def _fill(file: FlowFile, outcome: Outcome, at: datetime) -> None:
    if outcome.header is not None:
        write_header(file, outcome.header)
    file.finished_at = at
    file.warning_count, file.error_count = outcome.findings.warning_count, outcome.findings.error_count
    file.errors.all().delete()
    file.warnings.all().delete()
    FlowFileWarning.objects.bulk_create(
        FlowFileWarning(
            flow_file=file, kind=kind, text=WARNINGS[kind], count=warned.count, lines=warned.lines
        )
        for kind, warned in outcome.findings.warnings.items()
    )
