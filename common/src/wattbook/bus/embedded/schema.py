"""The bus's file: tables, the connection to it, and messages as rows."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from wattbook import sqlite
from wattbook.bus import Message, topology
from wattbook.clock import from_epoch_us, to_epoch_us
from wattbook.locks import FairLock

_log = logging.getLogger(__name__)

SCHEMA_VERSION = 1
WHAT = "the bus"
LOCK_WAIT_S = 10.0

# The body is last: what stands behind a long one costs reading it.
# only_group: a replayed dead letter, meant for one group; others pass over it.
# pending.due_us: when it may be handed out (again); until then its member has it, or it waits for a retry.
# pending.lapses: how often its member died or let the time pass.
_TABLES = """
CREATE TABLE log (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL, type TEXT NOT NULL, version INTEGER NOT NULL, occurred_us INTEGER NOT NULL,
    traceparent TEXT NOT NULL, published_us INTEGER NOT NULL, only_group INTEGER, body BLOB NOT NULL
);
CREATE TABLE groups (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, position INTEGER NOT NULL
);
CREATE TABLE pending (
    group_id INTEGER NOT NULL REFERENCES groups (id), position INTEGER NOT NULL REFERENCES log (position),
    failures INTEGER NOT NULL DEFAULT 0, lapses INTEGER NOT NULL DEFAULT 0,
    member INTEGER, due_us INTEGER NOT NULL,
    PRIMARY KEY (group_id, position)
) WITHOUT ROWID;
CREATE INDEX pending_due ON pending (group_id, due_us);
CREATE INDEX pending_position ON pending (position);
CREATE TABLE members (
    id INTEGER PRIMARY KEY AUTOINCREMENT, group_id INTEGER, pid INTEGER NOT NULL, born TEXT NOT NULL,
    port INTEGER NOT NULL
);
CREATE TABLE dead_letters (
    id INTEGER PRIMARY KEY AUTOINCREMENT, group_id INTEGER NOT NULL REFERENCES groups (id),
    message_id TEXT NOT NULL, type TEXT NOT NULL, version INTEGER NOT NULL, occurred_us INTEGER NOT NULL,
    traceparent TEXT NOT NULL, attempts INTEGER NOT NULL, reason TEXT NOT NULL, died_us INTEGER NOT NULL,
    body BLOB NOT NULL
);
"""
COLUMNS = "id, type, version, occurred_us, traceparent, body"
INSERT = f"INSERT INTO log ({COLUMNS}, published_us, only_group) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608

NEWEST = "SELECT seq FROM sqlite_sequence WHERE name = 'log'"


class File:
    """The file and the queue of this process's writers."""

    def __init__(self, path: Path) -> None:
        """Make the file where it does not exist yet, and its tables.

        Raises:
            OSError, sqlite3.Error: it cannot be opened.
        """
        self.path = path
        self.lock = FairLock(WHAT, timeout_s=LOCK_WAIT_S)
        sqlite.make_file(path)
        with self.connect() as connection:
            connection.create()

    def connect(self, *, durable: bool = True) -> Connection:
        """A connection of its own; without ``durable`` its commits do not wait for the disk."""
        return Connection(self, durable=durable)


class Connection:
    """One connection; errors of the file leave it as Unavailable. Use it from one thread at a time."""

    def __init__(self, file: File, *, durable: bool) -> None:
        """Open ``file``; without ``durable`` commits do not wait for the disk."""
        self._file = file
        self._raw = sqlite3.connect(
            file.path, timeout=0.001, isolation_level=None, check_same_thread=False, cached_statements=64
        )
        sqlite.patiently(lambda: sqlite.set_up(self._raw))
        if not durable:
            self._raw.execute("PRAGMA synchronous=NORMAL")

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def create(self) -> None:
        """Make the tables unless they are there."""
        with self.writing() as raw:
            version = raw.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, SCHEMA_VERSION):
                raise sqlite3.DatabaseError(f"its layout is {version}, this release knows {SCHEMA_VERSION}")
            if version == 0:
                for statement in _TABLES.split(";\n"):
                    raw.execute(statement)
                raw.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction with the write lock.

        Raises:
            Unavailable: the file cannot be written now; nothing of the block is kept.
        """
        with self._file.lock.held(), explained():
            sqlite.patiently(lambda: self._raw.execute("BEGIN IMMEDIATE"))
            try:
                yield self._raw
                self._raw.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # a failed COMMIT may have rolled back already
                    self._raw.execute("ROLLBACK")
                raise

    def rows(self, query: str, values: Sequence[Any] | dict[str, Any] = ()) -> list[Any]:
        """All rows of a query.

        Raises:
            Unavailable: the file cannot be read now.
        """
        with explained():
            return sqlite.patiently(lambda: self._raw.execute(query, values).fetchall())

    def value(self, query: str, values: Sequence[Any] | dict[str, Any] = ()) -> Any:
        """The first column of the first row, None where there is none. Raises like :meth:`rows`."""
        found = self.rows(query, values)
        return found[0][0] if found else None

    def close(self) -> None:
        """Let go of it."""
        self._raw.close()


@contextmanager
def explained() -> Iterator[None]:
    """Errors of the file as Unavailable; others as they are."""
    try:
        yield
    except sqlite3.Error as error:
        told = sqlite.unavailable(WHAT, error)
        if told is None:
            raise
        _log.warning("the bus failed", extra={"reason": str(told), "error": str(error)})
        raise told from error


def row_of(message: Message, *, published_us: int, only_group: int | None = None) -> tuple[Any, ...]:
    """The values of INSERT."""
    return (
        message.id,
        message.type,
        message.version,
        to_epoch_us(message.occurred_at),
        message.traceparent,
        message.body,
        published_us,
        only_group,
    )


def message_of(values: Sequence[Any]) -> Message:
    """The message of COLUMNS."""
    id_, type_, version, occurred_us, traceparent, body = values
    return Message(
        id=id_,
        type=type_,
        version=version,
        occurred_at=from_epoch_us(occurred_us),
        traceparent=traceparent,
        body=body,
    )


def matching(types: Sequence[str]) -> str:
    """SQL that is true for log rows of these types; ``*`` stands for one word.

    Raises:
        ValueError: a pattern is not dotted words of a-z, 0-9, _ and -, or there is none.
    """
    clauses = []
    for pattern in topology.checked(types):  # so the text is safe inside SQL
        if "*" in pattern:
            dots = pattern.count(".")
            words = f"length(type) - length(replace(type, '.', '')) = {dots}"
            clauses.append(f"(type GLOB '{pattern}' AND {words})")
        else:
            clauses.append(f"type = '{pattern}'")
    return f"({' OR '.join(clauses)})"


def newest_position(raw: sqlite3.Connection) -> int:
    """The position of the newest message ever published, also if it was trimmed."""
    row = raw.execute(NEWEST).fetchone()
    return int(row[0]) if row else 0


def make_group(raw: sqlite3.Connection, name: str) -> bool:
    """Make a group known, beginning at the newest message; False if it was."""
    query = "INSERT OR IGNORE INTO groups (name, position) VALUES (?, ?)"
    return raw.execute(query, (name, newest_position(raw))).rowcount > 0
