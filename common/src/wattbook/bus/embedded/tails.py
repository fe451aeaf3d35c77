"""A subscription without a group: what is published from now on, its place only in memory."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Sequence
from dataclasses import replace

from wattbook.bus import MAX_ATTEMPTS, Delivery
from wattbook.bus.embedded import leases, members, schema
from wattbook.bus.embedded.groups import RESCAN_S
from wattbook.errors import Unavailable
from wattbook.retry import Backoff

_log = logging.getLogger(__name__)


class TailSubscription:
    """See :class:`wattbook.bus.Subscription`; one thread uses it."""

    def __init__(self, file: schema.File, *, types: Sequence[str], backoff: Backoff) -> None:
        """Begin after the newest message."""
        self._query = (
            f"SELECT position, {schema.COLUMNS} FROM log WHERE position > ? AND position <= ? "  # noqa: S608
            f"AND {schema.matching(types)} AND only_group IS NULL ORDER BY position LIMIT ?"
        )
        self._backoff = backoff
        self._rng = random.Random()  # noqa: S311  # spreads load, hides nothing
        self._bell = members.Bell()
        self._connection = file.connect(durable=False)
        try:
            with self._connection.writing() as raw:
                self._position = schema.newest_position(raw)
                self._member = members.join(raw, group_id=None, port=self._bell.port)
        except BaseException:
            self._let_go()
            raise
        self._quiet_version: int | None = None
        self._again: list[tuple[float, Delivery]] = []
        self._closed = False

    def receive(self, *, timeout_s: float, most: int = 100) -> list[Delivery]:
        """Up to ``most`` deliveries in order, as soon as there is one; empty after ``timeout_s``."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            found = self._due_again(most) or self._new(most)
            left_s = deadline_s - time.monotonic()
            if found or left_s <= 0:
                return found
            due_s = min((due for due, _ in self._again), default=deadline_s)
            self._bell.wait(min(left_s, RESCAN_S, due_s - time.monotonic()))

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Nothing to note down: the place is past them."""

    def hold(self, deliveries: Sequence[Delivery]) -> None:
        """Nothing to do: nobody else gets them."""

    def retry(self, delivery: Delivery, reason: str) -> None:
        """Failed: comes again, up to MAX_ATTEMPTS times, then is logged and let go."""
        if delivery.attempt >= MAX_ATTEMPTS:
            _log.error(
                "a message keeps failing and is passed over",
                extra={"id": delivery.message.id, "attempts": delivery.attempt, "reason": reason},
            )
            return
        due_s = time.monotonic() + self._backoff.delay_s(delivery.attempt, self._rng)
        self._again.append((due_s, replace(delivery, attempt=delivery.attempt + 1)))

    def close(self) -> None:
        """Stop receiving."""
        if self._closed:
            return
        self._closed = True
        try:
            with self._connection.writing() as raw:
                members.leave(raw, self._member)
        except Unavailable:
            pass  # logged; whoever subscribes after this process takes it off the list
        finally:
            self._let_go()

    def _due_again(self, most: int) -> list[Delivery]:
        if not self._again:
            return []
        now_s = time.monotonic()
        due = [item for item in self._again if item[0] <= now_s][:most]
        self._again = [item for item in self._again if item not in due]
        return [delivery for _, delivery in due]

    def _new(self, most: int) -> list[Delivery]:
        version = self._connection.value("PRAGMA data_version")
        if version == self._quiet_version:
            return []
        newest = self._connection.value(schema.NEWEST) or 0
        end = min(newest, self._position + leases.SCAN_POSITIONS)
        found: list[Delivery] = []
        size_bytes = 0
        rows = self._connection.rows(self._query, (self._position, end, most))
        for position, *values in rows:
            message = schema.message_of(values)
            found.append(Delivery(message=message, attempt=1, token=position))
            size_bytes += len(message.body)
            if size_bytes >= leases.BATCH_BYTES:
                break
        self._position = found[-1].token if found else end
        self._quiet_version = version if end == newest and not found else None
        return found

    def _let_go(self) -> None:
        self._connection.close()
        self._bell.close()
