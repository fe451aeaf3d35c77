"""gunicorn, started from Python: one worker with threads, its logs through ours, its sockets opened by us."""

from __future__ import annotations

import logging
import math
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any, Protocol

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from gunicorn.workers.gthread import ThreadWorker

THREADS = 8
GRACE_S = 10
KEEP_ALIVE_S = 65


class Worker(Protocol):
    """What runs in the worker process."""

    wsgi: Callable[..., Any]

    def start(self) -> None:
        """Begin; the WSGI application is called from now on."""
        ...

    def drain(self) -> None:
        """The stop is near."""
        ...

    def stop(self) -> None:
        """Orderly end, after the last request."""
        ...


def address_of(text: str) -> tuple[str, int]:
    """(host, port) of ``host:port``, ``[::1]:port`` too.

    Raises:
        ValueError: it is not one.
    """
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{text!r} is not an address; write host:port")
    return host.strip("[]"), int(port)


def listen(address: str) -> socket.socket:
    """A listening socket.

    Raises:
        OSError: the address is in use or not ours, said in one line.
        ValueError: it is no address.
    """
    host, port = address_of(address)
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise OSError(f"cannot listen on {address}: {_reason(error)}") from error


def _reason(error: OSError) -> str:
    return os.strerror(error.errno).lower() if error.errno and error.errno > 0 else str(error)


class Logs(Logger):
    """gunicorn's logger, handing its records to the root logger, so that its lines look like all others."""

    def setup(self, cfg: Any) -> None:
        """No handlers of its own."""
        super().setup(cfg)
        for name in ("gunicorn.error", "gunicorn.access"):
            logger = logging.getLogger(name)
            logger.handlers.clear()
            logger.propagate = True


class _Arbiter(Arbiter):
    """Also leaves when the process that started it is gone, if it was told to."""

    def __init__(self, app: Master) -> None:
        super().__init__(app)
        self._parent = os.getppid() if app.stop_with_parent else None

    def manage_workers(self) -> None:
        if self._parent is not None and os.getppid() != self._parent:
            self._parent = None
            self.log.warning("the starting process is gone; stopping")
            self.SIG_QUEUE.put_nowait(signal.SIGTERM)
        super().manage_workers()


class _DrainingWorker(ThreadWorker):
    """Told to stop, answers for a while longer, and each answer says that its connection ends.

    gunicorn alone closes a kept connection two seconds later; who had left it idle longer than that may
    just be sending on it.
    """

    _is_draining = False

    def handle_exit(self, sig: int, frame: Any) -> None:
        """On SIGTERM; also once the time is over."""
        app: Master = self.app
        if not self.alive or not app.drain_s or self._is_draining:
            super().handle_exit(sig, frame)
            return
        self._is_draining = True
        self.max_keepalived = 0  # what is answered says that the connection ends
        app.drain()
        end = threading.Timer(app.drain_s, super().handle_exit, (sig, frame))
        end.daemon = True
        end.start()


class Master(BaseApplication):
    """The master process. ``build`` makes the worker, after the fork and only there."""

    def __init__(
        self,
        pages: socket.socket,
        build: Callable[[], Worker],
        *,
        stop_with_parent: bool,
        log_level: str,
        drain_s: float,
    ) -> None:
        """Serve on the listening socket ``pages``; a stop may take ``drain_s`` more than usual."""
        self._pages = pages
        self._build = build
        self._log_level = log_level
        self.drain_s = drain_s
        self._worker: Worker | None = None
        self.stop_with_parent = stop_with_parent
        super().__init__()

    def load_config(self) -> None:
        """Gunicorn's settings."""
        chosen = {
            "bind": [f"fd://{self._pages.fileno()}"],
            "workers": 1,
            "worker_class": _DrainingWorker,
            "threads": THREADS,
            "worker_connections": 1000,
            "limit_request_line": 8190,  # one stream names all pages that a browser looks at
            "keepalive": KEEP_ALIVE_S,
            "timeout": 60,
            "graceful_timeout": GRACE_S + math.ceil(self.drain_s),
            "worker_tmp_dir": "/dev/shm" if os.path.isdir("/dev/shm") else None,  # noqa: S108
            "logger_class": Logs,
            "loglevel": self._log_level,
            "control_socket_disable": True,
            "forwarded_allow_ips": "",  # who is believed is our setting to say; see api.edge
            "proc_name": "wattbook-report",
            "worker_exit": self._stop_worker,
        }
        for name, value in chosen.items():
            self.cfg.set(name, value)

    def load(self) -> Callable[..., Any]:
        """In the worker: put it together, start it, hand over the WSGI application."""
        from wattbook.errors import WattbookError  # brings gRPC along, which the master must not have
        from wattbook.process import keep_what_is_made

        try:
            self._worker = self._build()
            self._worker.start()
        except (OSError, ValueError, WattbookError) as error:
            print(f"report-service: {error}", file=sys.stderr)
            sys.exit(Arbiter.APP_LOAD_ERROR)  # tells the master that another worker would not do better
        keep_what_is_made()
        return self._worker.wsgi

    def run(self) -> None:
        """Until told to stop."""
        master = os.getpid()
        try:
            _Arbiter(self).run()
        except SystemExit as end:  # the worker's end comes this way too, and its status tells the master why
            is_failed_start = os.getpid() == master and end.code == Arbiter.APP_LOAD_ERROR
            sys.exit(1 if is_failed_start else end.code)

    def drain(self) -> None:
        """In the worker: whoever calls it over gRPC goes elsewhere from now on."""
        if self._worker is not None:
            self._worker.drain()

    def _stop_worker(self, _arbiter: Any, _worker: Any) -> None:
        if self._worker is not None:
            self._worker.stop()
            self._worker = None
