"""What every command that calls the gateway can be told, and how it asks for a password."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click
import httpx
from wattbook.clock import SystemClock

from wattbook_cli.api.terminal import complain
from wattbook_cli.clients.gateway import Gateway
from wattbook_cli.domain.desk import ADMIN
from wattbook_cli.domain.stops import Stop
from wattbook_cli.usecases.connect import Access, Prompts, connect

F = TypeVar("F", bound=Callable[..., Any])


class Session:
    """Whom a command calls and as whom, decided when it first calls."""

    def __init__(self, access: Access, *, verbose: bool) -> None:
        """Call as ``access`` says; ``verbose`` shows every request's id."""
        self.access = access
        self._verbose = verbose

    def open(self) -> Gateway:
        """The connection; asks for a password where nothing else says who is calling."""
        return connect(
            self.access, clock=SystemClock(), prompts=prompts(), seen=_show if self._verbose else None
        )

    def own_password(self) -> str:
        """The caller's own password once more, to prove that it is the caller.

        Raises:
            Stop: nothing says it, and there is no terminal to ask on.
        """
        if known := self.access.known_password:
            return known
        asked = prompts()
        if asked is None:
            raise Stop("no terminal to ask on: WATTBOOK_USER and WATTBOOK_PASSWORD say who you are")
        return asked.password("yourself, as it is now")


def calls_gateway(*, password_stdin: bool = True) -> Callable[[F], F]:
    """Give a command ``--url``, ``--user`` and so on; it receives them as ``session``."""

    def decorate(command: F) -> F:
        @functools.wraps(command)
        def with_session(
            *args: Any, url: str, user: str, verbose: bool, stdin_password: bool = False, **kwargs: Any
        ) -> Any:
            environment: Mapping[str, str] = click.get_current_context().find_object(dict) or {}
            password = read_password() if stdin_password else ""
            session = Session(Access(environment, url, user, password), verbose=verbose)
            return command(*args, session=session, **kwargs)

        options = [
            click.option("--verbose", is_flag=True, help="Show the id of every request."),
            click.option("--user", default="", help="Who you are.  [env: WATTBOOK_USER, WATTBOOK_PASSWORD]"),
            click.option("--url", default="", help="The gateway's address.  [env: WATTBOOK_URL]"),
        ]
        if password_stdin:
            line = "Read your password from standard input."
            options.insert(1, click.option("--password-stdin", "stdin_password", is_flag=True, help=line))
        for option in options:
            with_session = option(with_session)
        return with_session  # type: ignore[return-value]  # the same command with fewer parameters

    return decorate


def prompts() -> Prompts | None:
    """Questions on the terminal, where there is one."""
    if not sys.stdin or not sys.stdin.isatty():
        return None
    return Prompts(
        user=lambda: click.prompt("User", default=ADMIN, err=True),
        password=lambda whose: click.prompt(f"Password of {whose}", hide_input=True, err=True),
    )


def read_password() -> str:
    """The first line of standard input.

    Raises:
        Stop: there is none.
    """
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise Stop("standard input holds no password")
    return password


def _show(answer: httpx.Response) -> None:
    request_id = answer.headers.get("X-Request-Id", "–")
    complain(f"{answer.request.method} {answer.url.path}: {answer.status_code}, request id {request_id}")
