"""``wattbook status``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click
from rich.text import Text
from wattbook.clock import SystemClock

from wattbook_cli.api.tables import BAD, GOOD, console, plain, table
from wattbook_cli.api.terminal import say
from wattbook_cli.domain.stops import EXIT_FAILED, EXIT_NOT_RUNNING, Stop
from wattbook_cli.usecases.status import DeskStanding, Standing, look

_MIB = 1024 * 1024


@click.command()
@click.option(
    "--data", type=click.Path(path_type=Path), default="./data", show_default=True, help="The data folder."
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status(*, data: Path, as_json: bool) -> int:
    """What runs on this machine, and whether it is healthy.

    Ends with 0 where everything is, 1 where something is not, 3 where nothing runs.
    """
    try:
        desk = look(data, clock=SystemClock())
    except Stop as stop:
        if as_json and stop.exit_code == EXIT_NOT_RUNNING:
            say(json.dumps({"running": False, "healthy": False, "data": str(data.absolute())}, indent=2))
            return EXIT_NOT_RUNNING
        raise
    if as_json:
        found = {**asdict(desk), "running": True, "healthy": desk.is_healthy}
        say(json.dumps(found, indent=2))
    else:
        _show(desk)
    return 0 if desk.is_healthy else EXIT_FAILED


def _show(desk: DeskStanding) -> None:
    made = table(
        "Process", "Health", "Pid", "Port", "Uptime", "Restarts", "MiB", figures=("Pid", "Restarts", "MiB")
    )
    for process in desk.processes:
        made.add_row(*_row(process))
    shown = console()
    shown.print(made)
    total_mib = sum(process.memory_bytes or 0 for process in desk.processes) / _MIB
    shown.print(f"\nPages {desk.pages_url}   API {desk.gateway_url}/v1   {total_mib:,.0f} MiB together")
    shown.print(f"Data  {desk.data}", soft_wrap=True)
    for each in desk.files_waiting:
        line = f"{each.name} waits in the drop folder for {_duration(each.waits_s)}: wattbook feed says why"
        shown.print(plain(line), soft_wrap=True)


def _row(process: Standing) -> list[str | Text]:
    return [
        process.name,
        Text(process.health, style=GOOD if process.is_healthy else BAD),
        str(process.pid or "–"),
        ", ".join(map(str, process.ports)) or "–",
        "–" if process.uptime_s is None else _duration(process.uptime_s),
        str(process.restarts),
        "–" if process.memory_bytes is None else f"{process.memory_bytes / _MIB:,.0f}",
    ]


def _duration(seconds: int) -> str:
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days} d {hour} h"
    if hours:
        return f"{hours} h {minute} min"
    return f"{minutes} min {second} s" if minutes else f"{second} s"
