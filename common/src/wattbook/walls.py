"""Inside the walls: who may call which method of an owner, over what, and how a service proves itself.

An owner accepts a call only with a pass (:mod:`wattbook.auth.tokens`) and only to a method that has a rule.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wattbook.access import Principal, Role
from wattbook.errors import Forbidden, Unauthenticated, Unavailable, WattbookError
from wattbook.settings import setting

if TYPE_CHECKING:
    from wattbook.auth.endpoint import TokenEndpoint
    from wattbook.auth.tokens import TokenReader

Rule = Callable[[Principal], None]
PassSource = Callable[[], str]

TOKEN_TIMEOUT_S = 5.0
LONGEST_ASKING_S, ASK_AGAIN_S = 15.0, 2.0
_log = logging.getLogger(__name__)
_ANYBODY = Principal("anybody", frozenset({Role.SERVICE, Role.DESK}))
_caller: ContextVar[Principal | None] = ContextVar("wattbook_caller", default=None)
_callers_pass: ContextVar[str] = ContextVar("wattbook_callers_pass", default="")


@dataclass(frozen=True, kw_only=True)
class WallSettings:
    """What each owner's settings say about its gRPC door; a part of their ``Settings``."""

    verify_keys_file: Path | None = setting(
        "WATTBOOK_VERIFY_KEYS_FILE", "PEM file of the public keys that passes are signed by", default=None
    )
    open_walls: bool = setting(
        "WATTBOOK_OPEN_WALLS", "true: let everybody who reaches the port in; for tests", default=False
    )
    grpc_ca_file: Path | None = setting(
        "WATTBOOK_GRPC_CA_FILE", "PEM file of the authority of gRPC certificates; unset: no TLS", default=None
    )
    grpc_cert_file: Path | None = setting(
        "WATTBOOK_GRPC_CERT_FILE", "PEM file of this server's certificate chain", default=None
    )
    grpc_key_file: Path | None = setting(
        "WATTBOOK_GRPC_KEY_FILE", "PEM file of this server's private key", default=None
    )

    def guard(self, owner: str) -> Guard:
        """The guard of ``owner``'s door.

        Raises:
            ValueError: no keys are named and the walls are not said to be open, or the keys cannot be used.
        """
        if self.verify_keys_file is None:
            if self.open_walls:
                return Guard(None)
            what = "PEM file of the public keys that passes are signed by"
            raise ValueError(f"WATTBOOK_VERIFY_KEYS_FILE is not set ({what})")
        from wattbook.auth.tokens import TokenReader

        try:
            return Guard(TokenReader(self.verify_keys_file, audience=owner))
        except ValueError as error:
            raise ValueError(f"WATTBOOK_VERIFY_KEYS_FILE: {error}") from None


class Guard:
    """Lets calls in that carry a valid pass."""

    def __init__(self, reader: TokenReader | None) -> None:
        """``reader`` None: everybody is let in."""
        self._reader = reader

    @property
    def is_open(self) -> bool:
        """Whether everybody is let in."""
        return self._reader is None

    def admit(self, metadata: Mapping[str, Any], rule: Rule | None) -> Principal:
        """Whoever calls, if they may.

        Raises:
            Unauthenticated: no pass, or one that does not hold.
            Forbidden: the method's rule refuses them, or it has none.
        """
        if self._reader is None:
            return _ANYBODY
        token = shown_pass(metadata)
        if not token:
            raise Unauthenticated("a pass is needed to call this service")
        principal = self._reader.principal(token)
        if rule is None:
            raise Forbidden("nobody may call this method")
        rule(principal)
        return principal


OPEN = Guard(None)  # for tests: everybody is let in


def caller() -> Principal:
    """Who called, inside a handler.

    Raises:
        Unauthenticated: nobody did; not inside a handler.
    """
    found = _caller.get()
    if found is None:
        raise Unauthenticated("nobody is calling")
    return found


def shown_pass(metadata: Mapping[str, Any]) -> str:
    """The pass that a call carries; ``""`` where it carries none."""
    kind, _, token = str(metadata.get("authorization", "")).partition(" ")
    return token if kind.lower() == "bearer" else ""


def callers_pass() -> str:
    """The pass of whoever called, inside a handler, to ask another process of the same owner with.

    So its guard decides about them once more. ``""`` where there was none.
    """
    return _callers_pass.get()


@contextmanager
def called_by(principal: Principal, pass_: str = "") -> Iterator[None]:
    """Make ``principal``, who showed ``pass_``, the caller for the block."""
    token, shown = _caller.set(principal), _callers_pass.set(pass_)
    try:
        yield
    finally:
        _caller.reset(token)
        _callers_pass.reset(shown)


def service_passes(*, gateway_url: str, client_id: str, secret: str, audience: str) -> PassSource | None:
    """Where ``client_id`` gets its passes to ``audience``; None where it has no secret."""
    if not secret:
        return None
    return ServicePasses(gateway_url=gateway_url, client_id=client_id, secret=secret, audience=audience)


class ServicePasses:
    """A service's own passes to one owner, from the gateway's token endpoint by client credentials.

    After half of a pass's life the next one is asked for, while callers go on with it: a gateway that is away
    or hangs for less than the other half is not missed.
    """

    def __init__(
        self,
        *,
        gateway_url: str,
        client_id: str,
        secret: str,
        audience: str,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is asked before the first pass is needed; ``monotonic`` tells the seconds."""
        self._url = gateway_url
        self._credentials = (client_id, secret)
        self._audience = audience
        self._monotonic = monotonic
        self._claiming, self._asking = threading.Lock(), threading.Lock()
        self._token = ""
        self._endpoint: TokenEndpoint | None = None
        self._ask_s = self._over_s = 0.0

    def __call__(self) -> str:
        """A pass that holds.

        Raises:
            Unavailable: the gateway gives none now.
        """
        if self._monotonic() < self._over_s:
            if self._may_ask():
                threading.Thread(target=self._renew_meanwhile, name="pass", daemon=True).start()
            return self._token
        with self._asking:
            if self._monotonic() >= self._over_s:
                if not self._may_ask():
                    raise Unavailable(self._none_given)
                self._renew()
            return self._token

    @property
    def _none_given(self) -> str:
        return f"no pass to {self._audience}: the gateway gives none"

    def _may_ask(self) -> bool:
        """Whether it is time to ask, and nobody else does it."""
        with self._claiming:
            now_s = self._monotonic()
            if now_s < self._ask_s:
                return False
            self._ask_s = now_s + LONGEST_ASKING_S
            return True

    def _renew_meanwhile(self) -> None:
        try:
            self._renew()
        except Unavailable as error:
            _log.warning("the pass in use is not renewed yet: %s", error)

    def _renew(self) -> None:
        from wattbook.auth.endpoint import TokenEndpoint

        asked_s = self._monotonic()
        if self._endpoint is None:
            self._endpoint = TokenEndpoint(self._url, client=self._credentials, timeout_s=TOKEN_TIMEOUT_S)
        try:
            given = self._endpoint.own(audience=self._audience)
        except WattbookError as error:
            self._ask_s = self._monotonic() + ASK_AGAIN_S
            raise Unavailable(self._none_given) from error
        good_s = given.lasts_s - 10
        self._token = given.access
        self._ask_s, self._over_s = asked_s + min(given.lasts_s / 2, good_s), asked_s + good_s
