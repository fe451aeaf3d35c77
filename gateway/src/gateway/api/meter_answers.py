"""Flow files and readings as JSON and CSV: values as decimal text, instants in market time (+10:00)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta, timezone
from typing import Any

from wattbook.clock import from_epoch_us
from wattbook.text import without_formula
from wattbook_proto import meters_pb2

MARKET_TIME = timezone(timedelta(hours=10))  # all year
STATES = {
    "received": meters_pb2.RECEIVED,
    "imported": meters_pb2.IMPORTED,
    "rejected": meters_pb2.REJECTED,
    "withdrawn": meters_pb2.WITHDRAWN,
}
RESULTS: dict[int, str] = {
    meters_pb2.RESULT_IMPORTED: "imported",
    meters_pb2.RESULT_KNOWN: "known",
    meters_pb2.RESULT_REJECTED: "rejected",
}
_STATE_NAMES: dict[int, str] = {number: name for name, number in STATES.items()}
_NUMBERS = frozenset({"value", "quantity", "previous_value"})


def instant(epoch_us: int) -> str | None:
    """RFC 3339 at +10:00, to the second where it is whole; None for 0."""
    return from_epoch_us(epoch_us).astimezone(MARKET_TIME).isoformat() if epoch_us else None


def file(found: meters_pb2.FlowFile) -> dict[str, Any]:
    """A flow file without its warnings, as in a list."""
    return {
        "id": found.id or None,
        "name": found.name,
        "member": found.member or None,
        "sha256": found.sha256,
        "size_bytes": found.size_bytes,
        "kind": found.kind or None,
        "state": _STATE_NAMES.get(found.state),
        "way": found.way,
        "received": instant(found.received_us),
        "received_from": found.received_from,
        "finished": instant(found.finished_us),
        "header_created": instant(found.header_created_us),
        "header_from": found.header_from or None,
        "header_to": found.header_to or None,
        "records": found.records,
        "stored": found.stored,
        "duplicates": found.duplicates,
        "superseded": found.superseded,
        "warning_count": found.warning_count,
        "error_count": found.error_count,
        "withdrawn": instant(found.withdrawn_us),
        "withdrawn_by": found.withdrawn_by or None,
        "withdrawn_reason": found.withdrawn_reason or None,
    }


def whole_file(found: meters_pb2.FlowFile) -> dict[str, Any]:
    """A flow file with its warnings."""
    warnings = [
        {"kind": each.kind, "text": each.text, "count": each.count, "lines": list(each.lines)}
        for each in found.warnings
    ]
    return {**file(found), "warnings": warnings}


def error(found: meters_pb2.FileError) -> dict[str, Any]:
    """Why a file was rejected."""
    return {
        "number": found.number,
        "line": found.line or None,
        "record": found.record or None,
        "field": found.field or None,
        "found": found.found or None,
        "expected": found.expected,
    }


def uploaded(found: meters_pb2.UploadResult) -> dict[str, Any]:
    """What became of a flow file that was sent."""
    errors = [error(each) for each in found.errors]
    return {"result": RESULTS.get(found.result), **whole_file(found.file), "errors": errors}


def why_rejected(results: Iterable[meters_pb2.UploadResult]) -> str:
    """In one line: of the first rejected file its first error, and how many there are."""
    for each in results:
        if each.file.state == meters_pb2.REJECTED:
            name = each.file.member or each.file.name
            first = f": {error_line(each.errors[0])}" if each.errors else ""
            more = each.file.error_count - 1
            return f"{name} is rejected{first}" + (f" (and {more} more)" if first and more > 0 else "")
    return "there is no flow file in it"


def error_line(found: meters_pb2.FileError) -> str:
    """An error in one line, naming line, record, field and what stood there."""
    place = " ".join(part for part in (found.record, found.field) if part)
    parts = (f"line {found.line}" if found.line else "", place, repr(found.found) if found.found else "")
    return ": ".join(part for part in (*parts, found.expected) if part)


def reading(found: meters_pb2.Reading) -> dict[str, Any]:
    """A reading with all that its record says."""
    return {
        "nmi": found.nmi,
        "meter_serial": found.meter_serial or None,
        "register_id": found.register_id,
        "suffix": found.suffix,
        "direction": found.direction or None,
        "read_at": instant(found.read_at_us),
        "value": found.value,
        "unit": found.unit,
        "quality": found.quality,
        "method": found.method or None,
        "quality_words": found.quality_words,
        "reason_code": found.reason_code or None,
        "reason": found.reason or None,
        "quantity": found.quantity or None,
        "previous_value": found.previous_value or None,
        "previous_read_at": instant(found.previous_read_at_us),
        "previous_quality": found.previous_quality or None,
        "next_read_on": found.next_read_on or None,
        "updated": instant(found.updated_us),
        "current": found.current,
        "flow_file_id": found.flow_file_id,
        "flow_file_name": found.flow_file_name,
        "line": found.line,
        "service_orders": [_order(each) for each in found.service_orders],
    }


def _order(found: meters_pb2.ServiceOrder) -> dict[str, Any]:
    return {
        "previous_code": found.previous_code or None,
        "previous_order": found.previous_order or None,
        "current_code": found.current_code or None,
        "current_order": found.current_order or None,
    }


def meter_point(found: meters_pb2.MeterPointReply) -> dict[str, Any]:
    """A meter point with its meters and their registers."""
    meters = [
        {
            "serial": meter.serial or None,
            "first_read_at": instant(meter.first_read_at_us),
            "last_read_at": instant(meter.last_read_at_us),
            "registers": [_register(each) for each in meter.registers],
        }
        for meter in found.meters
    ]
    return {"nmi": found.nmi, "check_digit": found.check_digit, "meters": meters}


def _register(found: meters_pb2.Register) -> dict[str, Any]:
    return {
        "register_id": found.register_id,
        "suffix": found.suffix,
        "unit": found.unit,
        "direction": found.direction or None,
        "last": reading(found.last) if found.HasField("last") else None,
        "last_actual": reading(found.last_actual) if found.HasField("last_actual") else None,
        "not_actual_since": instant(found.not_actual_since_us),
        "not_actual_reason": found.not_actual_reason or None,
        "next_read_on": found.next_read_on or None,
        "overdue": found.overdue,
    }


READING_COLUMNS = tuple(name for name in reading(meters_pb2.Reading()) if name != "service_orders")
FILE_COLUMNS = tuple(file(meters_pb2.FlowFile()))
ERROR_COLUMNS = tuple(error(meters_pb2.FileError()))


def as_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    """A header and a line a row; missing is empty, and no cell is a formula."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(name, row[name]) for name in columns] for row in rows)
    return out.getvalue().encode()


def _cell(name: str, value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return without_formula(value) if isinstance(value, str) and name not in _NUMBERS else value
