"""The product as Kubernetes runs it, on this machine: the manifests' replicas, settings, probes and stops.

Each pod is a process at a loopback address of its own, so that replicas share the manifest's ports as pods
do; what stands between them is :mod:`tests.support.cluster`. PostgreSQL and RabbitMQ are private servers
with the deployment's databases, roles, users and rights, made by its own Jobs. Two things differ: there is no
TLS at the edge, so cookies go over plain HTTP, and kubelet is five times as quick as the manifests say.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import psutil

from tests.support import deployed, rabbitmq
from tests.support.client import Client
from tests.support.cluster import Names, Readiness, Services
from tests.support.deployed import Workload
from tests.support.live_desk import Live
from tests.support.live_faults import SETTINGS as LIVE_SETTINGS
from tests.support.ports import FIRST, STEP, free_port_base
from tests.support.postgres import ADMIN, PostgresServer
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
BIN = ROOT / ".venv" / "bin"
# In the order in which a person would roll them out: owners first.
SERVICES = ("trade-service", "pricing-service", "report-service", "gateway", "ingest-service")
SANDBOX = ("sandbox.market_data", "sandbox.exchange")
CALLED = ("trade-service", "report-service")  # by every gateway, from its first probe on
SCALE = 0.2  # of the manifests' probe periods, minReadySeconds and preStop
# The exchange as tests want it. Pings are the product's own: a listener that hangs up early on a slow machine
# loses what it has not read yet.
SETTINGS = {name: value for name, value in LIVE_SETTINGS.items() if name != "WATTBOOK_FEED_PING_S"}
READY_S = 180.0  # a loaded machine starts them slowly


@dataclass
class Pod:
    """One replica: its place, and the process that runs in it now."""

    workload: Workload
    number: int
    address: str
    folder: Path
    process: subprocess.Popen[bytes] | None = None
    readiness: Readiness | None = None

    @property
    def name(self) -> str:
        return self.workload.name

    @property
    def is_ready(self) -> bool:
        return self.readiness is not None and self.readiness.is_ready

    def wait_ready(self) -> None:
        """Until its probe is good. The process must not end meanwhile."""

        def ready() -> bool:
            if self.process is not None and (code := self.process.poll()) is not None:
                raise SystemExit(f"{self.name} at {self.address} ended with {code}")
            return self.is_ready

        wait_until(ready, timeout_s=READY_S, what=f"{self.name} at {self.address} is ready", most_s=0.1)


@dataclass(frozen=True)
class Ended:
    """How a pod ended."""

    name: str
    address: str
    code: int
    took_s: float
    grace_s: float


@dataclass
class _Place:
    """Where everything of one fleet is."""

    base: int
    folder: Path
    # Loopback has sixteen million addresses; the port base, this process's own, chooses 254 of them.
    net: str = field(init=False)

    def __post_init__(self) -> None:
        number = (self.base - FIRST) // STEP
        self.net = f"127.{100 + number // 250}.{number % 250}"

    def address(self, number: int) -> str:
        assert 0 < number < 255, "more pods than addresses"
        return f"{self.net}.{number}"


class Fleet(Live):
    """Replicas of everything; :meth:`restart` one, :meth:`roll_out` all of a service, or :meth:`kill`."""

    def __init__(
        self, folder: Path, *, postgres: PostgresServer, bus: rabbitmq.Server, speed: float = 1.0
    ) -> None:
        """A fleet on these servers; its world's clock begins now and runs ``speed`` times as fast."""
        self.port = free_port_base()
        self.folder = folder
        self.postgres = postgres
        self.bus = bus
        self.pods: list[Pod] = []
        self.ended: list[Ended] = []
        self._place = _Place(self.port, folder)
        self._speed = speed
        self._addresses = iter(range(10, 255))
        self._secrets: dict[tuple[str, str], str] = defaultdict(lambda: secrets.token_urlsafe(24))
        self._secrets["postgres-admin", "username"] = ADMIN
        self._secrets["postgres-admin", "password"] = postgres.password
        for user in rabbitmq.USERS:
            self._secrets[f"{user}-bus", "password"] = bus.password
        self._sandbox: list[subprocess.Popen[bytes]] = []
        now = datetime.now(UTC).isoformat()
        self._world = {
            "WATTBOOK_CLOCK_START": now,
            "WATTBOOK_CLOCK_ANCHOR": now,
            "WATTBOOK_CLOCK_SPEED": str(speed),
        }
        endpoints = {name: partial(self.endpoints, name) for name in SERVICES}
        each_ingest = {
            f"ingest-service-{number}.ingest-service": partial(self.endpoints, "ingest-service", number)
            for number in range(deployed.workload("ingest-service").replicas)
        }
        self._names = Names({**endpoints, **each_ingest}, address=self._place.address(1), port=5353)
        self._services = Services()
        self._services.open(self._place.address(2), 8080, endpoints["gateway"])
        self._services.open(self._place.address(3), 8081, endpoints["report-service"])
        self.url = f"http://{self._place.address(2)}:8080"
        self.pages_url = f"http://{self._place.address(3)}:8081"

    # --- its life

    def start(self) -> Fleet:
        """Servers prepared, jobs done, every replica ready."""
        self._make_keys()
        self._run_jobs()
        for module in SANDBOX:
            self._sandbox.append(self._start_sandbox(module))
        for name in SERVICES:
            for number in range(deployed.workload(name).replicas):
                self._launch(self._new_pod(name, number))
        for pod in self.pods:
            pod.wait_ready()
        # A gateway may have looked its upstreams up while one replica of them was ready.
        for pod in self.of("gateway"):
            wait_until(
                partial(self._is_connected, pod), timeout_s=90, what=f"{pod.address} reaches every replica"
            )
        return self

    def stop(self) -> None:
        """Every pod deleted, callers before owners; how each ended is in ``ended``."""
        for pod in reversed(self.pods[:]):
            self.delete(pod)

    def close(self) -> None:
        """Whatever still runs is ended."""
        for pod in self.pods:
            if pod.readiness is not None:
                pod.readiness.stop()
        for process in [*(pod.process for pod in self.pods), *self._sandbox]:
            if process is not None:
                process.kill()
                process.wait(10)
        self._services.close()
        self._names.close()

    # --- what is done to its pods

    def of(self, name: str) -> list[Pod]:
        """The pods of a service, oldest first."""
        return [pod for pod in self.pods if pod.name == name]

    def endpoints(self, name: str, number: int | None = None) -> Sequence[str]:
        """The addresses of a service's ready pods, or of one of them."""
        return [
            pod.address
            for pod in list(self.pods)
            if pod.name == name and pod.is_ready and number in (None, pod.number)
        ]

    def roll_out(self, name: str) -> None:
        """A rolling update: every pod replaced, one after the other."""
        pods = self.of(name)
        for pod in pods if deployed.workload(name).surges else reversed(pods):
            self.restart(pod)

    def restart(self, pod: Pod) -> None:
        """One step of a rolling update."""
        successor = self._new_pod(pod.name, pod.number)
        if not pod.workload.surges:  # it takes over the volume
            self.delete(pod)
        self._launch(successor)
        successor.wait_ready()
        _pass(pod.workload.min_ready_s * SCALE)
        if pod.workload.surges:
            self.delete(pod)

    def delete(self, pod: Pod) -> None:
        """Out of the endpoints and preStop at once, then SIGTERM, and ``kill -9`` when the grace is over."""
        assert pod.process is not None
        assert pod.readiness is not None
        begun_s = time.monotonic()
        pod.readiness.stop()
        _pass(pod.workload.pre_stop_s * SCALE)
        pod.process.send_signal(signal.SIGTERM)
        grace_s = pod.workload.grace_s - pod.workload.pre_stop_s
        try:
            code = pod.process.wait(grace_s)
        except subprocess.TimeoutExpired:
            code = _kill_telling_where(pod.process)
        self.ended.append(Ended(pod.name, pod.address, code, time.monotonic() - begun_s, grace_s))
        self.pods.remove(pod)

    def kill(self, pod: Pod) -> None:
        """``kill -9`` of its container; kubelet starts it again in the same pod, at the same address.

        It is out of the endpoints at once, as kubelet sees an ended container without a probe.
        """
        assert pod.process is not None
        assert pod.readiness is not None
        _kill_group(pod.process)
        pod.process.wait(10)
        pod.readiness.stop()
        self._launch(pod)

    def assert_ended_well(self) -> None:
        """Every deleted pod ended with 0 within its grace period."""
        assert self.ended, "nothing ended"
        bad = [each for each in self.ended if each.code != 0 or each.took_s > each.grace_s]
        logs = [self.folder / f"{each.name}-{each.address}.log" for each in bad]
        told = "\n".join(log.read_text(errors="replace")[-20_000:] for log in logs)
        assert not bad, f"{bad}\n{told}"

    # --- to look at it

    def client(self) -> Client:
        return Client(self.url, "admin", self.admin_password)

    @property
    def admin_password(self) -> str:  # type: ignore[override]
        return self._secrets["gateway-admin", "password"]

    def rows(self, service: str, query: str) -> list[tuple[object, ...]]:
        """What the database of a service holds: ``trade``, ``gateway`` or ``pricing``."""
        return self.postgres.rows(query, database=f"wattbook_{service}")

    def logs(self, *, lines: int = 12) -> str:
        """The last lines of every log, for a failure to show."""
        return "\n".join(
            f"===== {file.name}\n" + "\n".join(file.read_text(errors="replace").splitlines()[-lines:])
            for file in sorted(self.folder.glob("*.log"))
        )

    def lapses(self) -> dict[str, int]:
        """How often each living pod missed its probes; a machine that is too slow fails requests by it."""
        return {
            f"{pod.name} at {pod.address}": pod.readiness.lapses
            for pod in self.pods
            if pod.readiness is not None and pod.readiness.lapses
        }

    def tracebacks(self) -> list[str]:
        """Lines of logs that say that something was not foreseen."""
        return [
            f"{file.name}: {line[:2000]}"
            for file in sorted(self.folder.glob("*.log"))
            for line in file.read_text(errors="replace").splitlines()
            if "Traceback" in line
        ]

    # --- pods and jobs

    def _is_connected(self, gateway: Pod) -> bool:
        """Whether it has a connection to each replica that it calls."""
        assert gateway.process is not None
        connections = psutil.Process(gateway.process.pid).net_connections("tcp")
        reached = {
            each.raddr.ip.removeprefix("::ffff:")  # gRPC's sockets are of IPv6
            for each in connections
            if each.status == psutil.CONN_ESTABLISHED
        }
        return all(each.address in reached for each in self.pods if each.name in CALLED)

    def _new_pod(self, name: str, number: int) -> Pod:
        address = self._place.address(next(self._addresses))
        pod = Pod(deployed.workload(name), number, address, self.folder / f"{name}-{number}")
        self.pods.append(pod)
        return pod

    def _launch(self, pod: Pod) -> None:
        pod.folder.mkdir(exist_ok=True)
        module = f"{pod.name.replace('-', '_')}.app"
        pod.process = self._spawn(
            [sys.executable, "-m", module], self._environment(pod.workload, pod), f"{pod.name}-{pod.address}"
        )
        pod.readiness = Readiness(
            pod.workload.readiness(pod.address),
            every_s=pod.workload.probe_every_s * SCALE,
            failures_allowed=pod.workload.failures_allowed,
        )

    def _environment(self, workload: Workload, pod: Pod | None = None) -> dict[str, str]:
        """As the manifest says, with this machine's addresses and folders in it."""
        places = {
            "@postgres:5432": f"@127.0.0.1:{self.postgres.port}",
            "http://gateway:8080": self.url,
            "sandbox-exchange:8095": f"127.0.0.1:{self.port + 15}",
            "sandbox-market-data:8097": f"127.0.0.1:{self.port + 17}",
            "rabbitmq:5672": f"127.0.0.1:{self.bus.port}",
            "/etc/wattbook/verify": str(self.folder / "verify"),
            "/etc/wattbook/signing": str(self.folder / "signing"),
            "/var/lib/wattbook/spool": str(pod.folder) if pod else "",
            "0.0.0.0": pod.address if pod else "",
        }
        told = workload.environment(
            deployed.settings(),
            lambda name, key: self._secrets[name, key],
            number=pod.number if pod else 0,
        )
        for name in told:
            for theirs, ours in places.items():
                told[name] = told[name].replace(theirs, ours)
            if name.endswith(("_TARGET", "_PEERS")):
                told[name] = ",".join(map(self._names.target, told[name].split(",")))
        if "WATTBOOK_SECURE_COOKIES" in told:
            told["WATTBOOK_SECURE_COOKIES"] = "false"  # there is no TLS at this edge
        return {**told, **self._world, **SETTINGS}

    def _spawn(
        self, command: Sequence[str], environment: Mapping[str, str], log: str
    ) -> subprocess.Popen[bytes]:
        own = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONFAULTHANDLER": "1",
            "WATTBOOK_LOG_JSON": "true",
        }
        with (self.folder / f"{log}.log").open("ab") as out:
            return subprocess.Popen(
                command, env={**own, **environment}, cwd=self.folder, stdin=subprocess.DEVNULL,
                stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip

    def _start_sandbox(self, module: str) -> subprocess.Popen[bytes]:
        prefix = f"WATTBOOK_{module.replace('.', '_').upper()}"
        offset = 15 if module == "sandbox.exchange" else 17
        told = {
            f"{prefix}_LISTEN": f"127.0.0.1:{self.port + offset}",
            f"{prefix}_CONTROL_LISTEN": f"127.0.0.1:{self.port + offset + 1}",
            "WATTBOOK_SANDBOX_EXCHANGE_FILES": str(self.folder / "files"),
        }
        started = self._spawn([sys.executable, "-m", module], {**told, **self._world, **SETTINGS}, module)
        ask = partial(self.exchange, "GET") if module == "sandbox.exchange" else self.provider
        wait_until(lambda: ask("stats") is not None, timeout_s=READY_S, what=f"{module} is open")
        return started

    def _make_keys(self) -> None:
        keys = ROOT / "deploy" / "compose" / "keys.py"
        folders = [self.folder / "signing", self.folder / "verify"]
        for each in folders:
            each.mkdir()
        subprocess.run([sys.executable, str(keys), *map(str, folders)], check=True, timeout=60)

    def _run_jobs(self) -> None:
        """The Jobs of the manifests, in an order in which none has to wait."""
        jobs = {each.name: each for each in deployed.workloads() if each.kind == "Job"}
        self._run(self._databases(), self._environment(jobs.pop("databases")), "databases")
        for name, job in jobs.items():
            command = job.container.get("command")
            program = [sys.executable, *command[1:]] if command else [str(BIN / "wattbook")]
            self._run([*program, *job.container.get("args", ())], self._environment(job), name)

    def _databases(self) -> list[str]:
        psql = shutil.which("psql")
        assert psql, "psql is not installed"
        script = deployed.BASE / "databases" / "roles.sql"
        server = ["-h", "127.0.0.1", "-p", str(self.postgres.port)]
        return [psql, *server, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", "postgres", "-f", str(script)]

    def _run(self, command: Sequence[str], environment: Mapping[str, str], name: str) -> None:
        code = self._spawn(command, environment, f"job-{name}").wait(READY_S)
        assert code == 0, (
            f"{name} ended with {code}:\n{(self.folder / f'job-{name}.log').read_text()[-2000:]}"
        )


def _pass(seconds_s: float) -> None:
    """Time that Kubernetes lets pass; nothing is waited for."""
    threading.Event().wait(seconds_s)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """``kill -9`` of a container takes all of its processes."""
    os.killpg(process.pid, signal.SIGKILL)


def _kill_telling_where(process: subprocess.Popen[bytes]) -> int:
    """End one that did not end; its log tells what each of its threads was at."""
    process.send_signal(signal.SIGABRT)  # faulthandler's
    with suppress(subprocess.TimeoutExpired):
        process.wait(5)
    with suppress(ProcessLookupError):  # its workers, where it has some
        _kill_group(process)
    return process.wait(10)


@contextmanager
def running(folder: Path, *, speed: float = 1.0) -> Iterator[Fleet]:
    """A started fleet on servers of its own, for the block; orderly stopped at its end."""
    with PostgresServer().running() as postgres, rabbitmq.running() as bus:
        fleet = Fleet(folder, postgres=postgres, bus=bus, speed=speed)
        try:
            yield fleet.start()
            fleet.stop()
            fleet.assert_ended_well()
        except BaseException:
            print(fleet.logs())
            raise
        finally:
            fleet.close()
