"""``wattbook up``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click
from wattbook.clock import SystemClock

from wattbook_cli.api.terminal import say
from wattbook_cli.usecases.up import UpRequest, bring_up

_LAST_BASE = 65535 - 12


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
@click.pass_obj
def up(environment: Mapping[str, str], data: Path, port_base: int, host: str) -> None:
    """Start Wattbook on this machine and keep it running until Ctrl-C.

    WATTBOOK_ADMIN_PASSWORD sets the first user's password; without it one is made and shown once.
    """
    bring_up(UpRequest(data, port_base, host, environment), clock=SystemClock(), say=say)
