"""The short way: the same request again, answered before Flask, while all that its answer follows from holds.

A page that traders keep refreshing costs a dictionary lookup and three comparisons. What is kept is keyed by
all that the answer depends on in a request, the session cookie included, and is asked each time whether it
still holds; so it is never older than the full answer would be.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from wattbook.clock import Clock, to_epoch_us

MOST_KEPT = 512
_HOLDS = "wattbook.holds"
_REQUEST_ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)
_US_PER_S = 1_000_000
_VARIES_BY = (
    "PATH_INFO",
    "QUERY_STRING",
    "HTTP_HOST",
    "HTTP_COOKIE",
    "HTTP_IF_NONE_MATCH",
    "HTTP_ACCEPT_LANGUAGE",
    "HTTP_ACCEPT_ENCODING",
    "wsgi.url_scheme",
)

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Holds:
    """How long an answer may be given again: while ``check`` says so, and not from ``until_s`` (UTC) on."""

    check: Callable[[], bool]
    until_s: int


@dataclass(frozen=True, slots=True)
class _Answer:
    status: str
    headers: list[tuple[str, str]]
    body: bytes
    holds: Holds


def request_id_of(environ: Environ) -> str:
    """The id that came with a request, where it looks like one; otherwise a new one."""
    given = environ.get("HTTP_X_REQUEST_ID", "")
    return given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


def may_repeat(environ: Environ, holds: Holds) -> None:
    """Let the answer to this request be given again while it ``holds``."""
    environ[_HOLDS] = holds


class Recent:
    """WSGI in front of the pages; thread-safe."""

    def __init__(self, application: Application, clock: Clock, *, most: int = MOST_KEPT) -> None:
        """Keep at most ``most`` answers of ``application``."""
        self._application = application
        self._clock = clock
        self._most = most
        self._kept: OrderedDict[tuple[Any, ...], _Answer] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer from what is kept, or let the application."""
        if environ["REQUEST_METHOD"] != "GET":
            return self._application(environ, start_response)
        key = tuple(map(environ.get, _VARIES_BY))
        found = self._kept.get(key)
        if found is None or not self._holds(found):
            return self._asked(key, environ, start_response)
        start_response(found.status, [*found.headers, ("X-Request-Id", request_id_of(environ))])
        return (found.body,)

    def _holds(self, answer: _Answer) -> bool:
        now_s = to_epoch_us(self._clock.now()) // _US_PER_S
        return now_s < answer.holds.until_s and answer.holds.check()

    def _asked(
        self, key: tuple[Any, ...], environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        started: list[Any] = []

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            started[:] = [status, headers]
            return start_response(status, headers, *rest)

        chunks = self._application(environ, start)
        holds = environ.get(_HOLDS)
        if holds is None or not started:
            return chunks
        try:
            body = b"".join(chunks)
        finally:
            getattr(chunks, "close", lambda: None)()
        self._keep(key, started[0], started[1], body, holds)
        return (body,)

    def _keep(
        self, key: tuple[Any, ...], status: str, headers: list[tuple[str, str]], body: bytes, holds: Holds
    ) -> None:
        names = {name.lower() for name, _ in headers}
        if "set-cookie" in names or status[:3] not in {"200", "304"}:
            return
        kept = [(name, value) for name, value in headers if name.lower() != "x-request-id"]
        with self._lock:
            self._kept[key] = _Answer(status, kept, body, holds)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
