"""How an answer reaches a client: compressed, late, broken off, as nonsense, or not at all."""

from __future__ import annotations

import asyncio
import gzip
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass, field

import zstandard
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send
from wattbook.errors import BY_HTTP_STATUS, InvalidInput, Unauthenticated, WattbookError, error_body

from sandbox.bank.domain import faults
from sandbox.bank.usecases.bank import Bank, Fate

_SMALLEST_COMPRESSED = 512
_GZIP_LEVEL, _ZSTD_LEVEL = 1, 1
Crash = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Answer:
    """What would go back if nothing went wrong."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    hang_real_s: float = 0.0
    note: str = ""


class Delivery:
    """Hands answers to clients, with what is to go wrong on the way."""

    def __init__(self, bank: Bank, *, token: str, crash: Crash) -> None:
        """An empty ``token`` asks for none; ``crash`` ends the process."""
        self._bank, self._token, self._crash = bank, token, crash

    async def answer(self, request: Request, build: Callable[[Fate], Answer]) -> Response:
        """What ``build`` says, delivered.

        Raises:
            Unauthenticated: the bank's token is not shown.
            WattbookError: as ``build``.
        """
        given = request.headers.get("authorization", "")
        if self._token and not hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
            raise Unauthenticated("send the bank's token: Authorization: Bearer …")
        fate = self._bank.fate()
        if fate.slow_real_s:
            await asyncio.sleep(fate.slow_real_s)
        if fate.fail_status:
            self._bank.count(fate.fail_status, fate.note)
            return refusal(
                BY_HTTP_STATUS.get(fate.fail_status, WattbookError)("fault on demand"), fate.fail_status
            )
        answer = await run_in_threadpool(build, fate)
        if answer.hang_real_s:
            await asyncio.sleep(answer.hang_real_s)
        self._bank.count(answer.status, ", ".join(filter(None, (answer.note, fate.note))))
        if fate.garbage:
            return await run_in_threadpool(garbage, fate.garbage, answer)
        response = await run_in_threadpool(_response, request, answer)
        if fate.crash or fate.broken:
            upto = self._bank.part_of(len(response.body))
            return _BrokenOff(response, upto, self._crash if fate.crash else None)
        return response


def refusal(error: WattbookError, status: int | None = None) -> Response:
    """An error in the one error shape."""
    headers = {"WWW-Authenticate": "Bearer"} if isinstance(error, Unauthenticated) else None
    body = {**error_body(error), "status_code": status or error.http_status}
    return JSONResponse(body, status_code=status or error.http_status, headers=headers)


async def refused(_: Request, error: Exception) -> Response:
    """What an application answers to an error."""
    if isinstance(error, HTTPException):
        error = BY_HTTP_STATUS.get(error.status_code, InvalidInput)(error.detail)
    assert isinstance(error, WattbookError)
    return refusal(error)


def _response(request: Request, answer: Answer) -> Response:
    """The answer as the client can read it, compressed where that is worth it."""
    body, headers = answer.body, dict(answer.headers)
    if len(body) >= _SMALLEST_COMPRESSED:
        accepted = {
            each.partition(";")[0].strip() for each in request.headers.get("accept-encoding", "").split(",")
        }
        if "zstd" in accepted:
            body = zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(body)
            headers["Content-Encoding"] = "zstd"
        elif "gzip" in accepted:
            body = gzip.compress(body, _GZIP_LEVEL)
            headers["Content-Encoding"] = "gzip"
        headers["Vary"] = "Accept-Encoding"
    return Response(body, answer.status, headers, media_type="application/json")


def garbage(kind: str, answer: Answer) -> Response:
    """An answer with one thing wrong."""
    body = answer.body
    if kind == faults.HTML:
        return Response("<html><body><h1>Maintenance</h1></body></html>", media_type="text/html")
    if kind == faults.CONTENT_TYPE:
        return Response(body, answer.status, media_type="text/plain")
    if kind == faults.REDIRECT:
        return Response(status_code=302, headers={"Location": "http://127.0.0.1:9/elsewhere"})
    if kind == faults.EMPTY:
        body = b""
    elif kind == faults.CUT_OFF:
        body = body[: len(body) * 2 // 3]
    elif kind == faults.TOO_LONG:
        body += b" " * max(faults.TOO_LONG_BYTES - len(body), 0)
    elif kind == faults.WRONG_DIGEST:
        body = body.replace(b'"sha256":"', b'"sha256":"0', 1)
    elif kind == faults.WRONG_COUNT:
        body = body.replace(b'"rows":', b'"rows":9', 1)
    elif kind == faults.TWICE:
        body = body.replace(b"{", b'{"window":{},"window":{},', 1)
    return Response(body, answer.status, dict(answer.headers), media_type="application/json")


class _BrokenOff(Response):
    """Promises the whole answer and sends a part, so that the server ends the connection within it."""

    def __init__(self, whole: Response, upto: int, crash: Crash | None) -> None:
        super().__init__(status_code=whole.status_code)
        self.raw_headers = whole.raw_headers  # with the length of the whole
        self._part, self._crash = bytes(whole.body)[:upto], crash

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        await send(start)
        await send({"type": "http.response.body", "body": self._part, "more_body": True})
        if self._crash is not None:
            await asyncio.sleep(0)  # what was written is on its way
            self._crash()


def dumped(value: object) -> bytes:
    """JSON without blanks."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
