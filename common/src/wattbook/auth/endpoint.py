"""The gateway's token endpoint (RFC 6749): for services themselves, and for the people whom pages sign in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from wattbook.auth.revocations import Revocation, Session
from wattbook.errors import TooManyRequests, Unauthenticated, Unavailable
from wattbook.telemetry.http import ClientRequest

TOKEN_PATH = "/v1/oauth/token"  # noqa: S105
REVOCATIONS_TIMEOUT_S = 5.0
_REFUSED = frozenset({400, 401, 403})
_NOT_THIS_CLIENT = frozenset({"unauthorized_client", "invalid_client"})


class ClientRefused(Unauthenticated):
    """It is this program that may not ask, or not like this."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What was given out; ``refresh`` is "" and ``session`` None for a program's own."""

    access: str
    lasts_s: float
    refresh: str = ""
    session: Session | None = None


class TokenEndpoint:
    """Thread-safe. All methods block, and raise Unavailable where the gateway gives no good answer."""

    def __init__(
        self, gateway_url: str, *, client: tuple[str, str] | None = None, timeout_s: float = 10.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:  # fmt: skip
        """Ask as the ``client`` of this id and secret; a ``transport`` stands in for the network in tests."""
        self._client = httpx.BasicAuth(*client) if client else None
        self._url = gateway_url.rstrip("/")
        self._http = httpx.Client(
            timeout=timeout_s, trust_env=False, follow_redirects=False, transport=transport
        )

    def close(self) -> None:
        """Let go of connections."""
        self._http.close()

    def own(self, *, audience: str = "") -> Tokens:
        """The client's own token: for the REST API or, with an ``audience``, a pass to that service.

        Raises:
            Unauthenticated: it may have none; ClientRefused where its secret is wrong.
        """
        form = {"grant_type": "client_credentials"} | ({"audience": audience} if audience else {})
        return self._granted(form)

    def by_password(self, *, name: str, password: str, address: str) -> Tokens:
        """Tokens for a person, whose browser is at ``address`` ("": not known).

        Raises:
            Unauthenticated: name and password do not match.
            TooManyRequests: wrong too often; its ``retry_after_s`` says for how long.
        """
        form = {"grant_type": "password", "username": name, "password": password}
        if address:  # else all browsers would be one caller there, and one of them could lock out the others
            form["user_address"] = address
        return self._granted_to_person(form, address)

    def exchange(self, refresh: str, *, address: str) -> Tokens:
        """What replaces a refresh token, which counts once. Raises Unauthenticated where it does not hold."""
        return self._granted_to_person({"grant_type": "refresh_token", "refresh_token": refresh}, address)

    def revoke(self, refresh: str) -> None:
        """End the session that a refresh token is of."""
        self._answer("POST", "/v1/oauth/revoke", data={"token": refresh})

    def revocations(self, version: int) -> tuple[int, list[Revocation]] | None:
        """The newest version, and what ended sessions after ``version``; None: the gateway is too old."""
        answer = self._sent(
            "GET", "/v1/oauth/revocations", params={"after": version}, auth=self._client,
            timeout=REVOCATIONS_TIMEOUT_S,
        )  # fmt: skip
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        if answer.status_code != httpx.codes.OK:
            raise Unavailable(f"the gateway does not tell what ended sessions ({answer.status_code})")
        body = _json(answer)
        try:
            return int(body["version"]), [Revocation(**each) for each in body["revocations"]]
        except (ValueError, KeyError, TypeError) as error:
            raise Unavailable("what ended sessions was not understood") from error

    def _granted_to_person(self, form: Mapping[str, str], address: str) -> Tokens:
        headers = {"X-Forwarded-For": address} if address else {}
        try:
            return self._granted(form, headers=headers)
        except ClientRefused:  # by an older release, where only the public client signs people in
            return _tokens(self._answer("POST", TOKEN_PATH, data=form, headers=headers))

    def _granted(self, form: Mapping[str, str], **sent: Any) -> Tokens:
        return _tokens(self._answer("POST", TOKEN_PATH, data=form, auth=self._client, **sent))

    def _answer(self, method: str, path: str, **sent: Any) -> httpx.Response:
        answer = self._sent(method, path, **sent)
        if answer.status_code == httpx.codes.OK:
            return answer
        raise _refusal(answer)

    def _sent(self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **sent: Any) -> Any:
        url = f"{self._url}{path}"
        try:
            with ClientRequest(method, url) as request:
                answer = self._http.request(
                    method, url, headers={**request.headers, **(headers or {})}, **sent
                )
                request.answered(answer.status_code)
                return answer
        except httpx.HTTPError as error:
            raise Unavailable("the gateway is not reachable") from error


def _tokens(answer: httpx.Response) -> Tokens:
    body = _json(answer)
    try:
        session = (
            Session(str(body["session_id"]), int(body["session_counter"])) if "session_id" in body else None
        )
        refresh = str(body.get("refresh_token") or "")
        return Tokens(str(body["access_token"]), float(body["expires_in"]), refresh, session)
    except (KeyError, TypeError, ValueError) as error:
        raise Unavailable("the gateway's token endpoint answered something else") from error


def _refusal(answer: httpx.Response) -> Exception:
    status = answer.status_code
    try:
        body = _json(answer)
    except Unavailable:
        body = {}
    words = body.get("message") or body.get("error_description") or body.get("error")
    message = f"{words} ({status})" if isinstance(words, str) else f"status {status}"
    if body.get("error") in _NOT_THIS_CLIENT:
        return ClientRefused(message)
    if status in _REFUSED:
        return Unauthenticated(message)
    wait = answer.headers.get("Retry-After", "")
    retry_after_s = int(wait) if wait.isdecimal() else None
    if status == httpx.codes.TOO_MANY_REQUESTS:
        return TooManyRequests(message, retry_after_s=60 if retry_after_s is None else retry_after_s)
    return Unavailable(message, retry_after_s=retry_after_s)


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError as error:
        raise Unavailable("the gateway answered something else") from error
    if not isinstance(body, dict):
        raise Unavailable("the gateway answered something else")
    return body
