"""What a service itself may do with each table, where its schema has an owner of its own.

The administrator's script makes two roles a service, ``NAME_owner`` and ``NAME`` (``wattbook db roles``). A
migration runs as the first and gives the second its rights: to read and write rows, less where
``migrations/rights.toml`` of the service says so, and of Alembic's table only to read it. With other roles,
and on SQLite, nothing is done.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path

from sqlalchemy import Connection, text

_ROWS = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})
GIVEN = """
SELECT named.relname, service.rolname,
  ARRAY(SELECT privilege_type FROM aclexplode(named.relacl) WHERE grantee = service.oid)
FROM pg_roles AS service
JOIN pg_roles AS owner ON owner.rolname = service.rolname || '_owner'
JOIN pg_class AS named ON named.relowner = owner.oid
WHERE owner.rolname = current_user AND named.relnamespace = to_regnamespace('public')
  AND named.relkind IN ('r', 'p')
ORDER BY named.relname
"""


def due(connection: Connection, folder: Path, *, version_table: str) -> list[str]:
    """Statements that give the service its rights, for tables where it has others; run as their owner.

    ``folder`` has the service's migrations.

    Raises:
        RuntimeError: ``rights.toml`` names a right that is none.
    """
    if connection.dialect.name != "postgresql":
        return []
    given = connection.execute(text(GIVEN)).all()
    return statements(
        ((table, service, rights) for table, service, rights in given),
        folder, version_table=version_table, quote=connection.dialect.identifier_preparer.quote,
    )  # fmt: skip


def statements(
    given: Iterable[tuple[str, str, Iterable[str]]], folder: Path, *, version_table: str,
    quote: Callable[[str], str],
) -> list[str]:  # fmt: skip
    """The same of what :data:`GIVEN` selects: table, service, the rights that it has."""
    file = folder / "rights.toml"
    declared = tomllib.loads(file.read_text()) if file.exists() else {}
    least = {table: frozenset(rights) for table, rights in declared.items()} | {version_table: {"SELECT"}}
    if unknown := {table for table, rights in least.items() if not rights <= _ROWS}:
        raise RuntimeError(f"{file}: of {sorted(unknown)}: rights are some of {sorted(_ROWS)}")
    found: list[str] = []
    for table, service, rights in given:
        wanted = least.get(table, _ROWS)
        if set(rights) != wanted:
            found.append(f"REVOKE ALL ON {quote(table)} FROM {quote(service)}")
            found.append(f"GRANT {', '.join(sorted(wanted))} ON {quote(table)} TO {quote(service)}")
    return found
