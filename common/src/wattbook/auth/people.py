"""People at pages: sign them in, and keep their sessions true.

Free of any web framework. The sessions themselves live in their owners' encrypted cookies
(:mod:`wattbook.auth.cookies`); roles are asked for again when the access token expires.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import OrderedDict, deque
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Protocol

from wattbook.access import TRADING
from wattbook.auth.revocations import Revocations, Session
from wattbook.clock import Clock, to_epoch_us
from wattbook.errors import InvalidInput, Unauthenticated, Unavailable, WattbookError

_log = logging.getLogger(__name__)

RENEW_BEFORE_S = 5
GRACE_S = 600  # how long sessions go on while the gateway cannot be asked whether they still may
RETRY_S = 10
MOST_REMEMBERED = 1024
LONGEST_NAME = 200
LONGEST_PASSWORD = 1024
_US_PER_S = 1_000_000
_AWAY = "the gateway, where people sign in, cannot be reached"


READS_ALL = frozenset({"desk", "admin", "service"})
DESK = frozenset({"desk", "admin"})
METERS = frozenset({"support", "desk", "admin"})
CASH = READS_ALL | {"treasurer"}
TRADER = "trader"


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the gateway gave out at sign-in. Times are seconds since 1970 UTC.

    ``session`` None: by a gateway of an older release.
    """

    access: str
    refresh: str
    expires_s: int
    session: Session | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody signed in, with the roles the gateway said they have."""

    name: str
    roles: tuple[str, ...]
    trader_id: str | None = None

    @property
    def reads_all(self) -> bool:
        """Whether every trader's reports are theirs to read."""
        return not READS_ALL.isdisjoint(self.roles)

    @property
    def sees_trades(self) -> bool:
        """Whether they have to do with trades and what they are worth: support and treasurers do not."""
        return not TRADING.isdisjoint(self.roles)

    @property
    def sees_meters(self) -> bool:
        """Whether meter readings are theirs to see and to export."""
        return not METERS.isdisjoint(self.roles)

    @property
    def sees_cash(self) -> bool:
        """Whether the cash of companies is theirs to see."""
        return not CASH.isdisjoint(self.roles)

    @property
    def is_desk(self) -> bool:
        """Whether they decide for the desk: over what was set aside, say."""
        return not DESK.isdisjoint(self.roles)

    def may_read(self, trader_id: str) -> bool:
        """Whether a trader's reports are theirs to read: a trader reads only their own."""
        return self.reads_all or (TRADER in self.roles and trader_id == self.trader_id)


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A person's session: who, by which tokens, since when, last seen when (seconds since 1970 UTC)."""

    person: Person
    tokens: Tokens
    since_s: int
    seen_s: int


class SignInService(Protocol):
    """Where people and their roles are known."""

    def tokens_for(self, *, name: str, password: str, address: str) -> Tokens: ...  # noqa: D102 - see wattbook.auth.gateway

    def renewed(self, tokens: Tokens, *, address: str) -> Tokens: ...  # noqa: D102

    def person_of(self, tokens: Tokens) -> Person: ...  # noqa: D102

    def revoke(self, tokens: Tokens) -> None: ...  # noqa: D102


@dataclass(slots=True)
class _Renewal:
    """What became of a refresh token, which can be used only once though many requests may carry it."""

    lock: threading.Lock
    result: SignedIn | None = None
    failed_until_s: int = 0


