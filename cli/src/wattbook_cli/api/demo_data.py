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
    _make(environment, "the bank's data", "sandbox.bank", "make", *arguments)


@demo_data.command(
    "flow-files",
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
    short_help="NEM13 flow files of made-up meter points, for manage.py import_flow_files.",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def flow_files(environment: Mapping[str, str], arguments: tuple[str, ...]) -> None:
    """NEM13 flow files, a day each, the same for the same seed; --help lists its options."""
    _make(environment, "the flow files", "sandbox.flow_files", *arguments)


def _make(environment: Mapping[str, str], what: str, module: str, *arguments: str) -> None:
    command = [sys.executable, "-m", module, *arguments]
    status = subprocess.run(command, env=dict(environment), check=False).returncode  # noqa: S603  # our own
    if status:
        raise Stop(f"{what} were not made", exit_code=status if status > 0 else 128 - status)
