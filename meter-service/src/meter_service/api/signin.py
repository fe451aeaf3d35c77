"""Signing in and out with the accounts of the gateway, and the check that stands before every page."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.views.decorators.csrf import csrf_exempt
from wattbook.auth.cookies import packed, unpacked
from wattbook.auth.people import Person, SignedIn
from wattbook.errors import Forbidden, TooManyRequests, Unauthenticated, WattbookError
from wattbook.pages import THEME_COOKIE, THEMES, is_from_here, safe_address

from meter_service.api.pages import HOME, ROOT, error_page, rendered, site_of
from meter_service.api.words import time_text

SIGNED_IN = "signed_in"
YEAR_S = 365 * 24 * 3600


class SignedInMiddleware(AuthenticationMiddleware):
    """Sets ``request.person`` and the user that Django wants, who is in no table."""

    def process_request(self, request: HttpRequest) -> HttpResponse | None:  # type: ignore[override]
        """Look who it is; their roles are asked for again as their access token ends."""
        request.user, request.person = AnonymousUser(), None  # type: ignore[attr-defined]
        signed_in = signed_in_of(request)
        if signed_in is None:
            return None
        try:
            current = site_of(request).people.still(signed_in, address=request.META["REMOTE_ADDR"])
        except Unauthenticated:
            request.session.flush()
            request.has_ended = True  # type: ignore[attr-defined]
            return None
        except WattbookError as error:
            return error_page(request, error)
        if current is not signed_in:
            request.session[SIGNED_IN] = packed(current)
        request.person = current.person  # type: ignore[attr-defined]
        request.user = _user_of(current.person)
        return None


def signed_in_of(request: HttpRequest) -> SignedIn | None:
    """The session of who asks, as their cookie has it."""
    kept = request.session.get(SIGNED_IN)
    return None if kept is None else unpacked(kept)


def _user_of(person: Person) -> User:
    user = User(username=person.name, is_staff=person.sees_meters, is_active=True)
    user.set_unusable_password()
    return user


def sign_in(request: HttpRequest) -> HttpResponse:
    """The form; sent, ask the gateway, and on to where one wanted to go."""
    if request.method != "POST":
        has_ended = getattr(request, "has_ended", False) or "ended" in request.GET
        return _form(request, hint="Your session has ended. Sign in to go on." if has_ended else "")
    name, password = request.POST.get("username", "").strip(), request.POST.get("password", "")
    try:
        signed_in = site_of(request).people.sign_in(
            name=name, password=password, address=request.META["REMOTE_ADDR"]
        )
    except WattbookError as error:
        return _form(request, error, username=name)
    request.session.flush()  # what was known of a stranger is not carried into a session
    request.session[SIGNED_IN] = packed(signed_in)
    return _see_other(safe_address(request.POST.get("next", ""), instead=HOME))


@csrf_exempt  # type: ignore[untyped-decorator]  # a kept page has no token: its form is known by its origin, else a page with a token asks again
def sign_out(request: HttpRequest) -> HttpResponse:
    """Forget the session."""
    said = request.headers.get
    asked_here = is_from_here(
        origin=said("Origin"), fetch_site=said("Sec-Fetch-Site"), host_url=request.build_absolute_uri("/")
    )
    if request.method != "POST" or not asked_here:
        if signed_in_of(request) is None:
            return _see_other(f"{ROOT}/sign-in")
        return rendered(request, "sign_out.html")
    signed_in = signed_in_of(request)
    request.session.flush()
    if signed_in is not None:
        site_of(request).people.sign_out(signed_in)
    return _see_other(f"{ROOT}/sign-in")


@csrf_exempt  # type: ignore[untyped-decorator]
def choose_theme(request: HttpRequest) -> HttpResponse:
    """Remember the colours; harmless, so it takes no token."""
    response = _see_other(safe_address(request.POST.get("return_to", ""), instead=HOME))
    chosen = request.POST.get("theme", "")
    if chosen in THEMES:
        response.set_cookie(THEME_COOKIE, chosen, max_age=YEAR_S, path="/", samesite="Lax")
    return response


def desk_only(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Only for those who import and withdraw: desk and admin."""

    def checked(request: HttpRequest, *args: object, **named: object) -> HttpResponse:
        person = request.person  # type: ignore[attr-defined]
        if person is None or not person.is_desk:
            raise Forbidden("Only desk and admin users import, retry and withdraw flow files.")
        return view(request, *args, **named)

    return checked


def _form(
    request: HttpRequest, error: WattbookError | None = None, *, username: str = "", hint: str = ""
) -> HttpResponse:
    wanted = request.POST.get("next") or request.GET.get("next", "")
    response = rendered(
        request,
        "sign_in.html",
        status=error.http_status if error else 200,
        problem=_problem(request, error) if error else "",
        is_refused=isinstance(error, Unauthenticated),
        username=username,
        next=safe_address(wanted, instead=HOME),
        hint=hint,
    )
    if error and error.retry_after_s is not None:
        response["Retry-After"] = str(error.retry_after_s)
    return response


def _problem(request: HttpRequest, error: WattbookError) -> str:
    if isinstance(error, TooManyRequests):
        wait_s = error.retry_after_s or 60
        until = time_text(site_of(request).clock.after(wait_s))
        return f"Too many wrong passwords. Try again at {until}, in {wait_s} s."
    if isinstance(error, Unauthenticated):
        return "The user name and password do not match. Check both and try again."
    return f"{error.message[:1].upper()}{error.message[1:]}."


def _see_other(address: str) -> HttpResponse:
    return HttpResponseRedirect(address, status=303)
