"""The embedded engine of :class:`wattbook.bus.Bus`."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from wattbook import sqlite
from wattbook.bus import MAX_BODY_BYTES, DeadLetter, Depths, Message, Subscription
from wattbook.bus.embedded import members, schema
from wattbook.bus.embedded.groups import GroupSubscription, Terms
from wattbook.bus.embedded.tails import TailSubscription
from wattbook.bus.embedded.trimming import trim
from wattbook.bus.topology import Group
from wattbook.clock import Clock, SystemClock, from_epoch_us, to_epoch_us
from wattbook.errors import InvalidInput, NotFound, Unavailable

_log = logging.getLogger(__name__)

RETENTION_S = 600.0
TRIM_AFTER_MESSAGES = 100
TRIM_AFTER_S = 10.0
TRIM_MOST = 200


class EmbeddedBus:
    """See :class:`wattbook.bus.Bus`."""

    system = "wattbook"

    def __init__(
        self,
        path: Path,
        *,
        retention_s: float = RETENTION_S,
        terms: Terms | None = None,
        clock: Clock | None = None,
        groups: Sequence[Group] = (),
    ) -> None:
        """Open or make the file; messages that all groups are done with stay for ``retention_s``.

        ``groups`` get what is published from now on, also before their members come, but for optional ones.

        Raises:
            Unavailable: it cannot be opened.
        """
        self._clock = clock or SystemClock()
        self._retention_s = retention_s
        self._terms = terms or Terms()
        self._untrimmed = 0
        self._trim_at_s = 0.0
        self._closed = False
        self._bell = members.Bell()
        try:
            self._file = schema.File(path)
            self._publisher = self._file.connect()
            needed = [group for group in groups if not group.optional]
            if self.differences(needed):
                self.declare(needed)
        except (OSError, sqlite3.Error, Unavailable) as error:
            self._bell.close()
            detail = error.strerror if isinstance(error, OSError) else str(error.__cause__ or error)
            raise Unavailable(f"the bus at {path} cannot be opened: {detail}") from error

    @classmethod
    def open(cls, url: str, *, groups: Sequence[Group] = ()) -> EmbeddedBus:
        """The bus at ``sqlite:///path?retention_s=600``.

        Raises:
            Unavailable: it cannot be opened.
            ValueError: an unknown or wrong option.
        """
        path, options = sqlite.split_url(url)
        unknown = options.keys() - {"retention_s"}
        if unknown:
            raise ValueError(f"the bus has no option {', '.join(sorted(unknown))}")
        return cls(path, retention_s=float(options.get("retention_s", RETENTION_S)), groups=groups)

    def publish(self, messages: Sequence[Message]) -> None:
        """Durable, all or none, when this returns.

        Raises:
            Unavailable: the bus cannot take them now; nothing was published.
            InvalidInput: a body is over MAX_BODY_BYTES.
        """
        if any(len(message.body) > MAX_BODY_BYTES for message in messages):
            raise InvalidInput(f"a message is over {MAX_BODY_BYTES} bytes")
        self._append(messages, only_group=None)
        self._untrimmed += len(messages)
        if self._untrimmed >= TRIM_AFTER_MESSAGES or time.monotonic() >= self._trim_at_s:
            self._trim()

    def subscribe(self, types: Sequence[str], *, group: str | None) -> Subscription:
        """Messages of ``types`` (``trade.*``: one more word), for a group or (None) for this process."""
        self._ensure_open()
        with schema.explained():
            if group is None:
                return TailSubscription(self._file, types=types, backoff=self._terms.backoff)
            return GroupSubscription(self._file, self._clock, types=types, group=group, terms=self._terms)

    def dead_letters(self, *, group: str | None = None, most: int = 100) -> list[DeadLetter]:
        """Dead letters, oldest first."""
        query = (
            "SELECT dead_letters.id, name, attempts, reason, died_us, message_id, type, version, "
            "occurred_us, traceparent, body FROM dead_letters JOIN groups ON groups.id = group_id "
            "WHERE :group IS NULL OR name = :group ORDER BY dead_letters.id LIMIT :most"
        )
        self._ensure_open()
        with schema.explained(), self._file.connect() as connection:
            rows = connection.rows(query, {"group": group, "most": most})
        return [
            DeadLetter(
                id=id_,
                group=name,
                message=schema.message_of(values),
                attempts=attempts,
                reason=reason,
                died_at=from_epoch_us(died_us),
            )
            for id_, name, attempts, reason, died_us, *values in rows
        ]

    def replay(self, dead_letter: DeadLetter) -> None:
        """Hand a dead letter to its group again, as if for the first time. Raises NotFound: it is gone."""
        self._append([dead_letter.message], only_group=dead_letter)

    def depths(self, types: Sequence[str], *, group: str) -> Depths:
        """How much there is for ``group``, which hears ``types``; 0 where nobody knows it."""
        self._ensure_open()
        query = _DEPTHS.format(matching=schema.matching(types))
        with schema.explained(), self._file.connect() as connection:
            rows = connection.rows(query, {"group": group})
        return Depths(*rows[0]) if rows else Depths(0, 0)

    def drop(self, dead_letter: DeadLetter) -> None:
        """Forget a dead letter. Raises NotFound: it is gone."""
        self._ensure_open()
        with self._publisher.writing() as raw:
            if not raw.execute("DELETE FROM dead_letters WHERE id = ?", (dead_letter.id,)).rowcount:
                raise _gone(dead_letter)

    def group_names(self) -> list[str]:
        """The names of all groups."""
        self._ensure_open()
        with schema.explained(), self._file.connect() as connection:
            return [name for (name,) in connection.rows("SELECT name FROM groups ORDER BY name")]

    def declare(self, groups: Sequence[Group]) -> list[str]:
        """Make these groups where they are missing; their names."""
        self._ensure_open()
        with self._publisher.writing() as raw:
            return [each.name for each in groups if not each.one_each and schema.make_group(raw, each.name)]

    def differences(self, groups: Sequence[Group]) -> list[str]:
        """A line for each of these groups that is missing."""
        self._ensure_open()
        names = [group.name for group in groups if not group.one_each]
        if not names:
            return []
        known = self.group_names()
        return [f"group {name} is missing" for name in names if name not in known]

    def close(self) -> None:
        """Let go of connections; subscriptions are closed by whoever uses them."""
        if not self._closed:
            self._closed = True
            with self._file.lock.held():
                self._publisher.close()
            self._bell.close()

    def _append(self, messages: Sequence[Message], *, only_group: DeadLetter | None) -> None:
        self._ensure_open()
        now_us = to_epoch_us(self._clock.now())
        with self._publisher.writing() as raw:
            group_id = None
            if only_group is not None:
                row = raw.execute(
                    "DELETE FROM dead_letters WHERE id = ? RETURNING group_id", (only_group.id,)
                ).fetchone()
                if row is None:
                    raise _gone(only_group)
                group_id = row[0]
            raw.executemany(
                schema.INSERT,
                [schema.row_of(message, published_us=now_us, only_group=group_id) for message in messages],
            )
            listening = members.ports(raw)
        self._bell.ring(listening)

    def _trim(self) -> None:
        """Delete some of what every group is done with and is older than the retention."""
        self._untrimmed = 0
        self._trim_at_s = time.monotonic() + TRIM_AFTER_S
        before_us = to_epoch_us(self._clock.now()) - int(self._retention_s * 1e6)
        try:
            with self._publisher.writing() as raw:
                trim(raw, before_us=before_us, most=TRIM_MOST)
        except Unavailable:
            _log.warning("the bus could not be trimmed; it is tried again later")

    def _ensure_open(self) -> None:
        if self._closed:
            raise Unavailable("the bus is closed")


def _gone(dead_letter: DeadLetter) -> NotFound:
    return NotFound(f"dead letter {dead_letter.id} is gone")


_DEPTHS = """
SELECT (
    SELECT count(*) FROM log
    WHERE log.position > groups.position AND {matching} AND coalesce(only_group, groups.id) = groups.id
) + (SELECT count(*) FROM pending WHERE group_id = groups.id),
(SELECT count(*) FROM dead_letters WHERE group_id = groups.id)
FROM groups WHERE name = :group
"""