class People:
    """Sessions; thread-safe. The sessions themselves live in their owners' encrypted cookies."""

    def __init__(
        self, service: SignInService, clock: Clock, *, idle_s: int, longest_s: int,
        revocations: Revocations | None = None,
    ) -> None:  # fmt: skip
        """Sessions end ``idle_s`` after the last request, and ``longest_s`` after sign-in.

        They end with ``revocations`` too; without any they end there only by themselves.
        """
        self._service = service
        self._revocations = revocations or Revocations(clock, is_used=False)
        self._unrevoked: deque[Tokens] = deque(maxlen=MOST_REMEMBERED)
        self._clock = clock
        self._idle_s = idle_s
        self._longest_s = longest_s
        self._seen_again_s = idle_s // 12  # how often a session in use is written anew
        self._renewals: OrderedDict[bytes, _Renewal] = OrderedDict()
        self._lock = threading.Lock()

    def sign_in(self, *, name: str, password: str, address: str) -> SignedIn:
        """A session for a name and a password, asked for from ``address``.

        Raises:
            InvalidInput: one of them is missing or too long to be one.
            Unauthenticated: they do not match.
            TooManyRequests: wrong too often.
            Unavailable: the gateway is away.
        """
        if not name or not password:
            raise InvalidInput("enter your user name and your password")
        if len(name) > LONGEST_NAME or len(password) > LONGEST_PASSWORD:
            raise Unauthenticated("the user name and password do not match")
        tokens = self._service.tokens_for(name=name, password=password, address=address)
        now_s = self._now_s()
        return SignedIn(self._service.person_of(tokens), tokens, since_s=now_s, seen_s=now_s)

    def still(self, signed_in: SignedIn, *, address: str) -> SignedIn:
        """The session as it stands now, seen from ``address``: the same object, or a changed one to be kept.

        Raises:
            Unauthenticated: it is over.
            Unavailable: it needs the gateway, which is away, or has been away for :data:`GRACE_S`.
        """
        now_s = self._now_s()
        if now_s - signed_in.seen_s > self._idle_s or now_s - signed_in.since_s > self._longest_s:
            raise Unauthenticated("your session has ended")
        if self._is_over(signed_in):
            raise Unauthenticated("your session has ended")
        if self._revocations.away_s > GRACE_S:
            raise Unavailable(_AWAY, retry_after_s=RETRY_S)
        # An old cookie leads to what its token was renewed to, and that may have run out as well.
        while self._has_run_out(signed_in, now_s):
            renewed = self._renewed(signed_in, now_s, address)
            if renewed is signed_in:
                break
            signed_in = renewed
            if self._is_over(signed_in):
                raise Unauthenticated("your session has ended")
        if now_s - signed_in.seen_s > self._seen_again_s:
            signed_in = replace(signed_in, seen_s=now_s)
        return signed_in

    def goes_on(self, signed_in: SignedIn) -> bool:
        """Whether what a session was given, and what it listens to, may go on."""
        return not self._is_over(signed_in) and self._revocations.away_s <= GRACE_S

    @property
    def left_min(self) -> int | None:
        """For how many minutes sessions still go on while the gateway is away; None while it is not."""
        away_s = self._revocations.away_s
        return max(0, math.ceil((GRACE_S - away_s) / 60)) if away_s else None

    def sign_out(self, signed_in: SignedIn) -> None:
        """End a session: here at once, at the gateway now or when it is back."""
        self._revocations.end(signed_in.tokens.session)
        if signed_in.tokens.refresh:
            self._revoke(signed_in.tokens)

    def revoke_waiting(self) -> None:
        """The gateway is back: end what was ended while it was away."""
        for _ in range(len(self._unrevoked)):
            self._revoke(self._unrevoked.popleft())

    def _revoke(self, tokens: Tokens) -> None:
        try:
            self._service.revoke(tokens)
        except WattbookError as error:
            self._unrevoked.append(tokens)
            _log.warning("a session could not be ended at the gateway yet", extra={"reason": error.message})

    def _is_over(self, signed_in: SignedIn) -> bool:
        name, session = signed_in.person.name, signed_in.tokens.session
        return self._revocations.is_over(name, session, since_s=signed_in.since_s)

    def unchanged_until_s(self, signed_in: SignedIn) -> int:
        """Until when :meth:`still` answers with the very same session."""
        return min(
            signed_in.tokens.expires_s - RENEW_BEFORE_S,
            signed_in.seen_s + self._seen_again_s + 1,
            signed_in.since_s + self._longest_s + 1,
        )

    @staticmethod
    def _has_run_out(signed_in: SignedIn, now_s: int) -> bool:
        return now_s >= signed_in.tokens.expires_s - RENEW_BEFORE_S

    def _renewed(self, old: SignedIn, now_s: int, address: str) -> SignedIn:
        if not old.tokens.refresh:
            raise Unauthenticated("your session has ended")
        renewal = self._renewal_of(old.tokens)
        with renewal.lock:
            if renewal.result is None and now_s >= renewal.failed_until_s:
                try:
                    tokens = self._service.renewed(old.tokens, address=address)
                    person = self._service.person_of(tokens)
                    renewal.result = SignedIn(person, tokens, since_s=old.since_s, seen_s=now_s)
                except Unavailable:
                    renewal.failed_until_s = now_s + RETRY_S
                    _log.warning("a session could not be renewed", extra={"user": old.person.name})
            if renewal.result is not None:
                return renewal.result
        if now_s > old.tokens.expires_s + GRACE_S:
            raise Unavailable(_AWAY, retry_after_s=RETRY_S)
        return old

    def _renewal_of(self, tokens: Tokens) -> _Renewal:
        digest = sha256(tokens.refresh.encode()).digest()
        with self._lock:
            renewal = self._renewals.setdefault(digest, _Renewal(threading.Lock()))
            if len(self._renewals) > MOST_REMEMBERED:
                self._renewals.popitem(last=False)
            return renewal

    def _now_s(self) -> int:
        return to_epoch_us(self._clock.now()) // _US_PER_S
