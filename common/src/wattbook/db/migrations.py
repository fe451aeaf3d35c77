"""Schemas change only through Alembic scripts: ``<package>/migrations/versions/0001_what.py`` and so on.

A script's ``revision`` is its file's number (``"0001"``), so that a store that is already at the newest
is recognised from the file names alone; Alembic is loaded only where there is something to do.

Code runs with every schema that is not older than its own newest script, also with one of a newer release,
so that old and new code run side by side during an update: scripts first add (expand). One that takes
something away (contract) says with ``needs_code = "0007"`` which script the code must know that can live
with it; the store remembers that, and older code does not start any more.

What would keep others waiting inside of a transaction, an index of a large table for one, a script does in
``concurrently(execute)``: on PostgreSQL it is called before ``upgrade``, each statement is a transaction of
its own, and all of it is run again where it did not come to its end.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Select, column, inspect, select, table

from wattbook.db import rights
from wattbook.db.settings import StoreSettings
from wattbook.db.store import Store
from wattbook.errors import Unavailable
from wattbook.retry import Backoff, Retrying

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory

Execute = Callable[[str], None]
_log = logging.getLogger(__name__)

VERSION_TABLE = "alembic_version"
ATTEMPTS = 8
MIGRATION_WAIT_S = 300.0
LOOK_AGAIN_S = 1.0
# Beside Alembic's own column: the newest script that code must at least know.
NEEDS_COLUMN = "needs_code"
_VERSIONS = table(VERSION_TABLE, column("version_num"), column(NEEDS_COLUMN))
_CURRENT: Select[tuple[str]] = select(_VERSIONS.c.version_num)
_ADD_NEEDS = f"ALTER TABLE {VERSION_TABLE} ADD COLUMN {NEEDS_COLUMN} VARCHAR(32) DEFAULT '' NOT NULL"


class SchemaMissing(Unavailable):
    """The schema is older than what this release needs."""


class ReleaseTooOld(Unavailable):
    """The schema was made by a newer release, which took away what this one needs."""


@dataclass(frozen=True, slots=True)
class Migration:
    """From which schema to which; ``""`` is an empty store."""

    before: str
    after: str


def prepare(store: Store, package: str, *, settings: StoreSettings) -> None:
    """At a service's start: bring the store to the newest schema, or make sure that a job has.

    Raises:
        SchemaMissing: a job has yet to migrate it.
        ReleaseTooOld: a newer release has changed it.
        Unavailable: the store cannot be used now.
    """
    if settings.store_migrate:
        migrate(store, package)
        return
    newest = _newest(Path(str(files(package))) / "migrations")
    with store.read() as connection:
        found = _version(connection)
        _refuse_old_code(store, connection, found, newest)
    if found < newest:
        raise SchemaMissing(
            f"the store {store.name} has schema {found or 'none'}, this release needs {newest}; "
            f"`wattbook migrate` or the job of this release brings it"
        )


def migrate(store: Store, package: str) -> Migration:
    """Bring the store to the newest schema of ``package``. Safe when several processes start at once.

    Raises:
        Unavailable: the store cannot be changed, or this code is too old for it.
        RuntimeError: the scripts are not numbered as they must be.
    """
    folder = Path(str(files(package))) / "migrations"
    newest = _newest(folder)
    with store.read() as connection:
        found = _version(connection)
        _refuse_old_code(store, connection, found, newest)
        if found >= newest and not _rights_due(connection, folder):
            return Migration(found, found)
    retrying = Retrying(Backoff(first_s=0.5, most_s=10.0))
    while True:
        try:
            return _migrate(store, folder, newest)
        except Unavailable as error:
            delay_s = retrying.failed()
            if retrying.failures >= ATTEMPTS:
                raise
            _log.warning(
                "the schema cannot be changed now", extra={"reason": str(error), "again_in_s": delay_s}
            )
            time.sleep(delay_s)


def _migrate(store: Store, folder: Path, newest: str) -> Migration:
    execute = store.outside()
    with _alone(store) if execute else nullcontext():
        with store.read() as connection:
            before = _version(connection)
        scripts = _scripts(folder, newest) if before < newest else None
        for beforehand, until in _stages(scripts, before, execute) if scripts else [(None, before)]:
            if beforehand and execute:
                beforehand(execute)
            with store.migrating() as connection:
                found = _version(connection)
                _refuse_old_code(store, connection, found, newest)
                if scripts and found < until:  # else another process was faster
                    _upgrade(connection, scripts, found, until)
                else:
                    before = max(before, found)
                for statement in _rights_due(connection, folder):
                    connection.exec_driver_sql(statement)
    return Migration(before, max(before, newest))


@contextmanager
def _alone(store: Store) -> Iterator[None]:
    """Wait for others that migrate, by asking again and again.

    Who waits inside of a statement has a snapshot, and an index that is made concurrently waits for those who
    have one: it would wait for whoever waits for it.
    """
    until_s = time.monotonic() + MIGRATION_WAIT_S
    while True:
        with store.sole("migrations", wait_s=0.0) as is_mine:
            if is_mine:
                yield
                return
        if time.monotonic() >= until_s:
            raise Unavailable(f"another process migrates the store {store.name}; try again")
        time.sleep(LOOK_AGAIN_S)


def _stages(
    scripts: ScriptDirectory, found: str, execute: Execute | None
) -> Iterator[tuple[Callable[[Execute], None] | None, str]]:
    """What is one transaction each: what is done before it, and its newest script."""
    todo = sorted(
        (each for each in scripts.walk_revisions() if each.revision > found), key=lambda e: e.revision
    )
    beforehand = None
    for number, each in enumerate(todo):
        own = getattr(each.module, "concurrently", None) if execute else None
        if own and number:
            yield beforehand, todo[number - 1].revision
        beforehand = own or beforehand
    yield beforehand, todo[-1].revision


def _newest(folder: Path) -> str:
    names = sorted(path.name for path in (folder / "versions").glob("[0-9]*_*.py"))
    if not names:
        raise RuntimeError(f"no migrations in {folder}")
    return names[-1].partition("_")[0]


def _version(connection: Connection) -> str:
    if not inspect(connection).has_table(VERSION_TABLE):
        return ""
    return str(connection.execute(_CURRENT).scalar() or "")


def _refuse_old_code(store: Store, connection: Connection, found: str, newest: str) -> None:
    """A newer schema is refused unless the store says that this code can live with it."""
    if found <= newest:
        return
    needed = (
        connection.execute(select(_VERSIONS.c.needs_code)).scalar_one() if _has_needs(connection) else found
    )
    if newest < needed:
        raise ReleaseTooOld(
            f"the store {store.name} has schema {found}, made by a newer release; this one is too old for it"
        )


def _scripts(folder: Path, newest: str) -> ScriptDirectory:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    scripts = ScriptDirectory.from_config(config)
    if scripts.get_current_head() != newest:
        raise RuntimeError(f"{folder}: the head is {scripts.get_current_head()}, the newest file {newest}")
    return scripts


def _upgrade(connection: Connection, scripts: ScriptDirectory, found: str, until: str) -> None:
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext

    def steps(revision: Any, _context: Any) -> Any:
        return scripts._upgrade_revs(until, revision)

    with EnvironmentContext(Config(), scripts, fn=steps, destination_rev=until) as environment:
        environment.configure(connection=connection, version_table=VERSION_TABLE, transactional_ddl=True)
        environment.run_migrations()
    applied = [each for each in scripts.walk_revisions() if found < each.revision <= until]
    _note_needs(connection, {each.revision: getattr(each.module, "needs_code", "") for each in applied})


def _rights_due(connection: Connection, folder: Path) -> list[str]:
    return rights.due(connection, folder, version_table=VERSION_TABLE)


def _note_needs(connection: Connection, needs: dict[str, str]) -> None:
    wrong = {revision: code for revision, code in needs.items() if code > revision}
    if wrong:
        raise RuntimeError(f"scripts need code that knows later ones: {wrong}")
    if not _has_needs(connection):
        connection.exec_driver_sql(_ADD_NEEDS)
    code = max(needs.values(), default="")
    connection.execute(_VERSIONS.update().where(_VERSIONS.c.needs_code < code).values(needs_code=code))


def _has_needs(connection: Connection) -> bool:
    """Not in a store that only releases before this rule have changed."""
    return NEEDS_COLUMN in {each["name"] for each in inspect(connection).get_columns(VERSION_TABLE)}
