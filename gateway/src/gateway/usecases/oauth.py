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
from wattbook.clock import Clock

from gateway.domain.users import User
from gateway.store import RefreshToken, TokenStore, UserStore
from gateway.usecases.passes import SERVICE_LIFETIME_S
from gateway.usecases.tokens import ACCESS_LIFETIME, AccessTokens

REFRESH_LIFETIME = timedelta(hours=12)
# Two requests of one browser may refresh at once: the later is refused, but that is no theft.
REUSE_FORGIVEN = timedelta(seconds=10)
PUBLIC_CLIENT_ID = "wattbook"
# What a service may do with its own secret: book files through the API; read at other owners.
USE_THE_API = frozenset({"ingest-service"})
READS_AT = {
    "ingest-service": frozenset({"trade-service"}),
    "pricing-service": frozenset({"trade-service"}),
    "report-service": frozenset({"trade-service", "pricing-service", "ingest-service"}),
}
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
        Client(name, secret=secret, grant_types=own, uses_api=name in USE_THE_API, owners=READS_AT[name])
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
class _Credential(TokenMixin):
    token: RefreshToken

    def check_client(self, client: Client) -> bool:
        return self.token.client_id == client.client_id

    def get_scope(self) -> str:
        return ""


class _PasswordGrant(grants.ResourceOwnerPasswordCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["none"]  # noqa: RUF012  # as Authlib declares it

    def authenticate_user(self, username: str, password: str) -> User:
        if self.request.verified_user is None:
            raise InvalidGrantError("unknown user or wrong password")
        return self.request.verified_user


class _RefreshGrant(grants.RefreshTokenGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["none"]  # noqa: RUF012
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token: str) -> _Credential:
        token = self.server.use_refresh_token(refresh_token, self.request.client)
        if token is None:
            raise InvalidGrantError("the refresh token does not hold any more")
        return _Credential(token)

    def authenticate_user(self, refresh_token: _Credential) -> User:
        user = self.server.users.find(refresh_token.token.user_name)
        if user is None or user.disabled:
            raise InvalidGrantError("the user may not sign in any more")
        return user

    def revoke_old_credential(self, refresh_token: _Credential) -> None:
        """Done when it was used."""


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
        self, *, users: UserStore, store: TokenStore, access: AccessTokens, clients: Mapping[str, Client],
        clock: Clock, service_pass: Callable[[str, str], str],
    ) -> None:  # fmt: skip
        """Everything is injected."""
        super().__init__()
        self.users = users
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

    def query_client(self, client_id: str) -> Client | None:
        """The client of an id, if any."""
        return self._clients.get(client_id)

    def save_token(self, token: dict[str, Any], request: Request) -> None:
        """Keep the refresh token, in the family of the one it replaces."""
        refresh = token.get("refresh_token")
        if refresh is None:
            return
        old = request.refresh_token
        now = self._clock.now()
        kept = RefreshToken(
            token_hash=_hash(refresh),
            family=old.token.family if old else secrets.token_hex(16),
            user_name=request.user.name,
            client_id=request.client.client_id,
            expires_at=now + REFRESH_LIFETIME,
        )
        self._store.add(kept, now=now)

    def use_refresh_token(self, token: str, client: Client) -> RefreshToken | None:
        """The token, marked as used; None where it does not hold. One that comes again ends its family."""
        now = self._clock.now()
        found = self._store.use(_hash(token), client_id=client.client_id, now=now)
        if found is None or found.used_at is None:
            return found
        if now - found.used_at > REUSE_FORGIVEN:
            _log.warning("a refresh token was used twice; its session ends", extra={"user": found.user_name})
            self._store.revoke_family(found.family)
        return None

    def revoke(self, token: str) -> None:
        """End the session that a refresh token is of, whichever of its tokens it is. Who has it may."""
        family = self._store.family_of(_hash(token))
        if family is not None:
            self._store.revoke_family(family)

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

    def _make_token(self, *, client: Client, user: User | None, include_refresh_token: bool, **_: Any) -> Any:
        name = user.name if user else client.client_id
        token = {
            "token_type": "Bearer",
            "access_token": self._access.issue(name, client_id=client.client_id, is_client=user is None),
            "expires_in": int(ACCESS_LIFETIME.total_seconds()),
        }
        if include_refresh_token:
            token["refresh_token"] = secrets.token_urlsafe(32)
        return token


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()
