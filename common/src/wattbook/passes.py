"""Passes: short-lived signed statements of who calls an owner, and what they may do there.

A pass is a JWT (RFC 7519) signed with ES256 by the gateway's key. Its audience is one owner, so what was
stolen from one is worth nothing at another, nor at the gateway's REST API; its scope is ``read`` or
``read write``. Time is the machine's own: a simulated clock neither lengthens nor ends a pass.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import ECKey, KeySet

from wattbook.access import Principal, Role
from wattbook.clock import SystemClock
from wattbook.errors import Unauthenticated

ALGORITHM = "ES256"
ISSUER = "wattbook-gateway"
READ, READ_WRITE = "read", "read write"
MAX_CHARACTERS = 4096
MOST_KEPT = 4096
LOOK_AGAIN_S = 5.0
_log = logging.getLogger(__name__)
_CLOCK = SystemClock()
_REFUSED = "the pass is not valid, or not any more"
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


def write_pass(
    key: ECKey, principal: Principal, *, audience: str, lifetime_s: int, now_s: float | None = None
) -> str:
    """A pass for ``principal`` to the owner ``audience``, signed with the private ``key``."""
    issued_s = int(_now_s() if now_s is None else now_s)
    claims = {
        "iss": ISSUER,
        "aud": audience,
        "sub": principal.name,
        "iat": issued_s,
        "exp": issued_s + lifetime_s,
        "roles": sorted(principal.roles),
        "scope": READ_WRITE if principal.may_write else READ,
    }
    if principal.trader_id is not None:
        claims["trader_id"] = principal.trader_id
    key.ensure_kid()
    return jwt.encode({"alg": ALGORITHM, "kid": key.kid}, claims, key)


class _Trusted:
    """Keys, and what was read by them: replaced together, so that nothing outlives its key."""

    def __init__(self, keys: list[ECKey]) -> None:
        self.keys = KeySet(list(keys))
        self.known: dict[str, tuple[Principal, float]] = {}


class PassReader:
    """Reads passes to one owner; one that was read is remembered until it ends. Thread-safe."""

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
        """Who holds the pass, and what they may do.

        Raises:
            Unauthenticated: it is not the gateway's, not for this owner, altered, or over.
        """
        if self._monotonic() >= self._look_s:
            self._look()
        trusted = self._trusted
        known = trusted.known.get(token)
        if known is not None and _now_s() < known[1]:
            return known[0]
        try:
            if len(token) > MAX_CHARACTERS:
                raise ValueError("too long")
            try:
                read = self._read(token, trusted.keys)
            except InvalidKeyIdError:
                self._look()
                trusted = self._trusted  # also where another thread has just read the file
                read = self._read(token, trusted.keys)
        except (JoseError, ValueError, TypeError, KeyError):
            raise Unauthenticated(_REFUSED) from None
        with self._lock:
            if len(trusted.known) >= MOST_KEPT:
                trusted.known.clear()
            trusted.known[token] = read
        return read[0]

    def _read(self, token: str, keys: KeySet) -> tuple[Principal, float]:
        claims = jwt.decode(token, keys, algorithms=[ALGORITHM]).claims
        _registry(self._audience).validate(claims)
        scope = str(claims["scope"])
        if scope not in (READ, READ_WRITE):
            raise ValueError("unknown scope")
        principal = Principal(
            name=str(claims["sub"]),
            roles=frozenset(Role(role) for role in claims["roles"]),
            trader_id=claims.get("trader_id"),
            may_write=scope == READ_WRITE,
        )
        return principal, float(claims["exp"])

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
                _log.warning("the keys of passes stay as they were: %s", error)
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


def _registry(audience: str) -> jwt.JWTClaimsRegistry:
    return jwt.JWTClaimsRegistry(
        now=lambda: int(_now_s()),
        leeway=5,
        iss={"essential": True, "value": ISSUER},
        aud={"essential": True, "value": audience},
        exp={"essential": True},
        iat={"essential": True},
        sub={"essential": True},
        scope={"essential": True},
        roles={"essential": True},
    )
