"""Wait for the store at the start: alive and not ready, instead of ending and being started again."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec

from wattbook import sqlite
from wattbook.db import Store, StoreSettings, open_store, prepare
from wattbook.db.migrations import ReleaseTooOld, SchemaMissing
from wattbook.errors import Unavailable, error_body

_log = logging.getLogger(__name__)

LOOK_AGAIN_S = 1.0
SAY_AGAIN_S = 60.0
REQUEST_TIMEOUT_S = 5.0
_STARTING = Unavailable("the service is starting; try again", retry_after_s=2)

Alive = Callable[[], AbstractContextManager[None]]
"""Answers who asks whether the process lives, for the length of a block."""


def await_store(
    url: str,
    *,
    name: str,
    package: str,
    settings: StoreSettings,
    alive: Alive,
    stopping: threading.Event | None = None,
) -> Store:
    """The store at ``url``, at a schema that ``package`` can use; waits for both as long as it takes.

    While it waits it says once a minute for what, and ``alive`` answers.

    Raises:
        Unavailable: it cannot become usable: a file that cannot be opened, a schema that is too new for
            this release; or ``stopping`` was set.
        ValueError: no engine knows such a URL, or a setting is no limit.
    """
    stopping = stopping or threading.Event()
    with ExitStack() as waiting:
        say_at_s = 0.0
        while True:
            try:
                return _opened(url, name=name, package=package, settings=settings)
            except Unavailable as error:
                if stopping.is_set() or not _may_pass(error, url):
                    raise
                if not say_at_s:
                    waiting.enter_context(alive())
                if time.monotonic() >= say_at_s:
                    say_at_s = time.monotonic() + SAY_AGAIN_S
                    _log.warning("not ready: %s; waiting", error)
            stopping.wait(LOOK_AGAIN_S)


def _opened(url: str, *, name: str, package: str, settings: StoreSettings) -> Store:
    store = open_store(url, name=name, settings=settings)
    try:
        prepare(store, package, settings=settings)
    except BaseException:
        store.close()
        raise
    return store


def _may_pass(error: Unavailable, url: str) -> bool:
    """Whether waiting helps: another process migrates, or a server comes up. A file does not change by it."""
    if isinstance(error, ReleaseTooOld):
        return False
    return isinstance(error, SchemaMissing) or not url.startswith(sqlite.PREFIX)


class _Starting(BaseHTTPRequestHandler):
    """``/healthz`` is well; everything else is told to come again."""

    timeout = REQUEST_TIMEOUT_S

    def answer(self) -> None:
        """Whatever the method."""
        is_well = self.path.partition("?")[0] == "/healthz"
        body = msgspec.json.encode({"status": "starting"} if is_well else error_body(_STARTING))
        self.send_response(200 if is_well else _STARTING.http_status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if not is_well:
            self.send_header("Retry-After", str(_STARTING.retry_after_s))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


for _method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
    setattr(_Starting, f"do_{_method}", _Starting.answer)


@contextmanager
def alive_on_http(*listening: socket.socket) -> Iterator[None]:
    """Answer on listening sockets, which are the caller's again afterwards."""
    with ExitStack() as serving:
        for each in listening:
            serving.enter_context(_alive_on(each))
        yield


@contextmanager
def _alive_on(listening: socket.socket) -> Iterator[None]:
    server = ThreadingHTTPServer(("", 0), _Starting, bind_and_activate=False)
    server.socket.close()
    server.socket = listening
    serving = threading.Thread(target=server.serve_forever, args=(0.1,), name="alive", daemon=True)
    serving.start()
    try:
        yield
    finally:
        server.shutdown()
        serving.join()
