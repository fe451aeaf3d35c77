"""The page where flow files are uploaded, several at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse, JsonResponse
from wattbook.errors import WattbookError

from meter_service.api.pages import ROOT, person_of, rendered, site_of
from meter_service.api.words import count_text, counted
from meter_service.domain.files import Outcome, Result
from meter_service.usecases.importing import Sender, import_file

MOST_FILES = 100
ERRORS_SHOWN = 5
_TONES = {Result.IMPORTED: "good", Result.REJECTED: "bad", Result.RECEIVED: "warn"}


def upload(request: HttpRequest) -> HttpResponse:
    """The form; sent, one result a file, as a page or for the script that sends file by file as JSON."""
    if request.method != "POST":
        return _page(request, [], status=200)
    given = request.FILES.getlist("files")
    problem = ""
    if not given:
        problem = "Choose at least one flow file."
    elif len(given) > MOST_FILES:
        problem = f"Choose at most {MOST_FILES} files at once, or a zip of them."
    results = [] if problem else [each for file in given for each in _imported(request, file)]
    if "application/json" in request.headers.get("Accept", ""):
        return JsonResponse({"results": results, "problem": problem})
    is_bad = bool(problem) or not any(each["is_in"] for each in results)
    return _page(request, results, problem=problem, status=422 if is_bad else 200)


def _page(
    request: HttpRequest, results: list[dict[str, Any]], *, status: int, problem: str = ""
) -> HttpResponse:
    return rendered(
        request, "upload.html", status=status, section="upload", title="Upload", results=results,
        problem=problem,
    )  # fmt: skip


def _imported(request: HttpRequest, file: UploadedFile) -> Iterator[dict[str, Any]]:
    person = person_of(request)
    assert person is not None
    name = file.name or "unnamed"
    try:
        sender, clock = Sender(person.name, "upload"), site_of(request).clock
        for outcome in import_file(file.file, name=name, sender=sender, clock=clock):
            yield _result(outcome, name)
    except WattbookError as error:
        yield {"name": name, "result": "not taken", "tone": "bad", "words": error.message, "is_in": False,
               "address": "", "errors": []}  # fmt: skip


def _result(outcome: Outcome, given: str) -> dict[str, Any]:
    is_known = outcome.result == Result.KNOWN and not outcome.member
    return {
        "name": given if is_known else outcome.title,
        "result": outcome.result.value,
        "tone": _TONES.get(outcome.result, "idle"),
        "words": _words(outcome),
        "is_in": outcome.result in {Result.IMPORTED, Result.KNOWN, Result.RECEIVED},
        "address": f"{ROOT}/flow-files/{outcome.file_id}/" if outcome.file_id else "",
        "errors": [str(error) for error in outcome.findings.errors[:ERRORS_SHOWN]],
    }


def _words(outcome: Outcome) -> str:
    findings, counts = outcome.findings, outcome.counts
    match outcome.result:
        case Result.IMPORTED:
            said = f"{count_text(counts.stored)} of {count_text(counts.records)} records stored"
            return said + (
                f", {count_text(findings.warning_count)} warnings" if findings.warning_count else ""
            )
        case Result.KNOWN:
            return f"the same content is here as {outcome.title}; nothing was written"
        case Result.REJECTED:
            return f"{counted(findings.error_count, 'error')}; none of it is stored"
        case Result.LEFT_ALONE:
            return "no flow file by its name"
        case _:
            return outcome.reason
