"""Transactions of the store: one import at a time writes, on both engines."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.db import DEFAULT_DB_ALIAS, Error, connection, transaction
from wattbook import postgres, sqlite
from wattbook.db import rights
from wattbook.db.postgres_engines import LOCK_CLASS, LOCK_OF_MIGRATING, LOCK_OF_WRITING
from wattbook.errors import Unavailable

_WAIT_S = 600
# Keys are looked up some hundred at a time; a table that grows in the same transaction has no statistics
# which say that to read all of it costs more.
_BY_INDEX = (
    "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; "
)
_MIGRATIONS = Path(__file__).parents[1] / "migrations"


def is_postgres() -> bool:
    """Whether the store is on PostgreSQL."""
    return bool(connection.vendor == "postgresql")


@contextmanager
def explained() -> Iterator[None]:
    """Errors of the engine in our words.

    Raises:
        Unavailable: the store cannot be used now; nothing of the block is kept.
    """
    engine: Any = postgres if is_postgres() else sqlite
    try:
        yield
    except (Error, OSError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        connection.close_if_unusable_or_obsolete()
        reason = engine.reason_of(cause) or getattr(cause, "strerror", None)
        if reason is None:
            raise
        raise Unavailable(f"the store meter cannot be used now: {reason}") from error


@contextmanager
def writing() -> Iterator[None]:
    """One transaction of the only one that writes readings; others wait for it.

    On SQLite it is the lock of the file, on PostgreSQL one in the database.

    Raises:
        Unavailable: see :func:`explained`.
    """
    with explained(), transaction.atomic(durable=True):
        if is_postgres():
            with connection.cursor() as cursor:
                cursor.execute(
                    "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; "
                    f"SET LOCAL lock_timeout = '{_WAIT_S}s'; {_BY_INDEX}"
                    f"SELECT pg_advisory_xact_lock({LOCK_CLASS}, {LOCK_OF_WRITING})"
                )
        yield


def prepare(*, migrate: bool) -> None:
    """Make the file where the store is one, and bring the schema up to date; one process at a time.

    Raises:
        Unavailable: see :func:`explained`.
    """
    with explained():
        if is_postgres():
            if migrate:
                with transaction.atomic(), connection.cursor() as cursor:
                    cursor.execute(f"SELECT pg_advisory_xact_lock({LOCK_CLASS}, {LOCK_OF_MIGRATING})")
                    call_command("migrate", verbosity=0)
                    cursor.execute(rights.GIVEN)
                    for statement in rights.statements(
                        cursor.fetchall(), _MIGRATIONS, version_table="django_migrations",
                        quote=connection.ops.quote_name,
                    ):  # fmt: skip
                        cursor.execute(statement)
            return
        path = Path(connection.settings_dict["NAME"])
        sqlite.make_file(path)
        if migrate:
            with path.with_name(f"{path.name}-migrate.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                call_command("migrate", verbosity=0, database=DEFAULT_DB_ALIAS)
