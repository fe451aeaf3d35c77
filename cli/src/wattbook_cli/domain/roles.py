"""What a PostgreSQL administrator makes once: a database and two roles a service, with least rights."""

from __future__ import annotations

from collections.abc import Iterable

_HEAD = r"""-- Databases and roles of Wattbook, for an administrator: psql -X -v ON_ERROR_STOP=1 -f FILE
-- Safe to run again. A password is set where the environment has it, by the names below; never written here.
-- NAME_owner changes the schema (wattbook migrate); NAME only reads and writes rows (the service), of some
-- tables less: each migration sees to that, also for tables that are there already.
"""

_SERVICE = r"""
-- {name}
SELECT 'SET log_statement = none' WHERE (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) \gexec
\getenv owner_password WATTBOOK_{upper}_OWNER_PASSWORD
\getenv app_password WATTBOOK_{upper}_APP_PASSWORD
SELECT 'CREATE ROLE {owner} LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{owner}') \gexec
SELECT 'CREATE ROLE {app} LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{app}') \gexec
\if :{{?owner_password}}
ALTER ROLE {owner} PASSWORD :'owner_password';
\endif
\if :{{?app_password}}
ALTER ROLE {app} PASSWORD :'app_password';
\endif
\unset owner_password
\unset app_password
SELECT 'GRANT {owner} TO CURRENT_USER'
 WHERE NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) \gexec
-- Text is compared by its bytes, as the embedded engine does; indices are smaller and quicker for it.
SELECT 'CREATE DATABASE {database} OWNER {owner} TEMPLATE template0 '
    || 'ENCODING ''UTF8'' LC_COLLATE ''C'' LC_CTYPE ''C'''
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{database}') \gexec
REVOKE ALL ON DATABASE {database} FROM PUBLIC;
GRANT CONNECT ON DATABASE {database} TO {app};
\connect {database}
ALTER SCHEMA public OWNER TO {owner};
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO {app};
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {app};
ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public
  GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {app};
ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public
  GRANT USAGE ON SEQUENCES TO {app};
"""


def roles_script(names: Iterable[str]) -> str:
    """What makes the databases and roles of these stores, in psql's language.

    A database is ``wattbook_NAME``, its roles are ``wattbook_NAME_owner`` and ``wattbook_NAME``.
    """
    parts = [
        _SERVICE.format(
            name=name,
            upper=name.upper(),
            database=f"wattbook_{name}",
            owner=f"wattbook_{name}_owner",
            app=f"wattbook_{name}",
        )
        for name in names
    ]
    return "".join([_HEAD, *parts])
