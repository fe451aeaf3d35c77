"""The token endpoint: Authlib's grants over our users, clients and refresh tokens (RFC 6749)."""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from authlib.oauth2.base import OAuth2Error
from authlib.oauth2.rfc6749 import AuthorizationServer, ClientMixin, OAuth2Request, TokenMixin, grants
from authlib.oauth2.rfc6749.errors import InvalidGrantError
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from wattbook.auth.revocations import Session
from wattbook.clock import Clock
from wattbook.services import services

from gateway.domain.users import User
from gateway.store import RefreshToken, TokenStore
from gateway.usecases.passes import SERVICE_LIFETIME_S
from gateway.usecases.tokens import ACCESS_LIFETIME, AccessTokens

REFRESH_LIFETIME = timedelta(hours=12)
PUBLIC_CLIENT_ID = "wattbook"
_ENDPOINT = "https://gateway.invalid/v1/oauth/token"  # Authlib wants an address; nobody calls it
_log = logging.getLogger(__name__)


class Client(ClientMixin):
    """A program that may ask for tokens: without a secret for users, with one for itself."""

    def __init__(
        self,
        client_id: str,
        *,
        secret: str | None,
        grant_types: frozenset[str],
        uses_api: bool = False,
        owners: frozenset[str] = frozenset(),
    ) -> None:
        """``secret`` None makes it a public client.

        With client credentials it may ``use`` the REST ``api``, and read at these ``owners``.
        """
        self.client_id = client_id
        self.is_public = secret is None
        self.uses_api = uses_api
        self.owners = owners
        self._secret = secret
        self._grant_types = grant_types

    def get_client_id(self) -> str:
        """Its id."""
        return self.client_id

    def get_allowed_scope(self, scope: str | None) -> str:
        """Scopes are not used: roles say what a user may do."""
        return ""

    def check_client_secret(self, client_secret: str) -> bool:
        """Whether it is the secret, in equal time."""
        return self._secret is not None and hmac.compare_digest(self._secret.encode(), client_secret.encode())

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """Public clients do not authenticate, others must."""
        return (method == "none") == (self._secret is None)

    def check_grant_type(self, grant_type: str) -> bool:
        """Whether it may use that grant."""
        return grant_type in self._grant_types


def clients_of(secrets: Mapping[str, str | None]) -> dict[str, Client]:
    """The public client for people, and those of the services that have a secret, by their ids."""
    people = frozenset({"password", "refresh_token"})
    found = [Client(PUBLIC_CLIENT_ID, secret=None, grant_types=people)]
    own = frozenset({"client_credentials"})
    found += [
        Client(
            name,
            secret=secret,
            grant_types=own | people if "sign-people-in" in services()[name].roles else own,
            uses_api="use-api" in services()[name].roles,
            owners=services()[name].audiences,
        )
        for name, secret in secrets.items()
        if secret
    ]
    return {client.client_id: client for client in found}


class Request(OAuth2Request):
    """A token request; ``verified_user`` proved their password beforehand, since that must not block."""

    def __init__(
        self, form: Mapping[str, str], headers: Mapping[str, str], *, verified_user: User | None
    ) -> None:
        """Who names no client uses the public one."""
        super().__init__("POST", _ENDPOINT, headers=dict(headers))
        self._form = {**form}
        if "Authorization" not in headers:
            self._form.setdefault("client_id", PUBLIC_CLIENT_ID)
        self.payload = BasicOAuth2Payload(self._form)
        self.verified_user = verified_user

    @property
    def form(self) -> dict[str, str]:
        """The form's fields."""
        return self._form


@dataclass(frozen=True, slots=True)
class _Exchange(TokenMixin):
    """A refresh token that another one has just replaced."""

    user: User
    session: Session
    replacement: str

    def check_client(self, client: Client) -> bool:
        return True  # it was exchanged for this client

    def get_scope(self) -> str:
        return ""


class _PasswordGrant(grants.ResourceOwnerPasswordCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["none", "client_secret_basic"]  # noqa: RUF012  # as Authlib declares it

    def authenticate_user(self, username: str, password: str) -> User:
        if self.request.verified_user is None:
            raise InvalidGrantError("unknown user or wrong password")
        return self.request.verified_user

    def generate_token(self, **asked: Any) -> Any:
        begun = self.server.begin(self.request.verified_user, self.request.client)
        if begun is None:  # a new password came in between
            raise InvalidGrantError("unknown user or wrong password")
        return self.server.tokens_of(begun, self.request.client)


class _RefreshGrant(grants.RefreshTokenGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["none", "client_secret_basic"]  # noqa: RUF012
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token: str) -> _Exchange:
        exchange = self.server.exchange(refresh_token, self.request.client)
        if exchange is None:
            raise InvalidGrantError("the refresh token does not hold any more")
        return exchange

    def authenticate_user(self, refresh_token: _Exchange) -> User:
        return refresh_token.user

    def issue_token(self, user: User, refresh_token: _Exchange) -> dict[str, Any]:
        return self.server.tokens_of(refresh_token, self.request.client)

    def revoke_old_credential(self, refresh_token: _Exchange) -> None:
        """Done when it was exchanged."""


class _ClientGrant(grants.ClientCredentialsGrant):
    """A token for the REST API or, with ``audience``, a pass to an owner."""

    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "client_secret_post"]  # noqa: RUF012

    def validate_token_request(self) -> None:
        super().validate_token_request()
        client = self.request.client
        audience = self.request.form.get("audience", "")
        if audience not in client.owners if audience else not client.uses_api:
            raise _InvalidTarget(f"no token for {audience or 'the API'} for this client")

    def generate_token(self, **asked: Any) -> Any:
        audience = self.request.form.get("audience")
        if not audience:
            return super().generate_token(**asked)
        return self.server.service_pass(self.request.client.client_id, audience)


