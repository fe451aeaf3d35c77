"""The real ingest service as a process, its folders and its log, for tests that start, stop and kill it."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from wattbook import rpc

from tests.support import engines
from tests.support.ports import free_port
from tests.support.waiting import wait_until
from tests.unit.ingest_service.fakes import CLIENT_SECRET, FakeGateway

NAME = "epex_trades_20230228.csv"


class IngestProcess:
    """``python -m ingest_service.app`` over folders of its own; may be started again and again."""

    def __init__(
        self, folder: Path, *, gateway_url: str, secret: str = CLIENT_SECRET, port: int = 0, **more: str
    ) -> None:
        self.inbox = folder / "inbox"
        self.archive = self.inbox / "archive"
        self.rejected = self.inbox / "rejected"
        self.store_url = more.get("WATTBOOK_INGEST_STORE_URL") or engines.store_url(folder, "ingest")
        self.log_path = folder / "ingest.log"
        self.port = port or free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._environment = {
            "PATH": os.environ["PATH"],
            "PYTHONDONTWRITEBYTECODE": "1",
            "WATTBOOK_INGEST_LISTEN": f"127.0.0.1:{self.port}",
            "WATTBOOK_INGEST_STORE_URL": self.store_url,
            "WATTBOOK_INBOX": str(self.inbox),
            "WATTBOOK_GATEWAY_URL": gateway_url,
            "WATTBOOK_INGEST_CLIENT_SECRET": secret,
            "WATTBOOK_INGEST_SETTLE_S": "0.2",
            "WATTBOOK_INGEST_RESCAN_S": "0.5",
            "WATTBOOK_STOP_WITH_PARENT": "true",
            "WATTBOOK_OPEN_WALLS": "true",
            **more,
        }

    def start(self) -> IngestProcess:
        """Start, and wait until it is ready."""
        self.launch()
        wait_until(self.is_ready, timeout_s=60, what="the service is ready")
        return self

    def launch(self) -> None:
        """Start without waiting."""
        with self.log_path.open("ab") as log:
            command = [sys.executable, "-m", "ingest_service.app"]
            self.process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)

    def is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log_path.read_text()
        return rpc.is_healthy(f"127.0.0.1:{self.port}")

    def kill(self) -> None:
        """SIGKILL, whatever it is doing."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def terminate(self, *, timeout_s: float = 5.0) -> int:
        """SIGTERM; its exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def drop(self, content: str | bytes, name: str = NAME) -> Path:
        """Put a file into the inbox as careful writers do."""
        self.inbox.mkdir(exist_ok=True)
        path = self.inbox / f".{name}.writing"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path.rename(self.inbox / name)

    def wait_archived(self, name: str = NAME, *, timeout_s: float = 20) -> bytes:
        """The content of the archived file, once the ledger says that all is done."""
        wait_until(
            lambda: (
                not (self.inbox / name).exists()
                and (self.archive / name).exists()
                and not any(state != "done" for state in self.ledger().values())
            ),
            timeout_s=timeout_s,
            what=f"{name} is in the archive",
        )
        return (self.archive / name).read_bytes()

    def wait_archived_content(self, content: bytes, name: str = NAME) -> bool:
        """True once that content is archived under that name; others may be there before."""
        path = self.archive / name
        return wait_until(
            lambda: path.exists() and path.read_bytes() == content and "done" in self.ledger().values(),
            timeout_s=20,
            what=f"the last content of {name} is in the archive",
        )

    def rejected_rows(self, name: str = NAME) -> list[dict[str, str]]:
        """The rows of the file of refused rows; empty where there is none."""
        path = self.rejected / name
        if not path.exists():
            return []
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as lines:
            return list(csv.DictReader(lines))

    def ledger(self) -> dict[str, str]:
        """The state of each content by its first name and hash."""
        return dict(engines.stored_rows(self.store_url, "SELECT first_name || sha256, state FROM files"))

    def log(self) -> list[dict[str, Any]]:
        """Its log lines."""
        return [json.loads(line) for line in self.log_path.read_text().splitlines() if line.startswith("{")]

    def said(self, text: str) -> list[dict[str, Any]]:
        """The log lines whose message has ``text``."""
        return [line for line in self.log() if text in line["message"]]

    def wait_said(self, text: str, *, timeout_s: float = 10) -> list[dict[str, Any]]:
        """The same once there is one."""
        return wait_until(lambda: self.said(text), timeout_s=timeout_s, what=f"the log says {text!r}")

    def assert_tidy(self) -> None:
        """Nothing is left over, and nothing went wrong that nobody expected."""
        kept = {"archive", "rejected", "meters"}
        assert {path.name for path in self.inbox.iterdir()} == kept
        assert not [path for path in self.rejected.iterdir() if path.name.startswith(".")]
        assert "Traceback" not in self.log_path.read_text()


def run_for(folder: Path, fake: FakeGateway, **more: str) -> IngestProcess:
    """A process, not started, that uploads to ``fake``."""
    return IngestProcess(folder, gateway_url=fake.url, **more)
