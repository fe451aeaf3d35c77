"""``wattbook demo-data``: made-up data in quantity."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

import click

from wattbook_cli.domain.stops import Stop


@click.group(name="demo-data")
def demo_data() -> None:
    """Make data to try Wattbook with."""


@demo_data.command(
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
    short_help="Cash flows of companies: small, medium, large or mega.",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def bank(environment: Mapping[str, str], arguments: tuple[str, ...]) -> None:
    """Cash flows of companies, as the bank's data maker makes them; --help lists its options."""
    command = [sys.executable, "-m", "sandbox.bank", "make", *arguments]
    status = subprocess.run(command, env=dict(environment), check=False).returncode  # noqa: S603  # our own
    if status:
        raise Stop("the bank's data were not made", exit_code=status if status > 0 else 128 - status)
