"""A really started gateway (uvicorn on a port of its own, a real store) in front of stand-in owners."""

from __future__ import annotations

import socket
import threading
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from gateway.app import Settings, build_gateway
from joserfc.jwk import ECKey
from wattbook.clock import FakeClock
from wattbook.db import open_store, prepare
from wattbook.web.settings import listen

from tests.support import engines
from tests.unit.gateway.fakes import Owners

ADMIN_PASSWORD = "corréct horse: battery"
REPORT_SECRET = "a secret of another program"
CLIENT_SECRET = "a secret of a program"
START = datetime(2023, 2, 28, 12, tzinfo=UTC)


class Started:
    """Use it as a context manager; ``clock`` stands still until a test moves it."""

    def __init__(
        self, folder: Path, *, owners: Owners | None = None, key: ECKey | None = None, **settings: Any
    ) -> None:
        self.owners = owners or Owners()
        self.clock = FakeClock(START)
        self.key = key or ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"})
        self.key.ensure_kid()
        self.settings = Settings(
            **{
                "store_url": engines.store_url(folder, "gateway"),
                "signing_key_file": folder / "unused.pem",
                "trade_target": self.owners.trade_target,
                "report_target": self.owners.report_target,
                "pricing_target": self.owners.pricing_target,
                "ingest_target": self.owners.ingest_target,
                "meter_target": self.owners.meter_target,
                "cash_target": self.owners.cash_target,
                "admin_password": ADMIN_PASSWORD,
                "ingest_client_secret": CLIENT_SECRET,
                "report_client_secret": REPORT_SECRET,
                "pricing_client_secret": REPORT_SECRET,
                **settings,
            }
        )
        self._stopping = threading.Event()

    def __enter__(self) -> Self:
        self.store = open_store(self.settings.store_url, name="gateway")
        prepare(self.store, "gateway", settings=self.settings)
        self.gateway = build_gateway(self.settings, store=self.store, key=self.key, clock=self.clock)
        listening = listen("127.0.0.1:0")
        self.port = listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        probing = listen("127.0.0.1:0")
        self.probe_port = probing.getsockname()[1]
        server = self.gateway.server(self._stopping)
        self._thread = threading.Thread(
            target=server.serve_on, args=([listening],), kwargs={"probing": probing}, daemon=True
        )
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.owners.trades.hold.set()
        self.stop()
        self.gateway.close()
        self.store.close()
        self.owners.stop()

    def stop(self) -> None:
        """Stop serving the way a signal does, and wait for it."""
        self._stopping.set()
        self._thread.join(20)
        assert not self._thread.is_alive(), "the server did not stop"

    def begin_stop(self) -> None:
        """Ask it to stop without waiting."""
        self._stopping.set()

    def client(
        self, name: str | None = "admin", password: str = ADMIN_PASSWORD, **options: Any
    ) -> httpx.Client:
        """A connection as somebody; as nobody where ``name`` is None."""
        auth = None if name is None else httpx.BasicAuth(name.encode(), password.encode())
        return httpx.Client(
            base_url=self.url, auth=auth, timeout=30, trust_env=False, verify=False, **options
        )

    def raw(self, data: bytes, *, timeout_s: float = 10.0) -> bytes:
        """Everything that is answered to bytes on a connection of their own, until it is closed."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout_s) as connection:
            connection.sendall(data)
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
        return answer
