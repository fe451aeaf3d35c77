"""A request and a response, as thin as handlers allow."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec
from wattbook.access import Principal
from wattbook.errors import TooLarge, WattbookError, error_body

ROUTE = "wattbook.route"  # in the scope: the template of the path, once it is known
JSON = b"application/json"
NDJSON = b"application/x-ndjson"
CSV = b"text/csv; charset=utf-8"
Headers = Sequence[tuple[bytes, bytes]]


class Disconnected(Exception):
    """The client is gone: nobody is left to answer."""


class Refusal(Exception):
    """An error together with headers or fields of its own."""

    def __init__(
        self, error: WattbookError, headers: Headers = (), *, fields: Mapping[str, Any] | None = None
    ) -> None:
        """Answer ``error`` with these ``headers`` and, in its body, ``fields`` as well."""
        super().__init__(error.message)
        self.error = error
        self.headers = headers
        self.fields = fields or {}


class Request:
    """What a handler gets: validated parameters, who asks, and the body on demand."""

    __slots__ = ("_body_limit", "_receive", "accepted", "mime_type", "params", "principal", "scope")

    def __init__(
        self, scope: Mapping[str, Any], receive: Any, *, params: Mapping[str, Any],
        principal: Principal | None, mime_type: str = "", accepted: str = "", body_limit: int = 0,
    ) -> None:  # fmt: skip
        """``mime_type`` is the body's, ``accepted`` the form of answer that was chosen."""
        self.scope = scope
        self._receive = receive
        self.params = params
        self.principal: Principal = principal  # type: ignore[assignment]  # None only where none is needed
        self.mime_type = mime_type
        self.accepted = accepted
        self._body_limit = body_limit

    @property
    def address(self) -> str:
        """The client's network address."""
        client = self.scope.get("client")
        return client[0] if client else ""

    def header(self, name: bytes) -> bytes | None:
        """The first header of that name (lower case)."""
        return header(self.scope, name)

    async def body(self) -> bytes:
        """The whole body.

        Raises:
            TooLarge: over the limit. Disconnected: also where it stopped arriving, which the server answers.
        """
        pieces = [piece async for piece in self.stream(self._body_limit)]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def stream(self, limit_bytes: int) -> AsyncIterator[bytes]:
        """The body in pieces as it arrives. Raises like :meth:`body`."""
        announced = self.header(b"content-length")
        if announced is not None and int(announced) > limit_bytes:
            raise TooLarge(f"the body is over {limit_bytes} bytes")
        seen = 0
        more = True
        while more:
            message = await self._next_message()
            piece = message.get("body", b"")
            seen += len(piece)
            if seen > limit_bytes:
                raise TooLarge(f"the body is over {limit_bytes} bytes")
            if piece:
                yield piece
            more = message.get("more_body", False)

    async def _next_message(self) -> Any:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        return message


class Response:
    """A status, a body in one piece or several, and headers."""

    __slots__ = ("body", "headers", "pieces", "status")

    def __init__(
        self, status: int, body: bytes = b"", *, content_type: bytes | None = JSON, headers: Headers = (),
        pieces: AsyncGenerator[bytes, None] | None = None,
    ) -> None:  # fmt: skip
        """With ``pieces`` the body is streamed and ``body`` unused."""
        self.status = status
        self.body = body
        self.pieces = pieces
        self.headers = [*headers]
        if content_type is not None:
            self.headers.append((b"content-type", content_type))

    async def send(self, send: Any) -> None:
        """Send it all; a stream that fails breaks the connection off, so that nobody takes it for whole."""
        if self.pieces is None:
            if self.status not in (204, 304):
                self.headers.append((b"content-length", b"%d" % len(self.body)))
            await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
            await send({"type": "http.response.body", "body": self.body})
            return
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        async for piece in self.pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def send_head(self, send: Any) -> None:
        """Send only what HEAD asks for; a stream is not made."""
        if self.pieces is not None:
            await self.pieces.aclose()
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": b""})


def header(scope: Mapping[str, Any], name: bytes) -> bytes | None:
    """The first header of that name (lower case)."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return None


def json_response(value: Any, *, status: int = 200, headers: Headers = ()) -> Response:
    """A response of JSON."""
    return Response(status, msgspec.json.encode(value), headers=headers)


def error_response(
    error: WattbookError, *, request_id: str, headers: Headers = (), fields: Mapping[str, Any] | None = None
) -> Response:
    """The contract's error body, and more ``fields`` after it."""
    answer = [*headers]
    if error.http_status == 401:
        answer.append((b"www-authenticate", b'Basic realm="Wattbook"'))
    if error.retry_after_s is not None:
        answer.append((b"retry-after", b"%d" % error.retry_after_s))
    elif error.http_status == 503:
        answer.append((b"retry-after", b"1"))
    body = {**error_body(error, request_id=request_id), **(fields or {})}
    return json_response(body, status=error.http_status, headers=answer)
