-- Databases and roles of Wattbook, for an administrator: psql -X -v ON_ERROR_STOP=1 -f FILE
-- Safe to run again. A password is set where the environment has it, by the names below; never written here.
-- NAME_owner changes the schema (wattbook migrate); NAME only reads and writes rows (the service), of some
-- tables less: each migration sees to that, also for tables that are there already.

-- trade
SELECT 'SET log_statement = none' WHERE (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) \gexec
\getenv owner_password WATTBOOK_TRADE_OWNER_PASSWORD
\getenv app_password WATTBOOK_TRADE_APP_PASSWORD
SELECT 'CREATE ROLE wattbook_trade_owner LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'wattbook_trade_owner') \gexec
SELECT 'CREATE ROLE wattbook_trade LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'wattbook_trade') \gexec
\if :{?owner_password}
ALTER ROLE wattbook_trade_owner PASSWORD :'owner_password';
\endif
\if :{?app_password}
ALTER ROLE wattbook_trade PASSWORD :'app_password';
\endif
\unset owner_password
\unset app_password
SELECT 'GRANT wattbook_trade_owner TO CURRENT_USER'
 WHERE NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) \gexec
-- Text is compared by its bytes, as the embedded engine does; indices are smaller and quicker for it.
SELECT 'CREATE DATABASE wattbook_trade OWNER wattbook_trade_owner TEMPLATE template0 '
    || 'ENCODING ''UTF8'' LC_COLLATE ''C'' LC_CTYPE ''C'''
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'wattbook_trade') \gexec
REVOKE ALL ON DATABASE wattbook_trade FROM PUBLIC;
GRANT CONNECT ON DATABASE wattbook_trade TO wattbook_trade;
\connect wattbook_trade
ALTER SCHEMA public OWNER TO wattbook_trade_owner;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO wattbook_trade;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO wattbook_trade;
ALTER DEFAULT PRIVILEGES FOR ROLE wattbook_trade_owner IN SCHEMA public
  GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO wattbook_trade;
ALTER DEFAULT PRIVILEGES FOR ROLE wattbook_trade_owner IN SCHEMA public
  GRANT USAGE ON SEQUENCES TO wattbook_trade;

-- pricing
SELECT 'SET log_statement = none' WHERE (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) \gexec
\getenv owner_password WATTBOOK_PRICING_OWNER_PASSWORD
\getenv app_password WATTBOOK_PRICING_APP_PASSWORD
SELECT 'CREATE ROLE wattbook_pricing_owner LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'wattbook_pricing_owner') \gexec
SELECT 'CREATE ROLE wattbook_pricing LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'wattbook_pricing') \gexec
\if :{?owner_password}
ALTER ROLE wattbook_pricing_owner PASSWORD :'owner_password';
\endif
\if :{?app_password}
ALTER ROLE wattbook_pricing PASSWORD :'app_password';
\endif
\unset owner_password
\unset app_password
SELECT 'GRANT wattbook_pricing_owner TO CURRENT_USER'
 WHERE NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) \gexec
-- Text is compared by its bytes, as the embedded engine does; indices are smaller and quicker for it.
SELECT 'CREATE DATABASE wattbook_pricing OWNER wattbook_pricing_owner TEMPLATE template0 '
    || 'ENCODING ''UTF8'' LC_COLLATE ''C'' LC_CTYPE ''C'''
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'wattbook_pricing') \gexec
REVOKE ALL ON DATABASE wattbook_pricing FROM PUBLIC;
GRANT CONNECT ON DATABASE wattbook_pricing TO wattbook_pricing;
\connect wattbook_pricing
ALTER SCHEMA public OWNER TO wattbook_pricing_owner;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO wattbook_pricing;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO wattbook_pricing;
ALTER DEFAULT PRIVILEGES FOR ROLE wattbook_pricing_owner IN SCHEMA public
  GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO wattbook_pricing;
ALTER DEFAULT PRIVILEGES FOR ROLE wattbook_pricing_owner IN SCHEMA public
  GRANT USAGE ON SEQUENCES TO wattbook_pricing;

-- cash
SELECT 'SET log_statement = none' WHERE (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) \gexec
\getenv owner_password WATTBOOK_CASH_OWNER_PASSWORD
\getenv app_password WATTBOOK_CASH_APP_PASSWORD
SELECT 'CREATE ROLE wattbook_cash_owner LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'wattbook_cash_owner') \gexec
SELECT 'CREATE ROLE wattbook_cash LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'wattbook_cash') \gexec
\if :{?owner_password}
ALTER ROLE wattbook_cash_owner PASSWORD :'owner_password';
\endif
\if :{?app_password}
ALTER ROLE wattbook_cash PASSWORD :'app_password';
\endif
\unset owner_password
\unset app_password
SELECT 'GRANT wattbook_cash_owner TO CURRENT_USER'
 WHERE NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) \gexec
-- Text is compared by its bytes, as the embedded engine does; indices are smaller and quicker for it.
SELECT 'CREATE DATABASE wattbook_cash OWNER wattbook_cash_owner TEMPLATE template0 '
    || 'ENCODING ''UTF8'' LC_COLLATE ''C'' LC_CTYPE ''C'''
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'wattbook_cash') \gexec
REVOKE ALL ON DATABASE wattbook_cash FROM PUBLIC;
GRANT CONNECT ON DATABASE wattbook_cash TO wattbook_cash;
\connect wattbook_cash
ALTER SCHEMA public OWNER TO wattbook_cash_owner;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO wattbook_cash;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO wattbook_cash;
ALTER DEFAULT PRIVILEGES FOR ROLE wattbook_cash_owner IN SCHEMA public
  GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO wattbook_cash;
