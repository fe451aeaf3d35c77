"""Passes for the people and programs behind requests: the owners' guards read them."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

from joserfc.jwk import ECKey
from wattbook.access import Principal, Role
from wattbook.auth.tokens import write_token

LIFETIME_S = 120
SERVICE_LIFETIME_S = 3600
MOST_KEPT = 4096

PassFor = Callable[[Principal], str]


class Passes:
    """Signs passes to one owner after another; one is used for half of its life, since signing costs."""

    def __init__(self, key: ECKey) -> None:
        """Sign with the private ``key``."""
        self._key = key
        self._kept: dict[tuple[Principal, str], tuple[str, float]] = {}

    def reading(self, owner: str) -> PassFor:
        """Passes to ``owner`` that are good for reading only."""
        return lambda principal: self._kept_or_new(principal, owner, may_write=False)

    def writing(self, owner: str) -> PassFor:
        """Passes to ``owner`` with all that the principal may do."""
        return lambda principal: self._kept_or_new(principal, owner, may_write=True)

    def for_service(self, name: str, owner: str) -> str:
        """A service's own pass, good for reading at ``owner``."""
        principal = Principal(name, frozenset({Role.SERVICE}), is_client=True, may_write=False)
        return write_token(self._key, principal, audience=owner, lifetime_s=SERVICE_LIFETIME_S)

    def _kept_or_new(self, principal: Principal, owner: str, *, may_write: bool) -> str:
        if principal.may_write != may_write:
            principal = dataclasses.replace(principal, may_write=may_write)
        kept = self._kept.get((principal, owner))
        now_s = time.monotonic()
        if kept is not None and now_s < kept[1]:
            return kept[0]
        token = write_token(self._key, principal, audience=owner, lifetime_s=LIFETIME_S)
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        self._kept[principal, owner] = token, now_s + LIFETIME_S / 2
        return token
