"""The gateway, as the place where people sign in."""

from __future__ import annotations

from typing import Any

import httpx
from wattbook.auth.revocations import Revocation, Session
from wattbook.clock import Clock, to_epoch_us
from wattbook.errors import TooManyRequests, Unauthenticated, Unavailable, WattbookError
from wattbook.telemetry.http import ClientRequest

from report_service.domain.people import Person, Tokens

TIMEOUT_S = 10.0
REVOCATIONS_TIMEOUT_S = 5.0
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
        self._client = httpx.BasicAuth(*client) if client else None
        self._http = httpx.Client(
            base_url=url, timeout=TIMEOUT_S, trust_env=False, follow_redirects=False, transport=transport
        )

    def close(self) -> None:
        """Let go of connections."""
        self._http.close()

    def tokens_for(self, *, name: str, password: str, address: str) -> Tokens:
        """Tokens for a name and a password, asked for by who is at ``address`` ("": not known).

        Raises:
            Unauthenticated: they do not match.
            TooManyRequests: wrong too often; its ``retry_after_s`` says for how long.
            Unavailable: the gateway is away.
        """
        form = {"grant_type": "password", "username": name, "password": password}
        if address:  # else all browsers would be one caller there, and one of them could lock out the others
            form["user_address"] = address
        return self._tokens(form, address)

    def renewed(self, tokens: Tokens, *, address: str) -> Tokens:
        """Fresh tokens for older ones. Raises like :meth:`tokens_for`."""
        return self._tokens({"grant_type": "refresh_token", "refresh_token": tokens.refresh}, address)

    def revoke(self, tokens: Tokens) -> None:
        """Let the refresh token, and all that follow it, hold no more. Raises like :meth:`tokens_for`."""
        self._call("POST", "/v1/oauth/revoke", data={"token": tokens.refresh})

    def person_of(self, tokens: Tokens) -> Person:
        """Whose tokens they are, with today's roles. Raises like :meth:`tokens_for`."""
        body = self._call("GET", "/v1/me", headers={"Authorization": f"Bearer {tokens.access}"})
        try:
            return Person(str(body["name"]), tuple(map(str, body["roles"])), body.get("trader_id"))
        except (KeyError, TypeError) as error:
            raise Unavailable("the gateway's answer was not understood") from error

    def sent(self, method: str, path: str, *, tokens: Tokens, **sent: Any) -> httpx.Response:
        """What the gateway answers to somebody's own request, whatever that is.

        Raises:
            Unavailable: the gateway is away.
        """
        try:
            return self._sent(method, path, {"Authorization": f"Bearer {tokens.access}"}, **sent)
        except httpx.HTTPError as error:
            raise Unavailable("the gateway cannot be reached") from error

    def revocations(self, version: int) -> tuple[int, list[Revocation]] | None:
        """The newest version, and what ended sessions after ``version``; None: an older gateway knows none.

        Raises:
            Unavailable: the gateway is away, or does not believe us.
        """
        try:
            answer = self._sent(
                "GET", "/v1/oauth/revocations", {}, params={"after": version}, auth=self._client,
                timeout=REVOCATIONS_TIMEOUT_S,
            )  # fmt: skip
            if answer.status_code == httpx.codes.NOT_FOUND:
                return None
            body = answer.raise_for_status().json()
            return int(body["version"]), [Revocation(**each) for each in body["revocations"]]
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise Unavailable(f"the gateway does not tell what ended sessions: {error}") from error

    def _tokens(self, form: dict[str, str], address: str) -> Tokens:
        headers = {"X-Forwarded-For": address} if address else {}
        try:
            body = self._call("POST", "/v1/oauth/token", headers=headers, data=form, auth=self._client)
        except (
            _ClientRefused
        ):  # a gateway of an older release, which lets only its public client sign people in
            body = self._call("POST", "/v1/oauth/token", headers=headers, data=form)
        now_s = to_epoch_us(self._clock.now()) // _US_PER_S
        try:
            expires_s = now_s + int(body["expires_in"])
            session = (
                Session(str(body["session_id"]), int(body["session_counter"]))
                if "session_id" in body
                else None
            )
            return Tokens(str(body["access_token"]), str(body.get("refresh_token") or ""), expires_s, session)
        except (KeyError, TypeError, ValueError) as error:
            raise Unavailable("the gateway's answer was not understood") from error

    def _call(self, method: str, path: str, *, headers: dict[str, str] | None = None, **sent: Any) -> Any:
        try:
            answer = self._sent(method, path, headers or {}, **sent)
            if answer.status_code == httpx.codes.OK:
                return answer.json() if answer.content else None
        except (httpx.HTTPError, ValueError) as error:
            raise Unavailable("the gateway, where people sign in, cannot be reached") from error
        raise _refusal(answer)

    def _sent(self, method: str, path: str, headers: dict[str, str], **sent: Any) -> httpx.Response:
        with ClientRequest(method, f"{self._http.base_url}".rstrip("/") + path) as request:
            answer = self._http.request(method, path, headers={**request.headers, **headers}, **sent)
            request.answered(answer.status_code)
            return answer


def _session(body: dict[str, Any]) -> Session | None:
    """The session that tokens are of; None: a gateway of an older release names none."""
    return Session(str(body["session_id"]), int(body["session_counter"])) if "session_id" in body else None


class _ClientRefused(Unauthenticated):
    """It is this service that may not ask, or not like this."""


def _refusal(answer: httpx.Response) -> WattbookError:
    if _error_of(answer) in {"unauthorized_client", "invalid_client"}:
        return _ClientRefused("the gateway does not let this service sign people in")
    if answer.status_code in {400, 401, 403}:
        return Unauthenticated("the user name and password do not match")
    if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
        wait = answer.headers.get("Retry-After", "")
        return TooManyRequests("too many wrong passwords", retry_after_s=int(wait) if wait.isdigit() else 60)
    return Unavailable("the gateway, where people sign in, failed")


def _error_of(answer: httpx.Response) -> str:
    """The error of RFC 6749 that an answer names, if any."""
    try:
        return str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return ""
