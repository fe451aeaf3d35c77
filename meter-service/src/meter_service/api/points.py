"""The page of a meter point, and the page of a reading."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from wattbook.errors import NotFound

from meter_service.api.chart import steps
from meter_service.api.pages import ROOT, rendered, site_of
from meter_service.api.readings import shown
from meter_service.api.words import day_text, time_text
from meter_service.domain.codes import QUALITIES, TRANSACTIONS, quality_words, reason_words
from meter_service.models import MARKET_TIME, MeterPoint, Reading, Register
from meter_service.store import browse
from meter_service.store.lines import raw_lines

SHOWN_DAYS = 731
MOST_SHOWN = 400
ACTUAL = "A"
_DIRECTIONS = {"E": "out of the grid", "I": "into the grid"}
_COMPARED = (
    ("value_text", "value"), ("quality", "quality"), ("method", "method"), ("reason_code", "reason"),
    ("reason_text", "reason in words"), ("quantity_text", "quantity"), ("unit", "unit"),
    ("direction", "direction"), ("previous_value_text", "previous value"),
    ("previous_read_at", "previous read at"), ("previous_quality", "previous quality"),
    ("next_read_on", "next scheduled read"), ("configuration", "configuration"),
    ("data_stream", "data stream"),
)  # fmt: skip


def point_page(request: HttpRequest, nmi: str) -> HttpResponse:
    """A meter point: how sure its newest reading is, its meters in time, its registers, two years.

    Raises:
        NotFound: there is none with this NMI.
    """
    point = MeterPoint.objects.filter(nmi=nmi.upper()).first()
    if point is None:
        raise NotFound(f"No meter point has the NMI {nmi[:40]}.")
    now = site_of(request).clock.now()
    registers = [_register(each, now) for each in browse.registers_of(point)]
    meters = _meters(registers)
    replaced = {meter["serial"]: meter["replaced_by"] for meter in meters}
    for each in registers:
        if by := replaced.get(each["serial"]):
            each["next"] = {"day": "", "words": f"none: replaced by {by}"}
            each["since"] = ""
            each["is_replaced"] = True
    registers.sort(key=lambda each: "is_replaced" in each)  # what is read now comes first
    return rendered(
        request, "point.html", section="readings", title=point.nmi, nmi=point.nmi, registers=registers,
        meters=meters, search=f"{ROOT}/?q={point.nmi}",
    )  # fmt: skip


def _register(register: Register, now: datetime) -> dict[str, Any]:
    newest, first = browse.newest(register), browse.oldest(register)
    last_actual = browse.newest(register, quality=ACTUAL)
    since = None
    if newest is not None and newest.quality != ACTUAL:
        since = browse.oldest(register, after=last_actual.read_at if last_actual else None)
    filters = browse.Filters(from_at=now - timedelta(days=SHOWN_DAYS))
    rows = list(browse.readings([register], filters, most=MOST_SHOWN + 1))
    return {
        "name": f"{register.register_id} {register.suffix}",
        "serial": register.meter.serial,
        "unit": register.unit,
        "direction": _DIRECTIONS.get(register.direction, register.direction),
        "first": first,
        "newest": newest,
        "newest_words": _words(newest),
        "newest_at": time_text(newest.read_at) if newest else "",
        "first_at": time_text(first.read_at) if first else "",
        "last_actual": last_actual,
        "last_actual_at": time_text(last_actual.read_at) if last_actual else "",
        "last_actual_address": f"{ROOT}/readings/{last_actual.pk}/" if last_actual else "",
        "since": time_text(since.read_at) if since else "",
        "since_words": QUALITIES.get(newest.quality, newest.quality) if newest and since else "",
        "reason": reason_words(newest.reason_code, newest.reason_text) if newest and since else "",
        "next": _next(newest, now),
        "rows": [shown(row) for row in rows[:MOST_SHOWN]],
        "is_cut": len(rows) > MOST_SHOWN,
        "chart": steps(rows[:MOST_SHOWN]),
        "at": (first.read_at, newest.read_at) if first and newest else None,
    }


def _words(row: Reading | None) -> str:
    return quality_words(row.quality, row.method, row.reason_code, row.reason_text) if row else ""


def _next(newest: Reading | None, now: datetime) -> dict[str, str]:
    """When the next read is due, and whether that day has passed."""
    due: date | None = newest.next_read_on if newest else None
    if due is None:
        return {"day": "", "words": "not scheduled in what was sent"}
    late = (now.astimezone(MARKET_TIME).date() - due).days
    if late <= 0:
        return {"day": day_text(due), "words": "in time"}
    return {"day": day_text(due), "words": f"{late} {'day' if late == 1 else 'days'} overdue", "late": "1"}


def _meters(registers: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The meters in time, first one first; each says what came before it."""
    spans: dict[str, tuple[datetime, datetime]] = {}
    for each in registers:
        if each["at"] is not None:
            first, last = each["at"]
            known = spans.get(each["serial"], (first, last))
            spans[each["serial"]] = (min(first, known[0]), max(last, known[1]))
    ordered = sorted(spans.items(), key=lambda item: item[1])
    found: list[dict[str, Any]] = []
    for serial, (first, last) in ordered:
        before = found[-1] if found else None
        is_exchange = before is not None and first >= before["until"]
        if before is not None and is_exchange:
            before["replaced_by"] = serial or "another meter"
        found.append(
            {
                "serial": serial,
                "first": time_text(first),
                "last": time_text(last),
                "until": last,
                "event": f"replaces {before['serial'] or 'another meter'}" if before and is_exchange else "",
                "replaced_by": "",
            }
        )
    return found


