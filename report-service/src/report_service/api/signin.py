"""Signing in and out, and the check that stands before every page."""

from __future__ import annotations

from typing import cast
from urllib.parse import quote

from flask import Blueprint, g, make_response, redirect, request, session
from flask_wtf.csrf import validate_csrf
from wattbook.errors import Forbidden, TooManyRequests, Unauthenticated, WattbookError
from wattbook.pages import THEME_COOKIE, THEMES, is_from_here, safe_address
from wattbook.periods import DEFAULT_AREA
from werkzeug.wrappers import Response as AnyResponse

from report_service.api.figures import time_text
from report_service.api.sessions import Session
from report_service.api.site import here, rendered, site

YEAR_S = 365 * 24 * 3600
REFUSED_FORM = "This form has expired. Please try again."

signing = Blueprint("signing", __name__)


def require_person() -> AnyResponse | None:
    """Let those signed in pass; lead others to the sign-in page, and back afterwards."""
    kept = cast(Session, session)
    signed_in = kept.signed_in
    if signed_in is None:
        return redirect(_sign_in_address(here(), ended=False))
    try:
        current = site().people.still(signed_in, address=_address())
    except Unauthenticated:
        kept.clear()
        return redirect(_sign_in_address(here(), ended=True))
    if current is not signed_in:
        kept.signed_in = current
    g.signed_in = current
    g.person = current.person
    return None


def require_trading() -> AnyResponse | None:
    """As :func:`require_person`, of those who have to do with trades.

    Raises:
        Forbidden: they only have to do with meters or cash.
    """
    elsewhere = require_person()
    if elsewhere is None and g.person.roles and not g.person.sees_trades:
        if request.path == "/" and g.person.sees_cash:
            return redirect("/cash")
        raise Forbidden("These pages are about trades, which your account has nothing to do with.")
    return elsewhere


@signing.get("/sign-in")
def sign_in_form() -> AnyResponse:
    """The form."""
    ended = "ended" in request.args
    return _form(hint="Your session has ended. Sign in to go on." if ended else "")


@signing.post("/sign-in")
def sign_in() -> AnyResponse:
    """Ask the gateway; on to where one wanted to go."""
    name, password = request.form.get("username", "").strip(), request.form.get("password", "")
    try:
        check_form()
        signed_in = site().people.sign_in(name=name, password=password, address=_address())
    except WattbookError as error:
        return _form(error, username=name)
    kept = cast(Session, session)
    kept.clear()  # what was known of a stranger is not carried into a session
    kept.signed_in = signed_in
    return redirect(safe_address(request.form.get("next", "")), 303)


@signing.get("/sign-out")
def sign_out_form() -> AnyResponse | str:
    """Asks once more; with a token, for browsers that do not say where a form came from."""
    return require_person() or rendered("sign_out.html")


@signing.post("/sign-out")
def sign_out() -> AnyResponse | str:
    """Forget the session. Kept pages carry no token, so their form is known by its origin instead."""
    said = request.headers.get
    if not is_from_here(origin=said("Origin"), fetch_site=said("Sec-Fetch-Site"), host_url=request.host_url):
        try:
            check_form()
        except Forbidden:
            return sign_out_form()
    signed_in = cast(Session, session).signed_in
    session.clear()
    if signed_in is not None:
        site().people.sign_out(signed_in)
    return redirect("/sign-in", 303)


@signing.post("/theme")
def choose_theme() -> AnyResponse:
    """Remember the colours; harmless, so it takes no token."""
    response = redirect(safe_address(request.form.get("return_to", "")), 303)
    chosen = request.form.get("theme", "")
    if chosen in THEMES:
        response.set_cookie(
            THEME_COOKIE, chosen, max_age=YEAR_S, path="/", samesite="Lax", secure=request.is_secure
        )
    return response


def _form(error: WattbookError | None = None, *, username: str = "", hint: str = "") -> AnyResponse:
    wanted = request.form.get("next") or request.args.get("next", "")
    page = rendered(
        "sign_in.html",
        problem=_problem(error) if error else "",
        is_refused=isinstance(error, Unauthenticated),
        username=username,
        next=safe_address(wanted),
        hint=hint,
    )
    response = make_response(page, error.http_status if error else 200)
    if error and error.retry_after_s is not None:
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response


def _problem(error: WattbookError) -> str:
    if isinstance(error, TooManyRequests):
        wait_s = error.retry_after_s or 60
        until = time_text(site().clock.after(wait_s), DEFAULT_AREA)
        return f"Too many wrong passwords. Try again at {until}, in {wait_s} s."
    if isinstance(error, Unauthenticated):
        return "The user name and password do not match. Check both and try again."
    return f"{error.message[:1].upper()}{error.message[1:]}."


def check_form() -> None:
    """Refuse a form that did not come from our own page.

    Raises:
        Forbidden: it did not, or it is too old.
    """
    try:
        validate_csrf(request.form.get("csrf_token"))
    except ValueError as error:
        raise Forbidden(REFUSED_FORM.removesuffix(".")) from error


def _address() -> str:
    return request.remote_addr or ""


def _sign_in_address(wanted: str, *, ended: bool) -> str:
    query = f"next={quote(wanted, safe='/')}" if wanted != "/" else ""
    mark = "ended=1" if ended else ""
    both = "&".join(filter(None, (query, mark)))
    return f"/sign-in?{both}" if both else "/sign-in"
