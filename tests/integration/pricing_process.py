"""pricing-service and the sandbox's provider as processes that tell one simulated time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from wattbook import rpc
from wattbook_proto import prices_pb2, prices_pb2_grpc

from tests.support import engines
from tests.support.ports import free_port
from tests.support.waiting import wait_until

START = datetime(2023, 2, 6, 9, 25, tzinfo=UTC)  # 10:25 in Berlin
FIRST_HOUR_S = int(datetime(2023, 2, 6, 10, tzinfo=UTC).timestamp())


class Time:
    """The settings that make processes tell the same simulated time."""

    def __init__(self, *, speed: float) -> None:
        self.speed = speed
        self.settings = {
            "WATTBOOK_CLOCK_START": START.isoformat(),
            "WATTBOOK_CLOCK_SPEED": str(speed),
            "WATTBOOK_CLOCK_ANCHOR": datetime.now(UTC).isoformat(),
        }


class Process:
    """A module run as a process; may be started again and again."""

    def __init__(self, module: str, log: Path, environment: dict[str, str]) -> None:
        self._command = [sys.executable, "-m", module]
        self._log = log
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONDONTWRITEBYTECODE": "1",
            "WATTBOOK_STOP_WITH_PARENT": "true",
            "WATTBOOK_OPEN_WALLS": "true",
            **environment,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def launch(self) -> subprocess.Popen[bytes]:
        """Start without waiting."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command, env=self.environment, stdout=log, stderr=log)
        return self.process

    def signal(self, signum: signal.Signals, *, timeout_s: float = 20.0) -> int:
        """Send it a signal and wait for its end; the exit status."""
        assert self.process is not None
        self.process.send_signal(signum)
        return self.process.wait(timeout_s)

    def log(self) -> str:
        """All that it said."""
        return self._log.read_text()

    def close(self) -> None:
        """Make sure that it is gone."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(30)


class ProviderProcess(Process):
    """The sandbox's market data provider."""

    def __init__(self, folder: Path, time: Time, **settings: str) -> None:
        port = free_port()
        control = port + 1
        self.url = f"http://127.0.0.1:{port}"
        self._control = httpx.Client(base_url=f"http://127.0.0.1:{control}", timeout=10.0)
        more = {f"WATTBOOK_SANDBOX_MARKET_DATA_{name.upper()}": value for name, value in settings.items()}
        listen = {
            "WATTBOOK_SANDBOX_MARKET_DATA_LISTEN": f"127.0.0.1:{port}",
            "WATTBOOK_SANDBOX_MARKET_DATA_CONTROL_LISTEN": f"127.0.0.1:{control}",
            "WATTBOOK_SANDBOX_SEED": "7",
        }
        super().__init__("sandbox.market_data", folder / "provider.log", {**time.settings, **listen, **more})

    def start(self) -> ProviderProcess:
        """Start, and wait until it is open."""
        self.launch()
        wait_until(self.stats, timeout_s=30, what="the provider is open")
        return self

    def stats(self) -> Any:
        """All that it counts."""
        return self._control.get("/control/stats").raise_for_status().json()

    def requests(self, *, after_seq: int = 0) -> list[dict[str, Any]]:
        """Each request in order."""
        query = {"after_seq": after_seq, "limit": 10_000}
        return self._control.get("/control/requests", params=query).raise_for_status().json()

    def faults(self, **changes: Any) -> None:
        """Change some; none: end all."""
        answer = self._control.post("/control/faults", json=changes) if changes else None
        (answer or self._control.delete("/control/faults")).raise_for_status()

    def close(self) -> None:
        self._control.close()
        super().close()


class PricingProcess(Process):
    """``python -m pricing_service.app``."""

    def __init__(self, folder: Path, time: Time, *, url: str, name: str = "pricing", **more: str) -> None:
        self.target = f"127.0.0.1:{free_port()}"
        self.bus_url = engines.bus_url(folder)
        settings = {
            "WATTBOOK_PRICING_LISTEN": self.target,
            "WATTBOOK_PRICING_STORE_URL": engines.store_url(folder, "pricing"),
            "WATTBOOK_BUS_URL": self.bus_url,
            "WATTBOOK_MARKET_DATA_URL": url,
            **time.settings,
            **more,
        }
        super().__init__("pricing_service.app", folder / f"{name}.log", settings)
        self._channel = rpc.channel(self.target)
        self._stub = prices_pb2_grpc.PricesStub(self._channel)

    def start(self) -> PricingProcess:
        """Start, and wait until it is ready."""
        self.launch()
        wait_until(self._is_ready_or_gone, timeout_s=60, what="the service is ready")
        return self

    def _is_ready_or_gone(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            pytest.fail(f"it ended:\n{self.log()[-2000:]}")
        return rpc.is_healthy(self.target)

    def status(self) -> prices_pb2.StatusReply:
        return rpc.call(self._stub.Status, prices_pb2.StatusRequest())

    def day(self, day: str = "2023-02-06", **more: Any) -> prices_pb2.DayReply:
        return rpc.call(self._stub.Day, prices_pb2.DayRequest(delivery_day=day, **more))

    def history(self, start_s: int) -> list[prices_pb2.ReferencePrice]:
        request = prices_pb2.HistoryRequest(delivery_start_s=start_s, delivery_minutes=60)
        return list(rpc.call(self._stub.History, request).prices)

    def watch(self, *starts_s: int, **more: Any) -> None:
        rpc.call(self._stub.Watch, prices_pb2.WatchRequest(delivery_start_s=starts_s, **more))

    def is_all_fresh(self) -> bool:
        """Whether every tradable hour has the newest cycle's price."""
        found = self.status()
        return 0 < found.periods_fresh == found.periods_tradable

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What its store holds."""
        return engines.stored_rows(self.environment["WATTBOOK_PRICING_STORE_URL"], query)

    def close(self) -> None:
        self._channel.close()
        super().close()


@contextmanager
def closing(*processes: Process) -> Iterator[None]:
    """End them after the block."""
    try:
        yield
    finally:
        for process in processes:
            process.close()
