"""``/oauth``: the token endpoint and the public keys."""

from __future__ import annotations

import dataclasses
import ipaddress
from typing import Any
from urllib.parse import parse_qsl

from wattbook import telemetry
from wattbook.errors import BY_HTTP_STATUS, InvalidInput, Unauthenticated, error_body

from gateway.api.http import Request, Response, json_response
from gateway.api.security import basic_credentials
from gateway.domain.users import User
from gateway.usecases.oauth import PUBLIC_CLIENT_ID as PUBLIC
from gateway.usecases.oauth import Client, TokenServer
from gateway.usecases.oauth import Request as TokenRequest
from gateway.usecases.revocations import Revocations
from gateway.usecases.signin import SignIn
from gateway.usecases.threads import Pool
from gateway.usecases.tokens import AccessTokens

GRANTS = frozenset({"password", "refresh_token", "client_credentials"})
_MOST_FIELDS = 16
_OWN_WORDS = {"invalid_client": "unknown client, or its secret is wrong"}
_ALWAYS = [(b"cache-control", b"no-store"), (b"pragma", b"no-cache")]


class OAuthApi:
    """Handlers of the auth document."""

    def __init__(
        self, *, server: TokenServer, sign_in: SignIn, tokens: AccessTokens, revocations: Revocations,
        database: Pool,
    ) -> None:  # fmt: skip
        """The token server blocks and is used in ``database``'s threads."""
        self._revocations = revocations
        self._server = server
        self._sign_in = sign_in
        self._tokens = tokens
        self._database = database

    async def token(self, request: Request) -> Response:
        """``POST /oauth/token``."""
        form = _form(await request.body())
        if form.get("grant_type") not in GRANTS:
            error = "unsupported_grant_type" if form.get("grant_type") else "invalid_request"
            return _refused(400, error, f"grant_type: one of {', '.join(sorted(GRANTS))}")
        headers = _authorization(request)
        if headers is None:
            return _refused(401, "invalid_client", "the Authorization header cannot be read")
        user = await self._verified_user(form, request)
        asked = TokenRequest(form, headers, verified_user=user)
        status, body = await self._database.run(self._server.answer, asked)
        if status != 200:
            description = _OWN_WORDS.get(body["error"]) or body.get("error_description") or body["error"]
            return _refused(status, body["error"], str(description))
        return json_response(body, headers=_ALWAYS)

    async def revoke(self, request: Request) -> Response:
        """``POST /oauth/revoke``."""
        form = _form(await request.body())
        if not form.get("token"):
            return _refused(400, "invalid_request", "token: which one?")
        ended = await self._database.run(self._server.revoke, form["token"])
        if ended is not None:
            self._sign_in.memory.forget_session(ended)
        return Response(200, content_type=None, headers=_ALWAYS)

    async def jwks(self, request: Request) -> Response:
        """``GET /oauth/jwks``."""
        return json_response(self._tokens.key_set(), headers=[(b"cache-control", b"public, max-age=300")])

    async def revocations(self, request: Request) -> Response:
        """``GET /oauth/revocations``."""
        if self._client(request) is None:
            return _refused(401, "invalid_client", _OWN_WORDS["invalid_client"])
        newest, found = await self._revocations.after(request.params.get("after", 0))
        body = {"version": newest, "revocations": [dataclasses.asdict(each) for each in found]}
        return json_response(body, headers=_ALWAYS)

    async def _verified_user(self, form: dict[str, str], request: Request) -> User | None:
        if form["grant_type"] != "password" or "username" not in form or "password" not in form:
            return None
        client, address = self._client(request), request.address
        if client is not None:
            address = _address(form.get("user_address", "")) or address
        elif request.header(b"authorization") is not None or form.get("client_id", PUBLIC) != PUBLIC:
            return None  # an unknown client: no password is verified for it
        try:
            return await self._sign_in.verified_user(form["username"], form["password"], address=address)
        except Unauthenticated:
            return None

    def _client(self, request: Request) -> Client | None:
        """The program that proves itself by HTTP Basic, if one does."""
        value = request.header(b"authorization")
        if value is None or value[:6].lower() != b"basic ":
            return None
        try:
            return self._server.proven_client(*basic_credentials(value))
        except Unauthenticated:
            return None


def _address(text: str) -> str:
    """Where a browser is, as a client says that signs people in; "" where that is no address."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""


def _form(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS
        )
    except ValueError:
        raise InvalidInput("the form is malformed") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise InvalidInput("a field of the form is given twice")
    return form


def _authorization(request: Request) -> dict[str, str] | None:
    """The header for Authlib, which does not expect unreadable ones; None for those."""
    value = request.header(b"authorization")
    if value is None:
        return {}
    if value[:6].lower() != b"basic ":
        return None
    try:
        basic_credentials(value)
    except Unauthenticated:
        return None
    return {"Authorization": value.decode("latin-1")}


def _refused(status: int, error: str, description: str) -> Response:
    context = telemetry.current()
    kind = BY_HTTP_STATUS.get(status, InvalidInput)
    body: dict[str, Any] = error_body(kind(description), request_id=context.request_id if context else None)
    body |= {"error": error, "error_description": description}
    headers = [*_ALWAYS, (b"www-authenticate", b'Basic realm="Wattbook"')] if status == 401 else _ALWAYS
    return json_response(body, status=kind.http_status, headers=headers)
