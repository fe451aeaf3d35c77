"""The outermost layer: ids, trace context, limits, security headers, and every error in the one shape."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from typing import Any

from starlette.exceptions import HTTPException
from wattbook.errors import BY_HTTP_STATUS, Internal, Unauthenticated, Unavailable, WattbookError
from wattbook.proxies import TrustedProxies
from wattbook.telemetry.http import ServerRequest

from gateway.api.http import ROUTE, Disconnected, Refusal, Response, error_response

MOST_REQUESTS = 1_000
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._\-]{1,128}")
_SECURITY_HEADERS: list[tuple[bytes, bytes]] = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
]
_API_POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_HEALTH = ("/healthz", "/readyz")
_NO_STORE = (b"cache-control", b"no-store")
_log = logging.getLogger(__name__)


class Edge:
    """Wraps the application; nothing an error carries leaves except its message."""

    def __init__(self, app: Any, *, proxies: TrustedProxies) -> None:
        """Wrap ``app``; ``proxies`` are believed when they say for whom they ask."""
        self._app = app
        self._proxies = proxies
        self._running = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id, traceparent = _ids(scope["headers"])
        if scope.get("client"):
            peer, port = scope["client"]
            scope["client"] = (self._proxies.client_of(peer, _forwarded_for(scope["headers"])), port)
        answer = _Answer(send, request_id)
        self._running += 1
        try:
            with ServerRequest(
                method=scope["method"], path=scope["path"], scheme=scope["scheme"],
                traceparent=traceparent, request_id=request_id,
            ) as request:  # fmt: skip
                try:
                    await self._serve(scope, self._counting(receive), answer)
                finally:
                    request.answered(answer.status, scope.get(ROUTE, ""))
        finally:
            self._running -= 1

    def _counting(self, receive: Any) -> Any:
        """``receive``; a request that waits for its client's bytes takes the place of no other."""

        async def received() -> Any:
            self._running -= 1
            try:
                return await receive()
            finally:
                self._running += 1

        return received

    async def _serve(self, scope: Any, receive: Any, answer: _Answer) -> None:
        try:
            if self._running > MOST_REQUESTS and not scope["path"].startswith(_HEALTH):
                raise Unavailable("too many requests at once; try again", retry_after_s=1)
            await self._app(scope, receive, answer)
        except Disconnected:
            return
        except asyncio.CancelledError:  # the orderly stop waited long enough
            if not answer.started:
                stopping = Unavailable("the gateway is stopping; try again")
                await error_response(stopping, request_id=answer.request_id).send(answer)
        except Exception as error:
            if answer.started:  # too late for an error: uvicorn closes the connection, which says it
                _log.warning("an answer broke off", extra={"path": scope["path"], "error": repr(error)})
                raise
            response = _response_for(error, request_id=answer.request_id, path=scope["path"])
            await response.send(answer)


class _Answer:
    """Sends, with our headers added."""

    __slots__ = ("_send", "request_id", "status")

    def __init__(self, send: Any, request_id: str) -> None:
        self._send = send
        self.request_id = request_id
        self.status = 0

    @property
    def started(self) -> bool:
        """Whether it is too late for another answer."""
        return self.status > 0

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = message["headers"]
            names = {name for name, _ in headers}
            headers.append((b"x-request-id", self.request_id.encode()))
            headers += _SECURITY_HEADERS
            for default in (_API_POLICY, _NO_STORE):
                if default[0] not in names:
                    headers.append(default)
        await self._send(message)


def _forwarded_for(headers: Any) -> str:
    return ",".join(value.decode("latin-1") for name, value in headers if name == b"x-forwarded-for")


def _ids(headers: list[tuple[bytes, bytes]]) -> tuple[str, str]:
    """The request's id, a new one where it has none, and its caller's trace."""
    request_id = traceparent = ""
    for name, value in headers:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            request_id = value.decode()
        elif name == b"traceparent":
            traceparent = value.decode("latin-1")
    return request_id or secrets.token_hex(8), traceparent


def _response_for(error: Exception, *, request_id: str, path: str) -> Response:
    refusal = error if isinstance(error, Refusal) else None
    known = _known(refusal.error if refusal else error)
    if known is None:
        _log.error("unexpected error in a handler", exc_info=error, extra={"path": path})
        known = Internal("internal error; quote the request id")
    elif known.http_status >= 500:
        _log.warning(
            "request failed", extra={"path": path, "status": known.http_status, "why": known.message}
        )
    if refusal is None:
        return error_response(known, request_id=request_id)
    return error_response(known, request_id=request_id, headers=refusal.headers, fields=refusal.fields)


def _known(error: Exception) -> WattbookError | None:
    if isinstance(error, WattbookError):
        return error
    if isinstance(error, HTTPException):  # connexion's problems are such, too
        kind = BY_HTTP_STATUS.get(error.status_code)
        if kind is Unauthenticated:
            return Unauthenticated("sign in with HTTP Basic or a Bearer token")
        if kind is not None and error.status_code < 500:
            return kind(str(error.detail or kind.code))
    return None
