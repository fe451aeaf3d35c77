"""``wattbook up``: from a folder to a running desk and back."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from wattbook.clock import Clock, iso_z

from wattbook_cli.clients.processes import refuse_busy_ports
from wattbook_cli.clients.sign_in import can_sign_in
from wattbook_cli.domain.desk import ADMIN, Addresses, Layout, Secrets
from wattbook_cli.domain.outside import BANK_URL, Outside, outside, simulated_clock
from wattbook_cli.domain.services import services
from wattbook_cli.domain.stops import Stop
from wattbook_cli.store.folder import load_secrets, make_folder, settle_admin_password
from wattbook_cli.store.run_state import RunState, own_mark, start_mark
from wattbook_cli.usecases.supervise import Supervisor
from wattbook_cli.usecases.wake import Wake

_LEFTOVER_S = 15.0
DEMO_DAYS, DEMO_TIMEOUT_S = 60, 60.0
_AGAIN_S = 0.1
_SIGN_IN_TRIES = 3
_UNKNOWN = "not known: the gateway did not answer a sign-in; stop and start again to see it"


@dataclass(frozen=True, slots=True)
class UpRequest:
    """What ``wattbook up`` was asked."""

    data: Path
    port_base: int
    host: str
    environment: Mapping[str, str] = field(repr=False)
    sandbox: bool | None = None
    clock_start: str | None = None
    clock_speed: float | None = None

    def outside(self, layout: Layout, *, clock: Clock) -> Outside:
        """The outside world that was asked for.

        Raises:
            Stop: it contradicts itself.
        """
        return outside(
            base=self.port_base,
            has_sandbox=self.sandbox,
            clock=simulated_clock(
                start=self.clock_start,
                speed=self.clock_speed,
                environment=self.environment,
                now=clock.now(),
            ),
            environment=self.environment,
            was_real=layout.real_mark.exists(),
        )


def bring_up(request: UpRequest, *, clock: Clock, say: Callable[[str], None]) -> None:
    """Run a desk until it is asked to stop.

    Raises:
        Stop: it cannot run, and why.
    """
    layout = Layout(request.data.absolute(), chosen=request.environment)
    world = request.outside(layout, clock=clock)
    addresses = Addresses(
        request.port_base,
        request.host,
        has_pricing=bool(world.market_data_url),
        has_sandbox=world.has_sandbox,
    )
    with Wake(clock=clock) as wake:
        make_folder(layout)
        state = RunState(layout)
        with state.held():
            _await_leftovers(state, wake, clock=clock, say=say)
            if not wake.stop_requests:
                refuse_busy_ports(addresses.ports)
                known = request.environment.get("WATTBOOK_ADMIN_PASSWORD", "")
                secrets = load_secrets(layout, admin_password=known)
                _remember(world, layout, say)
                if world.has_sandbox:
                    _make_flow_files(layout, clock, say)
                desk = _Desk(layout=layout, addresses=addresses, secrets=secrets, state=state, outside=world)
                desk.run(wake, environment=request.environment, clock=clock, say=say)
    say("Stopped.")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Desk:
    """One start of a desk: what is told and kept about it."""

    layout: Layout
    addresses: Addresses
    secrets: Secrets
    state: RunState
    outside: Outside

    def run(
        self, wake: Wake, *, environment: Mapping[str, str], clock: Clock, say: Callable[[str], None]
    ) -> None:
        """Supervise until asked to stop."""
        constant = {
            "pid": os.getpid(),
            "mark": own_mark(),
            "started_at": iso_z(clock.now()),
            "data": str(self.layout.data),
            "gateway_url": self.addresses.gateway_url,
            "pages_url": self.addresses.pages_url,
        }

        def keep(changed: dict[str, Any]) -> None:
            try:
                self.state.write({**constant, **changed})
            except OSError as error:  # a full disk must not end the supervisor
                say(f"warning: cannot write the state for `wattbook status`: {error.strerror or error}")

        try:
            Supervisor(
                services(
                    layout=self.layout,
                    addresses=self.addresses,
                    secrets=self.secrets,
                    environment=environment,
                    outside=self.outside,
                ),
                logs=self.layout.logs,
                clock=clock,
                say=say,
                changed=keep,
                ready=lambda seconds: self._announce(seconds, say),
            ).run(wake)
        finally:
            self.state.clear()

    def _announce(self, seconds: float, say: Callable[[str], None]) -> None:
        password = self._password()
        address = self.addresses
        lines = [
            f"Wattbook is ready ({seconds:.1f} s).",
            "",
            f"  Pages        {address.pages_url}",
            f"  Meters       {address.meters_url}",
            f"  API          {address.gateway_url}/v1",
            f"  API page     {address.gateway_url}/v1/ui/",
            f"  Drop folder  {self.layout.inbox}",
            *self.outside.shown(address),
            f"  User         {ADMIN}",
            f"  Password     {password}",
            "",
        ]
        if not address.is_local:
            lines += ["  Other machines can reach this desk; what travels is not encrypted.", ""]
        for line in [*lines, "Ctrl-C stops."]:
            say(line)
        if password != _UNKNOWN:
            try:
                settle_admin_password(self.layout)
            except OSError as error:
                say(f"warning: cannot note that the password was shown: {error.strerror or error}")

    def _password(self) -> str:
        """What to say about the first user's password; a new one only after it was seen to work."""
        if self.secrets.admin_password:
            return "as WATTBOOK_ADMIN_PASSWORD says"
        candidate = self.secrets.admin_if_new
        taken: bool | None = False
        for _ in range(_SIGN_IN_TRIES if candidate else 0):
            taken = can_sign_in(self.addresses.gateway_url, user=ADMIN, password=candidate)
            if taken is not None:
                break
        if taken:
            return f"{candidate}   (shown this once)"
        if taken is None:
            return _UNKNOWN
        return f"as set before — `wattbook users passwd {ADMIN}` changes it"


