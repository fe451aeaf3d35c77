"""Flow files: the list, the page of one, its original, retry and withdrawal."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.utils.http import content_disposition_header
from wattbook.errors import InvalidInput, NotFound, WattbookError

from meter_service.api.pages import ROOT, person_of, rendered, site_of
from meter_service.api.words import count_text, size_text, time_text
from meter_service.models import FlowFile
from meter_service.store.files import original
from meter_service.store.lines import raw_lines
from meter_service.usecases import importing, withdrawing

PAGE_ROWS = 50
ERRORS_SHOWN = 100
LONGEST_REASON = 200
State = FlowFile.State
_SYMBOLS = {State.RECEIVED: "●", State.IMPORTED: "▲", State.REJECTED: "▼", State.WITHDRAWN: "–"}
_TONES = {State.RECEIVED: "warn", State.IMPORTED: "good", State.REJECTED: "bad", State.WITHDRAWN: "idle"}


def files_page(request: HttpRequest) -> HttpResponse:
    """The newest first, a page of them."""
    state, before = request.GET.get("state", ""), request.GET.get("before", "")
    if state and state not in State.values:
        raise InvalidInput(f"There is no state {state[:20]!r}; known are {', '.join(State.values)}.")
    rows: QuerySet[FlowFile] = FlowFile.objects.order_by("-id")
    if state:
        rows = rows.filter(state=state)
    if before:
        rows = rows.filter(id__lt=_number(before))
    found = list(rows[: PAGE_ROWS + 1])
    query = f"state={state}&" if state else ""
    return rendered(
        request, "flow_files.html", section="files", title="Flow files", state=state,
        rows=[_row(each) for each in found[:PAGE_ROWS]],
        states=[("", "All"), *((value, value.capitalize()) for value in State.values)],
        older=f"?{query}before={found[PAGE_ROWS - 1].pk}" if len(found) > PAGE_ROWS else "",
        newest=(f"?state={state}" if state else "./") if before else "",
    )  # fmt: skip


def file_page(request: HttpRequest, file_id: int, *, problem: str = "", status: int = 200) -> HttpResponse:
    """One: its counts, its errors beside their lines, its warnings, who did what when."""
    file = _file(file_id)
    after = _number(request.GET.get("errors", "0") or "0")
    errors = list(file.errors.filter(number__gte=after).order_by("number")[: ERRORS_SHOWN + 1])
    more, errors = len(errors) > ERRORS_SHOWN, errors[:ERRORS_SHOWN]
    lines = raw_lines(file.pk, {each.line for each in errors}) if errors else {}
    is_desk = bool(person := person_of(request)) and person is not None and person.is_desk
    return rendered(
        request, "flow_file.html", status=status, section="files", title=str(file), file=_row(file),
        model=file, problem=problem,
        facts=_facts(file), history=_history(file),
        errors=[{"error": each, "raw": lines.get(each.line, "")} for each in errors],
        more_errors=f"?errors={errors[-1].number + 1}" if more else "", hidden_errors=_hidden(file),
        warnings=list(file.warnings.order_by("-count")),
        may_retry=is_desk and file.state in (State.REJECTED, State.RECEIVED),
        may_withdraw=is_desk and file.state == State.IMPORTED,
        said=list(messages.get_messages(request)),
    )  # fmt: skip


def original_file(request: HttpRequest, file_id: int) -> StreamingHttpResponse:
    """The file as it came."""
    file = _file(file_id)
    name = (file.member or file.name).rpartition("/")[2] or "flow-file"
    response = StreamingHttpResponse(original(file.pk), content_type="application/octet-stream")
    response["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=name)
    response["Content-Length"] = str(file.size_bytes)
    return response


def retry(request: HttpRequest, file_id: int) -> HttpResponse:
    """Import a rejected or waiting file once more."""
    _posted(request)
    try:
        outcome = importing.retry(_file(file_id).pk, clock=site_of(request).clock)
    except WattbookError as error:
        return file_page(request, file_id, problem=error.message, status=error.http_status)
    messages.info(request, f"Read again: {outcome.result.value}.")
    return _to(file_id)


def withdrawal(request: HttpRequest, file_id: int) -> HttpResponse:
    """What would go and what become current; sent with a reason, withdraw it."""
    file = _file(file_id)
    reason = request.POST.get("reason", "").strip()
    problem, status = "", 200
    if request.method == "POST":
        person = person_of(request)
        assert person is not None
        try:
            if not reason or len(reason) > LONGEST_REASON or not reason.isprintable():
                raise InvalidInput(f"Say why in one line of at most {LONGEST_REASON} characters.")
            done = withdrawing.withdraw(file.pk, by=person.name, reason=reason, clock=site_of(request).clock)
        except WattbookError as error:
            problem, status = error.message, error.http_status
        else:
            messages.info(
                request,
                f"Withdrawn: {count_text(done.gone)} readings are gone, "
                f"{count_text(done.become_current)} earlier ones are current again.",
            )
            return _to(file_id)
    preview = withdrawing.preview(file.pk) if file.state == State.IMPORTED else None
    return rendered(
        request, "withdrawal.html", status=status, section="files", title=f"Withdraw {file}", file=_row(file),
        preview=preview, reason=reason, problem=problem, count=count_text,
    )  # fmt: skip


def _file(file_id: int) -> FlowFile:
    found = FlowFile.objects.filter(pk=file_id).first()
    if found is None:
        raise NotFound("There is no flow file of this number.")
    return found


def _posted(request: HttpRequest) -> None:
    if request.method != "POST":
        raise InvalidInput("This is done by the button on the file's page.")


def _to(file_id: int) -> HttpResponse:
    return HttpResponseRedirect(f"{ROOT}/flow-files/{file_id}/", status=303)


def _number(text: str) -> int:
    if not (text.isdecimal() and text.isascii() and len(text) < 19):
        raise InvalidInput("This address does not belong to a page of this list.")
    return int(text)


def _row(file: FlowFile) -> dict[str, Any]:
    state = State(file.state)
    return {
        "id": file.pk, "name": str(file), "address": f"{ROOT}/flow-files/{file.pk}/", "state": state.value,
        "symbol": _SYMBOLS[state], "tone": _TONES[state], "kind": file.kind or "–",
        "received": time_text(file.received_at), "by": file.received_from, "way": file.way,
        "records": count_text(file.records), "stored": count_text(file.stored),
        "warnings": count_text(file.warning_count), "errors": count_text(file.error_count),
        "size": size_text(file.size_bytes), "readings_address": f"{ROOT}/?file={file.pk}",
    }  # fmt: skip


def _facts(file: FlowFile) -> list[tuple[str, str]]:
    return [
        ("Records", count_text(file.records)),
        ("= stored", count_text(file.stored)),
        ("+ duplicates", count_text(file.duplicates)),
        ("+ superseded on arrival", count_text(file.superseded)),
        ("Warnings", count_text(file.warning_count)),
        ("Errors", count_text(file.error_count)),
    ]


def _history(file: FlowFile) -> list[tuple[str, str]]:
    """Who did what, when."""
    sender = file.received_from or "nobody named"
    found = [(time_text(file.received_at), f"received by {file.way} from {sender}")]
    if file.finished_at:
        what = "rejected" if file.state == State.REJECTED else "imported"
        found.append((time_text(file.finished_at), what))
    if file.withdrawn_at:
        said = f"withdrawn by {file.withdrawn_by} because {file.withdrawn_reason}"
        found.append((time_text(file.withdrawn_at), said))
    return found


def _hidden(file: FlowFile) -> str:
    kept = file.errors.count() if file.error_count else 0
    return count_text(file.error_count - kept) if file.error_count > kept else ""
