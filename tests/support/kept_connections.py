"""HTTP/1.1 on connections that are kept, at a tenth of the cost of a library: for steady load on few cores.

Like a careful library it looks whether an idle connection was closed before it uses it again, and repeats
nothing: where the server hangs up on a request, the request failed.
"""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass


class Broken(Exception):
    """No whole answer came: refused, broken off, or too late."""


@dataclass(frozen=True)
class Answer:
    """A status, headers in lower case, and the body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def is_good(self) -> bool:
        return 200 <= self.status < 300 or self.status == 304


class Connections:
    """The connections to one address, used one request at a time each; for one event loop."""

    def __init__(self, host: str, port: int, *, timeout_s: float, **headers: str) -> None:
        """``headers`` go with each request; ``_`` stands for ``-``."""
        self._host, self._port = host, port
        self._timeout_s = timeout_s
        said = {"host": f"{host}:{port}", **headers}
        self._head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in said.items())
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        """One answer.

        Raises:
            Broken: there was none.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                reader, writer = await self._connection()
                try:
                    writer.write(self._request(method, path, body, headers))
                    answer = await _read(reader)
                except BaseException:
                    writer.transport.abort()
                    raise
        except (
            OSError,
            EOFError,
            TimeoutError,
        ) as error:  # IncompleteReadError is an EOFError
            raise Broken(repr(error)) from error
        if answer.headers.get("connection", "").lower() == "close":
            writer.close()
        else:
            self._idle.append((reader, writer))
        return answer

    async def open(self, path: str, **headers: str) -> tuple[int, asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection of its own, its answer's head read. Raises OSError or EOFError."""
        reader, writer = await asyncio.open_connection(self._host, self._port, limit=1 << 22)
        writer.write(self._request("GET", path, b"", headers))
        status, _ = await _head(reader)
        return status, reader, writer

    def close(self) -> None:
        for _, writer in self._idle:
            writer.close()

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:
            reader, writer = self._idle.pop()
            if not (reader.at_eof() or reader.exception() or writer.transport.is_closing()):
                return reader, writer
            writer.close()
        return await asyncio.open_connection(self._host, self._port, limit=1 << 22)

    def _request(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> bytes:
        own = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        return (
            f"{method} {path} HTTP/1.1\r\n{self._head}{own}content-length: {len(body)}\r\n\r\n".encode()
            + body
        )


async def _head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = text.rstrip("\r\n").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return int(first.split(" ", 2)[1]), {name.lower(): value.strip() for name, _, value in pairs}


async def _read(reader: asyncio.StreamReader) -> Answer:
    status, headers = await _head(reader)
    if status in (204, 304):
        return Answer(status, headers, b"")
    if headers.get("transfer-encoding", "").lower() == "chunked":
        pieces = []
        while size := int((await reader.readuntil(b"\r\n")), 16):
            pieces.append(await reader.readexactly(size))
            await reader.readexactly(2)
        await reader.readexactly(2)
        return Answer(status, headers, b"".join(pieces))
    if "content-length" in headers:
        return Answer(status, headers, await reader.readexactly(int(headers["content-length"])))
    return Answer(status, {**headers, "connection": "close"}, await reader.read())


def credentials(name: str, password: str) -> dict[str, str]:
    """The header of HTTP Basic."""
    return {"authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}
