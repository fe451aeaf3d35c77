"""Access tokens: short-lived signed statements of who calls, where, and what they may do there.

A token is a JWT (RFC 7519, RFC 9068 in spirit) signed with ES256 by the gateway's key. Its audience is the
REST API or one service behind it, so what was stolen at one is worth nothing at another; one for a service
is also called a pass. The scope is ``read`` or ``read write``. A person's token for the API names the session
that it is of. Time is the machine's own: a simulated clock neither lengthens nor ends a token.
"""

from __future__ import annotations

import logging
import re
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import ECKey, KeySet

from wattbook.access import Principal, Role
from wattbook.auth.revocations import Session
from wattbook.clock import SystemClock
from wattbook.errors import Unauthenticated

ALGORITHM = "ES256"
ISSUER = "wattbook-gateway"
API = "wattbook"  # the audience of tokens for the REST API; others are named as their service
READ, READ_WRITE = "read", "read write"
MAX_CHARACTERS = 4096
MOST_KEPT = 4096
LEEWAY_S = 5
LOOK_AGAIN_S = 5.0
_log = logging.getLogger(__name__)
_CLOCK = SystemClock()
_REFUSED = "the token is not valid, or not any more"
_PEM = re.compile(rb"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----", re.DOTALL)


def public_keys(path: Path) -> list[ECKey]:
    """The keys in a PEM file, the first the newest; several while keys change.

    Raises:
        ValueError: it cannot be read, or holds something else than EC keys on P-256; says which.
    """
    try:
        found = [match.group() for match in _PEM.finditer(path.read_bytes())]
        keys = [ECKey.import_key(pem, {"use": "sig", "alg": ALGORITHM}) for pem in found]
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, JoseError):
        raise ValueError(f"{path} holds something else than EC keys in PEM form") from None
    if not keys or any(key.curve_name != "P-256" for key in keys):
        raise ValueError(f"{path} holds no EC key on the curve P-256 in PEM form")
    for key in keys:
        key.ensure_kid()
    return keys


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What a valid token says; times are seconds since 1970 UTC."""

    principal: Principal
    issued_s: int
    expires_s: int
    session: Session | None = None


def write_token(
    key: ECKey, principal: Principal, *, audience: str, lifetime_s: int, now_s: float | None = None,
    session: Session | None = None, client_id: str = "",
) -> str:  # fmt: skip
    """A token for ``principal``, for use at ``audience``, signed with the private ``key``.

    ``client_id`` is the program that it is given to for a person.
    """
    issued_s = int(_now_s() if now_s is None else now_s)
    claims: dict[str, Any] = {
        "iss": ISSUER,
        "aud": audience,
        "sub": principal.name,
        "iat": issued_s,
        "exp": issued_s + lifetime_s,
        "jti": secrets.token_urlsafe(12),
        "kind": "client" if principal.is_client else "user",
        "roles": sorted(principal.roles),
        "scope": READ_WRITE if principal.may_write else READ,
    }
    if principal.trader_id is not None:
        claims["trader_id"] = principal.trader_id
    if session is not None:
        claims |= {"sid": session.id, "session_counter": session.counter}
    if client_id:
        claims["client_id"] = client_id
    key.ensure_kid()
    return jwt.encode({"alg": ALGORITHM, "kid": key.kid}, claims, key)


def read_token(
    token: str, keys: ECKey | KeySet, *, audience: str, now_s: Callable[[], float], leeway_s: int = 0
) -> AccessToken:
    """What a token says.

    Raises:
        Unauthenticated: it is not the gateway's, not for this audience, altered, or over.
        InvalidKeyIdError: it names a key that is not among ``keys``.
    """
    try:
        if len(token) > MAX_CHARACTERS:
            raise ValueError("too long")
        claims = jwt.decode(token, keys, algorithms=[ALGORITHM]).claims
        _registry(audience, now_s, leeway_s).validate(claims)
        # The release before wrote neither scope nor roles into the API's own tokens, which looks them up.
        scope = str(claims.get("scope", READ_WRITE) if audience == API else claims["scope"])
        if scope not in (READ, READ_WRITE):
            raise ValueError("unknown scope")
        principal = Principal(
            name=str(claims["sub"]),
            roles=frozenset(Role(role) for role in claims.get("roles", ())),
            trader_id=claims.get("trader_id"),
            is_client=claims.get("kind") == "client",
            may_write=scope == READ_WRITE,
        )
        session = Session(str(claims["sid"]), int(claims["session_counter"])) if "sid" in claims else None
        return AccessToken(principal, int(claims["iat"]), int(claims["exp"]), session)
    except InvalidKeyIdError:
        raise
    except (JoseError, ValueError, TypeError, KeyError):
        raise Unauthenticated(_REFUSED) from None


class _Trusted:
    """Keys, and what was read by them: replaced together, so that nothing outlives its key."""

    def __init__(self, keys: list[ECKey]) -> None:
        self.keys = KeySet(list(keys))
        self.known: dict[str, AccessToken] = {}


class TokenReader:
    """Reads tokens for one service; one that was read is remembered until it ends. Thread-safe."""

    def __init__(
        self, keys_file: Path, *, audience: str, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Trust the keys in ``keys_file``, as they are there now and when they change.

        Whether they did is looked at every :data:`LOOK_AGAIN_S`, by ``monotonic``, and when a pass names
        another key.

        Raises:
            ValueError: the file holds no such keys.
        """
        self._file = keys_file
        self._audience = audience
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._seen = _state(keys_file)
        self._trusted = _Trusted(public_keys(keys_file))
        self._look_s = monotonic() + LOOK_AGAIN_S

    def principal(self, token: str) -> Principal:
        """Who holds the token, and what they may do.

        Raises:
            Unauthenticated: it is not the gateway's, not for this service, altered, or over.
        """
        if self._monotonic() >= self._look_s:
            self._look()
        trusted = self._trusted
        known = trusted.known.get(token)
        if known is not None and _now_s() < known.expires_s:
            return known.principal
        try:
            read = self._read(token, trusted.keys)
        except InvalidKeyIdError:
            self._look()
            trusted = self._trusted  # also where another thread has just read the file
            try:
                read = self._read(token, trusted.keys)
            except InvalidKeyIdError:
                raise Unauthenticated(_REFUSED) from None
        with self._lock:
            if len(trusted.known) >= MOST_KEPT:
                trusted.known.clear()
            trusted.known[token] = read
        return read.principal

    def _read(self, token: str, keys: KeySet) -> AccessToken:
        return read_token(token, keys, audience=self._audience, now_s=_now_s, leeway_s=LEEWAY_S)

    def _look(self) -> None:
        """Read the file where it changed. Good keys stay good while it is away or half written."""
        with self._lock:
            self._look_s = self._monotonic() + LOOK_AGAIN_S
            now = _state(self._file)
            if now is None or now == self._seen:
                return
            try:
                self._trusted = _Trusted(public_keys(self._file))
            except ValueError as error:
                _log.warning("the keys of tokens stay as they were: %s", error)
            self._seen = now


def _state(path: Path) -> tuple[int, ...] | None:
    """What differs once the file, or where a link leads, was changed or replaced; None: it is away."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _now_s() -> float:
    return _CLOCK.now().timestamp()


def _registry(audience: str, now_s: Callable[[], float], leeway_s: int) -> jwt.JWTClaimsRegistry:
    return jwt.JWTClaimsRegistry(
        now=lambda: int(now_s()),
        leeway=leeway_s,
        iss={"essential": True, "value": ISSUER},
        aud={"essential": True, "value": audience},
        exp={"essential": True},
        iat={"essential": True},
        sub={"essential": True},
    )
