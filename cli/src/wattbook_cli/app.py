"""The ``wattbook`` command: which commands there are, and how every one of them ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from io import TextIOWrapper
from typing import NoReturn

import click

from wattbook_cli.api.terminal import complain
from wattbook_cli.domain.stops import EXIT_FAILED, EXIT_INTERRUPTED, Stop

# Name → where it is, and what `wattbook --help` says; a command's module is loaded when it is called,
# since Rich and httpx cost more than the whole help.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "up": ("up:up", "Start Wattbook on this machine; Ctrl-C stops it."),
    "status": ("status:status", "What runs, and whether it is healthy."),
    "report": ("report:report", "A trader's profit and loss of one day, or --live against the market."),
    "trades": ("trades:trades", "List trades."),
    "import": ("imports:import_files", "Book trades from files."),
    "prices": ("prices:prices", "Reference prices of one day."),
    "feed": ("feed:feed", "How the exchange's feed and the provider are."),
    "quarantine": ("quarantine:quarantine", "What could not be read or booked; book it again, or drop it."),
    "reconcile": ("feed:reconcile", "The nightly file of a day against the feed."),
    "meters": ("meters:meters", "Meter readings: find them, import flow files, withdraw one."),
    "companies": ("cash:companies", "Find companies by name, number or IBAN."),
    "balance": ("cash:balance", "What a company has, or its cash by day, week, month, quarter, year."),
    "cash": ("cash:cash", "The bank's data: how far it is had, its windows, what is unusual."),
    "users": ("users:users", "Add, list, disable and enable users; set passwords."),
    "migrate": ("stores:migrate", "Bring the schema of every service's store up to date."),
    "db": ("stores:db", "For who administers PostgreSQL."),
    "bus": ("bus:bus", "For who runs the bus: check it, make what is missing."),
    "dead": ("bus:dead", "Messages that kept failing; hand them on again, or drop them."),
    "demo-data": (
        "demo_data:demo_data",
        "Make data to try Wattbook with: cash flows of companies, meter readings.",
    ),
    "login": ("login:login", "Sign in, for the commands that follow."),
    "logout": ("login:logout", "Forget the sign-in."),
}


class Commands(click.Group):
    """A group that loads a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which they are met."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, loaded."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command = getattr(import_module(f"wattbook_cli.api.{module}"), attribute)
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in the help, without loading anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="wattbook-cli", prog_name="wattbook")
def wattbook() -> None:
    """Wattbook, the back office of a power-trading desk."""


def run(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run one command; its exit status. No traceback is shown for what a person can mend."""
    try:
        answer = wattbook.main(list(arguments), prog_name="wattbook", standalone_mode=False, obj=environment)
        if sys.stdout:  # closed by whoever started us
            sys.stdout.flush()
    except Stop as stop:
        complain(f"wattbook: {stop.message}")
        return stop.exit_code
    except click.exceptions.NoArgsIsHelpError as bare:
        bare.show()
        return 0
    except click.ClickException as error:
        complain(f"wattbook: {' '.join(error.format_message().split())}")
        return EXIT_FAILED
    except (click.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # whoever read has seen enough
        _point_to_nowhere(sys.stdout)
        return EXIT_FAILED
    return answer if isinstance(answer, int) else 0


def main() -> NoReturn:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without UTF-8 shows "?" instead of failing
    sys.exit(run(sys.argv[1:], dict(os.environ)))


def _point_to_nowhere(stream: object) -> None:
    """So that the interpreter's last flush has somewhere to go."""
    if isinstance(stream, TextIOWrapper):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
