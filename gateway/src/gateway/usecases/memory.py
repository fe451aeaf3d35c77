"""Who proved a moment ago who they are, so that Argon2 and signatures are not paid on each request."""

from __future__ import annotations

import hmac
import secrets
from collections import Counter
from dataclasses import dataclass
from typing import Any

from wattbook.access import Principal
from wattbook.clock import Clock

REMEMBER_S = 60.0
RIGHT_RECENTLY_S = 12 * 3600.0
MOST_REMEMBERED = 20_000


@dataclass(frozen=True, slots=True)
class _Known:
    principal: Principal
    until_s: float
    session_id: str


class Memory:
    """Credentials verified within the last minute, under an HMAC whose key only this process has."""

    def __init__(self, clock: Clock, *, remember_s: float = REMEMBER_S) -> None:
        """Remember for ``remember_s`` seconds at most."""
        self._clock = clock
        self._remember_s = remember_s
        self._key = secrets.token_bytes(32)
        self._known: dict[bytes, _Known] = {}
        self._right: dict[bytes, tuple[str, float]] = {}
        self._forgotten: Counter[str] = Counter()
        self.generation = 0

    def digest(self, credentials: bytes) -> bytes:
        """What credentials are remembered under."""
        return hmac.digest(self._key, credentials, "sha256")

    def recall(self, digest: bytes) -> Principal | None:
        """Who proved it, where that was within the last minute."""
        known = self._known.get(digest)
        if known is None:
            return None
        if self._clock.monotonic_s() >= known.until_s:
            del self._known[digest]
            return None
        return known.principal

    def remember(
        self, digest: bytes, principal: Principal, *, generation: int, at_most_s: float = REMEMBER_S,
        session_id: str = "",
    ) -> None:  # fmt: skip
        """Keep it, unless somebody was forgotten since ``generation`` was read, before verifying began."""
        if generation != self.generation:
            return
        _make_room(self._known)
        until_s = self._clock.monotonic_s() + min(self._remember_s, at_most_s)
        self._known[digest] = _Known(principal, until_s, session_id)

    def was_right(self, digest: bytes) -> bool:
        """Whether a password was right within some hours: it is verified again, but not throttled.

        So somebody who guesses does not lock out who works from the same address.
        """
        known = self._right.get(digest)
        return known is not None and self._clock.monotonic_s() < known[1]

    def note_right(self, digest: bytes, name: str) -> None:
        """A password was right just now."""
        _make_room(self._right)
        self._right[digest] = (name, self._clock.monotonic_s() + RIGHT_RECENTLY_S)

    def note_wrong(self, digest: bytes) -> None:
        """A password that was right lately is not any more."""
        self._right.pop(digest, None)

    def forget(self, name: str) -> None:
        """Nothing that a user proved counts any more."""
        self.generation += 1
        self._forgotten[name] += 1
        self._known = {key: known for key, known in self._known.items() if known.principal.name != name}
        self._right = {key: known for key, known in self._right.items() if known[0] != name}

    def times_forgotten(self, name: str) -> int:
        """How often that was so: what a user began before it last was must not go on."""
        return self._forgotten[name]

    def forget_session(self, session_id: str) -> None:
        """No token of a session counts any more."""
        self.generation += 1
        self._known = {key: known for key, known in self._known.items() if known.session_id != session_id}

    def forget_all(self) -> None:
        """Nothing counts any more that anybody proved."""
        self.generation += 1
        self._known, self._right = {}, {}


def _make_room(kept: dict[bytes, Any]) -> None:
    while len(kept) >= MOST_REMEMBERED:
        del kept[next(iter(kept))]
