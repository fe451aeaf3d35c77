"""ASGI in front of Flask: health, streams and repeated pages are answered here, everything else in a thread.

A request takes a thread only once all of it is there, so that who sends slowly holds none. Flask leaves in
the environ what else there is to say of an answer: that it may be given again, or goes on as a stream.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

from wattbook.clock import Clock
from wattbook.pages import HEADERS, request_id_of
from wattbook.proxies import TrustedProxies
from wattbook.telemetry.http import ServerRequest, are_recorded
from wattbook.web.server import TRANSPORT
from wattbook.web.wsgi import Fields, caller_of, environ_of, joined

from report_service.api.recent import Answer, Environ, Recent, holds_of
from report_service.api.streaming import Application, stream_of
from report_service.api.streams import RETRY, Stream
from report_service.api.web import LONGEST_FORM
from report_service.usecases.model import ReadModel

THREADS = 8
MOST_WAITING = 500
_VARIES_BY = (b"host", b"cookie", b"if-none-match", b"accept-language", b"accept-encoding")
_NOT_OF_A_STREAM = frozenset({b"content-length", b"connection", b"transfer-encoding"})
_HEALTH = frozenset({"/healthz", "/readyz"})


class Health:
    """ASGI: whether the process lives, and whether it has the book; nothing else, for who watches it."""

    def __init__(self, model: ReadModel) -> None:
        """Tell of ``model``."""
        self._model = model

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""
        await _send(self.answer(scope["path"]), send)

    def answer(self, path: str) -> Answer:
        """The answer at a path."""
        state = self._model.state
        if path == "/healthz":
            return _plain(200, {"status": "ok"})
        if path == "/readyz":
            level = {"level_with_the_book": state.lost_since is None}
            return _plain(
                200 if state.ready else 503, {"status": "ok" if state.ready else "loading", **level}
            )
        return _plain(404, {"status": "there is nothing at this address"})


class Front:
    """ASGI in front of everything."""

    def __init__(
        self,
        pages: Application,
        *,
        health: Health,
        clock: Clock,
        proxies: TrustedProxies,
        route_of: Callable[[str, str], str],
    ) -> None:
        """In front of the application ``pages``; ``route_of(method, path)`` is the template of a path."""
        self._pages = pages
        self.health = health
        self._recent = Recent(clock)
        self._proxies = proxies
        self._route_of = route_of
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="pages")
        self._waiting = 0
        self._is_recorded = are_recorded()

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""
        fields = joined(scope["headers"])
        if not self._is_recorded:
            answer, stream = await self._answered(scope, fields, receive)
        else:
            with ServerRequest(
                method=scope["method"], path=scope["path"], scheme=scope["scheme"],
                traceparent=fields.get(b"traceparent", b"").decode("latin-1"),
            ) as request:  # fmt: skip
                answer, stream = await self._answered(scope, fields, receive)
                if answer is not None:
                    request.answered(answer.status, self._route_of(scope["method"], scope["path"]))
        if answer is None:
            return
        if stream is None:
            await _send(answer, send)
            return
        try:
            await _go_on(stream, answer, scope, receive, send)
        finally:
            stream.leave()

    async def _answered(
        self, scope: Any, fields: Fields, receive: Any
    ) -> tuple[Answer | None, Stream | None]:
        """The answer, none where the client is gone; and the stream that it goes on as."""
        if scope["path"] in _HEALTH and scope["method"] in ("GET", "HEAD"):
            return self.health.answer(scope["path"]), None
        client, scheme = caller_of(scope, fields, self._proxies)
        key = None
        if scope["method"] == "GET":
            key = scope["raw_path"], scope["query_string"], scheme, *map(fields.get, _VARIES_BY)
            found = self._recent.get(key)
            if found is not None:
                return found.with_id(request_id_of(fields.get(b"x-request-id", b"").decode("latin-1"))), None
        body = await _body(fields, receive)
        if body is None:
            return None, None
        if self._waiting >= MOST_WAITING:
            return _plain(503, {"status": "too many requests at once; try again"}), None
        environ = environ_of(scope, fields, *body, client=client, scheme=scheme)
        self._waiting += 1
        try:
            run = contextvars.copy_context().run
            loop = asyncio.get_running_loop()
            answer = await loop.run_in_executor(self._threads, run, self._asked, environ)
        finally:
            self._waiting -= 1
        stream = stream_of(environ)
        if stream is not None and (answer.status != 200 or scope["method"] != "GET"):
            stream.leave()
            stream = None
        holds = holds_of(environ)
        if key is not None and holds is not None:
            self._recent.keep(key, answer, holds)
        return answer, stream

    def _asked(self, environ: Environ) -> Answer:
        """Flask's answer; in a thread."""
        started: list[Any] = []

        def start(status: str, headers: list[tuple[str, str]], _fault: Any = None) -> None:
            started[:] = [status, headers]

        chunks = self._pages(environ, start)
        try:
            body = b"".join(chunks)
        finally:
            getattr(chunks, "close", lambda: None)()
        status, headers = started
        fields = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        return Answer(int(status[:3]), fields, body)


async def _go_on(stream: Stream, answer: Answer, scope: Any, receive: Any, send: Any) -> None:
    """Until the browser leaves, or the hub closes the connection."""
    headers = [each for each in answer.headers if each[0] not in _NOT_OF_A_STREAM]
    headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": RETRY + stream.head, "more_body": True})
    stream.begin(scope[TRANSPORT])
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send(answer: Answer, send: Any) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": answer.body})


def _plain(status: int, content: object) -> Answer:
    """An answer that needs no page."""
    body = json.dumps(content).encode()
    headers = [(name.lower().encode(), value.encode()) for name, value in HEADERS]
    headers += [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    headers.append((b"content-length", b"%d" % len(body)))
    return Answer(status, headers, body).with_id(request_id_of(""))


async def _body(fields: Fields, receive: Any) -> tuple[BytesIO, int] | None:
    """The body and its length; no body, and a length that Flask refuses, where it is too long for a form.

    None: the client is gone.
    """
    announced = int(fields.get(b"content-length", b"0"))
    if announced > LONGEST_FORM:
        return BytesIO(), announced
    body, more = b"", announced > 0 or b"transfer-encoding" in fields
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message["body"]
        if len(body) > LONGEST_FORM:
            return BytesIO(), len(body)
        more = message["more_body"]
    return BytesIO(body), len(body)
