"""Ways of being somebody at the gateway."""

from __future__ import annotations

from collections.abc import Callable, Generator

import httpx

from wattbook_cli.clients.gateway import Gateway
from wattbook_cli.domain.sign_ins import SignIn
from wattbook_cli.domain.stops import SignInNeeded


class Bearer(httpx.Auth):
    """A token on every request; where it is refused, once more with another."""

    def __init__(self, *, token: Callable[[], str], other_than: Callable[[str], str]) -> None:
        """``token`` gives one that should do, ``other_than`` a newer one than a refused one."""
        self._token = token
        self._other_than = other_than

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """See :class:`httpx.Auth`."""
        token = self._token()
        request.headers["Authorization"] = f"Bearer {token}"
        answer = yield request
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            request.headers["Authorization"] = f"Bearer {self._other_than(token)}"
            yield request


def sign_in(url: str, *, user: str, form: dict[str, str], now_s: int) -> SignIn:
    """Ask the token endpoint.

    Raises:
        SignInNeeded: it refuses.
        Stop: no good answer.
    """
    with Gateway(url) as gateway:
        answer = gateway.ask("POST", "/v1/oauth/token", form=form, refused=SignInNeeded).json()
    return SignIn(
        user=user,
        access_token=answer["access_token"],
        refresh_token=answer.get("refresh_token", ""),
        expires_at_s=now_s + int(answer["expires_in"]),
    )
