"""Finding the gateway and being somebody there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from wattbook.clock import Clock

from wattbook_cli.clients.gateway import Gateway, Seen
from wattbook_cli.clients.sign_ins import sign_in
from wattbook_cli.domain.desk import ADMIN
from wattbook_cli.domain.stops import SignInNeeded, Stop
from wattbook_cli.store.run_state import read_state
from wattbook_cli.store.sign_ins import SignIns
from wattbook_cli.usecases.stored_sign_in import now_s, stored_sign_in

DEFAULT_URL = "http://127.0.0.1:8080"
_NOBODY = "not signed in; `wattbook login` signs in, or set WATTBOOK_USER and WATTBOOK_PASSWORD"


@dataclass(frozen=True, slots=True)
class Access:
    """Which gateway, and who: what was said on the command line, else in the environment."""

    environment: Mapping[str, str] = field(repr=False)
    url: str = ""
    user: str = ""
    password: str = field(default="", repr=False)

    @property
    def gateway_url(self) -> str:
        """The gateway's address: as said, else of the desk in ./data, else the usual one."""
        said = self.url or self.environment.get("WATTBOOK_URL", "")
        if not said:
            said = str((read_state(Path("data/run/state.json")) or {}).get("gateway_url", DEFAULT_URL))
        return said.rstrip("/").removesuffix("/v1")

    @property
    def said_user(self) -> str:
        """The user's name, where one was said."""
        return self.user or self.environment.get("WATTBOOK_USER", "")

    @property
    def known_password(self) -> str:
        """The user's password, where something said it."""
        return self.password or self.environment.get("WATTBOOK_PASSWORD", "")


@dataclass(frozen=True, slots=True)
class Prompts:
    """How to ask a person; on no terminal there is nobody to ask (``None``)."""

    user: Callable[[], str]
    password: Callable[[str], str]


def connect(access: Access, *, clock: Clock, prompts: Prompts | None, seen: Seen | None) -> Gateway:
    """A connection as the user that was said, who is signed in, or who answers the prompt, in this order.

    Raises:
        SignInNeeded: nobody is known.
    """
    sign_ins = SignIns.of(access.environment)
    url = access.gateway_url
    auth: httpx.Auth
    if password := access.known_password:
        auth = _basic(access.said_user, password)
    elif (kept := sign_ins.get(url)) and access.said_user in {"", kept.user}:
        auth = stored_sign_in(url, sign_ins=sign_ins, clock=clock)
    elif (known := access.environment.get("WATTBOOK_ADMIN_PASSWORD", "")) and access.said_user in {"", ADMIN}:
        auth = _basic(ADMIN, known)
    elif prompts:
        user = access.said_user or prompts.user()
        auth = _basic(user, prompts.password(user))
    else:
        raise SignInNeeded(_NOBODY)
    return Gateway(url, auth=auth, seen=seen)


def log_in(access: Access, *, clock: Clock, prompts: Prompts | None) -> str:
    """Sign in and keep the tokens; the user's name.

    Raises:
        SignInNeeded: the gateway refuses, or nobody can be asked.
    """
    password = access.known_password
    if prompts is None and not (access.said_user and password):
        raise SignInNeeded("no terminal to ask on: give --user and --password-stdin")
    user = access.said_user or (prompts.user() if prompts else "")
    if not password and prompts:
        password = prompts.password(user)
    url = access.gateway_url
    form = {"grant_type": "password", "username": user, "password": password}
    try:
        found = sign_in(url, user=user, form=form, now_s=now_s(clock))
    except SignInNeeded as refused:
        raise SignInNeeded(
            f"the gateway at {url} does not know this name and password", request_id=refused.request_id
        ) from None
    sign_ins = SignIns.of(access.environment)
    with sign_ins.locked():
        sign_ins.keep(url, found)
    return user


def log_out(access: Access) -> bool:
    """Forget the tokens of a gateway, and let it forget them; whether there were any."""
    sign_ins, url = SignIns.of(access.environment), access.gateway_url
    with sign_ins.locked():
        kept = sign_ins.get(url)
        there_was_one = sign_ins.forget(url)
    if kept is not None:
        with suppress(Stop), Gateway(url) as gateway:  # one that is away lets them end by themselves
            gateway.ask("POST", "/v1/oauth/revoke", form={"token": kept.refresh_token})
    return there_was_one


def _basic(user: str, password: str) -> httpx.Auth:
    if not user:
        raise Stop("whose password is it? --user or WATTBOOK_USER says")
    if ":" in user:
        raise Stop("a user's name cannot hold a colon")
    return httpx.BasicAuth(user, password)
