"""Wrong passwords cost time: after a few, each further one doubles the wait for that user and address.

Kept in this process: replicas that each count for themselves, and a restart that forgives a minute's delay,
give an attacker nothing that Argon2's cost does not take.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from wattbook.clock import Clock
from wattbook.errors import TooManyRequests
from wattbook.telemetry.catalogue import SIGN_IN_THROTTLED
from wattbook.telemetry.metrics import Counter

_THROTTLED = Counter(SIGN_IN_THROTTLED)
FREE_FAILURES = 3
LONGEST_WAIT_S = 60.0
FORGIVEN_AFTER_S = 900.0
MOST_TRACKED = 10_000
LONGEST_NAME = 64


@dataclass(slots=True)
class _Record:
    failures: int = 0
    blocked_until_s: float = 0.0
    last_s: float = 0.0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


class Throttle:
    """Counts wrong passwords by user and address, and lets one attempt at a time of each be verified."""

    def __init__(self, clock: Clock) -> None:
        """Nobody has failed yet."""
        self._clock = clock
        self._records: OrderedDict[tuple[str, str], _Record] = OrderedDict()

    @asynccontextmanager
    async def attempt(self, name: str, address: str) -> AsyncIterator[None]:
        """Verify inside the block, then call :meth:`failed` or :meth:`worked`.

        Raises:
            TooManyRequests: after too many wrong ones, until the wait is over.
        """
        record = self._record(name, address)
        record.users += 1
        try:
            self._refuse_blocked(record)
            async with record.turn:
                self._refuse_blocked(record)
                yield
        finally:
            record.users -= 1

    def failed(self, name: str, address: str) -> None:
        """It was wrong."""
        record = self._record(name, address)
        record.failures += 1
        beyond = record.failures - FREE_FAILURES
        if beyond >= 0:
            wait_s = min(LONGEST_WAIT_S, 2.0 ** min(beyond, 16))
            record.blocked_until_s = self._clock.monotonic_s() + wait_s

    def worked(self, name: str, address: str) -> None:
        """It was right: begin again."""
        record = self._record(name, address)
        record.failures, record.blocked_until_s = 0, 0.0

    def _refuse_blocked(self, record: _Record) -> None:
        wait_s = record.blocked_until_s - self._clock.monotonic_s()
        if wait_s > 0:
            _THROTTLED.add()
            raise TooManyRequests(
                "too many wrong passwords; wait before trying again", retry_after_s=math.ceil(wait_s)
            )

    def _record(self, name: str, address: str) -> _Record:
        key = (name if len(name) <= LONGEST_NAME else "", address)  # nobody has a longer one
        now_s = self._clock.monotonic_s()
        record = self._records.get(key)
        if record is None:
            self._make_room()
            record = self._records[key] = _Record()
        elif now_s - record.last_s > FORGIVEN_AFTER_S:
            record.failures = 0
        record.last_s = now_s
        self._records.move_to_end(key)
        return record

    def _make_room(self) -> None:
        for key in [key for key, record in self._oldest() if not record.users]:
            del self._records[key]

    def _oldest(self) -> list[tuple[tuple[str, str], _Record]]:
        excess = len(self._records) - MOST_TRACKED + 1
        return [item for item, _ in zip(self._records.items(), range(excess), strict=False)]
