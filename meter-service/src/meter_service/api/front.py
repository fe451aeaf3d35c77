"""ASGI in front of Django: health is answered here, everything else in a thread.

A request takes a thread only once all of it is there, so that who sends slowly holds none; a large body waits
in a temporary file. What Django streams is sent on as it comes, no faster than it is read.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, cast

from wattbook.errors import TooLarge, Unavailable, WattbookError, error_body
from wattbook.pages import HEADERS
from wattbook.proxies import TrustedProxies
from wattbook.telemetry.http import ServerRequest, are_recorded
from wattbook.web.wsgi import Fields, caller_of, environ_of, joined

THREADS = 8
MOST_WAITING = 200
IN_MEMORY_BYTES = 1024**2
SEND_TIMEOUT_S = 120.0
_HEALTH = frozenset({"/healthz", "/readyz"})

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


class Health:
    """ASGI: whether the process lives and its store answers; nothing else, for who watches it."""

    def __init__(self, is_ready: Callable[[], bool]) -> None:
        """``is_ready`` is quick, and asks nobody."""
        self._is_ready = is_ready

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""
        path = scope["path"]
        is_well = path == "/healthz" or (path == "/readyz" and self._is_ready())
        if path not in _HEALTH:
            await _send_json(send, 404, {"status": "there is nothing at this address"})
        else:
            await _send_json(send, 200 if is_well else 503, {"status": "ok" if is_well else "starting"})


class Front:
    """ASGI in front of everything."""

    def __init__(
        self,
        pages: Wsgi,
        *,
        health: Health,
        proxies: TrustedProxies,
        longest_body: int,
        route_of: Callable[[str], str],
        extra: dict[str, Any],
    ) -> None:
        """In front of the WSGI application ``pages``, whose environ gets what is ``extra``."""
        self._pages = pages
        self.health = health
        self._proxies = proxies
        self._longest_body = longest_body
        self._route_of = route_of
        self._extra = extra
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="pages")
        self._waiting = 0
        self._is_recorded = are_recorded()

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""
        if scope["path"] in _HEALTH and scope["method"] in ("GET", "HEAD"):
            await self.health(scope, receive, send)
            return
        fields = joined(scope["headers"])
        if not self._is_recorded:
            await self._answer(scope, fields, receive, send)
            return
        with ServerRequest(
            method=scope["method"], path=scope["path"], scheme=scope["scheme"],
            traceparent=fields.get(b"traceparent", b"").decode("latin-1"),
        ) as request:  # fmt: skip
            status = await self._answer(scope, fields, receive, send)
            request.answered(status, self._route_of(scope["path"]))

    async def _answer(self, scope: Any, fields: Fields, receive: Any, send: Any) -> int:
        with SpooledTemporaryFile(IN_MEMORY_BYTES) as kept:
            body = cast(BinaryIO, kept)
            try:
                if self._waiting >= MOST_WAITING:
                    raise Unavailable("too many requests at once; try again", retry_after_s=2)
                length = await self._receive(fields, receive, body)
            except WattbookError as error:
                await _send_json(send, error.http_status, error_body(error))
                return error.http_status
            if length is None:
                return 499  # the client is gone
            client, scheme = caller_of(scope, fields, self._proxies)
            environ = environ_of(scope, fields, body, length, client=client, scheme=scheme) | self._extra
            return await self._in_thread(environ, receive, send)

    async def _receive(self, fields: Fields, receive: Any, body: BinaryIO) -> int | None:
        """Read the body; its length, None where the client is gone.

        Raises:
            TooLarge: it is longer than is taken.
        """
        announced = int(fields.get(b"content-length", b"0"))
        length, more = 0, announced > 0 or b"transfer-encoding" in fields
        if announced > self._longest_body:
            raise TooLarge(f"at most {self._longest_body} bytes are taken at once")
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            length += len(message["body"])
            if length > self._longest_body:
                raise TooLarge(f"at most {self._longest_body} bytes are taken at once")
            if length > IN_MEMORY_BYTES:  # to the disk: not while others wait
                await asyncio.to_thread(body.write, message["body"])
            else:
                body.write(message["body"])
            more = message["more_body"]
        body.seek(0)
        return length

    async def _in_thread(self, environ: dict[str, Any], receive: Any, send: Any) -> int:
        loop = asyncio.get_running_loop()
        gone = loop.create_task(_until_gone(receive))
        self._waiting += 1

        def send_now(message: dict[str, Any]) -> None:
            asyncio.run_coroutine_threadsafe(send(message), loop).result(SEND_TIMEOUT_S)

        try:
            run = contextvars.copy_context().run
            return await loop.run_in_executor(self._threads, run, self._asked, environ, send_now, gone.done)
        finally:
            self._waiting -= 1
            gone.cancel()

    def _asked(
        self, environ: dict[str, Any], send: Callable[[dict[str, Any]], None], is_gone: Callable[[], bool]
    ) -> int:
        """Django's answer, sent; in a thread."""
        started: list[Any] = []

        def start(status: str, headers: list[tuple[str, str]], _fault: Any = None) -> None:
            started[:] = [status, headers]

        chunks = self._pages(environ, start)
        try:
            status, headers = started
            fields = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
            send({"type": "http.response.start", "status": int(status[:3]), "headers": fields})
            if environ["REQUEST_METHOD"] != "HEAD":
                for chunk in chunks:
                    if is_gone():
                        break
                    send({"type": "http.response.body", "body": chunk, "more_body": True})
            send({"type": "http.response.body", "body": b""})
            return int(status[:3])
        finally:
            getattr(chunks, "close", lambda: None)()


async def _until_gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_json(send: Any, status: int, content: object) -> None:
    body = json.dumps(content).encode()
    headers = [(name.lower().encode(), value.encode()) for name, value in HEADERS]
    headers += [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
