"""Schemas change only through Alembic scripts: ``<package>/migrations/versions/0001_what.py`` and so on.

A script's ``revision`` is its file's number (``"0001"``), so that a store that is already at the newest
is recognised from the file names alone; Alembic is loaded only where there is something to do.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Select, column, inspect, select, table

from wattbook.db.store import Store
from wattbook.errors import Unavailable

VERSION_TABLE = "alembic_version"
_CURRENT: Select[tuple[str]] = select(column("version_num")).select_from(table(VERSION_TABLE))


def migrate(store: Store, package: str) -> None:
    """Bring the store to the newest schema of ``package``. Safe when several processes start at once.

    Raises:
        Unavailable: the store cannot be written, or a newer release has already changed it.
        RuntimeError: the scripts are not numbered as they must be.
    """
    folder = Path(str(files(package))) / "migrations"
    newest = _newest(folder)
    with store.read() as connection:
        if _version(connection) == newest:
            return
    with store.write() as connection:
        found = _version(connection)
        if found == newest:  # another process was faster
            return
        if found > newest:
            raise Unavailable(f"the store {store.name} has schema {found}, made by a newer release")
        _upgrade(connection, folder, newest)


def _newest(folder: Path) -> str:
    names = sorted(path.name for path in (folder / "versions").glob("[0-9]*_*.py"))
    if not names:
        raise RuntimeError(f"no migrations in {folder}")
    return names[-1].partition("_")[0]


def _version(connection: Connection) -> str:
    if not inspect(connection).has_table(VERSION_TABLE):
        return ""
    return str(connection.execute(_CURRENT).scalar() or "")


def _upgrade(connection: Connection, folder: Path, newest: str) -> None:
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)
    if script.get_current_head() != newest:
        raise RuntimeError(f"{folder}: the head is {script.get_current_head()}, the newest file {newest}")

    def steps(revision: Any, _context: Any) -> Any:
        return script._upgrade_revs(newest, revision)

    with EnvironmentContext(config, script, fn=steps, destination_rev=newest) as environment:
        environment.configure(connection=connection, version_table=VERSION_TABLE, transactional_ddl=True)
        environment.run_migrations()
