"""Starting the services, keeping them up, stopping them in order."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from wattbook.clock import Clock, iso_z

from wattbook_cli.clients.probes import is_healthy
from wattbook_cli.clients.processes import Process
from wattbook_cli.domain.desk import Service
from wattbook_cli.domain.restarts import EXIT_BAD_SETTINGS, RestartPolicy, ending
from wattbook_cli.domain.stops import Stop
from wattbook_cli.store.logs import ServiceLog
from wattbook_cli.store.run_state import start_mark
from wattbook_cli.usecases.notices import Notices
from wattbook_cli.usecases.wake import Wake
from wattbook_cli.usecases.watch import Watch

_TICK_S = 0.5
_STOP_TICK_S = 0.05
_SILENT_S = 5.0
_LAST_LINES = 12
_jitter = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class Limits:
    """How long things may take, in seconds."""

    ready_s: float = 90.0
    stop_s: float = 15.0
    hurried_stop_s: float = 2.0


@dataclass(slots=True)
class Running:
    """A service and what became of it so far."""

    service: Service
    log: ServiceLog
    process: Process | None = None
    started_at: datetime | None = None
    started_s: float = 0.0
    restarts: int = 0
    deaths_in_row: int = 0
    due_s: float | None = 0.0
    given_up: str = ""
    was_healthy: bool = False
    unhealthy_since_s: float | None = None
    mark: str = field(default="", repr=False)


class Supervisor:
    """Runs a table of services until it is asked to stop. Everything but probes happens in one thread."""

    def __init__(
        self,
        services: Sequence[Service],
        *,
        logs: Path,
        clock: Clock,
        say: Callable[[str], None],
        changed: Callable[[dict[str, Any]], None],
        ready: Callable[[float], None],
        policy: RestartPolicy | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Prepare to run ``services``, which stop last to first.

        ``say`` shows one line, ``changed`` keeps the state, ``ready`` is told once how long it took, in
        seconds, until all were healthy.
        """
        self._running = [Running(service, ServiceLog(logs / f"{service.name}.log")) for service in services]
        self._clock = clock
        self._say = say
        self._changed = changed
        self._tell_ready = ready
        self._policy = policy or RestartPolicy()
        self._limits = limits or Limits()
        self._notices = Notices(say=say, clock=clock)
        self._ready = False
        self._started_s = clock.monotonic_s()

    def run(self, wake: Wake) -> None:
        """Run until a request to stop; then everything is stopped and this returns.

        Raises:
            Stop: the services did not come up, and why; what had started is stopped.
        """
        probes = {running.service.name: running.service.probes for running in self._running}
        watch = Watch(probes, ask=is_healthy, changed=wake.poke)
        try:
            self._start_due(watch)
            watch.start()
            while not wake.stop_requests:
                wake.wait(self._until_next_s())
                self._tick(watch)
        finally:
            watch.stop()
            self._stop_all(wake)

    def _tick(self, watch: Watch) -> None:
        self._note_deaths(watch)
        self._start_due(watch)
        self._note_health(watch)
        for running in self._running:
            found = running.log.notices()
            if self._ready:
                self._notices.show(running.service.name, found)
            running.log.keep_small()

    def _until_next_s(self) -> float:
        now_s = self._clock.monotonic_s()
        waits = [running.due_s - now_s for running in self._running if running.due_s is not None]
        return max(0.0, min([_TICK_S, *waits]))

    def _start_due(self, watch: Watch) -> None:
        for running in self._running:
            if running.due_s is not None and running.due_s <= self._clock.monotonic_s():
                running.due_s = None
                self._start(running)
                watch.forget(running.service.name)

    def _start(self, running: Running) -> None:
        service = running.service
        try:
            with running.log.open() as output:
                running.process = Process(service.command, environment=service.environment, output=output)
        except OSError as error:
            self._retry_start(running, error)
            return
        running.mark = start_mark(running.process.pid)
        running.started_at = self._clock.now()
        running.started_s = self._clock.monotonic_s()
        self._keep_state()

    def _retry_start(self, running: Running, error: OSError) -> None:
        """The machine has no room for another process, or none for its log."""
        reason = f"cannot start {running.service.name}: {error.strerror or error}"
        if not self._ready:
            raise Stop(reason) from None
        running.deaths_in_row += 1
        delay_s = self._policy.delay_s(running.deaths_in_row, jitter=_jitter.random())
        running.due_s = self._clock.monotonic_s() + delay_s
        self._say(f"{reason}; trying again in {delay_s:.1f} s")

    def _note_deaths(self, watch: Watch) -> None:
        for running in self._running:
            exit_code = running.process.ended() if running.process else None
            if exit_code is None:
                continue
            running.process = None
            running.was_healthy = False
            running.unhealthy_since_s = None
            watch.forget(running.service.name)
            self._plan_restart(running, exit_code)
            self._keep_state()

    def _plan_restart(self, running: Running, exit_code: int) -> None:
        now_s = self._clock.monotonic_s()
        lived_s = now_s - running.started_s
        running.deaths_in_row = 1 if lived_s >= self._policy.steady_s else running.deaths_in_row + 1
        name, how = running.service.name, ending(exit_code)
        if self._policy.is_hopeless(
            exit_code=exit_code, deaths_in_row=running.deaths_in_row, was_ready=self._ready
        ):
            running.given_up = "bad settings" if exit_code == EXIT_BAD_SETTINGS else how
            self._show_last_lines(running)
            if not self._ready:
                raise Stop(f"{name} does not start ({how}); its log is {running.log.path}")
            self._say(f"{name} ended ({how}) and is not started again; its log is {running.log.path}")
            return
        delay_s = self._policy.delay_s(running.deaths_in_row, jitter=_jitter.random())
        running.due_s = now_s + delay_s
        running.restarts += 1
        self._say(f"{name} ended ({how}); starting it again in {delay_s:.1f} s (restart {running.restarts})")

    def _note_health(self, watch: Watch) -> None:
        now_s = self._clock.monotonic_s()
        for running in self._running:
            if running.process:
                self._note_health_of(running, watch.is_healthy(running.service.name), now_s)
        if self._ready:
            return
        missing = [running for running in self._running if not running.was_healthy]
        if not missing:
            self._ready = True
            self._keep_state()
            self._tell_ready(now_s - self._started_s)
        elif now_s - self._started_s > self._limits.ready_s:
            for running in missing:
                self._show_last_lines(running)
            names = ", ".join(running.service.name for running in missing)
            raise Stop(f"not ready after {self._limits.ready_s:.0f} s: {names}; see {missing[0].log.path}")

    def _note_health_of(self, running: Running, healthy: bool, now_s: float) -> None:
        name = running.service.name
        if healthy:
            if self._ready and not running.was_healthy:
                self._say(f"{name} is back")
            running.was_healthy = True
            running.unhealthy_since_s = None
        elif running.was_healthy and running.unhealthy_since_s is None:
            running.unhealthy_since_s = now_s
        elif running.was_healthy and now_s - (running.unhealthy_since_s or now_s) >= _SILENT_S:
            running.was_healthy = False
            self._say(f"{name} runs but has not been healthy for {_SILENT_S:.0f} s")

    def _show_last_lines(self, running: Running) -> None:
        for line in running.log.last_lines(_LAST_LINES):
            self._say(f"  {running.service.name} | {line}")

    def _stop_all(self, wake: Wake) -> None:
        asked_before = min(1, wake.stop_requests)
        if asked_before:
            self._say("Stopping … (Ctrl-C again hurries)")
        for running in reversed(self._running):
            self._stop_one(running, wake, asked_before)
        self._keep_state()

    def _stop_one(self, running: Running, wake: Wake, asked_before: int) -> None:
        process, running.due_s = running.process, None
        if process is None:
            return
        process.terminate()
        asked_s = self._clock.monotonic_s()
        while process.ended() is None:
            hurried = wake.stop_requests > asked_before
            most_s = self._limits.hurried_stop_s if hurried else self._limits.stop_s
            if self._clock.monotonic_s() - asked_s > most_s:
                self._say(f"{running.service.name} did not stop within {most_s:g} s; ended it")
                process.kill()
                break
            wake.wait(_STOP_TICK_S)
        running.process = None

    def _keep_state(self) -> None:
        self._changed({"ready": self._ready, "services": [_state_of(running) for running in self._running]})


def _state_of(running: Running) -> dict[str, Any]:
    process = running.process
    return {
        "name": running.service.name,
        "pid": process.pid if process else None,
        "mark": running.mark if process else "",
        "ports": list(running.service.ports),
        "started_at": iso_z(running.started_at) if process and running.started_at else None,
        "restarts": running.restarts,
        "given_up": running.given_up,
        "probes": [
            {"kind": probe.kind.value, "host": probe.host, "port": probe.port, "path": probe.path}
            for probe in running.service.probes
        ],
    }
