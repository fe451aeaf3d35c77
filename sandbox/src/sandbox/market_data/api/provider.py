"""The provider's HTTP API."""

from __future__ import annotations

import asyncio

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from wattbook.clock import Clock

from sandbox.market_data.usecases import Provider


class _BrokenOff(Response):
    """Promises more than it sends, so that the server ends the connection within the answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", b"100000")]
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        body = self.body[: len(self.body) // 2]
        await send({"type": "http.response.body", "body": body, "more_body": True})


def provider_app(provider: Provider, *, clock: Clock) -> Starlette:
    """An application that hands every request to the provider, so that each of them counts."""

    async def handle(request: Request) -> Response:
        answer = provider.answer(
            request.url.path, request.query_params, now=clock.now(), at_s=clock.monotonic_s()
        )
        if answer.late_real_s:
            await asyncio.sleep(answer.late_real_s)
        kind = _BrokenOff if answer.broken else Response
        return kind(answer.text, status_code=answer.status, media_type="application/json")

    return Starlette(routes=[Route("/{path:path}", handle, methods=["GET"])])
