"""What ended sessions, in the order in which it happened.

A *session* is all that follows from one sign-in: refresh tokens, each in the place of the one before, and
the access tokens that come with them. Each carries the session's id and its user's *session counter*, a
number that rises whenever nothing that was given out before may count any more: a new password, other
roles, being disabled. So whether a token counts does not depend on when it was written, or by whose clock.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wattbook.clock import Clock
from wattbook.errors import WattbookError
from wattbook.loop import Loop

POLL_INTERVAL_S = 2.0
AWAY_AFTER_S = 10.0
KEPT_S = 13 * 3600.0  # longer than any token of a session holds
STOP_S = 6.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Session:
    """What a token says of the session that it is of."""

    id: str
    counter: int


@dataclass(frozen=True, slots=True)
class Revocation:
    """One session of a user is over; or, where ``session_id`` is None, all whose counter is lower."""

    version: int
    user: str
    session_id: str | None
    session_counter: int


Ask = Callable[[int], tuple[int, list[Revocation]] | None]
"""The newest version and the revocations after one; None where the gateway is of an older release."""


class Revocations:
    """What is known here of sessions that are over, and since when nothing is heard of them; thread-safe."""

    def __init__(self, clock: Clock, *, is_used: bool = True) -> None:
        """Nothing has been heard yet; not ``is_used``: nobody tells, so nothing is missed either."""
        self._clock = clock
        self.is_used = is_used
        self._lock = threading.Lock()
        self._ended: dict[str, float] = {}
        self._counters: dict[str, int] = {}
        self._all_over_before_s = 0
        self._heard_s = clock.monotonic_s()
        self.version = 0

    def hear(self, newest: int, found: Sequence[Revocation]) -> None:
        """Heard that ``newest`` is the last version, and ``found`` what follows ours."""
        with self._lock:
            self._heard_s = self._clock.monotonic_s()
            if newest < self.version:  # whoever tells has forgotten: of sessions as well
                self._all_over_before_s = int(self._clock.now().timestamp())
                self.version = newest
            for each in found:
                self._note(each)
                self.version = each.version

    def hear_nothing(self) -> None:
        """Who was asked knows of no revocations: it is of an older release."""
        self._heard_s = self._clock.monotonic_s()

    def end(self, session: Session | None) -> None:
        """A session was ended here."""
        if session is not None:
            with self._lock:
                self._ended[session.id] = self._clock.monotonic_s()

    def is_over(self, user: str, session: Session | None, *, since_s: int) -> bool:
        """Whether a session that ``user`` began at ``since_s`` (UTC) is over.

        ``session`` None: of an older release, which any later change of its user ends.
        """
        if since_s < self._all_over_before_s or (session is not None and session.id in self._ended):
            return True
        return (session.counter if session is not None else 0) < self._counters.get(user, 0)

    @property
    def away_s(self) -> float:
        """For how long nothing has been heard; 0 while it is no longer than a few tries take."""
        if not self.is_used:
            return 0.0
        silent_s = self._clock.monotonic_s() - self._heard_s
        return silent_s if silent_s > AWAY_AFTER_S else 0.0

    def _note(self, revocation: Revocation) -> None:
        if revocation.session_id is None:
            self._counters[revocation.user] = revocation.session_counter
            return
        now_s = self._clock.monotonic_s()
        for session_id in [each for each, ended_s in self._ended.items() if now_s - ended_s > KEPT_S]:
            del self._ended[session_id]
        self._ended[revocation.session_id] = now_s


class Follower(Loop):
    """A thread that asks for revocations every :data:`POLL_INTERVAL_S`: one query, however many sessions."""

    def __init__(self, revocations: Revocations, ask: Ask, *, then: Callable[[], None]) -> None:
        """Nothing is asked before :meth:`start`; ``then`` is called after each answer."""
        super().__init__("revocations", stop_s=STOP_S)
        self._revocations = revocations
        self._ask = ask
        self._then = then

    def start(self) -> None:
        """Begin, unless nobody tells."""
        if self._revocations.is_used:
            super().start()

    def turn(self) -> float:
        """Ask."""
        self.poll()
        return POLL_INTERVAL_S

    def failed(self, error: Exception) -> float:
        """Tell that nothing was told; the next time is as always."""
        if isinstance(error, WattbookError):
            _log.warning("revocations are not told now", extra={"reason": error.message})
        else:
            _log.exception("what ended sessions was not understood")
        return POLL_INTERVAL_S

    def poll(self) -> None:
        """Ask once. Raises as ``ask`` does."""
        told = self._ask(self._revocations.version)
        if told is None:
            self._revocations.hear_nothing()
        else:
            self._revocations.hear(*told)
        self._then()
