"""An ASGI application for Flask's test client."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any
from urllib.parse import quote_from_bytes

from report_service.api.streams import RETRY
from wattbook.web.server import TRANSPORT


class Written:
    """A connection of which one piece is read before the client leaves."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.has_some = asyncio.Event()

    def write(self, data: bytes) -> None:
        self.pieces.append(data)
        self.has_some.set()

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False


class AsWsgi:
    """Calls ``application`` as its server would, a request at a time."""

    def __init__(self, application: Any) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        sent: list[dict[str, Any]] = []
        written = asyncio.run(self._run(_scope(environ), body, sent))
        status = HTTPStatus(sent[0]["status"])
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in sent[0]["headers"]]
        start_response(f"{status} {status.phrase}", headers)
        body = b"".join(message["body"] for message in sent[1:])
        return [body.removeprefix(RETRY), *(chunk.partition(b"\r\n")[2][:-2] for chunk in written)]

    async def _run(self, scope: dict[str, Any], body: bytes, sent: list[dict[str, Any]]) -> list[bytes]:
        transport = Written()
        messages = iter([{"type": "http.request", "body": body, "more_body": False}] if body else [])

        async def receive() -> dict[str, Any]:
            message = next(messages, None)
            if message is None:
                await asyncio.wait_for(transport.has_some.wait(), 10)
            return message or {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self._application({**scope, TRANSPORT: transport}, receive, send)
        return transport.pieces


def _scope(environ: dict[str, Any]) -> dict[str, Any]:
    path = environ["PATH_INFO"].encode("latin-1")
    headers = [
        (name[5:].lower().replace("_", "-").encode(), value.encode("latin-1"))
        for name, value in environ.items()
        if name.startswith("HTTP_")
    ]
    headers += [
        (name.lower().replace("_", "-").encode(), environ[name].encode())
        for name in ("CONTENT_TYPE", "CONTENT_LENGTH")
        if environ.get(name, "") not in ("", "0")
    ]
    return {
        "type": "http",
        "method": environ["REQUEST_METHOD"],
        "path": path.decode(errors="replace"),
        "raw_path": quote_from_bytes(path).encode(),
        "query_string": environ["QUERY_STRING"].encode("latin-1"),
        "http_version": "1.1",
        "scheme": environ["wsgi.url_scheme"],
        "headers": headers,
        "client": (environ.get("REMOTE_ADDR", ""), 1),
        "server": (environ["SERVER_NAME"], int(environ["SERVER_PORT"])),
    }
