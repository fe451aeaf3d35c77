"""One really started product: ``wattbook up`` on a data folder of its own."""

import os
import secrets
import signal
import subprocess
from pathlib import Path

import httpx
import psutil
from wattbook.services import services
from wattbook_cli.domain.desk import BUS_URL, store_variable

from tests.support import engines
from tests.support.client import Client
from tests.support.ports import free_port_base
from tests.support.trades import unique
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
WATTBOOK = ROOT / ".venv" / "bin" / "wattbook"
START_S = 40.0
STOP_S = 30.0


class Desk:
    """A product under test; :meth:`start` it, :meth:`stop` it. No trades come in by themselves."""

    usual: tuple[str, ...] = ("--no-sandbox",)

    def __init__(self, folder: Path, *arguments: str, environment: dict[str, str] | None = None) -> None:
        self._arguments = (*self.usual, *arguments)
        self.folder = folder
        self.data = folder / "data"
        self.log = folder / "up.log"
        self.port = free_port_base()
        self.url = f"http://127.0.0.1:{self.port}"
        self.pages_url = f"http://127.0.0.1:{self.port + 1}"
        self.admin_password = secrets.token_urlsafe(18)
        self._environment = {**engines.desk_environment(folder), **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def inbox(self) -> Path:
        return self.data / "inbox"

    @property
    def archive(self) -> Path:
        return self.inbox / "archive"

    @property
    def rejected(self) -> Path:
        return self.inbox / "rejected"

    def store_url(self, name: str) -> str:
        """Where a store is, by its name: ``trade``, ``ingest``, …"""
        return self.environment.get(store_variable(name), f"sqlite:///{self.data}/stores/{name}.db")

    @property
    def bus_url(self) -> str:
        return self.environment.get(BUS_URL, f"sqlite:///{self.data}/bus/bus.db")

    @property
    def environment(self) -> dict[str, str]:
        """What the product's commands see: this machine's, without anybody's Wattbook variables."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("WATTBOOK_")}
        return {**kept, "WATTBOOK_ADMIN_PASSWORD": self.admin_password, **self._environment}

    def launch(self) -> None:
        """Start it without waiting for it."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        command = [str(WATTBOOK), "up", "--data", str(self.data), "--port-base", str(self.port)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *self._arguments], cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def start(self) -> "Desk":
        """Start it and wait until it answers; shows its logs where it does not."""
        self.launch()
        try:
            self.wait_ready()
        except BaseException:
            print(self.logs(lines=12))
            self.kill_all()
            raise
        return self

    def wait_ready(self, timeout_s: float = START_S) -> None:
        """Until the gateway reaches its owners and the pages answer."""

        def ready() -> bool:
            code = self.supervisor.poll()
            if code is not None:
                raise SystemExit(f"wattbook up ended with {code}")
            return self.is_ready()

        wait_until(ready, timeout_s=timeout_s, what="the product is ready")

    def is_ready(self) -> bool:
        """Whether the gateway reaches all its upstreams, and the pages answer."""
        with httpx.Client(timeout=2.0, trust_env=False, verify=False) as http:
            pages = http.get(f"{self.pages_url}/").status_code
            ready = http.get(f"{self.url}/readyz")
            return ready.status_code == 200 and ready.json()["status"] == "ok" and pages < 500

    def stop(self) -> int:
        """Stop it the way a person would; its exit status."""
        process = self.supervisor
        family = self.family()
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            print(self.logs(lines=12))
            self.kill_all()
            raise
        orphans = psutil.wait_procs(family, timeout=3)[1]
        assert not orphans, f"left behind: {orphans}"
        return code

    def kill_all(self) -> None:
        """End everything at once; for when the orderly way failed."""
        if self._process is None:
            return
        family = self.family()
        self._process.kill()
        for member in family:
            try:
                member.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(family, timeout=5)
        self._process.wait(5)

    @property
    def supervisor(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None, "not started"
        return self._process

    def process(self) -> psutil.Process:
        """The supervisor."""
        return psutil.Process(self.supervisor.pid)

    def family(self) -> list[psutil.Process]:
        """Every process under the supervisor."""
        try:
            return psutil.Process(self.supervisor.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def process_of(self, service: str) -> psutil.Process | None:
        """The process that the supervisor started for a service, while it lives."""
        module = f"{services()[service].package}.app"
        for process in psutil.Process(self.supervisor.pid).children():
            try:
                if module in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                    return process
            except psutil.NoSuchProcess:
                continue
        return None

    def kill(self, service: str, *, timeout_s: float = 10.0) -> int:
        """``kill -9`` a service, its workers too, as soon as it runs; the process id that died."""
        process = wait_until(lambda: self.process_of(service), timeout_s=timeout_s, what=f"{service} runs")
        family = [process, *process.children(recursive=True)]
        for member in family:
            try:
                member.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(family, timeout=5)
        return process.pid

    def wait_restarted(self, service: str, dead_pid: int, *, timeout_s: float = START_S) -> None:
        """Until another process does the service's work and the whole is ready."""

        def risen() -> bool:
            process = self.process_of(service)
            return process is not None and process.pid != dead_pid and self.is_ready()

        wait_until(risen, timeout_s=timeout_s, what=f"{service} is back")

    def logs(self, *, lines: int = 80) -> str:
        """The last lines of every log, for a failure to show."""
        files = [self.log, *sorted((self.data / "logs").glob("*.log"))]
        parts = [
            f"===== {file.name}\n" + "\n".join(file.read_text(errors="replace").splitlines()[-lines:])
            for file in files
            if file.exists()
        ]
        return "\n".join(parts)

    def client(self, name: str = "admin", password: str | None = None) -> Client:
        """A connection as somebody; as the first user unless told."""
        return Client(self.url, name, password or self.admin_password)

    def user(self, *roles: str, trader_id: str | None = None) -> Client:
        """A new user with these roles, connected."""
        name, password = unique("u"), secrets.token_urlsafe(12)
        with self.client() as admin:
            answer = admin.add_user(name, password, *roles, trader_id=trader_id)
            assert answer.status_code in (200, 201), answer.text
        return self.client(name, password)

    def run(
        self, *arguments: str, timeout_s: float = 60.0, **variables: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run the ``wattbook`` command against this product, as its admin."""
        environment = {
            **self.environment,
            "WATTBOOK_URL": self.url,
            "WATTBOOK_USER": "admin",
            "WATTBOOK_PASSWORD": self.admin_password,
            "COLUMNS": "100",
            **variables,
        }
        return subprocess.run(
            [str(WATTBOOK), *arguments], cwd=ROOT, env=environment, capture_output=True, text=True,
            timeout=timeout_s, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def drop(self, name: str, content: bytes | str) -> Path:
        """Put a file into the drop folder the way a careful sender does: whole, by a rename."""
        staged = self.data / f"{unique('staged')}.part"
        staged.write_bytes(content.encode() if isinstance(content, str) else content)
        self.inbox.mkdir(parents=True, exist_ok=True)
        target = self.inbox / name
        staged.rename(target)
        return target

    def wait_archived(self, name: str, *, timeout_s: float = 30.0) -> Path:
        """The archived file of that name, once it is there."""
        stem = Path(name).stem

        def found() -> Path | None:
            return next((path for path in self.archive.glob(f"{stem}*") if path.is_file()), None)

        return wait_until(found, timeout_s=timeout_s, what=f"{name} is archived")
