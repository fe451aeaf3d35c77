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


@demo_data.command()
@click.option(
    "--size", type=click.Choice(["small", "medium", "large", "mega"]), help="Default: SETTING, else small."
)
@click.option("--seed", type=click.IntRange(0), help="What chance follows; the same seed, the same data.")
@click.option("--from", help="First day.  [default: 2018-01-01]")
@click.option("--to", help="The day after the last.  [default: 2022-01-01]")
@click.option("--out", type=click.Path(), help="Folder to make.")
@click.option(
    "--format", type=click.Choice(["parquet", "csv"]), help="Of the folder's files.  [default: parquet]"
)
@click.option("--database", help="Database to fill: sqlite:///path or postgresql://user@host/name.")
@click.option("--processes", type=click.IntRange(1, 64), help="Default: one a processor.")
@click.option("--force", is_flag=True, help="Replace what an earlier run made there.")
@click.option("--json", is_flag=True, help="Say what was made as JSON.")
@click.pass_obj
def bank(environment: Mapping[str, str], /, **options: object) -> None:
    """Cash flows of companies, as a bank would hand them out: payments, accounts, rates, and labels apart."""
    arguments: list[str] = []
    for name, value in options.items():
        if value is True:
            arguments.append(f"--{name}")
        elif value not in (None, False):
            arguments += [f"--{name}", str(value)]
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