def reading_page(request: HttpRequest, reading_id: int) -> HttpResponse:
    """A reading: every version, what changed and by which file, the raw line, why it was read.

    Raises:
        NotFound: there is none of this number; it may have been withdrawn.
    """
    row = browse.reading(reading_id)
    if row is None:
        raise NotFound("There is no such reading. The file that brought it may have been withdrawn.")
    versions = browse.versions_of(row)
    previous = browse.reading_at(row.register_id, row.previous_read_at) if row.previous_read_at else None
    return rendered(
        request, "reading.html", section="readings", title=f"{row.value_text} {row.unit}",
        row=shown(row, str(row.flow_file)), reading=row, versions=_versions(versions, row),
        raw=raw_lines(row.flow_file_id, [row.line]).get(row.line, ""),
        orders=[
            {
                "previous": _order(order.previous_code, order.previous_order),
                "current": _order(order.current_code, order.current_order),
            }
            for order in row.service_orders.order_by("number")
        ],
        previous_at=time_text(row.previous_read_at),
        previous_words=_previous_words(row),
        previous_address=f"{ROOT}/readings/{previous.pk}/" if previous else "",
        next_day=day_text(row.next_read_on), updated_at=time_text(row.updated_at),
        loaded_at=time_text(row.loaded_at),
        others=[
            (f"{ROOT}/flow-files/{each.flow_file_id}/", str(each.flow_file), each.line)
            for each in row.other_sources.select_related("flow_file").order_by("flow_file_id", "line")[:20]
        ],
    )  # fmt: skip


def _order(code: str, order: str) -> str:
    words = TRANSACTIONS.get(code, code)
    return f"{words}, order {order}" if order else words


def _previous_words(row: Reading) -> str:
    quality, method = row.previous_quality[:1], row.previous_quality[1:]
    return quality_words(quality, method, row.previous_reason_code, row.previous_reason_text)


def _versions(versions: Sequence[Reading], at: Reading) -> list[dict[str, Any]]:
    """Each with what is different in it from the version that it came after."""
    return [
        {
            **shown(row, str(row.flow_file)),
            "is_this": row.pk == at.pk,
            "updated_at": time_text(row.updated_at),
            "changes": _changes(versions[place + 1], row) if place + 1 < len(versions) else [],
            "is_first": place + 1 == len(versions),
        }
        for place, row in enumerate(versions)
    ]


def _changes(before: Reading, after: Reading) -> list[dict[str, str]]:
    return [
        {"name": words, "before": _field(before, name), "after": _field(after, name)}
        for name, words in _COMPARED
        if getattr(before, name) != getattr(after, name)
    ]


def _field(row: Reading, name: str) -> str:
    found = getattr(row, name)
    return time_text(found) if isinstance(found, datetime) else str(found if found is not None else "") or "–"
