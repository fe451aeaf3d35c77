"""Runs a supervisor over stand-ins: python run_supervisor.py TABLE.json FOLDER."""

import json
import os
import sys
from pathlib import Path

from wattbook.clock import SystemClock
from wattbook_cli.api.terminal import say
from wattbook_cli.domain.desk import Probe, ProbeKind, Service
from wattbook_cli.domain.restarts import RestartPolicy
from wattbook_cli.domain.stops import Stop
from wattbook_cli.usecases.supervise import Limits, Supervisor
from wattbook_cli.usecases.wake import Wake


def main() -> int:
    folder = Path(sys.argv[2])
    stand_in = Path(__file__).with_name("stand_in.py")
    services = [
        Service(
            name=row["name"],
            command=(
                sys.executable, str(stand_in), "--name", row["name"], "--port", str(row["port"]),
                "--notes", str(folder / "notes"), *row.get("more", ()),
            ),
            probes=(Probe(ProbeKind.HTTP, "127.0.0.1", row["port"], "/"),),
            environment=dict(os.environ),
        )
        for row in json.loads(Path(sys.argv[1]).read_text())
    ]  # fmt: skip
    clock = SystemClock()
    supervisor = Supervisor(
        services,
        logs=folder,
        clock=clock,
        say=say,
        changed=lambda state: (folder / "state.json").write_text(json.dumps(state)),
        ready=lambda seconds: say(f"ready after {seconds:.1f} s"),
        policy=RestartPolicy(first_s=0.05),
        limits=Limits(ready_s=4.0, stop_s=2.0, hurried_stop_s=0.2),
    )
    with Wake(clock=clock) as wake:
        try:
            supervisor.run(wake)
        except Stop as stop:
            print(f"stopped: {stop.message}", file=sys.stderr)
            return stop.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
