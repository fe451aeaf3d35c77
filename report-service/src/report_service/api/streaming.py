"""WSGI in front of everything: hands the connection of an answered stream request to the hub."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from report_service.api.recent import Application, Environ, StartResponse
from report_service.api.streams import Hub, Topic, event

_ASKED = "wattbook.stream"
_SOCKET = "gunicorn.socket"
_NOT_SENT = {"content-length", "connection", "transfer-encoding"}


@dataclass(frozen=True)
class Asked:
    """A stream that was asked for by somebody who may have it."""

    topic: Topic
    known_version: str
    until_s: int


def may_stream(environ: Environ, asked: Asked) -> None:
    """Let the answer to this request go on as a stream."""
    environ[_ASKED] = asked


class Streaming:
    """Passes requests on; where one became a stream, its connection goes to ``hub``."""

    def __init__(self, application: Application, hub: Hub) -> None:
        """In front of ``application``."""
        self._application = application
        self._hub = hub

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        if not environ["PATH_INFO"].endswith("/stream"):
            return self._application(environ, start_response)
        started: list[Any] = []

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            started[:] = [status, headers, *rest]
            return lambda _data: None

        body = b"".join(self._application(environ, start))
        asked: Asked | None = environ.get(_ASKED)
        if asked is None or not started[0].startswith("200"):
            start_response(*started)
            return (body,)
        connection = environ.get(_SOCKET)
        if connection is None:  # another server, or a test: the state as it stands, and the end
            start_response(*started)
            return (event(None, asked.topic.render()),)
        self._hub.add(
            _taken(connection),
            asked.topic,
            head=_head(started[0], started[1]),
            known_version=asked.known_version,
            until_s=asked.until_s,
        )
        start_response(started[0], [])
        return ()


def _taken(connection: socket.socket) -> socket.socket:
    """The connection under a descriptor of ours; the old one is left with a connection that has ended."""
    ours = connection.dup()
    ended, other = socket.socketpair()
    other.close()
    os.dup2(ended.fileno(), connection.fileno(), inheritable=False)
    ended.close()
    ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return ours


def _head(status: str, headers: list[tuple[str, str]]) -> bytes:
    lines = [f"HTTP/1.1 {status}"]
    lines += [f"{name}: {value}" for name, value in headers if name.lower() not in _NOT_SENT]
    return ("\r\n".join([*lines, "Connection: close"]) + "\r\n\r\nretry: 1000\n\n").encode("latin-1")
