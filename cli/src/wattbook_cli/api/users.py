"""``wattbook users``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from wattbook_cli.api.options import Session, calls_gateway, read_password
from wattbook_cli.api.tables import console, table
from wattbook_cli.api.terminal import pass_through, say
from wattbook_cli.domain.stops import Stop
from wattbook_cli.store.folder import new_password
from wattbook_cli.usecases import users as usecases

F = TypeVar("F", bound=Callable[..., Any])
ROLES = ("trader", "desk", "admin", "service", "support", "treasurer")


@click.group()
def users() -> None:
    """Add, list, disable and enable users; set passwords."""


def _sets_password(command: F) -> F:
    generate = click.option("--generate", is_flag=True, help="Make a password and show it once.")
    stdin = click.option("--password-stdin", is_flag=True, help="Read the new password from standard input.")
    return generate(stdin(command))


@users.command()
@click.argument("name")
@click.option("--role", "roles", multiple=True, type=click.Choice(ROLES), help="May be given more than once.")
@click.option("--trader-id", help="Whose trades a user with the trader role has.")
@_sets_password
@calls_gateway(password_stdin=False)
def add(
    session: Session,
    *,
    name: str,
    roles: Sequence[str],
    trader_id: str | None,
    generate: bool,
    password_stdin: bool,
) -> None:
    """Add a user; without --role a trader if there is a --trader-id, else of the desk."""
    chosen = list(roles) or (["trader"] if trader_id else ["desk"])
    with session.open() as gateway:
        password = _new_password(name, generate=generate, stdin=password_stdin)
        usecases.add_user(gateway, name=name, password=password, roles=chosen, trader_id=trader_id)
    say(f"Added {name} ({', '.join(chosen)}).")
    if generate:
        say(f"Password: {password}   (shown this once)")


@users.command("list")
@click.option("--json", "as_json", is_flag=True, help="The API's JSON as it is.")
@calls_gateway()
def list_users(session: Session, *, as_json: bool) -> None:
    """List all users."""
    with session.open() as gateway:
        answer = gateway.ask("GET", "/v1/users")
    if as_json:
        pass_through([answer.content])
        return
    made = table("Name", "Roles", "Trader id", "State")
    for user in answer.json():
        state = "disabled" if user.get("disabled") else "active"
        made.add_row(user["name"], ", ".join(user["roles"]), user.get("trader_id") or "–", state)
    console().print(made)


@users.command()
@click.argument("name", required=False)
@_sets_password
@calls_gateway(password_stdin=False)
def passwd(session: Session, *, name: str | None, generate: bool, password_stdin: bool) -> None:
    """Set a user's password, or without NAME your own; it ends that user's sign-ins."""
    with session.open() as gateway:
        whose = name or gateway.me()["name"]
        old = "" if name else session.own_password()
        password = _new_password(whose, generate=generate, stdin=password_stdin)
        if name:
            usecases.change_user(gateway, name=name, change={"password": password})
        else:
            usecases.change_own_password(gateway, old=old, new=password)
    say(f"The password of {whose} is set.")
    if generate:
        say(f"Password: {password}   (shown this once)")


@users.command()
@click.argument("name")
@calls_gateway()
def disable(session: Session, *, name: str) -> None:
    """Keep a user from signing in."""
    with session.open() as gateway:
        usecases.change_user(gateway, name=name, change={"disabled": True})
    say(f"{name} is disabled.")


@users.command()
@click.argument("name")
@calls_gateway()
def enable(session: Session, *, name: str) -> None:
    """Let a disabled user sign in again."""
    with session.open() as gateway:
        usecases.change_user(gateway, name=name, change={"disabled": False})
    say(f"{name} is enabled.")


def _new_password(name: str, *, generate: bool, stdin: bool) -> str:
    if generate:
        return new_password()
    if stdin:
        return read_password()
    if not sys.stdin.isatty():
        raise Stop("no terminal to ask on: give --generate or --password-stdin")
    password: str = click.prompt(
        f"New password of {name}", hide_input=True, confirmation_prompt="The same again", err=True
    )
    return password
