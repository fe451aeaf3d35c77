"""What every page of the site has: its frame, its headers, an id, and errors as pages."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.template import engines
from django.templatetags.static import static
from jinja2 import Environment, FileSystemLoader
from wattbook import pages, telemetry
from wattbook.auth.people import People, Person
from wattbook.clock import Clock
from wattbook.errors import Forbidden, Internal, InvalidInput, NotFound, WattbookError

_log = logging.getLogger(__name__)

ROOT = "/admin"
HOME = f"{ROOT}/"
SITE = "wattbook.site"  # in a request's environ
_TEMPLATES = Path(__file__).parents[1] / "templates"


@dataclass(frozen=True)
class Site:
    """The parts behind the pages; ``report_pages`` is where those about trades are."""

    people: People
    clock: Clock
    report_pages: str = ""


def site_of(request: HttpRequest) -> Site:
    """The parts behind a request."""
    found: Site = request.META[SITE]
    return found


def person_of(request: HttpRequest) -> Person | None:
    """Who asks, where somebody is signed in."""
    return getattr(request, "person", None)


def environment(**options: Any) -> Environment:
    """Jinja, for Django; the frame's templates behind ours."""
    options["loader"] = FileSystemLoader([_TEMPLATES, pages.TEMPLATES])
    options |= {"autoescape": True, "trim_blocks": True, "lstrip_blocks": True}
    made = Environment(**options)  # noqa: S701  # autoescape is set above
    made.globals["address_of"] = static
    return made


def rendered(
    request: HttpRequest, template: str, *, status: int = 200, section: str = "", **context: Any
) -> HttpResponse:
    """A page with its frame; ``section`` is which of the site's own it is in."""
    return HttpResponse(written(request, template, at=section, **context), status=status)


def written(request: HttpRequest, template: str, **context: Any) -> str:
    """A page's text."""
    person = person_of(request)
    reports = pages.pages_at(site_of(request).report_pages, asked=request.build_absolute_uri("/"))
    frame = {
        "root": ROOT,
        "home": HOME if person is None or person.sees_meters else f"{reports}/",
        "purpose": "Meter readings and flow files",
        "csrf_field": "csrfmiddlewaretoken",
        "csrf_token": lambda: get_token(request),
        "person": person,
        "theme": pages.theme_of(request.COOKIES.get(pages.THEME_COOKIE, "")),
        "sections": pages.sections(person, reports=reports, meters=""),
        "section": "meters",
        "here": request.get_full_path() if request.method == "GET" else HOME,
    }
    return str(engines["jinja2"].get_template(template).render({**frame, **context}))


class FrameMiddleware:
    """Stands before all others: a request's id, what every answer says in its head, errors as pages."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        """In front of ``get_response``."""
        self._answered = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer."""
        request.id = pages.request_id_of(request.headers.get("X-Request-Id", ""))  # type: ignore[attr-defined]
        with _recorded(request):
            response = self._answered(request)
        for name, value in (*pages.HEADERS, ("X-Request-Id", request.id)):  # type: ignore[attr-defined]
            response[name] = value
        response.setdefault("Cache-Control", "no-store")
        if not response.streaming:
            response.setdefault("Content-Length", str(len(response.content)))
        if request.is_secure():
            response["Strict-Transport-Security"] = "max-age=31536000"
            for cookie in response.cookies.values():
                cookie["secure"] = True
        return response

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """A page about what the product itself refuses; of others Django makes its own."""
        return error_page(request, error) if isinstance(error, WattbookError) else None


def _recorded(request: HttpRequest) -> AbstractContextManager[object]:
    known, request_id = telemetry.current(), request.id  # type: ignore[attr-defined]
    return telemetry.within(
        replace(known, request_id=request_id)
        if known
        else telemetry.new_context(request.headers.get("Traceparent", ""), request_id=request_id)
    )


def error_page(request: HttpRequest, error: WattbookError) -> HttpResponse:
    """What went wrong, and where to go from there."""
    status = error.http_status
    home = {"url": HOME, "text": "To the start"}
    actions = [home]
    if isinstance(error, Forbidden):
        actions = [{"url": f"{ROOT}/sign-out", "text": "Sign in as somebody else"}]
        person = person_of(request)
        actions = [home, *actions] if person and person.sees_meters else actions
    elif status >= 500 and request.method == "GET":
        actions = [{"url": request.get_full_path(), "text": "Try again"}, home]
    words = error.message
    response = rendered(
        request, "message.html", status=status, title=pages.ERROR_TITLES.get(status, "That did not work"),
        words=f"{words[:1].upper()}{words[1:]}" + ("" if words.endswith(".") else "."),
        actions=actions, request_id=getattr(request, "id", ""), reload_s=0,
    )  # fmt: skip
    if error.retry_after_s is not None:
        response["Retry-After"] = str(error.retry_after_s)
    return response


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """For Django."""
    return error_page(request, InvalidInput("This request was not understood."))


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """For Django."""
    return error_page(request, Forbidden("Your account may not do this."))


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """For Django."""
    return error_page(request, NotFound("There is no page at this address."))


def server_error(request: HttpRequest) -> HttpResponse:
    """For Django, which has logged it."""
    return error_page(request, Internal("The fault is logged. Trying again may help."))


def form_refused(request: HttpRequest, reason: str = "") -> HttpResponse:
    """For Django: a form without our token."""
    return error_page(request, Forbidden("This form has expired. Please try again."))
