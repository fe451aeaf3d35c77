"""What the store holds, in the words of ``meters.proto``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime

from wattbook.clock import to_epoch_us
from wattbook_proto import meters_pb2

from meter_service.domain.codes import quality_words, reason_words
from meter_service.domain.files import Outcome, Result
from meter_service.domain.problems import WARNINGS, Problem
from meter_service.models import FlowFile, FlowFileError, Reading, Register, ServiceOrder
from meter_service.store import files

ERRORS_TOLD = 20
STATES = {
    FlowFile.State.RECEIVED: meters_pb2.RECEIVED,
    FlowFile.State.IMPORTED: meters_pb2.IMPORTED,
    FlowFile.State.REJECTED: meters_pb2.REJECTED,
    FlowFile.State.WITHDRAWN: meters_pb2.WITHDRAWN,
}
_RESULTS = {
    Result.IMPORTED: meters_pb2.RESULT_IMPORTED,
    Result.VALID: meters_pb2.RESULT_IMPORTED,
    Result.KNOWN: meters_pb2.RESULT_KNOWN,
    Result.REJECTED: meters_pb2.RESULT_REJECTED,
    Result.RECEIVED: meters_pb2.RESULT_RECEIVED,
}


def micros(instant: datetime | None) -> int:
    """Microseconds since 1970; 0 for none."""
    return to_epoch_us(instant) if instant is not None else 0


def file(row: FlowFile) -> meters_pb2.FlowFile:
    """A flow file without its warnings."""
    return meters_pb2.FlowFile(
        id=row.pk, name=row.name, member=row.member, sha256=row.sha256, size_bytes=row.size_bytes,
        kind=row.kind, state=STATES[FlowFile.State(row.state)], way=row.way,
        received_us=micros(row.received_at), received_from=row.received_from,
        finished_us=micros(row.finished_at), header_created_us=micros(row.header_created_at),
        header_from=row.header_from, header_to=row.header_to, records=row.records, stored=row.stored,
        duplicates=row.duplicates, superseded=row.superseded, warning_count=row.warning_count,
        error_count=row.error_count, withdrawn_us=micros(row.withdrawn_at), withdrawn_by=row.withdrawn_by,
        withdrawn_reason=row.withdrawn_reason,
    )  # fmt: skip


def whole_file(row: FlowFile) -> meters_pb2.FlowFile:
    """A flow file with its warnings."""
    found = file(row)
    for each in row.warnings.order_by("kind"):
        found.warnings.add(kind=each.kind, text=each.text, count=each.count, lines=each.lines)
    return found


def error(row: FlowFileError) -> meters_pb2.FileError:
    """A kept error; they are counted from 1."""
    return meters_pb2.FileError(
        number=row.number + 1, line=row.line, record=row.record, field=row.field, found=row.found,
        expected=row.expected,
    )  # fmt: skip


def upload_result(outcome: Outcome, size_bytes: int) -> meters_pb2.UploadResult:
    """What became of a file; of one that is not kept, its record is made of what was found."""
    if outcome.file_id is None:
        told = _looked_at(outcome, size_bytes)
    else:
        told = whole_file(files.named(outcome.file_id))
    errors = [_problem(number, each) for number, each in enumerate(outcome.findings.errors[:ERRORS_TOLD], 1)]
    return meters_pb2.UploadResult(result=_RESULTS[outcome.result], file=told, errors=errors)


def _looked_at(outcome: Outcome, size_bytes: int) -> meters_pb2.FlowFile:
    header, findings = outcome.header, outcome.findings
    found = meters_pb2.FlowFile(
        name=outcome.name, member=outcome.member, sha256=outcome.sha256, size_bytes=size_bytes,
        state=meters_pb2.REJECTED if findings.error_count else meters_pb2.RECEIVED,
        kind=header.version if header else "", header_from=header.sender if header else "",
        header_to=header.recipient if header else "", records=outcome.counts.records,
        header_created_us=(header.created_at or 0) * 1_000_000 if header else 0,
        warning_count=findings.warning_count, error_count=findings.error_count,
    )  # fmt: skip
    for kind, warned in sorted(findings.warnings.items()):
        found.warnings.add(kind=kind, text=WARNINGS[kind], count=warned.count, lines=warned.lines)
    return found


def _problem(number: int, found: Problem) -> meters_pb2.FileError:
    return meters_pb2.FileError(
        number=number, line=found.line, record=found.record, field=found.field, found=found.found,
        expected=found.expected,
    )  # fmt: skip


def readings(rows: Sequence[Reading], file_names: Mapping[int, str]) -> list[meters_pb2.Reading]:
    """Readings with their service orders."""
    orders: dict[int, list[meters_pb2.ServiceOrder]] = {}
    for order in ServiceOrder.objects.filter(reading_id__in=[row.pk for row in rows]).order_by("number"):
        told = meters_pb2.ServiceOrder(
            previous_code=order.previous_code, previous_order=order.previous_order,
            current_code=order.current_code, current_order=order.current_order,
        )  # fmt: skip
        orders.setdefault(order.reading_id, []).append(told)
    return [_reading(row, file_names.get(row.flow_file_id, ""), orders.get(row.pk, [])) for row in rows]


def _reading(row: Reading, file_name: str, orders: Sequence[meters_pb2.ServiceOrder]) -> meters_pb2.Reading:
    meter = row.register.meter
    return meters_pb2.Reading(
        id=row.pk, nmi=meter.meter_point.nmi, meter_serial=meter.serial,
        register_id=row.register.register_id, suffix=row.register.suffix, direction=row.direction,
        read_at_us=micros(row.read_at), value=row.value_text, unit=row.unit, quality=row.quality,
        method=row.method, reason_code=row.reason_code, quantity=row.quantity_text,
        quality_words=quality_words(row.quality, row.method, row.reason_code, row.reason_text),
        reason=reason_words(row.reason_code, row.reason_text), previous_value=row.previous_value_text,
        previous_read_at_us=micros(row.previous_read_at), previous_quality=row.previous_quality,
        next_read_on=_day(row.next_read_on), updated_us=micros(row.updated_at), current=row.is_current,
        flow_file_id=row.flow_file_id, flow_file_name=file_name, line=row.line, service_orders=orders,
    )  # fmt: skip


def register(
    row: Register, *, newest: Reading | None, last_actual: Reading | None, since: Reading | None, today: date
) -> meters_pb2.Register:
    """A register; ``since`` is its first reading after the last actual one, None where that is the newest."""
    found = meters_pb2.Register(
        register_id=row.register_id, suffix=row.suffix, unit=row.unit, direction=row.direction
    )
    for name, reading in (("last", newest), ("last_actual", last_actual)):
        if reading is not None:
            reading.register = row
            (told,) = readings([reading], {reading.flow_file_id: str(reading.flow_file)})
            getattr(found, name).CopyFrom(told)
    if newest is not None:
        due = newest.next_read_on
        found.next_read_on, found.overdue = _day(due), due is not None and due < today
        if since is not None:
            found.not_actual_since_us = micros(since.read_at)
            found.not_actual_reason = reason_words(newest.reason_code, newest.reason_text)
    return found


def _day(found: date | None) -> str:
    return found.isoformat() if found is not None else ""
