"""gunicorn, started from Python: one worker with our HTTP server in it, its logs through ours."""

from __future__ import annotations

import _thread
import logging
import math
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker as BaseWorker
from wattbook.errors import WattbookError
from wattbook.process import keep_what_is_made

if TYPE_CHECKING:
    from report_service.app.worker import Worker

GRACE_S = 20  # for running requests, then for what is behind them


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


class _AsgiWorker(BaseWorker):
    """Serves ASGI by our own HTTP server, which is told to stop by an event."""

    def init_signals(self) -> None:
        """Every signal that ends it ends it in order."""
        for each in self.SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        for each in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(each, self.handle_exit)
        signal.signal(signal.SIGUSR1, self.handle_usr1)
        signal.signal(signal.SIGWINCH, self.handle_winch)
        signal.signal(signal.SIGABRT, self.handle_abort)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Stop; not in the signal's handler, which interrupts whoever holds a lock that this needs."""
        _thread.start_new_thread(self.app.stop_worker, ())

    def notify(self) -> None:
        """Tell the master that we live; without one there is nothing to live for."""
        super().notify()
        if os.getppid() != self.ppid:
            self.app.stop_worker()

    def run(self) -> None:
        """Until told to stop."""
        self.app.serve([each.sock for each in self.sockets], notify=self.notify)


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
        self._stopping = threading.Event()
        self.stop_with_parent = stop_with_parent
        super().__init__()

    def load_config(self) -> None:
        """Gunicorn's settings."""
        chosen = {
            "bind": [f"fd://{self._pages.fileno()}"],
            "workers": 1,
            "worker_class": _AsgiWorker,
            "timeout": 60,
            "graceful_timeout": GRACE_S + math.ceil(self.drain_s),
            "worker_tmp_dir": "/dev/shm" if os.path.isdir("/dev/shm") else None,  # noqa: S108
            "logger_class": Logs,
            "loglevel": self._log_level,
            "control_socket_disable": True,
            "forwarded_allow_ips": "",  # who is believed is our setting to say; see api.edge
            "proc_name": "wattbook-report",
            "worker_exit": self._end_worker,
        }
        for name, value in chosen.items():
            self.cfg.set(name, value)

    def load(self) -> Callable[..., Any]:
        """In the worker: put it together and start it."""
        try:
            self._worker = self._build()
            self._worker.start()
        except (OSError, ValueError, WattbookError) as error:
            print(f"report-service: {error}", file=sys.stderr)
            sys.exit(Arbiter.APP_LOAD_ERROR)  # tells the master that another worker would not do better
        keep_what_is_made()
        return self._worker.serve_on

    def run(self) -> None:
        """Until told to stop."""
        master = os.getpid()
        try:
            _Arbiter(self).run()
        except SystemExit as end:  # the worker's end comes this way too, and its status tells the master why
            is_failed_start = os.getpid() == master and end.code == Arbiter.APP_LOAD_ERROR
            sys.exit(1 if is_failed_start else end.code)

    def serve(self, sockets: Sequence[socket.socket], *, notify: Callable[[], None]) -> None:
        """In the worker: answer until told to stop."""
        assert self._worker is not None
        self._worker.serve_on(sockets, stopping=self._stopping, notify=notify)

    def stop_worker(self) -> None:
        """In the worker: begin its orderly end; whoever calls over gRPC goes elsewhere from now on."""
        self._stopping.set()
        if self._worker is not None and self.drain_s:
            self._worker.drain()

    def _end_worker(self, _arbiter: Any, _worker: Any) -> None:
        if self._worker is not None:
            self._worker.stop()
            self._worker = None