def _make_flow_files(layout: Layout, clock: Clock, say: Callable[[str], None]) -> None:
    """Once, before the first start with a sandbox; meter-service imports them where it has none yet."""
    folder = layout.flow_files
    if folder.exists():
        return
    first = clock.now().date() - timedelta(days=DEMO_DAYS + 1)
    unfinished = folder.with_suffix(".unfinished")
    command = [sys.executable, "-m", "sandbox.flow_files", "--days", str(DEMO_DAYS), "--every-days", "20"]
    command += ["--first-day", first.isoformat(), "--case", "space-in-number", "--out", str(unfinished)]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=DEMO_TIMEOUT_S)  # noqa: S603  # our own
        unfinished.rename(folder)
    except (OSError, subprocess.SubprocessError) as error:
        say(f"warning: no flow files were made up for the meter pages: {error}")


def _remember(world: Outside, layout: Layout, say: Callable[[str], None]) -> None:
    """A book of real trades stays one; and one that has others too is said to.

    Raises:
        Stop: real payments would come to others that the sandbox has made up.
    """
    if world.has_sandbox and world.bank_url:
        layout.made_payments_mark.touch()
    if not world.is_real:
        return
    if world.bank_url and layout.made_payments_mark.exists():
        raise Stop(
            f"{layout.data} holds payments that the sandbox made up in an earlier start, and {BANK_URL} "
            "names a real bank: balances would mix them; --data names another folder"
        )
    layout.real_mark.touch()
    if layout.journal.exists():
        say(
            f"warning: {layout.data} also holds trades that the sandbox made up in an earlier start; "
            "--data names another folder"
        )


def _await_leftovers(state: RunState, wake: Wake, *, clock: Clock, say: Callable[[str], None]) -> None:
    """Give processes of a start that was killed the time to see it and stop.

    Raises:
        Stop: one of them stays.
    """
    former = (state.read() or {}).get("services", [])
    deadline_s = clock.monotonic_s() + _LEFTOVER_S
    told = False
    while left := [service for service in former if _lives(service)]:
        if wake.stop_requests:
            return
        if clock.monotonic_s() > deadline_s:
            named = ", ".join(f"{service['name']} (pid {service['pid']})" for service in left)
            raise Stop(f"of an earlier start there still runs {named}; end it and start again")
        if not told:
            told = True
            say("Waiting for the services of an earlier start, which was cut short, to stop …")
        wake.wait(_AGAIN_S)


def _lives(service: dict[str, Any]) -> bool:
    pid, mark = service.get("pid"), service.get("mark")
    return bool(pid and mark and start_mark(pid) == mark)
