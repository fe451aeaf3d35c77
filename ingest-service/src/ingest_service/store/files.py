"""The ledger: every content that came in, how far it got, and the names that it came under."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update
from wattbook.clock import Clock, to_epoch_us
from wattbook.db import Store

from ingest_service.domain import ArchivedFile, Counts, FileRecord, FileState
from ingest_service.store.tables import ARCHIVED, FILES, NAMES


class Ledger:
    """Small transactions, one a step of a file's way; each is on disk when its method returns.

    Every method raises Unavailable where the store cannot be used now.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        """Keep the ledger in ``store``; ``clock`` dates its entries."""
        self._store = store
        self._clock = clock

    def note(self, *, sha256: str, name: str, size_bytes: int) -> FileRecord:
        """Write down that this content was seen under ``name``; what is known about it so far."""
        now_us = self._now_us()
        with self._store.write() as connection:
            known = _find(connection, sha256)
            if known is None:
                connection.execute(
                    insert(FILES).values(
                        sha256=sha256,
                        first_name=name,
                        size_bytes=size_bytes,
                        state=FileState.FOUND.value,
                        found_at_us=now_us,
                    )
                )
                known = FileRecord(sha256, name, size_bytes, FileState.FOUND)
            _note_name(connection, sha256=sha256, name=name, now_us=now_us)
        return known

    def reserve(self, sha256: str, *, choose: Callable[[Callable[[str], bool]], str]) -> str:
        """The name to keep a content under, the same at every try; ``choose`` picks it the first time.

        ``choose`` is given a function that says whether a name is promised to another content.
        """
        with self._store.write() as connection:
            known = _find(connection, sha256)
            if known is not None and known.kept_name:
                return known.kept_name
            name = choose(lambda wanted: _is_promised(connection, wanted))
            # Whoever held the name has nothing under it on disk and will choose again.
            connection.execute(update(FILES).where(FILES.c.kept_name == name).values(kept_name=None))
            connection.execute(update(FILES).where(FILES.c.sha256 == sha256).values(kept_name=name))
        return name

    def is_promised(self, name: str) -> bool:
        """Whether a content on its way into the archive will be kept under ``name``."""
        with self._store.read() as connection:
            return _is_promised(connection, name)

    def uploaded(self, sha256: str, *, counts: Counts, refusal: str | None) -> None:
        """Every row is answered and the refused ones are written down, or the whole file was refused."""
        self._change(
            sha256,
            state=FileState.UPLOADED.value,
            refusal=refusal,
            added=counts.added,
            duplicate=counts.duplicate,
            conflict=counts.conflict,
            invalid=counts.invalid,
            uploaded_at_us=self._now_us(),
        )

    def reopened(self, sha256: str) -> None:
        """The original was changed before it could be archived: what is there now is another content."""
        self._change(sha256, state=FileState.FOUND.value)

    def done(self, sha256: str) -> None:
        """The original is in the archive."""
        now_us = self._now_us()
        change = update(FILES).where(FILES.c.sha256 == sha256)
        with self._store.write() as connection:
            connection.execute(change.values(state=FileState.DONE.value, done_at_us=now_us))
            record = _find(connection, sha256)
            if record is not None and record.kept_name is not None:
                kept = ArchivedFile(record.kept_name, record.first_name, record.size_bytes)
                _archived(connection, kept, now_us)

    def archived_again(self, kept: ArchivedFile) -> None:
        """Another copy of a content that is done is in the archive."""
        with self._store.write() as connection:
            _archived(connection, kept, self._now_us())

    def archived(self, *, since_us: int) -> list[ArchivedFile]:
        """What was moved into the archive since then and not forgotten; what was moved before is."""
        with self._store.read() as connection:
            rows = connection.execute(select(ARCHIVED).order_by(ARCHIVED.c.kept_name)).all()
        if any(row.archived_at_us < since_us for row in rows):
            with self._store.write() as connection:
                connection.execute(delete(ARCHIVED).where(ARCHIVED.c.archived_at_us < since_us))
        return [
            ArchivedFile(row.kept_name, row.name, row.size_bytes)
            for row in rows
            if row.archived_at_us >= since_us
        ]

    def not_archived(self, kept_name: str) -> None:
        """It is not in the archive any more, or no longer what was moved there."""
        with self._store.write() as connection:
            connection.execute(delete(ARCHIVED).where(ARCHIVED.c.kept_name == kept_name))

    def reopen(self, *, since_us: int) -> list[str]:
        """Let contents that were done since then count as not uploaded; their names in the archive."""
        recent = (FILES.c.state == FileState.DONE.value) & (FILES.c.done_at_us >= since_us)
        with self._store.write() as connection:
            names = connection.execute(select(FILES.c.kept_name).where(recent).order_by(FILES.c.done_at_us))
            found = [name for name in names.scalars() if name]
            connection.execute(update(FILES).where(recent).values(state=FileState.FOUND.value))
        return found

    def get(self, sha256: str) -> FileRecord:
        """What is known about a content that was noted."""
        with self._store.read() as connection:
            return _record(connection.execute(select(FILES).where(FILES.c.sha256 == sha256)).one())

    def unfinished(self) -> list[FileRecord]:
        """Contents that are uploaded and perhaps not archived yet."""
        with self._store.read() as connection:
            rows = connection.execute(
                select(FILES).where(FILES.c.state == FileState.UPLOADED.value).order_by(FILES.c.first_name)
            )
            return [_record(row) for row in rows]

    def _change(self, sha256: str, **values: Any) -> None:
        with self._store.write() as connection:
            connection.execute(update(FILES).where(FILES.c.sha256 == sha256).values(**values))

    def _now_us(self) -> int:
        return to_epoch_us(self._clock.now())


def _archived(connection: Connection, kept: ArchivedFile, now_us: int) -> None:
    connection.execute(delete(ARCHIVED).where(ARCHIVED.c.kept_name == kept.kept_name))
    connection.execute(insert(ARCHIVED).values(**asdict(kept), archived_at_us=now_us))


def _find(connection: Connection, sha256: str) -> FileRecord | None:
    row = connection.execute(select(FILES).where(FILES.c.sha256 == sha256)).first()
    return None if row is None else _record(row)


def _record(row: Row[Any]) -> FileRecord:
    return FileRecord(
        sha256=row.sha256,
        first_name=row.first_name,
        size_bytes=row.size_bytes,
        state=FileState(row.state),
        kept_name=row.kept_name,
        refusal=row.refusal,
        counts=Counts(added=row.added, duplicate=row.duplicate, conflict=row.conflict, invalid=row.invalid),
    )


def _note_name(connection: Connection, *, sha256: str, name: str, now_us: int) -> None:
    same = (NAMES.c.name == name) & (NAMES.c.sha256 == sha256)
    known = connection.execute(update(NAMES).where(same).values(last_seen_at_us=now_us))
    if known.rowcount == 0:
        connection.execute(
            insert(NAMES).values(name=name, sha256=sha256, first_seen_at_us=now_us, last_seen_at_us=now_us)
        )


def _is_promised(connection: Connection, name: str) -> bool:
    promised = (FILES.c.kept_name == name) & (FILES.c.state == FileState.UPLOADED.value)
    return connection.execute(select(FILES.c.sha256).where(promised)).first() is not None
