"""Sockets and HTTP servers inside a simulated world's one event loop, and the life of its process."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import logging
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import uvicorn
import uvloop
from starlette.types import ASGIApp
from wattbook.process import stop_on_signals, stop_with_parent

_log = logging.getLogger(__name__)
EXIT_FAILED = 1
_LOOK_S = 0.1


class CannotListen(Exception):
    """An address cannot be listened on; the message says which and why."""


def address_of(listen: str) -> tuple[str, int]:
    """Host and port of ``host:port``; port 0 lets the system choose.

    Raises:
        ValueError: it is not of that form.
    """
    host, colon, port = listen.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError("is not host:port")
    return host.strip("[]"), int(port)


def is_loopback(listen: str) -> bool:
    """Whether only this machine can reach an address."""
    host, _ = address_of(listen)
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listening_socket(listen: str) -> socket.socket:
    """A socket that listens.

    Raises:
        CannotListen: the port is taken, or the address is not this machine's.
    """
    host, port = address_of(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio turns Nagle's algorithm off; else answers wait 40 ms for an ACK.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(2048)
        made.setblocking(False)
    except OSError as error:
        made.close()
        why = "the port is in use" if error.errno == errno.EADDRINUSE else error.strerror
        raise CannotListen(f"cannot listen on {listen}: {why}") from None
    return made


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process: it stops its parts in order."""
        yield


@contextlib.asynccontextmanager
async def http_served(app: ASGIApp, on: socket.socket) -> AsyncIterator[int]:
    """Serve an HTTP application on a listening socket for the length of the block; the port."""
    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", ws="none", server_header=False,
        timeout_graceful_shutdown=2, proxy_headers=False,
    )  # fmt: skip
    server = _Server(config)
    port = int(on.getsockname()[1])
    serving = asyncio.create_task(server.serve(sockets=[on]))
    try:
        yield port
    finally:
        server.should_exit = True
        await serving


def run_until_stopped(
    world: Callable[[], contextlib.AbstractAsyncContextManager[object]], *, with_parent: bool
) -> None:
    """Run a simulated world until SIGTERM or SIGINT, then stop in order; exit status 1 if it cannot start."""
    for name in ("uvicorn", "websockets"):
        logging.getLogger(name).setLevel(logging.WARNING)
    stopping = stop_on_signals()
    if with_parent:
        stop_with_parent(stopping)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_until(stopping, world))
    except CannotListen as error:
        print(error, file=sys.stderr)
        sys.exit(EXIT_FAILED)


async def _until(
    stopping: threading.Event, world: Callable[[], contextlib.AbstractAsyncContextManager[object]]
) -> None:
    async with world():
        while not stopping.is_set():
            await asyncio.sleep(_LOOK_S)
        _log.info("stopping")


async def repeat(step: Callable[[], float]) -> None:
    """Call ``step`` again and again, each time after as many real seconds as it said."""
    while True:
        await asyncio.sleep(step())


@contextlib.asynccontextmanager
async def in_background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Let ``work`` run beside the block; should it fail, the block is ended with its error."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
        try:
            yield
        finally:
            task.cancel()
