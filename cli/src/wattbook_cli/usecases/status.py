"""What runs on a data folder, and how it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
from wattbook.clock import Clock

from wattbook_cli.clients.probes import is_healthy
from wattbook_cli.domain.desk import Layout, Probe, ProbeKind
from wattbook_cli.domain.stops import EXIT_NOT_RUNNING, Stop
from wattbook_cli.store.run_state import RunState, start_mark

_TIMEOUT_S = 2.0
_FILES_WAIT_S = 60
SUPERVISOR = "supervisor"


@dataclass(frozen=True, slots=True)
class Standing:
    """One process of the desk; ``None`` where it does not run. Memory includes its workers."""

    name: str
    health: str
    pid: int | None
    ports: tuple[int, ...]
    uptime_s: int | None
    restarts: int
    memory_bytes: int | None

    @property
    def is_healthy(self) -> bool:
        """Whether it runs and says that it is well."""
        return self.health == "healthy"


@dataclass(frozen=True, slots=True)
class WaitingFile:
    """A nightly file that has been in the drop folder for a while."""

    name: str
    waits_s: int


@dataclass(frozen=True, slots=True)
class DeskStanding:
    """A running desk: its addresses, its supervisor first, then its services."""

    data: str
    gateway_url: str
    pages_url: str
    processes: tuple[Standing, ...]
    files_waiting: tuple[WaitingFile, ...] = ()

    @property
    def is_healthy(self) -> bool:
        """Whether every process is."""
        return all(process.is_healthy for process in self.processes)


def look(data: Path, *, clock: Clock) -> DeskStanding:
    """Ask every service of a desk.

    Raises:
        Stop: none runs on this folder.
    """
    layout = Layout(data.absolute())
    run_state = RunState(layout)
    state = run_state.read() if run_state.is_held() else None
    if state is None:
        again = f"`wattbook up --data {data}` starts it"
        raise Stop(f"Wattbook does not run on {layout.data}; {again}", exit_code=EXIT_NOT_RUNNING)
    now = clock.now()
    supervisor = Standing(
        name=SUPERVISOR,
        health="healthy",
        pid=state["pid"],
        ports=(),
        uptime_s=_uptime_s(state["started_at"], now),
        restarts=0,
        memory_bytes=_memory_bytes(state["pid"], with_children=False),
    )
    services = (_standing(service, now) for service in state["services"])
    return DeskStanding(
        state["data"],
        state["gateway_url"],
        state["pages_url"],
        (supervisor, *services),
        tuple(_files_waiting(layout.inbox, now)),
    )


def _files_waiting(inbox: Path, now: datetime) -> Iterator[WaitingFile]:
    for path in sorted(inbox.glob("epex_trades_*.csv")):
        try:
            waits_s = int(now.timestamp() - path.lstat().st_ctime)
        except FileNotFoundError:
            continue
        if waits_s > _FILES_WAIT_S:
            yield WaitingFile(path.name, waits_s)


def _standing(service: dict[str, Any], now: datetime) -> Standing:
    pid = service["pid"]
    runs = pid is not None and start_mark(pid) == service["mark"]
    return Standing(
        name=service["name"],
        health=_health(service) if runs else service["given_up"] or "not running",
        pid=pid if runs else None,
        ports=tuple(service["ports"]),
        uptime_s=_uptime_s(service["started_at"], now) if runs else None,
        restarts=service["restarts"],
        memory_bytes=_memory_bytes(pid, with_children=True) if runs else None,
    )


def _health(service: dict[str, Any]) -> str:
    probes = [
        Probe(ProbeKind(probe["kind"]), probe["host"], probe["port"], probe["path"])
        for probe in service["probes"]
    ]
    healthy = all(is_healthy(probe, timeout_s=_TIMEOUT_S) for probe in probes)
    return "healthy" if healthy else "not healthy"


def _uptime_s(started_at: str | None, now: datetime) -> int | None:
    return int((now - datetime.fromisoformat(started_at)).total_seconds()) if started_at else None


def _memory_bytes(pid: int, *, with_children: bool) -> int | None:
    try:
        process = psutil.Process(pid)
        family = [process, *(process.children(recursive=True) if with_children else ())]
        return sum(member.memory_info().rss for member in family)
    except psutil.Error:
        return None
