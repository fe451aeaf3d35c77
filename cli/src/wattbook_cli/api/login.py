"""``wattbook login`` and ``logout``."""

from __future__ import annotations

import click
from wattbook.clock import SystemClock

from wattbook_cli.api.options import Session, calls_gateway, prompts
from wattbook_cli.api.terminal import say
from wattbook_cli.usecases.connect import log_in, log_out


@click.command()
@calls_gateway()
def login(session: Session) -> None:
    """Sign in, for the commands that follow; the password itself is not kept."""
    user = log_in(session.access, clock=SystemClock(), prompts=prompts())
    say(f"Signed in as {user} at {session.access.gateway_url}.")


@click.command()
@calls_gateway(password_stdin=False)
def logout(session: Session) -> None:
    """Forget the sign-in at a gateway."""
    there_was_one = log_out(session.access)
    what = "Signed out of" if there_was_one else "Nobody was signed in at"
    say(f"{what} {session.access.gateway_url}.")
