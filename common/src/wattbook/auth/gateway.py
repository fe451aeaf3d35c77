"""The gateway, as the place where people sign in."""

from __future__ import annotations

from typing import Any

import httpx

from wattbook.auth.endpoint import TokenEndpoint
from wattbook.auth.endpoint import Tokens as Given
from wattbook.auth.people import Person, Tokens
from wattbook.clock import Clock, to_epoch_us
from wattbook.errors import Unauthenticated, Unavailable
from wattbook.telemetry.http import ClientRequest

TIMEOUT_S = 10.0
_US_PER_S = 1_000_000


class Gateway:
    """OAuth tokens and ``/v1/me``; thread-safe."""

    def __init__(
        self, url: str, clock: Clock, *, client: tuple[str, str] | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:  # fmt: skip
        """Call the gateway at ``url``; a ``transport`` stands in for the network in tests.

        As the ``client`` of this id and secret we are believed where a browser is.
        """
        self._clock = clock
        self._endpoint = TokenEndpoint(url, client=client, timeout_s=TIMEOUT_S, transport=transport)
        self.revocations = self._endpoint.revocations
        self._http = httpx.Client(
            base_url=url, timeout=TIMEOUT_S, trust_env=False, follow_redirects=False, transport=transport
        )

    def close(self) -> None:
        """Let go of connections."""
        self._endpoint.close()
        self._http.close()

    def tokens_for(self, *, name: str, password: str, address: str) -> Tokens:
        """Tokens for a name and a password, asked for by who is at ``address`` ("": not known).

        Raises:
            Unauthenticated: they do not match.
            TooManyRequests: wrong too often; its ``retry_after_s`` says for how long.
            Unavailable: the gateway is away.
        """
        return self._kept(self._endpoint.by_password(name=name, password=password, address=address))

    def renewed(self, tokens: Tokens, *, address: str) -> Tokens:
        """Fresh tokens for older ones. Raises like :meth:`tokens_for`."""
        return self._kept(self._endpoint.exchange(tokens.refresh, address=address))

    def revoke(self, tokens: Tokens) -> None:
        """End the session that the tokens are of. Raises like :meth:`tokens_for`."""
        self._endpoint.revoke(tokens.refresh)

    def person_of(self, tokens: Tokens) -> Person:
        """Whose tokens they are, with today's roles. Raises like :meth:`tokens_for`."""
        answer = self.sent("GET", "/v1/me", tokens=tokens)
        if answer.status_code in {401, 403}:
            raise Unauthenticated("the session is over")
        try:
            body = answer.raise_for_status().json()
            return Person(str(body["name"]), tuple(map(str, body["roles"])), body.get("trader_id"))
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise Unavailable("the gateway's answer was not understood") from error

    def sent(self, method: str, path: str, *, tokens: Tokens, **sent: Any) -> httpx.Response:
        """What the gateway answers to somebody's own request, whatever that is.

        Raises:
            Unavailable: the gateway is away.
        """
        headers = {"Authorization": f"Bearer {tokens.access}"}
        try:
            with ClientRequest(method, f"{self._http.base_url}".rstrip("/") + path) as request:
                answer = self._http.request(method, path, headers={**request.headers, **headers}, **sent)
                request.answered(answer.status_code)
                return answer
        except httpx.HTTPError as error:
            raise Unavailable("the gateway cannot be reached") from error

    def _kept(self, given: Given) -> Tokens:
        now_s = to_epoch_us(self._clock.now()) // _US_PER_S
        return Tokens(given.access, given.refresh, now_s + int(given.lasts_s), given.session)
