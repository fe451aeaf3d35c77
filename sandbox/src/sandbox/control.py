"""The control endpoint's common part: JSON in, JSON out, every refusal in the one error shape."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from wattbook.errors import (
    BY_HTTP_STATUS,
    Forbidden,
    InvalidInput,
    TooLarge,
    UnsupportedMediaType,
    WattbookError,
    error_body,
)

_MOST_BYTES = 1024 * 1024
_READS = frozenset({"GET", "HEAD"})
Handler = Callable[[Request], Awaitable[Response]]


def control_app(name: str, routes: Sequence[tuple[str, str, Handler, str]]) -> Starlette:
    """An application of (method, path, handler, what it does), with ``/healthz`` and a list, ``/control``."""
    listed = {f"{method} {path}": text for method, path, _, text in routes}

    async def index(_: Request) -> Response:
        return answer({"world": name, "endpoints": listed})

    async def health(_: Request) -> Response:
        return answer({"status": "ok", "world": name})

    paths: dict[str, dict[str, Handler]] = {}
    for method, path, handler, _ in routes:
        paths.setdefault(path, {})[method] = handler
    made: list[BaseRoute] = [Route("/healthz", health), Route("/control", index)]
    made += [Route(path, _by_method(handlers), methods=list(handlers)) for path, handlers in paths.items()]
    return Starlette(routes=made, exception_handlers={WattbookError: _refusal, HTTPException: _refusal})


def answer(body: Any, *, status: int = 200) -> JSONResponse:
    """A JSON answer."""
    return JSONResponse(body, status_code=status)


def _refuse_browsers(request: Request) -> None:
    """No page of the web may change anything here: a browser names the page's origin with every change.

    Raises:
        Forbidden: a browser sends it.
    """
    if "origin" in request.headers or request.headers.get("sec-fetch-site", "none") != "none":
        raise Forbidden("the control endpoint is not for web pages")


async def body_of(request: Request, **known: Any) -> dict[str, Any]:
    """A request's JSON object, with defaults for what it leaves out; an empty body is an empty object.

    Raises:
        InvalidInput: it is no JSON object, has an unknown field, or one of another type than its default.
        TooLarge: it is over a mebibyte.
        UnsupportedMediaType: it does not say that it is JSON.
    """
    raw = await request.body()
    if len(raw) > _MOST_BYTES:
        raise TooLarge(f"a control request has at most {_MOST_BYTES} bytes")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if raw and kind != "application/json":
        raise UnsupportedMediaType("send application/json")
    try:
        given = json.loads(raw) if raw.strip() else {}
    except ValueError as error:
        raise InvalidInput(f"the body is not JSON: {error}") from None
    if not isinstance(given, dict):
        raise InvalidInput("the body is not a JSON object")
    return _checked(given, known) if known else given


def whole_number(query: Mapping[str, str], name: str, *, default: int, low: int, high: int) -> int:
    """A query parameter's integer.

    Raises:
        InvalidInput: it is none, or out of range.
    """
    text = query.get(name, str(default))
    try:
        value = int(text)
    except ValueError:
        raise InvalidInput(f"{name}: {text!r} is not a whole number") from None
    if not low <= value <= high:
        raise InvalidInput(f"{name}: {value} is not in {low}…{high}")
    return value


def in_range(name: str, value: float, low: float, high: float) -> float:
    """``value`` if it is in range.

    Raises:
        InvalidInput: it is not.
    """
    if not low <= value <= high:
        raise InvalidInput(f"{name}: {value} is not in {low}…{high}")
    return value


def one_of(name: str, value: Any, choices: Sequence[str]) -> str:
    """``value`` if it is one of a few words.

    Raises:
        InvalidInput: it is not.
    """
    if value not in choices:
        raise InvalidInput(f"{name}: {value!r} is none of {', '.join(choices)}")
    return str(value)


def _checked(given: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise InvalidInput(f"unknown field {', '.join(unknown)}; known are {', '.join(known)}")
    for name, value in given.items():
        default = known[name]
        kinds = (int, float) if isinstance(default, float) else (type(default),)
        wrong_bool = isinstance(value, bool) and not isinstance(default, bool)
        if default is not None and (wrong_bool or not isinstance(value, kinds)):
            raise InvalidInput(f"{name}: {value!r} is no {type(default).__name__}")
    return {**known, **given}


def _by_method(handlers: Mapping[str, Handler]) -> Handler:
    async def handle(request: Request) -> Response:
        handler = handlers.get(request.method) or handlers["GET"]  # a HEAD is a GET
        if request.method not in _READS:
            _refuse_browsers(request)
        return await handler(request)

    return handle


async def _refusal(_: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        kind = BY_HTTP_STATUS.get(error.status_code, InvalidInput)
        error = kind(error.detail)
    assert isinstance(error, WattbookError)
    return answer(error_body(error), status=error.http_status)
