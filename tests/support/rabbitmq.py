"""Private RabbitMQ servers: own node name, ports and folders, on loopback, free to be killed.

They start as deployed: by the deployment's own script, with its configuration, users and rights, and in its
version where there is a root with that (:mod:`tests.support.roots`). Skips where there is no RabbitMQ at all;
in CI the deployed one must be there.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.support import roots
from tests.support.certificates import Authority
from tests.support.ports import free_port_base
from tests.support.waiting import wait_until

DEPLOYED = Path(__file__).parents[2] / "deploy/k8s/components/engines/rabbitmq"
VHOST, ADMIN = "wattbook", "admin"
USERS = ("trade", "ingest", "pricing", "cash", "report", "ops")
START_S = 90.0
# Offsets of what :func:`free_port_base` found free.
AMQP, DIST, MANAGEMENT, EPMD, AMQPS, METRICS = 0, 1, 2, 10, 11, 12


def available() -> roots.Programs:
    """The deployed version; this machine's own where there is none, and a skip or, in CI, a failure."""
    found = roots.rabbitmq()
    if found is None and os.environ.get("CI"):
        pytest.fail("the RabbitMQ that is deployed is not here (make servers)")
    found = found or roots.rabbitmq(root=None)
    if found is None:
        pytest.skip("no RabbitMQ here (make servers; Debian: apt-get install rabbitmq-server)")
    return found


