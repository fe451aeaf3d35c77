"""connexion's security handlers for HTTP Basic and Bearer, without its per-request inspection."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

from wattbook.access import Principal
from wattbook.errors import Unauthenticated

from gateway.api.connexion_parts import NO_VALUE, AbstractSecurityHandler
from gateway.api.http import header
from gateway.usecases.signin import REFUSED, SignIn

MAX_HEADER_BYTES = 16 * 1024


def security_map(sign_in: SignIn) -> dict[str, Callable[[], AbstractSecurityHandler]]:
    """What connexion needs to secure operations through ``sign_in``."""
    return {"basic": lambda: _Handler(_Basic(sign_in)), "bearer": lambda: _Handler(_Bearer(sign_in))}


class _Handler(AbstractSecurityHandler):
    def __init__(self, verify: Callable[[Any], Any]) -> None:
        self._verify = verify

    def get_fn(self, security_scheme: Any, required_scopes: Any) -> Callable[[Any], Any]:
        return self._verify


class _Basic:
    """Looks a header up that was verified a moment ago; verifies it where there is none."""

    def __init__(self, sign_in: SignIn) -> None:
        self._sign_in = sign_in

    def __call__(self, request: Any) -> Any:
        value = header(request.scope, b"authorization")
        if value is None or value[:6].lower() != b"basic ":
            return NO_VALUE
        memory = self._sign_in.memory
        digest = memory.digest(value)
        principal = memory.recall(digest)
        if principal is not None:
            return _info(principal)
        return self._verify(value, digest, request.scope)

    async def _verify(self, value: bytes, digest: bytes, scope: Any) -> dict[str, Any]:
        name, password = basic_credentials(value)
        client = scope.get("client")
        generation = self._sign_in.memory.generation
        principal = await self._sign_in.by_password(name, password, address=client[0] if client else "")
        self._sign_in.memory.remember(digest, principal, generation=generation)
        return _info(principal)


class _Bearer:
    def __init__(self, sign_in: SignIn) -> None:
        self._sign_in = sign_in

    def __call__(self, request: Any) -> Any:
        value = header(request.scope, b"authorization")
        if value is None or value[:7].lower() != b"bearer ":
            return NO_VALUE
        memory = self._sign_in.memory
        digest = memory.digest(value)
        principal = memory.recall(digest)
        if principal is not None:
            return _info(principal)
        return self._verify(value, digest)

    async def _verify(self, value: bytes, digest: bytes) -> dict[str, Any]:
        token = value[7:].strip().decode("latin-1")
        return _info(await self._sign_in.by_token(token, digest))


def basic_credentials(value: bytes) -> tuple[str, str]:
    """Name and password of an ``Authorization: Basic`` header (RFC 7617, UTF-8).

    Raises:
        Unauthenticated: there are none in it.
    """
    if len(value) > MAX_HEADER_BYTES:
        raise Unauthenticated(REFUSED)
    try:
        text = base64.b64decode(value[6:].strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        raise Unauthenticated("the Authorization header cannot be read") from None
    name, colon, password = text.partition(":")
    if not colon:
        raise Unauthenticated("the Authorization header has no colon between name and password")
    return name, password


def _info(principal: Principal) -> dict[str, Any]:
    return {"sub": principal.name, "principal": principal}
