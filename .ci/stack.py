"""Runs docker-compose.yml in containers and looks whether it is what it says: called by ``.ci/containers``.

What this machine's podman lacks is taken out, nothing else: one network namespace instead of several
networks, no limits of memory and processes, and an order of start of our own (podman 4.3 does not wait for
health).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = "wattbook-ci"
LIMIT_MB = 150
# meter-service has Django; the others calculate with numpy, and the sandbox's bank writes Parquet files.
LARGER_MB = {"meter-service": 200, "cash-service": 250, "sandbox": 400}
# Ports for gRPC and for probes: in one network namespace, the gateway holds the usual port for probes.
PROBES = {"report-service": (8091, 8071), "meter-service": (8094, 8072)}
STOP_S = 10.0
HEALTHY_WITHIN_S = 120.0
# What of our own goes on running; a job ends.
OURS = [
    name
    for name, each in yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"].items()
    if "WATTBOOK_IMAGES" in each["image"] and each["restart"] != "no"
]
DAY = "2026-03-02"


class Failure(Exception):
    """The stack is not what it should be."""


def run(
    *command: str, timeout_s: float = 180.0, check: bool = True, **more: Any
) -> subprocess.CompletedProcess[str]:
    """A command's outcome; its words are in the failure."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False, **more)
    if check and done.returncode:
        raise Failure(
            f"{' '.join(command)}: exit {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        )
    return done


@contextmanager
def step(what: str) -> Iterator[None]:
    """Say what is done and how long it took."""
    began = time.monotonic()
    yield
    print(f"  {what}: {time.monotonic() - began:.1f} s", flush=True)


def until(holds: Callable[[], Any], *, what: str, within_s: float = HEALTHY_WITHIN_S) -> Any:
    """The first true answer.

    Raises:
        Failure: there was none in time.
    """
    ends = time.monotonic() + within_s
    while time.monotonic() < ends:
        if answer := holds():
            return answer
        time.sleep(0.5)
    raise Failure(f"not within {within_s:.0f} s: {what}")


class Stack:
    """The compose project in containers."""

    def __init__(self, work: Path) -> None:
        """Make ``.env`` and an adapted compose file in ``work``."""
        self.work = work
        self.compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
        (work / ".env.example").write_text((ROOT / ".env.example").read_text())
        run(sys.executable, str(ROOT / "deploy/compose/env.py"), cwd=work)
        if (work / ".env").stat().st_mode & 0o777 != 0o600:
            raise Failure(".env can be read by others")
        lines = (work / ".env").read_text().splitlines()
        self.env = dict(line.split("=", 1) for line in lines if "=" in line and line[0] != "#")
        profiles = {"sandbox"}
        self.services = {
            name: service
            for name, service in self.compose["services"].items()
            if not service.get("profiles") or profiles & set(service["profiles"])
        }
        (work / "compose.yml").write_text(yaml.safe_dump(self._adapted()))

    def _adapted(self) -> dict[str, Any]:
        """The compose file, as far as this machine's podman can do it."""
        hosts = [f"{name}:127.0.0.1" for name in self.services]
        adapted = {}
        for name, service in self.services.items():
            kept = {
                key: value
                for key, value in service.items()
                if key not in {"networks", "ports", "mem_limit", "pids_limit", "logging", "profiles"}
            }
            if name in PROBES:
                grpc, probe = PROBES[name]
                kept["environment"] = {**kept["environment"], "WATTBOOK_PROBE_LISTEN": f"127.0.0.1:{probe}"}
                asked = [f"grpc://127.0.0.1:{grpc}", f"http://127.0.0.1:{probe}/readyz"]
                kept["healthcheck"] = {"test": ["CMD", "python", "-m", "wattbook.probe", *asked]}
            volumes = [each.replace("./", f"{ROOT}/", 1) for each in service.get("volumes", ())]
            adapted[name] = {**kept, "network_mode": "host", "extra_hosts": hosts, "volumes": volumes}
        return {"services": adapted, "volumes": self.compose["volumes"]}

    def command(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """podman-compose over the project."""
        tool = str(Path(sys.executable).parent / "podman-compose")
        place = ("-p", PROJECT, "--env-file", str(self.work / ".env"), "-f", str(self.work / "compose.yml"))
        return run(tool, *place, *arguments, check=check, env={**os.environ, "COMPOSE_PROFILES": ""})

    def ordered(self) -> list[str]:
        """Every service after those that it depends on."""
        order: list[str] = []

        def visit(name: str) -> None:
            for other in self.services[name].get("depends_on", {}):
                visit(other)
            if name not in order:
                order.append(name)

        for name in self.services:
            visit(name)
        return order

    def container(self, service: str) -> str:
        """Its container's name."""
        return f"{PROJECT}_{service}_1"

    def inspect(self, service: str) -> dict[str, Any]:
        """What podman knows of its container."""
        found: dict[str, Any] = json.loads(run("podman", "inspect", self.container(service)).stdout)[0]
        return found

    def is_job(self, service: str) -> bool:
        """Whether it runs to its end."""
        return self.services[service].get("restart") == "no"

    def start(self) -> None:
        """Everything, each after what it needs is well."""
        waiting: list[str] = []
        for name in self.ordered():
            for other, terms in self.services[name].get("depends_on", {}).items():
                if terms["condition"] == "service_healthy" and other in waiting:
                    self.wait_healthy(other)
                    waiting.remove(other)
            self.command("up", "-d", "--no-deps", name)
            if self.is_job(name):
                self._wait_done(name)
            else:
                waiting.append(name)
        for name in waiting:
            self.wait_healthy(name)

    def _wait_done(self, name: str) -> None:
        state = until(lambda: self._ended(name), what=f"{name} ends")
        if state["ExitCode"]:
            raise Failure(f"{name} ended with {state['ExitCode']}\n{self.logs(name)}")

    def _ended(self, name: str) -> dict[str, Any] | None:
        state: dict[str, Any] = self.inspect(name)["State"]
        return state if state["Status"] in {"exited", "stopped"} else None

    def wait_healthy(self, name: str) -> None:
        """Until the container's own HEALTHCHECK says so.

        Raises:
            Failure: it does not, or it ended.
        """

        def healthy() -> bool:
            if ended := self._ended(name):
                raise Failure(f"{name} ended with {ended['ExitCode']}\n{self.logs(name)}")
            return run("podman", "healthcheck", "run", self.container(name), check=False).returncode == 0

        try:
            until(healthy, what=f"{name} is healthy")
        except Failure as failure:
            raise Failure(f"{failure}\n{self.logs(name)}") from None

    def logs(self, name: str) -> str:
        """Its last lines."""
        done = run("podman", "logs", "--tail", "40", self.container(name), check=False)
        return f"--- {name}\n{done.stdout}{done.stderr}"

    def remove(self) -> None:
        """Containers and volumes."""
        names = [self.container(name) for name in self.services]
        run("podman", "rm", "-f", "-t", "2", "-v", *names, check=False)
        volumes = [f"{PROJECT}_{name}" for name in self.compose["volumes"]]
        run("podman", "volume", "rm", "-f", *volumes, check=False)


def check_images(base: str) -> None:
    """Small, labelled, without what only building needs, not root.

    Raises:
        Failure: one is not.
    """

    def inspected(name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(run("podman", "image", "inspect", name).stdout)[0]
        return found

    below = inspected(base)["Size"]
    listed = run(str(ROOT / "deploy/image/environments"), "list").stdout.split()
    for image in listed:
        name = f"{os.environ['WATTBOOK_IMAGES']}/{image}:{os.environ['WATTBOOK_VERSION']}"
        found = inspected(name)
        size_mb = (found["Size"] - below) / 1e6
        print(f"    {image}: {size_mb:.0f} MB over its base")
        labels = found["Labels"] or {}
        wanted = {
            f"org.opencontainers.image.{label}"
            for label in ("title", "description", "version", "revision", "created", "licenses")
        }
        tools = (
            "for tool in pip pip3 uv gcc cc make node npm; do command -v $tool && exit 1; done;"
            "python -c 'import pip' 2>/dev/null && exit 1; exit 0"
        )
        has_tools = run("podman", "run", "--rm", "--entrypoint", "sh", name, "-c", tools, check=False)
        problems = [
            size_mb > LARGER_MB.get(image, LIMIT_MB) and f"is {size_mb:.0f} MB over its base",
            wanted - set(labels) and f"has no labels {wanted - set(labels)}",
            found["User"] != "10001:10001" and f"runs as {found['User']}",
            has_tools.returncode and f"holds build tools: {has_tools.stdout}",
        ]
        if any(problems):
            raise Failure(f"{image}: " + "; ".join(str(each) for each in problems if each))


def check_hardening(stack: Stack) -> None:
    """Read-only, not root, nothing that root could do.

    Raises:
        Failure: a container is not so.
    """
    for name in stack.services:
        host = stack.inspect(name)["HostConfig"]
        if not host["ReadonlyRootfs"] or "no-new-privileges" not in " ".join(host["SecurityOpt"]):
            raise Failure(f"{name} is not read-only without new privileges: {host['SecurityOpt']}")
        if stack.is_job(name):
            continue
        told = run("podman", "exec", stack.container(name), "cat", "/proc/1/status").stdout
        fields = dict(line.split(":", 1) for line in told.splitlines() if ":" in line)
        user, capabilities = fields["Uid"].split()[0], fields["CapBnd"].strip()
        if user == "0" or int(capabilities, 16):
            raise Failure(f"{name} runs as {user} with capabilities {capabilities}")
        wrote = run("podman", "exec", stack.container(name), "sh", "-c", "echo x > /opt/x", check=False)
        if not wrote.returncode:
            raise Failure(f"{name} can write to its root")


def trade(number: int) -> dict[str, Any]:
    """One of ours, as the API takes it."""
    return {
        "id": f"ci-{number}", "price": 5_000 + number, "quantity": 10, "direction": "sell",
        "delivery_day": DAY, "delivery_hour": 12, "trader_id": "ci_trader",
        "execution_time": f"{DAY}T09:00:00Z",
    }  # fmt: skip


def check_trades(stack: Stack, *, known: int) -> int:
    """A trade over REST and trades of the feed, all the way to the report; how many the feed has booked.

    Raises:
        Failure: they do not arrive, or arrive otherwise.
    """
    auth = ("admin", stack.env["ADMIN_PASSWORD"])
    with httpx.Client(base_url="http://127.0.0.1:8080", auth=auth, timeout=20, trust_env=False) as api:
        for number in (known + 1, known + 1):  # the second one is a duplicate
            answer = api.post("/v1/trades", json=trade(number))
            if answer.status_code != 200:
                raise Failure(f"booking: {answer.status_code} {answer.text}")
        wanted = sum((5_000 + number) * 10 for number in range(1, known + 2))

        def pnl() -> bool:
            got = api.get("/v1/reports/pnl", params={"trader_id": "ci_trader", "delivery_day": DAY})
            return (
                got.status_code == 200
                and got.json()["total"]["trades"] == known + 1
                and _pnl_ct(got.json()) == wanted
            )

        until(pnl, what=f"the report shows {known + 1} trades with {wanted} ct", within_s=30)
        booked = until(lambda: _of_the_feed(api), what="trades of the feed are booked", within_s=60)
    with httpx.Client(
        base_url="http://127.0.0.1:8081", timeout=20, trust_env=False, follow_redirects=True
    ) as pages:
        page = pages.get("/")
        if page.status_code != 200 or "password" not in page.text:
            raise Failure(f"the pages answer {page.status_code}")
    return int(booked)


def _pnl_ct(report: dict[str, Any]) -> int:
    return round(float(report["total"]["pnl_eur"]) * 100)


def _of_the_feed(api: httpx.Client) -> int:
    feed = api.get("/v1/feed")
    if feed.status_code != 200:
        return 0
    heard = sum(listener["frames"] for listener in feed.json()["listeners"])
    traded = api.get("/v1/trades", params={"trader_id": "trader_1", "limit": 100})
    return len(traded.json()) if heard and traded.status_code == 200 else 0


def check_stop(stack: Stack) -> None:
    """SIGTERM ends each with status 0 in time.

    Raises:
        Failure: one does not.
    """
    for name in OURS:
        began = time.monotonic()
        # `stop`, not `kill`: after that the container would be started again. Past the limit it kills: 137.
        run("podman", "stop", "--time", str(int(STOP_S)), stack.container(name))
        took_s, code = time.monotonic() - began, stack.inspect(name)["State"]["ExitCode"]
        print(f"    {name}: exit {code} after {took_s:.1f} s")
        if code or took_s > STOP_S:
            raise Failure(f"{name}: exit {code} after {took_s:.1f} s\n{stack.logs(name)}")


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", required=True)
    parser.add_argument("--work", type=Path, required=True)
    given = parser.parse_args()
    stack = Stack(given.work)
    try:
        with step("images"):
            check_images(given.base)
        with step("start"):
            stack.start()
        with step("hardening"):
            check_hardening(stack)
        with step("trades"):
            check_trades(stack, known=0)
        with step("stop"):
            check_stop(stack)
        with step("start again"):
            stack.start()
        with step("trades again"):
            check_trades(stack, known=1)
    except (Failure, subprocess.TimeoutExpired, httpx.HTTPError) as failure:
        print(f"containers: {failure}", file=sys.stderr)
        for name in stack.services:
            print(stack.logs(name), file=sys.stderr)
        return 1
    finally:
        stack.remove()
    return 0


if __name__ == "__main__":
    sys.exit(main())