class Server:
    """One node. ``kill`` and ``start`` as often as wanted; ``close`` at the end."""

    def __init__(
        self,
        *,
        programs: roots.Programs | None = None,
        settings: Sequence[str] = (),
        tls: Authority | None = None,
        cookie: str | None = None,
        password: str | None = None,
        epmd_port: int | None = None,
    ) -> None:
        """Prepare a node; ``settings`` are lines of rabbitmq.conf, beside those that are deployed.

        Members of a cluster share a cookie and a password, which is that of all users.
        """
        self._programs = programs or available()
        base = free_port_base()
        self.port, self.tls_port = base + AMQP, base + AMQPS
        self.management_port, self.metrics_port = base + MANAGEMENT, base + METRICS
        self.epmd_port = epmd_port or base + EPMD
        self.owns_epmd = epmd_port is None
        self.node = f"r{base}x{os.getpid()}@localhost"
        self.password = password or secrets.token_urlsafe(12)
        self.cookie = cookie or secrets.token_hex(10)
        self.folder = Path(tempfile.mkdtemp(prefix="wattbook-rabbitmq-", dir="/tmp"))
        self._dist_port = base + DIST
        self._settings = settings
        self.tls = tls
        self._process: subprocess.Popen[bytes] | None = None
        self._write_files()

    # --- its life

    def start(self) -> Server:
        """Start it and wait until it answers."""
        with (self.folder / "out.log").open("ab") as out:
            self._process = subprocess.Popen(
                self._command("/bin/sh", f"{self.folder}/deployed/start.sh", "rabbitmq-server"),
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=self.folder,
                start_new_session=True,
            )
        try:
            wait_until(self._answers, timeout_s=START_S, what="RabbitMQ answers", most_s=0.3)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{(self.folder / 'out.log').read_text()[-3000:]}") from error
        return self

    def kill(self) -> None:
        """``kill -9`` of the node, as a crash of its machine would."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(30)
            self._process = None

    def close(self) -> None:
        """End it and remove its folder."""
        self.kill()
        if self.owns_epmd:
            subprocess.run(
                self._command("/usr/bin/epmd", "-kill"),
                env=self._environment(),
                check=False,
                capture_output=True,
            )
        shutil.rmtree(self.folder, ignore_errors=True)

    def join(self, other: Server) -> None:
        """Be a member of its cluster, with nothing kept of before."""
        self.ctl("stop_app")
        self.ctl("reset")
        self.ctl("join_cluster", other.node)
        self.ctl("start_app")

    def ctl(self, *arguments: str) -> str:
        """``rabbitmqctl …``; its output. Costs seconds: it is an Erlang machine of its own."""
        done = subprocess.run(
            self._command("rabbitmqctl", "-n", self.node, *arguments),
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"rabbitmqctl {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    @contextlib.contextmanager
    def short_of_memory(self) -> Iterator[None]:
        """Its memory alarm is on for the block: it takes nothing from publishers, of any virtual host."""
        self.ctl("set_vm_memory_high_watermark", "0.00001")
        try:
            yield
        finally:
            self.ctl("set_vm_memory_high_watermark", "0.6")

    # --- how to reach it

    def url(self, vhost: str = VHOST, *, user: str = ADMIN, password: str | None = None) -> str:
        """Its address for :func:`wattbook.bus.open_bus`."""
        word = self.password if password is None else password
        return f"amqp://{user}{f':{word}' if word else ''}@127.0.0.1:{self.port}/{quote(vhost, safe='')}"

    def vhost(self) -> str:
        """The name of a new, empty virtual host, the administrator's."""
        name = f"v{secrets.token_hex(4)}"
        self.manage("PUT", f"vhosts/{name}")
        self.manage("PUT", f"permissions/{name}/{ADMIN}", {"configure": ".*", "write": ".*", "read": ".*"})
        return name

    def deployed_vhost(self) -> str:
        """A new one that is like the deployed one: with its exchanges, and its users' rights."""
        name = self.vhost()
        for each in self.manage("GET", f"exchanges/{VHOST}"):
            if each["name"].startswith(VHOST):
                terms = {key: each[key] for key in ("type", "durable", "auto_delete", "arguments")}
                self.manage("PUT", f"exchanges/{name}/{each['name']}", terms)
        for kind in ("permissions", "topic-permissions"):
            for each in self.manage("GET", f"vhosts/{VHOST}/{kind}"):
                self.manage("PUT", f"{kind}/{name}/{each.pop('user')}", each)
        return name

    def manage(self, method: str, path: str, body: Any = None) -> Any:
        """Ask its management API."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.management_port}/api/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": "Basic " + base64.b64encode(f"{ADMIN}:{self.password}".encode()).decode(),
                "Content-Type": "application/json",
            },
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=20) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def queues(self, vhost: str) -> dict[str, dict[str, Any]]:
        """What it knows of the queues of a virtual host, by name; counts are up to five seconds old."""
        return {queue["name"]: queue for queue in self.manage("GET", f"queues/{vhost}")}

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError(f"it ended with {self._process.returncode}")
        # It opens this port last; the management API answers before the definitions are there.
        socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        return bool(self.manage("GET", "vhosts"))

    # --- files and programs

    def _write_files(self) -> None:
        shutil.copytree(DEPLOYED, self.folder / "deployed")
        shim = self.folder / "bin" / "docker-entrypoint.sh"  # the official image's, for what it does here
        shim.parent.mkdir()
        shim.write_text('#!/bin/sh\nexec "$@"\n')
        shim.chmod(0o755)
        (self.folder / "more.conf").write_text(
            "\n".join(
                [
                    f"listeners.tcp.default = 127.0.0.1:{self.port}",
                    "management.tcp.ip = 127.0.0.1",
                    f"management.tcp.port = {self.management_port}",
                    "prometheus.tcp.ip = 127.0.0.1",
                    f"prometheus.tcp.port = {self.metrics_port}",
                    "collect_statistics_interval = 1000",
                    *self._tls_settings(),
                    *self._settings,
                    "",
                ]
            )
        )
        (self.folder / "plugins").write_text("[rabbitmq_management,rabbitmq_prometheus].\n")
        cookie = self.folder / ".erlang.cookie"
        cookie.write_text(self.cookie)
        cookie.chmod(0o400)
        self.renew_certificate(days=10)
        self._hand_over()

    def renew_certificate(self, *, days: float) -> None:
        """Another certificate, good for so many days; a running server needs to be told to look."""
        if self.tls is None:
            return
        made = self.tls.certificate("rabbitmq", "127.0.0.1", days=days)
        for source, name in ((made.cert, "server.crt"), (made.key, "server.key"), (self.tls.file, "ca.pem")):
            (self.folder / name).write_bytes(source.read_bytes())
        self._hand_over()
        if self._process is not None:
            self.ctl("eval", "ssl:clear_pem_cache().")

    def hang_up(self) -> None:
        """End every connection that it knows of; it learns of new ones within seconds."""
        for each in self.manage("GET", "connections"):
            with contextlib.suppress(urllib.error.HTTPError):  # gone by itself
                self.manage("DELETE", f"connections/{quote(each['name'], safe='')}")

    def _tls_settings(self) -> list[str]:
        if self.tls is None:
            return []
        return [
            f"listeners.ssl.1 = 127.0.0.1:{self.tls_port}",
            f"ssl_options.cacertfile = {self.folder}/ca.pem",
            f"ssl_options.certfile = {self.folder}/server.crt",
            f"ssl_options.keyfile = {self.folder}/server.key",
            "ssl_options.verify = verify_peer",
            "ssl_options.fail_if_no_peer_cert = false",
        ]

    def _hand_over(self) -> None:
        self._programs.hand_over(self.folder, *self.folder.rglob("*"))

    def _command(self, *words: str) -> list[str]:
        return self._programs.command(*words, sees=[self.folder])

    def _environment(self) -> dict[str, str]:
        loopback = "-kernel inet_dist_use_interface {127,0,0,1}"
        own = {
            "NODENAME": self.node,
            "NODE_IP_ADDRESS": "127.0.0.1",
            "NODE_PORT": str(self.port),
            "DIST_PORT": str(self._dist_port),
            "MNESIA_BASE": f"{self.folder}/data",
            "LOG_BASE": f"{self.folder}/log",
            "CONFIG_FILES": f"{self.folder}/more.conf",
            "ADMIN_PASSWORD": self.password,
            "ENABLED_PLUGINS_FILE": f"{self.folder}/plugins",
            "CONF_ENV_FILE": f"{self.folder}/none",
            "GENERATED_CONFIG_DIR": f"{self.folder}/generated",
            # No busy waiting: tests share few cores.
            "SERVER_ADDITIONAL_ERL_ARGS": f"{loopback} +sbwt none +sbwtdcpu none +sbwtdio none",
            "CTL_ERL_ARGS": loopback,
        }
        return {
            "PATH": f"{self.folder}/bin:{self._programs.folder}:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder),
            **{f"{user.upper()}_BUS_PASSWORD": self.password for user in USERS},
            "LANG": "C.UTF-8",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self.epmd_port),
            **{f"RABBITMQ_{name}": value for name, value in own.items()},
        }


@contextlib.contextmanager
def running(**options: Any) -> Iterator[Server]:
    """A started server for the block."""
    server = Server(**options)
    try:
        yield server.start()
    finally:
        server.close()
