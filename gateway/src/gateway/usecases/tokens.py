"""Access tokens: JWT signed with ES256, valid for an hour (RFC 7519; RFC 9068 in spirit)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from wattbook.access import Principal, Role
from wattbook.auth.revocations import Session
from wattbook.clock import Clock, from_epoch_s
from wattbook.errors import Unauthenticated

ALGORITHM = "ES256"
ACCESS_LIFETIME = timedelta(hours=1)
AUDIENCE = "wattbook"
MAX_TOKEN_CHARACTERS = 4096


@dataclass(frozen=True, slots=True)
class Grant:
    """What a valid access token says; of a person's token, also the session that it is of."""

    name: str
    is_client: bool
    issued_at: datetime
    remaining_s: float
    session: Session | None = None


def load_signing_key(path: Path) -> ECKey:
    """The private key in a PEM file.

    Raises:
        ValueError: no EC key on P-256 is in it, or it cannot be read; says which.
    """
    try:
        key = ECKey.import_key(path.read_bytes(), {"use": "sig", "alg": ALGORITHM})
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, JoseError):
        raise ValueError("holds no EC private key in PEM form") from None
    if not key.is_private or key.curve_name != "P-256":
        raise ValueError("holds no private key on the curve P-256")
    key.ensure_kid()
    return key


class AccessTokens:
    """Makes and reads access tokens; ``clients`` are the programs that may have one of their own."""

    def __init__(self, *, key: ECKey, issuer: str, clock: Clock, clients: frozenset[str]) -> None:
        """Sign with ``key`` as ``issuer``."""
        self._key = key
        self._issuer = issuer
        self._clock = clock
        self._clients = clients

    def issue(self, name: str, *, client_id: str, session: Session | None = None) -> str:
        """A token for a user in their session or, without one, for a client itself."""
        now_s = self._now_s()
        claims: dict[str, Any] = {
            "iss": self._issuer,
            "aud": AUDIENCE,
            "sub": name,
            "iat": now_s,
            "exp": now_s + int(ACCESS_LIFETIME.total_seconds()),
            "jti": secrets.token_urlsafe(12),
            "client_id": client_id,
            "kind": "user" if session else "client",
        }
        if session is not None:
            claims |= {"sid": session.id, "session_counter": session.counter}
        return jwt.encode({"alg": ALGORITHM, "kid": self._key.kid}, claims, self._key)

    def read(self, token: str) -> Grant:
        """What a token says.

        Raises:
            Unauthenticated: it is not ours, not for us, altered, or expired.
        """
        try:
            if len(token) > MAX_TOKEN_CHARACTERS:
                raise ValueError("too long")
            claims = jwt.decode(token, self._key, algorithms=[ALGORITHM]).claims
            self._registry().validate(claims)
            name, issued_s, until_s = str(claims["sub"]), int(claims["iat"]), int(claims["exp"])
            session = Session(str(claims["sid"]), int(claims["session_counter"])) if "sid" in claims else None
        except (JoseError, ValueError, TypeError, KeyError):
            raise Unauthenticated("the token is not valid, or not any more") from None
        remaining_s = until_s - self._now_s()
        return Grant(name, claims.get("kind") == "client", from_epoch_s(issued_s), remaining_s, session)

    def client_principal(self, client_id: str) -> Principal | None:
        """What a client may do with its own token: book and read all; None where it is not set up."""
        if client_id not in self._clients:
            return None
        return Principal(client_id, frozenset({Role.SERVICE}), is_client=True)

    def key_set(self) -> dict[str, Any]:
        """The public key, as a JWK set (RFC 7517)."""
        return {"keys": [self._key.as_dict(private=False)]}

    def _registry(self) -> jwt.JWTClaimsRegistry:
        return jwt.JWTClaimsRegistry(
            now=self._now_s,
            iss={"essential": True, "value": self._issuer},
            aud={"essential": True, "value": AUDIENCE},
            exp={"essential": True},
            iat={"essential": True},
            sub={"essential": True},
        )

    def _now_s(self) -> int:
        return int(self._clock.now().timestamp())
