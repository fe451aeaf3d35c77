"""``wattbook up``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click
from wattbook.clock import SystemClock
from wattbook.services import last_offset

from wattbook_cli.api.terminal import say
from wattbook_cli.clients.foreground import own_foreground
from wattbook_cli.usecases.up import UpRequest, bring_up

_LAST_BASE = 65535 - last_offset()
_FASTEST = 10_000.0


@click.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default="./data",
    show_default=True,
    help="The data folder; made where it is missing.",
)
@click.option(
    "--port-base",
    type=click.IntRange(1, _LAST_BASE),
    default=8080,
    show_default=True,
    help="The API's port; the pages are one above, everything internal from ten above on.",
)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="The address on which API and pages listen."
)
@click.option(
    "--sandbox/--no-sandbox",
    default=None,
    help="With a simulated exchange and provider; the default unless the environment names real ones.",
)
@click.option("--clock-start", metavar="INSTANT", help="The sandbox's time at the start, with its offset.")
@click.option(
    "--clock-speed",
    type=click.FloatRange(0, _FASTEST, min_open=True),
    help="Simulated seconds a real second, in the sandbox.",
)
@click.pass_obj
def up(
    environment: Mapping[str, str],
    data: Path,
    port_base: int,
    host: str,
    *,
    sandbox: bool | None,
    clock_start: str | None,
    clock_speed: float | None,
) -> None:
    """Start Wattbook on this machine and keep it running until Ctrl-C.

    WATTBOOK_ADMIN_PASSWORD sets the first user's password; without it one is made and shown once.

    WATTBOOK_EXCHANGE_URLS (ws:// or wss://, comma-separated), WATTBOOK_MARKET_DATA_URL (with or without
    /v1) and WATTBOOK_BANK_URL name a real exchange, a real provider of reference prices and a real bank.
    Where any is given there is no sandbox, and what is not named is left out.
    """
    request = UpRequest(
        data, port_base, host, environment, sandbox=sandbox, clock_start=clock_start, clock_speed=clock_speed
    )
    with own_foreground(environment):
        bring_up(request, clock=SystemClock(), say=say)
