#!/bin/sh
# On the first start: a database a service, owned by the role that changes its schema; the service's own role
# reads and writes rows, and nothing else.
set -eu

one() { # one NAME OWNER_PASSWORD PASSWORD
  psql -v ON_ERROR_STOP=1 --quiet -d postgres -v name="$1" -v owner="$1_owner" -v owner_password="$2" -v password="$3" <<'SQL'
CREATE ROLE :"owner" LOGIN PASSWORD :'owner_password' NOSUPERUSER NOCREATEDB NOCREATEROLE;
CREATE ROLE :"name" LOGIN PASSWORD :'password' NOSUPERUSER NOCREATEDB NOCREATEROLE;
CREATE DATABASE :"name" OWNER :"owner" ENCODING 'UTF8' TEMPLATE template0;
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
GRANT CONNECT, TEMPORARY ON DATABASE :"name" TO :"name";
SQL
  psql -v ON_ERROR_STOP=1 --quiet -d "$1" -v name="$1" -v owner="$1_owner" <<'SQL'
REVOKE ALL ON SCHEMA public FROM PUBLIC;
ALTER SCHEMA public OWNER TO :"owner";
GRANT USAGE ON SCHEMA public TO :"name";
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA public
  GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO :"name";
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO :"name";
SQL
}

export PGUSER="${POSTGRES_USER:-postgres}"
one trade "$TRADE_OWNER_PASSWORD" "$TRADE_STORE_PASSWORD"
one gateway "$GATEWAY_OWNER_PASSWORD" "$GATEWAY_STORE_PASSWORD"
one pricing "$PRICING_OWNER_PASSWORD" "$PRICING_STORE_PASSWORD"
