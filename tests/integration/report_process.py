"""report-service for tests: a process of its own beside a trade-service."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import psutil
from wattbook import rpc
from wattbook_proto import reports_pb2, reports_pb2_grpc

from tests.support.ports import free_port
from tests.support.waiting import wait_until

DAY = "2023-02-28"


class ReportProcess:
    """``python -m report_service.app``; may be started again and again."""

    def __init__(self, folder: Path, *, bus_url: str, trade_target: str, **environment: str) -> None:
        self.target = f"127.0.0.1:{free_port()}"
        self.http_target = f"127.0.0.1:{free_port()}"
        self.url = f"http://{self.http_target}"
        self.log_path = folder / "report.log"
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONDONTWRITEBYTECODE": "1",
            "WATTBOOK_REPORT_LISTEN": self.target,
            "WATTBOOK_REPORT_HTTP_LISTEN": self.http_target,
            "WATTBOOK_TRADE_TARGET": trade_target,
            "WATTBOOK_BUS_URL": bus_url,
            "WATTBOOK_SESSION_KEY": "only for this test, and long enough",
            "WATTBOOK_STOP_WITH_PARENT": "true",
            "WATTBOOK_OPEN_WALLS": "true",
            **environment,
        }
        self.process: subprocess.Popen[bytes] | None = None
        self._channel = rpc.channel(self.target)
        self._stub: Any = reports_pb2_grpc.ReportsStub(self._channel)

    def launch(self) -> subprocess.Popen[bytes]:
        """Start without waiting."""
        with self.log_path.open("ab") as log:
            command = [sys.executable, "-m", "report_service.app"]
            self.process = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
        return self.process

    def start(self) -> ReportProcess:
        """Start, and wait until it answers reports."""
        self.launch()
        wait_until(lambda: rpc.is_healthy(self.target), timeout_s=30, what="report-service is ready")
        return self

    def family(self) -> list[psutil.Process]:
        """The master and its worker."""
        assert self.process is not None
        master = psutil.Process(self.process.pid)
        return [master, *master.children(recursive=True)]

    def stop(self, signum: signal.Signals = signal.SIGTERM) -> int:
        """Send it a signal; its exit status once it and its worker are gone."""
        assert self.process is not None
        family = self.family()
        self.process.send_signal(signum)
        status = self.process.wait(30)
        assert not psutil.wait_procs(family, timeout=5)[1]
        return status

    def reports(self, *traders: str, day: str = DAY, known: str = "") -> list[reports_pb2.PnlAnswer]:
        """A trader's report each."""
        queries = [
            reports_pb2.PnlQuery(trader_id=trader, delivery_day=day, known_version=known)
            for trader in traders
        ]
        return list(rpc.call(self._stub.Pnl, reports_pb2.PnlRequest(queries=queries)).answers)

    def wait_for(
        self, count: int, trader: str = "trader_1", *, timeout_s: float = 60
    ) -> reports_pb2.PnlAnswer:
        """A trader's report, once it counts so many trades."""

        def counted() -> reports_pb2.PnlAnswer | None:
            (answer,) = self.reports(trader)
            return answer if answer.total.trades == count else None

        return wait_until(counted, timeout_s=timeout_s, what=f"{count} trades are counted")  # type: ignore[return-value]

    def get(self, path: str) -> httpx.Response:
        """A page."""
        with httpx.Client(trust_env=False, timeout=10) as http:
            return http.get(f"{self.url}{path}")

    def log(self) -> str:
        """All that it said."""
        return self.log_path.read_text()

    def close(self) -> None:
        """Make sure that it is gone."""
        self._channel.close()
        if self.process and self.process.poll() is None:
            for member in reversed(self.family()):
                member.kill()
            self.process.wait(30)