ALTER DEFAULT PRIVILEGES FOR ROLE wattbook_cash_owner IN SCHEMA public
  GRANT USAGE ON SEQUENCES TO wattbook_cash;

-- gateway
SELECT 'SET log_statement = none' WHERE (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) \gexec
\getenv owner_password WATTBOOK_GATEWAY_OWNER_PASSWORD
\getenv app_password WATTBOOK_GATEWAY_APP_PASSWORD
SELECT 'CREATE ROLE wattbook_gateway_owner LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'wattbook_gateway_owner') \gexec
SELECT 'CREATE ROLE wattbook_gateway LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'wattbook_gateway') \gexec
\if :{?owner_password}
ALTER ROLE wattbook_gateway_owner PASSWORD :'owner_password';
\endif
\if :{?app_password}
ALTER ROLE wattbook_gateway PASSWORD :'app_password';
\endif
\unset owner_password
\unset app_password
SELECT 'GRANT wattbook_gateway_owner TO CURRENT_USER'
 WHERE NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) \gexec
-- Text is compared by its bytes, as the embedded engine does; indices are smaller and quicker for it.
SELECT 'CREATE DATABASE wattbook_gateway OWNER wattbook_gateway_owner TEMPLATE template0 '
    || 'ENCODING ''UTF8'' LC_COLLATE ''C'' LC_CTYPE ''C'''
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'wattbook_gateway') \gexec
REVOKE ALL ON DATABASE wattbook_gateway FROM PUBLIC;
GRANT CONNECT ON DATABASE wattbook_gateway TO wattbook_gateway;
\connect wattbook_gateway
ALTER SCHEMA public OWNER TO wattbook_gateway_owner;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO wattbook_gateway;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO wattbook_gateway;
ALTER DEFAULT PRIVILEGES FOR ROLE wattbook_gateway_owner IN SCHEMA public
  GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO wattbook_gateway;
ALTER DEFAULT PRIVILEGES FOR ROLE wattbook_gateway_owner IN SCHEMA public
  GRANT USAGE ON SEQUENCES TO wattbook_gateway;

-- meter
SELECT 'SET log_statement = none' WHERE (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) \gexec
\getenv owner_password WATTBOOK_METER_OWNER_PASSWORD
\getenv app_password WATTBOOK_METER_APP_PASSWORD
SELECT 'CREATE ROLE wattbook_meter_owner LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'wattbook_meter_owner') \gexec
SELECT 'CREATE ROLE wattbook_meter LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'wattbook_meter') \gexec
\if :{?owner_password}
ALTER ROLE wattbook_meter_owner PASSWORD :'owner_password';
\endif
\if :{?app_password}
ALTER ROLE wattbook_meter PASSWORD :'app_password';
\endif
\unset owner_password
\unset app_password
SELECT 'GRANT wattbook_meter_owner TO CURRENT_USER'
 WHERE NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) \gexec
-- Text is compared by its bytes, as the embedded engine does; indices are smaller and quicker for it.
SELECT 'CREATE DATABASE wattbook_meter OWNER wattbook_meter_owner TEMPLATE template0 '
    || 'ENCODING ''UTF8'' LC_COLLATE ''C'' LC_CTYPE ''C'''
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'wattbook_meter') \gexec
REVOKE ALL ON DATABASE wattbook_meter FROM PUBLIC;
GRANT CONNECT ON DATABASE wattbook_meter TO wattbook_meter;
\connect wattbook_meter
ALTER SCHEMA public OWNER TO wattbook_meter_owner;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO wattbook_meter;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO wattbook_meter;
ALTER DEFAULT PRIVILEGES FOR ROLE wattbook_meter_owner IN SCHEMA public
  GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO wattbook_meter;
ALTER DEFAULT PRIVILEGES FOR ROLE wattbook_meter_owner IN SCHEMA public
  GRANT USAGE ON SEQUENCES TO wattbook_meter;

-- ingest
SELECT 'SET log_statement = none' WHERE (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) \gexec
\getenv owner_password WATTBOOK_INGEST_OWNER_PASSWORD
\getenv app_password WATTBOOK_INGEST_APP_PASSWORD
SELECT 'CREATE ROLE wattbook_ingest_owner LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'wattbook_ingest_owner') \gexec
SELECT 'CREATE ROLE wattbook_ingest LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'wattbook_ingest') \gexec
\if :{?owner_password}
ALTER ROLE wattbook_ingest_owner PASSWORD :'owner_password';
\endif
\if :{?app_password}
ALTER ROLE wattbook_ingest PASSWORD :'app_password';
\endif
\unset owner_password
\unset app_password
SELECT 'GRANT wattbook_ingest_owner TO CURRENT_USER'
 WHERE NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) \gexec
-- Text is compared by its bytes, as the embedded engine does; indices are smaller and quicker for it.
SELECT 'CREATE DATABASE wattbook_ingest OWNER wattbook_ingest_owner TEMPLATE template0 '
    || 'ENCODING ''UTF8'' LC_COLLATE ''C'' LC_CTYPE ''C'''
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'wattbook_ingest') \gexec
REVOKE ALL ON DATABASE wattbook_ingest FROM PUBLIC;
GRANT CONNECT ON DATABASE wattbook_ingest TO wattbook_ingest;
\connect wattbook_ingest
ALTER SCHEMA public OWNER TO wattbook_ingest_owner;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO wattbook_ingest;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO wattbook_ingest;
ALTER DEFAULT PRIVILEGES FOR ROLE wattbook_ingest_owner IN SCHEMA public
  GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO wattbook_ingest;
ALTER DEFAULT PRIVILEGES FOR ROLE wattbook_ingest_owner IN SCHEMA public
  GRANT USAGE ON SEQUENCES TO wattbook_ingest;