class _InvalidTarget(OAuth2Error):
    """RFC 8707, section 2."""

    error = "invalid_target"


class TokenServer(AuthorizationServer):
    """Answers token requests. Everything here blocks: call :meth:`answer` from a thread."""

    def __init__(
        self, *, store: TokenStore, access: AccessTokens, clients: Mapping[str, Client], clock: Clock,
        service_pass: Callable[[str, str], str],
    ) -> None:  # fmt: skip
        """Everything is injected."""
        super().__init__()
        self._store = store
        self._access = access
        self._clients = clients
        self._clock = clock
        self._sign_pass = service_pass
        self.register_token_generator("default", self._make_token)
        for grant in (_PasswordGrant, _RefreshGrant, _ClientGrant):
            self.register_grant(grant)

    def answer(self, request: Request) -> tuple[int, dict[str, Any]]:
        """Status and body: a token, or an error as RFC 6749 section 5.2 words it."""
        status, body = self.create_token_response(request)
        return status, body

    def proven_client(self, client_id: str, secret: str) -> Client | None:
        """The client of an id, where this is its secret."""
        client = self._clients.get(client_id)
        return client if client is not None and client.check_client_secret(secret) else None

    def query_client(self, client_id: str) -> Client | None:
        """The client of an id, if any."""
        return self._clients.get(client_id)

    def save_token(self, token: dict[str, Any], request: Request) -> None:
        """A refresh token is kept before it is given out."""

    def begin(self, user: User, client: Client) -> _Exchange | None:
        """The first refresh token of a new session; None where the user changed since they were verified."""
        token, family, now = secrets.token_urlsafe(32), secrets.token_hex(16), self._clock.now()
        kept = RefreshToken(_hash(token), client.client_id, now + REFRESH_LIFETIME)
        if not self._store.begin(kept, family=family, user=user, now=now):
            return None
        return _Exchange(user, Session(family, user.session_counter), token)

    def exchange(self, token: str, client: Client) -> _Exchange | None:
        """What replaces a refresh token; None where that does not hold."""
        replacement, now = secrets.token_urlsafe(32), self._clock.now()
        kept = RefreshToken(_hash(replacement), client.client_id, now + REFRESH_LIFETIME)
        # Sessions in the pages' cookies were the public client's before pages had a secret for people.
        clients = frozenset({client.client_id, PUBLIC_CLIENT_ID})
        done = self._store.exchange(_hash(token), kept, clients=clients, now=now)
        if done.is_stolen:
            _log.warning("a refresh token was used twice; its session ends", extra={"user": done.user_name})
        if done.user is None:
            return None
        return _Exchange(done.user, Session(done.family, done.user.session_counter), replacement)

    def revoke(self, token: str) -> str | None:
        """End the session that a refresh token is of, whichever of its tokens it is. Who has it may.

        The session's id; None where the token is not known.
        """
        return self._store.end(_hash(token), now=self._clock.now())

    def tokens_of(self, exchange: _Exchange, client: Client) -> dict[str, Any]:
        """What a client gets for a user: an access token, and the refresh token to go on with."""
        session = exchange.session
        access = self._access.issue(exchange.user.principal, client_id=client.client_id, session=session)
        return {
            **_bearer(access),
            "refresh_token": exchange.replacement,
            "session_id": session.id,
            "session_counter": session.counter,
        }

    def service_pass(self, client_id: str, audience: str) -> dict[str, Any]:
        """A service's pass for reading at the owner ``audience``, as a token response."""
        token = self._sign_pass(client_id, audience)
        return {"token_type": "Bearer", "access_token": token, "expires_in": SERVICE_LIFETIME_S}

    def create_oauth2_request(self, request: Request) -> Request:
        """It is one already."""
        return request

    def handle_response(self, status: int, body: Any, headers: Any) -> tuple[int, dict[str, Any]]:
        """Left to the caller."""
        return status, dict(body)

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Nobody listens."""

    def _make_token(self, *, client: Client, **_: Any) -> Any:
        principal = self._access.client_principal(client.client_id)
        if principal is None:
            raise InvalidGrantError("no token for the API for this client")
        return _bearer(self._access.issue(principal, client_id=client.client_id))


def _bearer(access_token: str) -> dict[str, Any]:
    lasts_s = int(ACCESS_LIFETIME.total_seconds())
    return {"token_type": "Bearer", "access_token": access_token, "expires_in": lasts_s}


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()
