"""Handing out messages to a group, in SQL. Each function runs inside one transaction with the write lock."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from wattbook.bus import MAX_ATTEMPTS, Delivery
from wattbook.bus.embedded import schema

_log = logging.getLogger(__name__)

BATCH_BYTES = 8 * 1024 * 1024
SCAN_POSITIONS = 5_000
# A message whose members keep dying is handed out alone after a while, so that only the culprit is counted
# on, and is given up in the end. Those that were in hand with it go first, being less suspect. Members are
# also killed for other reasons: hence the patience.
ALONE_FROM_LAPSES = 3
MAX_LAPSES = 20


@dataclass(frozen=True, slots=True)
class Place:
    """A group, a member of it, and the SQL that is true for the messages they want."""

    group_id: int
    group: str
    member: int
    matching: str


@dataclass(slots=True)
class _Batch:
    most: int
    lease_ends_us: int
    member: int
    deliveries: list[Delivery] = field(default_factory=list)
    rows: list[tuple[int, int, int, int, int]] = field(default_factory=list)
    size_bytes: int = 0
    alone: bool = False

    @property
    def full(self) -> bool:
        return self.alone or len(self.rows) >= self.most or self.size_bytes >= BATCH_BYTES

    def add(self, position: int, failures: int, lapses: int, values: Sequence[Any]) -> None:
        message = schema.message_of(values)
        self.deliveries.append(Delivery(message=message, attempt=failures + lapses + 1, token=position))
        self.rows.append((position, failures, lapses, self.member, self.lease_ends_us))
        self.size_bytes += len(message.body)


def take(
    raw: sqlite3.Connection, place: Place, *, most: int, after: int, now_us: int, lease_us: int
) -> list[Delivery]:
    """Lease up to ``most`` messages to the member: those due again, then new ones after ``after``."""
    batch = _Batch(most=most, lease_ends_us=now_us + lease_us, member=place.member)
    _add_due(raw, place, batch, now_us)
    if not batch.full:
        _add_new(raw, place, batch, after)
    raw.executemany(
        f"INSERT INTO pending (group_id, position, failures, lapses, member, due_us) "  # noqa: S608
        f"VALUES ({place.group_id}, ?, ?, ?, ?, ?) ON CONFLICT (group_id, position) DO UPDATE SET "
        "failures = excluded.failures, lapses = excluded.lapses, member = excluded.member, "
        "due_us = excluded.due_us",
        batch.rows,
    )
    return batch.deliveries


def _add_due(raw: sqlite3.Connection, place: Place, batch: _Batch, now_us: int) -> None:
    query = (
        f"SELECT position, failures, lapses, member, {schema.COLUMNS} "  # noqa: S608
        "FROM pending JOIN log USING (position) WHERE group_id = ? AND due_us <= ? "
        "ORDER BY lapses, position LIMIT ?"
    )
    given_up = []
    for position, failures, lapses, member, *values in raw.execute(
        query, (place.group_id, now_us, batch.most)
    ):
        lapsed = lapses + (member is not None)
        if lapsed >= MAX_LAPSES:
            given_up.append((position, failures + lapsed))
            continue
        if lapsed >= ALONE_FROM_LAPSES and batch.rows:
            break
        batch.add(position, failures, lapsed, values)
        batch.alone = lapsed >= ALONE_FROM_LAPSES
        if batch.full:
            break
    for position, attempts in given_up:
        bury(
            raw,
            place,
            position,
            attempts=attempts,
            reason="each consumer that had it died or hung",
            now_us=now_us,
        )


def _add_new(raw: sqlite3.Connection, place: Place, batch: _Batch, after: int) -> None:
    found = raw.execute("SELECT position FROM groups WHERE id = ?", (place.group_id,)).fetchone()[0]
    start = max(found, after)
    newest = schema.newest_position(raw)
    end = min(newest, start + SCAN_POSITIONS)
    query = (
        f"SELECT position, {schema.COLUMNS} FROM log WHERE position > ? AND position <= ? "  # noqa: S608
        f"AND {place.matching} AND (only_group IS NULL OR only_group = ?) ORDER BY position LIMIT ?"
    )
    room = batch.most - len(batch.rows)
    for position, *values in raw.execute(query, (start, end, place.group_id, room)):
        batch.add(position, 0, 0, values)
        if batch.full:
            end = position
            break
    if end != found:
        raw.execute("UPDATE groups SET position = ? WHERE id = ?", (end, place.group_id))


def fail(
    raw: sqlite3.Connection, place: Place, position: int, *, reason: str, now_us: int, waits_us: Sequence[int]
) -> None:
    """Count a failure: due again after the wait for that many failures, or buried after MAX_ATTEMPTS."""
    row = raw.execute(
        "SELECT failures, lapses FROM pending WHERE group_id = ? AND position = ? AND member = ?",
        (place.group_id, position, place.member),
    ).fetchone()
    if row is None:  # the lease ran out and another member has it, or had it
        return
    failures = row[0] + 1
    if failures >= MAX_ATTEMPTS:
        bury(raw, place, position, attempts=failures + row[1], reason=reason, now_us=now_us)
        return
    raw.execute(
        "UPDATE pending SET failures = ?, member = NULL, due_us = ? WHERE group_id = ? AND position = ?",
        (failures, now_us + waits_us[failures - 1], place.group_id, position),
    )


def bury(
    raw: sqlite3.Connection, place: Place, position: int, *, attempts: int, reason: str, now_us: int
) -> None:
    """Make a message a dead letter of the group."""
    raw.execute(
        "INSERT INTO dead_letters (group_id, message_id, type, version, occurred_us, traceparent, body, "  # noqa: S608
        f"attempts, reason, died_us) SELECT ?, {schema.COLUMNS}, ?, ?, ? FROM log WHERE position = ?",
        (place.group_id, attempts, reason, now_us, position),
    )
    raw.execute("DELETE FROM pending WHERE group_id = ? AND position = ?", (place.group_id, position))
    _log.error(
        "a message became a dead letter",
        extra={"group": place.group, "position": position, "attempts": attempts, "reason": reason},
    )


def release(raw: sqlite3.Connection, place: Place) -> None:
    """Give back what the member has in hand, as if it had not been handed out."""
    raw.execute("UPDATE pending SET member = NULL, due_us = 0 WHERE member = ?", (place.member,))
