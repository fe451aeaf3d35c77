"""Access tokens for the REST API, valid for an hour."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from wattbook.access import Principal, Role
from wattbook.auth.revocations import Session
from wattbook.auth.tokens import ALGORITHM, API, AccessToken, read_token, write_token
from wattbook.clock import Clock
from wattbook.errors import Unauthenticated

ACCESS_LIFETIME = timedelta(hours=1)


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

    def __init__(self, *, key: ECKey, clock: Clock, clients: frozenset[str]) -> None:
        """Sign with ``key``."""
        self._key = key
        self._clock = clock
        self._clients = clients

    def issue(self, principal: Principal, *, client_id: str, session: Session | None = None) -> str:
        """A token for a person in their session or, without one, for a client itself."""
        return write_token(
            self._key, principal, audience=API, lifetime_s=int(ACCESS_LIFETIME.total_seconds()),
            now_s=self._now_s(), session=session, client_id=client_id,
        )  # fmt: skip

    def read(self, token: str) -> AccessToken:
        """What a token says.

        Raises:
            Unauthenticated: it is not ours, not for us, altered, or expired.
        """
        try:
            return read_token(token, self._key, audience=API, now_s=self._now_s)
        except JoseError:
            raise Unauthenticated("the token is not valid, or not any more") from None

    def remaining_s(self, token: AccessToken) -> float:
        """For how long it still holds."""
        return token.expires_s - self._now_s()

    def client_principal(self, client_id: str) -> Principal | None:
        """What a client may do with its own token: book and read all; None where it is not set up."""
        if client_id not in self._clients:
            return None
        return Principal(client_id, frozenset({Role.SERVICE}), is_client=True)

    def key_set(self) -> dict[str, Any]:
        """The public key, as a JWK set (RFC 7517)."""
        return {"keys": [self._key.as_dict(private=False)]}

    def _now_s(self) -> float:
        return self._clock.now().timestamp()
