"""The services of a desk, and what each is told at start."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping

from wattbook_cli.domain.desk import (
    ENGINES,
    EXCHANGE,
    EXCHANGE_CONTROL,
    MARKET_DATA,
    MARKET_DATA_CONTROL,
    METER,
    PRICING,
    Addresses,
    Layout,
    Probe,
    ProbeKind,
    Secrets,
    Service,
)
from wattbook_cli.domain.outside import (
    CLOCK_ANCHOR,
    CLOCK_SPEED,
    CLOCK_START,
    EXCHANGE_URLS,
    MARKET_DATA_URL,
    Outside,
)

_PAGES = {"report-service": "report pages", METER: "meter pages"}
_KEEP_DAYS = "WATTBOOK_FEED_TRADES_KEEP_DAYS"
_KEEP_TRADES = "WATTBOOK_SANDBOX_EXCHANGE_KEEP_TRADES"


def services(
    *,
    layout: Layout,
    addresses: Addresses,
    secrets: Secrets,
    environment: Mapping[str, str],
    outside: Outside | None = None,
) -> tuple[Service, ...]:
    """The desk's services in the order of their dependence: stopped last to first.

    The sandbox comes last, so that it stops first: what it sent is heard.
    """
    world = outside or Outside()
    common = {
        **dict(_passed_on(environment)),
        **world.clock,
        "WATTBOOK_VERIFY_KEYS_FILE": str(secrets.verify_keys_file),
    }
    told = {"trade-service": _trade(layout, addresses)}
    if addresses.has_pricing:
        told[PRICING] = _pricing(layout, addresses, secrets, world)
    told |= {
        "report-service": _report(layout, addresses, secrets),
        "gateway": _gateway(layout, addresses, secrets),
        METER: _meter(layout, addresses, secrets),
        "ingest-service": {**_kept_short(world, environment), **_ingest(layout, addresses, secrets, world)},
    }
    made = tuple(
        Service(
            name=name,
            command=(sys.executable, "-m", f"{name.replace('-', '_')}.app"),
            probes=_probes(name, addresses),
            environment={**common, **its},
        )
        for name, its in told.items()
    )
    return (*made, *_sandbox(layout, addresses, common)) if addresses.has_sandbox else made


def _trade(layout: Layout, addresses: Addresses) -> dict[str, str]:
    return {
        "WATTBOOK_TRADE_LISTEN": addresses.listen("trade-service"),
        "WATTBOOK_TRADE_STORE_URL": layout.store_url("trade"),
        "WATTBOOK_BUS_URL": layout.bus_url,
    }


def _pricing(layout: Layout, addresses: Addresses, secrets: Secrets, outside: Outside) -> dict[str, str]:
    return {
        "WATTBOOK_PRICING_LISTEN": addresses.listen(PRICING),
        "WATTBOOK_PRICING_STORE_URL": layout.store_url("pricing"),
        "WATTBOOK_BUS_URL": layout.bus_url,
        "WATTBOOK_TRADE_TARGET": addresses.listen("trade-service"),
        "WATTBOOK_GATEWAY_URL": addresses.gateway_url,
        **_client_secrets(secrets, "pricing"),
        MARKET_DATA_URL: outside.market_data_url,
    }


def _report(layout: Layout, addresses: Addresses, secrets: Secrets) -> dict[str, str]:
    return {
        "WATTBOOK_REPORT_LISTEN": addresses.listen("report-service"),
        "WATTBOOK_REPORT_HTTP_LISTEN": addresses.listen("report pages"),
        "WATTBOOK_TRADE_TARGET": addresses.listen("trade-service"),
        "WATTBOOK_BUS_URL": layout.bus_url,
        "WATTBOOK_GATEWAY_URL": addresses.gateway_url,
        "WATTBOOK_SESSION_KEY": secrets.session_key,
        "WATTBOOK_INGEST_TARGET": addresses.listen("ingest-service"),
        "WATTBOOK_METER_PAGES": addresses.port_of("meter pages"),
        **_client_secrets(secrets, "report"),
        **_pricing_target(addresses),
    }


def _meter(layout: Layout, addresses: Addresses, secrets: Secrets) -> dict[str, str]:
    return {
        "WATTBOOK_METER_LISTEN": addresses.listen(METER),
        "WATTBOOK_METER_HTTP_LISTEN": addresses.listen("meter pages"),
        "WATTBOOK_METER_STORE_URL": layout.store_url("meter"),
        "WATTBOOK_GATEWAY_URL": addresses.gateway_url,
        "WATTBOOK_REPORT_PAGES": addresses.port_of("report pages"),
        "WATTBOOK_SESSION_KEY": secrets.session_key,
        **_client_secrets(secrets, "meter"),
    }


def _gateway(layout: Layout, addresses: Addresses, secrets: Secrets) -> dict[str, str]:
    told = {
        "WATTBOOK_GATEWAY_LISTEN": addresses.listen("gateway"),
        "WATTBOOK_GATEWAY_STORE_URL": layout.store_url("gateway"),
        "WATTBOOK_TRADE_TARGET": addresses.listen("trade-service"),
        "WATTBOOK_REPORT_TARGET": addresses.listen("report-service"),
        "WATTBOOK_INGEST_TARGET": addresses.listen("ingest-service"),
        "WATTBOOK_SIGNING_KEY_FILE": str(secrets.signing_key_file),
        **_client_secrets(secrets, *secrets.client_secrets),
        **_pricing_target(addresses),
    }
    if secrets.admin_password:
        told["WATTBOOK_ADMIN_PASSWORD"] = secrets.admin_password
    if secrets.admin_if_new:
        told["WATTBOOK_ADMIN_PASSWORD_IF_NEW"] = secrets.admin_if_new
    return told


def _ingest(layout: Layout, addresses: Addresses, secrets: Secrets, outside: Outside) -> dict[str, str]:
    told = {
        "WATTBOOK_INGEST_LISTEN": addresses.listen("ingest-service"),
        "WATTBOOK_INGEST_STORE_URL": layout.store_url("ingest"),
        "WATTBOOK_INBOX": str(layout.inbox),
        "WATTBOOK_GATEWAY_URL": addresses.gateway_url,
        **_client_secrets(secrets, "ingest"),
        # Also without a feed: an earlier start may have left trades that are not on the bus yet.
        "WATTBOOK_BUS_URL": layout.bus_url,
    }
    if outside.exchange_urls:
        told[EXCHANGE_URLS] = outside.exchange_urls
    return told


def _client_secrets(secrets: Secrets, *names: str) -> dict[str, str]:
    return {f"WATTBOOK_{name.upper()}_CLIENT_SECRET": secrets.client_secrets[name] for name in names}


def _kept_short(outside: Outside, environment: Mapping[str, str]) -> dict[str, str]:
    """What is made up is not kept as long as what is real: the sandbox may run for weeks."""
    if not outside.has_sandbox:
        return {}
    return {_KEEP_DAYS: environment.get(_KEEP_DAYS) or "7"}


def _pricing_target(addresses: Addresses) -> dict[str, str]:
    return {"WATTBOOK_PRICING_TARGET": addresses.listen(PRICING)} if addresses.has_pricing else {}


def _sandbox(layout: Layout, addresses: Addresses, common: Mapping[str, str]) -> tuple[Service, ...]:
    def world(module: str, at: str, control: str, told: dict[str, str]) -> Service:
        prefix = f"WATTBOOK_{module.replace('.', '_').upper()}"
        listening = {
            f"{prefix}_LISTEN": addresses.listen(at),
            f"{prefix}_CONTROL_LISTEN": addresses.listen(control),
        }
        # Only the control is asked: both ports are of one event loop, open before it answers.
        probe = Probe(ProbeKind.HTTP, *addresses.ports[control], "/healthz")
        return Service(
            name=module.replace(".", "-").replace("_", "-"),
            command=(sys.executable, "-m", module),
            probes=(probe,),
            environment={**common, **listening, **told},
            unprobed_ports=(addresses.ports[at][1],),
        )

    exchange = {
        "WATTBOOK_SANDBOX_EXCHANGE_FILES": str(layout.inbox),
        "WATTBOOK_SANDBOX_EXCHANGE_JOURNAL": str(layout.journal),
        # A day of them at the usual rate; a longer one's file is written from the journal.
        _KEEP_TRADES: common.get(_KEEP_TRADES) or "200000",
    }
    return (
        world("sandbox.market_data", MARKET_DATA, MARKET_DATA_CONTROL, {}),
        world("sandbox.exchange", EXCHANGE, EXCHANGE_CONTROL, exchange),
    )


def _probes(name: str, addresses: Addresses) -> tuple[Probe, ...]:
    host, port = addresses.ports[name]
    host = addresses.reachable_host(host)
    if name == "gateway":
        return (Probe(ProbeKind.HTTP, host, port, "/readyz"),)
    own = Probe(ProbeKind.GRPC, host, port)
    if name in _PAGES:
        page_host, page_port = addresses.ports[_PAGES[name]]
        return own, Probe(ProbeKind.TCP, addresses.reachable_host(page_host), page_port)
    return (own,)


# Proxies are left out on purpose: services talk to each other on this machine only.
_INHERITED = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "VIRTUAL_ENV"}
    | {"PGPASSFILE", "PGSSLMODE", "PGSSLROOTCERT", "PGSERVICEFILE"}
)
_INHERITED_PREFIXES = ("LC_", "PYTHON", "MALLOC_", "COVERAGE_", "SSL_CERT_", "OTEL_")
# For the command itself, or for one service only.
_NOT_PASSED_ON = frozenset(
    {
        "OTEL_SERVICE_NAME",  # each has its own
        "WATTBOOK_URL",
        "WATTBOOK_USER",
        "WATTBOOK_PASSWORD",
        "WATTBOOK_ADMIN_PASSWORD",
        "WATTBOOK_ADMIN_PASSWORD_IF_NEW",
        "WATTBOOK_SESSION_KEY",
        "WATTBOOK_INGEST_CLIENT_SECRET",
        "WATTBOOK_REPORT_CLIENT_SECRET",
        "WATTBOOK_PRICING_CLIENT_SECRET",
        "WATTBOOK_METER_CLIENT_SECRET",
        "WATTBOOK_METER_PAGES",
        "WATTBOOK_REPORT_PAGES",
        "WATTBOOK_VERIFY_KEYS_FILE",
        "WATTBOOK_OPEN_WALLS",
        "WATTBOOK_PRICING_TARGET",
        "WATTBOOK_INGEST_TARGET",
        EXCHANGE_URLS,
        MARKET_DATA_URL,
        CLOCK_START,
        CLOCK_SPEED,
        CLOCK_ANCHOR,
        *ENGINES,
    }
)


def _passed_on(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in environment.items():
        wanted = name in _INHERITED or name.startswith(("WATTBOOK_", *_INHERITED_PREFIXES))
        if wanted and name not in _NOT_PASSED_ON:
            yield name, value
    yield "WATTBOOK_LOG_JSON", "true"  # the supervisor reads the logs
    yield "WATTBOOK_STOP_WITH_PARENT", "true"
    yield "PYTHONSAFEPATH", "1"  # a folder named like a package must not shadow it
