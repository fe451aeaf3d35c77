"""A member of a consumer group: leases messages, and hears of them again until they are acknowledged."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from wattbook.bus import MAX_ATTEMPTS, Delivery
from wattbook.bus.embedded import leases, members, schema
from wattbook.clock import Clock, to_epoch_us
from wattbook.errors import Unavailable
from wattbook.retry import Backoff

RESCAN_S = 0.1
LOOK_FOR_GONE_S = 1.0


@dataclass(frozen=True, slots=True)
class Terms:
    """How long a member may keep a message, and how failing ones come again."""

    lease_s: float = 60.0
    backoff: Backoff = field(default_factory=lambda: Backoff(first_s=0.2, most_s=10.0))


class GroupSubscription:
    """See :class:`wattbook.bus.Subscription`; one thread uses it."""

    def __init__(
        self, file: schema.File, clock: Clock, *, types: Sequence[str], group: str, terms: Terms
    ) -> None:
        """Join ``group``, which begins at the newest message if it is new."""
        matching = schema.matching(types)
        self._clock = clock
        self._terms = terms
        self._rng = random.Random()  # noqa: S311  # spreads load, hides nothing
        self._bell = members.Bell()
        self._connection = file.connect(durable=False)
        try:
            with self._connection.writing() as raw:
                schema.make_group(raw, group)
                group_id = raw.execute("SELECT id FROM groups WHERE name = ?", (group,)).fetchone()[0]
                member = members.join(raw, group_id=group_id, port=self._bell.port)
        except BaseException:
            self._let_go()
            raise
        self._place = leases.Place(group_id=group_id, group=group, member=member, matching=matching)
        self._quiet_version: int | None = None  # nothing to do as of this version of the file
        self._nothing_until = 0  # no message for us at or before this position
        self._next_due_us: int | None = None
        self._look_for_gone_at_s = 0.0
        self._closed = False

    def receive(self, *, timeout_s: float, most: int = 100) -> list[Delivery]:
        """Up to ``most`` deliveries in order, as soon as there is one; empty after ``timeout_s``."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            self._free_what_the_gone_had()
            while self._something_to_do():
                found = self._take(most)
                if found:
                    return found
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                return []
            self._bell.wait(min(left_s, RESCAN_S, self._until_due_s()))

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """These are done and never come again."""
        with self._connection.writing() as raw:
            raw.executemany(
                "DELETE FROM pending WHERE group_id = ? AND position = ?",
                [(self._place.group_id, delivery.token) for delivery in deliveries],
            )

    def hold(self, deliveries: Sequence[Delivery]) -> None:
        """Still in hand: the lease begins again."""
        ends_us = self._now_us() + int(self._terms.lease_s * 1e6)
        with self._connection.writing() as raw:
            raw.executemany(
                "UPDATE pending SET due_us = ? WHERE group_id = ? AND position = ? AND member = ?",
                [(ends_us, self._place.group_id, item.token, self._place.member) for item in deliveries],
            )

    def retry(self, delivery: Delivery, reason: str) -> None:
        """Failed: comes again, or after MAX_ATTEMPTS becomes a dead letter with ``reason``."""
        waits_us = [
            int(self._terms.backoff.delay_s(failures, self._rng) * 1e6) for failures in range(1, MAX_ATTEMPTS)
        ]
        self._quiet_version = None
        with self._connection.writing() as raw:
            leases.fail(
                raw, self._place, delivery.token, reason=reason, now_us=self._now_us(), waits_us=waits_us
            )

    def close(self) -> None:
        """Leave the group; what is in hand goes to the next member as if it had not been handed out."""
        if self._closed:
            return
        self._closed = True
        try:
            with self._connection.writing() as raw:
                leases.release(raw, self._place)
                members.leave(raw, self._place.member)
                others = members.ports(raw)
            self._bell.ring(others)
        except Unavailable:
            pass  # logged; the others get them when the lease ends
        finally:
            self._let_go()

    def _something_to_do(self) -> bool:
        """A look without the write lock; one PRAGMA while nothing changes."""
        now_us = self._now_us()
        version = self._connection.value("PRAGMA data_version")
        if version == self._quiet_version and not self._due_by(now_us):
            return False
        group = (self._place.group_id,)
        self._next_due_us = self._connection.value(
            "SELECT min(due_us) FROM pending WHERE group_id = ?", group
        )
        if self._due_by(now_us):
            return True
        position = self._connection.value("SELECT position FROM groups WHERE id = ?", group)
        newest = self._connection.value(schema.NEWEST) or 0
        start = max(position, self._nothing_until)
        if newest > start and self._wanted_between(start, newest):
            return True
        self._nothing_until = newest
        self._quiet_version = version
        return bool(newest - position > leases.SCAN_POSITIONS)  # keep up, or nothing can be trimmed

    def _wanted_between(self, start: int, newest: int) -> bool:
        query = (
            f"SELECT 1 FROM log WHERE position > ? AND position <= ? AND {self._place.matching} "  # noqa: S608
            "AND (only_group IS NULL OR only_group = ?) LIMIT 1"
        )
        return self._connection.value(query, (start, newest, self._place.group_id)) is not None

    def _take(self, most: int) -> list[Delivery]:
        self._quiet_version = None
        with self._connection.writing() as raw:
            return leases.take(
                raw,
                self._place,
                most=most,
                after=self._nothing_until,
                now_us=self._now_us(),
                lease_us=int(self._terms.lease_s * 1e6),
            )

    def _free_what_the_gone_had(self) -> None:
        """A killed member's messages need not wait until its lease ends."""
        if time.monotonic() < self._look_for_gone_at_s:
            return
        self._look_for_gone_at_s = time.monotonic() + LOOK_FOR_GONE_S
        query = "SELECT id, pid, born FROM members WHERE group_id = ? AND id != ?"
        if members.gone(self._connection.rows(query, (self._place.group_id, self._place.member))):
            self._quiet_version = None
            with self._connection.writing() as raw:
                members.forget_gone(raw)

    def _due_by(self, now_us: int) -> bool:
        return self._next_due_us is not None and self._next_due_us <= now_us

    def _until_due_s(self) -> float:
        return RESCAN_S if self._next_due_us is None else max(0.0, (self._next_due_us - self._now_us()) / 1e6)

    def _now_us(self) -> int:
        return to_epoch_us(self._clock.now())

    def _let_go(self) -> None:
        self._connection.close()
        self._bell.close()
