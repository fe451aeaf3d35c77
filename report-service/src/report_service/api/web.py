"""The pages put together: Flask, its session, headers on every answer, and every error as a page."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from flask import Blueprint, Flask, Response, g, request
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFProtect
from jinja2 import FileSystemLoader
from wattbook import telemetry
from wattbook.auth.cookies import derived_key
from wattbook.errors import BY_HTTP_STATUS, Forbidden, Internal, Unavailable, WattbookError
from wattbook.pages import ERROR_TITLES, HEADERS, TEMPLATES, request_id_of
from werkzeug.exceptions import HTTPException

from report_service.api.cash_pages import cash_pages
from report_service.api.correction_pages import correction_pages
from report_service.api.detail_pages import detail_pages
from report_service.api.feed_pages import feed_pages
from report_service.api.live_pages import live_pages
from report_service.api.pages import pages
from report_service.api.quarantine_pages import quarantine_pages
from report_service.api.sessions import EncryptedSessions
from report_service.api.signin import signing
from report_service.api.site import Site, rendered, site
from report_service.api.streaming import SEVERAL
from report_service.api.trader_pages import trader_pages
from report_service.domain.people import may_open

_log = logging.getLogger(__name__)

OWN_TEMPLATES = Path(__file__).parents[1] / "templates"
LONGEST_FORM = 16 * 1024
FORM_LASTS_S = 12 * 3600
FOREVER = "public, max-age=31536000, immutable"
_HASHED = re.compile(r"-[A-Z0-9]{8}\.js$")
machine = Blueprint("machine", __name__)


def build_web(parts: Site, *, secret: str, sessions: EncryptedSessions) -> Flask:
    """The WSGI application."""
    app = Flask(__name__, static_folder=None)
    app.config.update(
        SECRET_KEY=derived_key(secret, "form tokens"),
        MAX_CONTENT_LENGTH=LONGEST_FORM,
        MAX_FORM_MEMORY_SIZE=LONGEST_FORM,
        WTF_CSRF_CHECK_DEFAULT=False,  # each form says itself what it checks; see signin
        WTF_CSRF_TIME_LIMIT=FORM_LASTS_S,
    )
    app.jinja_loader = FileSystemLoader([OWN_TEMPLATES, TEMPLATES])  # type: ignore[misc]  # before it is used
    app.url_map.merge_slashes = False
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True, "autoescape": True}
    app.jinja_env.globals["may_open"] = may_open
    app.session_interface = sessions
    app.extensions["wattbook"] = parts
    CSRFProtect(app)
    for blueprint in (
        machine,
        signing,
        live_pages,
        trader_pages,
        detail_pages,
        feed_pages,
        quarantine_pages,
        correction_pages,
        cash_pages,
        pages,
    ):
        app.register_blueprint(blueprint)
    app.before_request(_enter)
    app.after_request(_headers)
    app.teardown_request(_leave)
    app.register_error_handler(Exception, _error_page)
    return app


def routes_of(web: Flask) -> Callable[[str, str], str]:
    """The template of a path by (method, path), ``""`` where there is none."""
    adapter = web.url_map.bind("")

    @lru_cache(maxsize=2048)
    def route_of(method: str, path: str) -> str:
        if path == SEVERAL:
            return path
        try:
            rule, _ = adapter.match(path, method, return_rule=True)
        except HTTPException:
            return ""
        return str(rule.rule)

    return route_of


@machine.get("/static/<path:name>")
def static(name: str) -> ResponseReturnValue:
    """A style sheet, a script, the mark."""
    asset = site().assets.get(name)
    if asset is None:
        return Response("not found", 404, content_type="text/plain")
    zipped = "gzip" in request.headers.get("Accept-Encoding", "")
    response = Response(asset.gzipped if zipped else asset.plain, content_type=asset.content_type)
    if zipped:
        response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding"
    is_named_by_content = request.args.get("v") == asset.version or _HASHED.search(name)
    response.headers["Cache-Control"] = FOREVER if is_named_by_content else "no-cache"
    return response


def _enter() -> None:
    request_id = request_id_of(request.headers.get("X-Request-Id", ""))
    known = telemetry.current()  # where requests are recorded, the span of this one
    context = (
        replace(known, request_id=request_id)
        if known
        else telemetry.new_context(request.headers.get("Traceparent", ""), request_id=request_id)
    )
    g.request_id = request_id
    g.telemetry = telemetry.within(context)
    g.telemetry.__enter__()


def _leave(_error: BaseException | None) -> None:
    entered = g.pop("telemetry", None)
    if entered is not None:
        entered.__exit__(None, None, None)


def _headers(response: Response) -> Response:
    headers = response.headers
    headers.extend(HEADERS)
    headers["X-Request-Id"] = g.get("request_id", "")
    if "Cache-Control" not in headers:
        headers["Cache-Control"] = "no-store"
    if request.is_secure:
        headers["Strict-Transport-Security"] = "max-age=31536000"
    return response


def _error_page(error: Exception) -> ResponseReturnValue:
    if isinstance(error, HTTPException) and error.response is not None:
        return error.response  # a redirect of the router
    known = _known(error)
    if isinstance(known, Internal):
        _log.error("a page failed", exc_info=error)
    reload_s = 2 if isinstance(known, Unavailable) and not site().model.state.ready else 0
    page = rendered(
        "message.html",
        status=known.http_status,
        title="Loading the book" if reload_s else ERROR_TITLES.get(known.http_status, "That did not work"),
        words=known.message,
        reload_s=reload_s,
        actions=_actions(known),
        request_id=g.get("request_id", ""),
    )
    headers = {"Retry-After": str(known.retry_after_s)} if known.retry_after_s else {}
    return page, known.http_status, headers


def _known(error: Exception) -> WattbookError:
    if isinstance(error, WattbookError):
        return error
    if isinstance(error, HTTPException):
        kind = BY_HTTP_STATUS.get(error.code or 500, Internal)
        return kind(error.description or error.name)
    return Internal("The fault is logged. Trying again may help.")


def _actions(error: WattbookError) -> list[dict[str, Any]]:
    again = {"url": request.full_path.removesuffix("?"), "text": "Try again"}
    home = {"url": "/", "text": "To the start"}
    if isinstance(error, Forbidden):
        return [home, {"url": "/sign-out", "text": "Sign in as somebody else"}]
    return [again, home] if error.http_status >= 500 and request.method == "GET" else [home]
