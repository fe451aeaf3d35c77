"""The search for readings, as a page and as CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from wattbook.errors import InvalidInput
from wattbook.text import without_formula

from meter_service.api.pages import ROOT, rendered
from meter_service.api.wanted import Wanted, place_of, place_text, wanted
from meter_service.api.words import day_text, time_text
from meter_service.domain.codes import QUALITIES, quality_words
from meter_service.models import FlowFile, Reading
from meter_service.store import browse

PAGE_ROWS = 50
CSV_HEADER = (
    "NMI", "Meter serial number", "Register", "Suffix", "Direction", "Value", "Read at (UTC+10)", "Quality",
    "Quality in words", "Quantity", "Unit", "Previous value", "Previous read at (UTC+10)",
    "Next scheduled read", "Updated at (UTC+10)", "Version", "Flow file", "Line",
)  # fmt: skip


def search_page(request: HttpRequest) -> HttpResponse:
    """What is looked for, a page of it."""
    try:
        asked = wanted(request.GET.dict())
        view = _view(request, asked)
        problem, status = "", 200
    except InvalidInput as error:
        asked, view = Wanted(text=request.GET.get("q", "")[:200]), {}
        problem, status = error.message, 400
    file = FlowFile.objects.filter(pk=asked.filters.file_id).first() if asked.filters.file_id else None
    return rendered(
        request, "search.html", status=status, section="readings", asked=asked, problem=problem, file=file,
        qualities=QUALITIES, csv_address=f"{ROOT}/readings/csv{asked.address()}", **view,
    )  # fmt: skip


def readings_csv(request: HttpRequest) -> StreamingHttpResponse:
    """All that a search fits, as it is read.

    Raises:
        InvalidInput: nothing, or nothing right, is looked for.
    """
    asked = wanted(request.GET.dict())
    if not asked.words and asked.filters.file_id is None:
        raise InvalidInput("Look for an NMI or a serial number first; an empty search lists nothing.")
    rows = _every(asked)
    response = StreamingHttpResponse(_lines(rows), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="readings.csv"'
    return response


def _every(asked: Wanted) -> Iterator[Reading]:
    if asked.words:
        return browse.readings(browse.find(asked.words).registers, asked.filters)
    return browse.every_reading_of_file(asked.filters)


def _view(request: HttpRequest, asked: Wanted) -> dict[str, Any]:
    if not asked.words:
        return _of_file(request, asked) if asked.filters.file_id is not None else {"is_empty": True}
    found = browse.find(asked.words)
    after, before = place_of(request.GET.get("after", "")), place_of(request.GET.get("before", ""))
    if before is not None:
        rows = browse.readings_before(found.registers, asked.filters, before=before, most=PAGE_ROWS + 1)
        more_before, more_after = len(rows) > PAGE_ROWS, True
        rows = rows[-PAGE_ROWS:]
    else:
        rows = list(browse.readings(found.registers, asked.filters, after=after, most=PAGE_ROWS + 1))
        more_before, more_after = after is not None, len(rows) > PAGE_ROWS
        rows = rows[:PAGE_ROWS]
    view: dict[str, Any] = {"found": found, "rows": _rows(rows)}
    if rows and more_before:
        view["newer"] = asked.address(before=_place(rows[0]))
    if rows and more_after:
        view["older"] = asked.address(after=_place(rows[-1]))
    return view


def _of_file(request: HttpRequest, asked: Wanted) -> dict[str, Any]:
    after = request.GET.get("after", "0")
    if not (after.isdecimal() and len(after) < 19):
        raise InvalidInput("This address does not belong to a page of this search.")
    rows = list(islice(browse.every_reading_of_file(asked.filters, after_id=int(after)), PAGE_ROWS + 1))
    older = asked.address(after=rows[PAGE_ROWS - 1].pk) if len(rows) > PAGE_ROWS else ""
    return {"found": browse.Found(), "rows": _rows(rows[:PAGE_ROWS]), "older": older}


def _place(row: Reading) -> str:
    return place_text(row.register_id, row.read_at, row.pk)


def _rows(rows: Sequence[Reading]) -> list[dict[str, Any]]:
    names = browse.file_names(rows)
    return [shown(row, names.get(row.flow_file_id, "")) for row in rows]


def shown(row: Reading, file_name: str = "") -> dict[str, Any]:
    """A reading for a page."""
    register = row.register
    return {
        "id": row.pk,
        "address": f"{ROOT}/readings/{row.pk}/",
        "nmi": register.meter.meter_point.nmi,
        "point_address": f"{ROOT}/meter-points/{register.meter.meter_point.nmi}/",
        "serial": register.meter.serial,
        "register": register.register_id,
        "suffix": register.suffix,
        "direction": row.direction,
        "value": row.value_text,
        "unit": row.unit,
        "quantity": row.quantity_text,
        "read_at": time_text(row.read_at),
        "quality": row.quality,
        "words": quality_words(row.quality, row.method, row.reason_code, row.reason_text),
        "is_current": row.is_current,
        "file": file_name,
        "file_address": f"{ROOT}/flow-files/{row.flow_file_id}/",
        "line": row.line,
    }


class _Echo:
    """What ``csv`` writes a line to: it hands it back."""

    def write(self, line: str) -> str:
        """The line."""
        return line


def _lines(rows: Iterable[Reading]) -> Iterator[str]:
    write = csv.writer(_Echo()).writerow
    yield "\ufeff" + write(CSV_HEADER)
    for some in _in_batches(rows):
        names = browse.file_names(some)
        yield "".join(write(list(map(without_formula, _cells(row, names)))) for row in some)


def _in_batches(rows: Iterable[Reading]) -> Iterator[list[Reading]]:
    left = iter(rows)
    while some := list(islice(left, 500)):
        yield some


def _cells(row: Reading, names: dict[int, str]) -> tuple[str, ...]:
    register = row.register
    return (
        _text(register.meter.meter_point.nmi), _text(register.meter.serial), _text(register.register_id),
        _text(register.suffix), row.direction, row.value_text, time_text(row.read_at), row.quality,
        quality_words(row.quality, row.method, row.reason_code, row.reason_text), row.quantity_text, row.unit,
        row.previous_value_text, time_text(row.previous_read_at), day_text(row.next_read_on),
        time_text(row.updated_at), "current" if row.is_current else "superseded",
        names.get(row.flow_file_id, ""), str(row.line),
    )  # fmt: skip


def _text(name: str) -> str:
    """A name that a spreadsheet keeps as it is: a tab before it makes it text, ``0041`` and ``12E5`` too."""
    return f"\t{name}" if name else ""
