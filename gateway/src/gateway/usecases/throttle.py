"""Wrong passwords cost time, and the right ones of others do not wait for them.

After a few wrong ones each further one doubles the wait for that user and address. An address as a whole has
a stock of wrong ones that fills up again slowly, whatever names it tries; one of its passwords is verified
at a time, so that nobody behind another address waits for more than one of them.

Kept in this process: replicas that each count for themselves, and a restart that forgives a minute's delay,
give an attacker nothing that Argon2's cost does not take.
"""

from __future__ import annotations

import asyncio
import ipaddress
import math
from collections import OrderedDict
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from wattbook.clock import Clock
from wattbook.errors import TooManyRequests
from wattbook.telemetry.catalogue import SIGN_IN_THROTTLED
from wattbook.telemetry.metrics import Counter

_THROTTLED = Counter(SIGN_IN_THROTTLED)
FREE_FAILURES = 3
LONGEST_WAIT_S = 60.0
FORGIVEN_AFTER_S = 900.0
MOST_FAILURES_AN_ADDRESS, FORGET_ONE_AFTER_S = 30, 6.0
MOST_WAITING_AN_ADDRESS = 256
MOST_TRACKED = 10_000
LONGEST_NAME = 64
IPV6_SITE_BITS = 64  # a site has all addresses of its network

_Key = TypeVar("_Key", bound=Hashable)


@dataclass(slots=True)
class _User:
    """Of a user at an address."""

    failures: int = 0
    blocked_until_s: float = 0.0
    last_s: float = 0.0


@dataclass(slots=True)
class _Address:
    failures: float = 0.0
    last_s: float = 0.0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


class Throttle:
    """Counts wrong passwords, and lets one attempt at a time of an address be verified."""

    def __init__(self, clock: Clock) -> None:
        """Nobody has failed yet."""
        self._clock = clock
        self._users: OrderedDict[tuple[str, str], _User] = OrderedDict()
        self._addresses: OrderedDict[str, _Address] = OrderedDict()

    @asynccontextmanager
    async def attempt(self, name: str, address: str) -> AsyncIterator[None]:
        """Verify inside the block, then call :meth:`failed` or :meth:`worked`.

        Raises:
            TooManyRequests: after too many wrong ones, until the wait is over; or too many wait already.
        """
        place = self._address(address)
        self._refuse_blocked(name, address, place)
        if place.users >= MOST_WAITING_AN_ADDRESS:
            raise _refused(1.0)
        place.users += 1
        try:
            async with place.turn:
                self._refuse_blocked(name, address, place)
                yield
        finally:
            place.users -= 1

    def failed(self, name: str, address: str) -> None:
        """It was wrong."""
        self._address(address).failures += 1
        user = self._user(name, address)
        user.failures += 1
        beyond = user.failures - FREE_FAILURES
        if beyond >= 0:
            wait_s = min(LONGEST_WAIT_S, 2.0 ** min(beyond, 16))
            user.blocked_until_s = self._clock.monotonic_s() + wait_s

    def worked(self, name: str, address: str) -> None:
        """It was right: begin again."""
        user = self._user(name, address)
        user.failures, user.blocked_until_s = 0, 0.0

    def _refuse_blocked(self, name: str, address: str, place: _Address) -> None:
        wait_s = self._user(name, address).blocked_until_s - self._clock.monotonic_s()
        beyond = self._forgiven(place).failures + 1 - MOST_FAILURES_AN_ADDRESS
        wait_s = max(wait_s, beyond * FORGET_ONE_AFTER_S)
        if wait_s > 0:
            raise _refused(wait_s)

    def _user(self, name: str, address: str) -> _User:
        key = (name if len(name) <= LONGEST_NAME else "", site_of(address))  # nobody has a longer one
        now_s = self._clock.monotonic_s()
        user = self._users.get(key)
        if user is None:
            while len(self._users) >= MOST_TRACKED:
                self._users.popitem(last=False)
            user = self._users[key] = _User()
        elif now_s - user.last_s > FORGIVEN_AFTER_S:
            user.failures = 0
        user.last_s = now_s
        self._users.move_to_end(key)
        return user

    def _address(self, address: str) -> _Address:
        key = site_of(address)
        place = self._addresses.get(key)
        if place is None:
            self._make_room()
            place = self._addresses[key] = _Address(last_s=self._clock.monotonic_s())
        self._addresses.move_to_end(key)
        return self._forgiven(place)

    def _forgiven(self, place: _Address) -> _Address:
        now_s = self._clock.monotonic_s()
        place.failures = max(0.0, place.failures - (now_s - place.last_s) / FORGET_ONE_AFTER_S)
        place.last_s = now_s
        return place

    def _make_room(self) -> None:
        excess = len(self._addresses) - MOST_TRACKED + 1
        oldest = [item for item, _ in zip(self._addresses.items(), range(excess), strict=False)]
        for key, place in oldest:
            if not place.users:
                del self._addresses[key]


def site_of(address: str) -> str:
    """What an address is counted as: itself or, in IPv6, its network."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return address
    return str(ipaddress.ip_network((found, IPV6_SITE_BITS), strict=False))


def _refused(wait_s: float) -> TooManyRequests:
    _THROTTLED.add()
    return TooManyRequests(
        "too many wrong passwords; wait before trying again", retry_after_s=math.ceil(wait_s)
    )
