"""The services of a desk, and what each is told at start."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping

from wattbook.services import Entry
from wattbook.services import services as manifest

from wattbook_cli.domain.desk import (
    BANK,
    BANK_CONTROL,
    BUS_URL,
    ENGINES,
    EXCHANGE,
    EXCHANGE_CONTROL,
    MARKET_DATA,
    MARKET_DATA_CONTROL,
    PRICING,
    Addresses,
    Layout,
    Probe,
    ProbeKind,
    Secrets,
    Service,
    store_variable,
)
from wattbook_cli.domain.outside import (
    BANK_URL,
    CLOCK_ANCHOR,
    CLOCK_SPEED,
    CLOCK_START,
    EXCHANGE_URLS,
    MARKET_DATA_URL,
    Outside,
)

_KEEP_DAYS = "WATTBOOK_FEED_TRADES_KEEP_DAYS"
# How the sandbox's bank is followed, whatever is set for a real one.
_OF_SANDBOX_BANK = {"WATTBOOK_BANK_FOLLOW_S": "2", "WATTBOOK_BANK_DIALECT": "", "WATTBOOK_BANK_TOKEN": ""}
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
    session = {"WATTBOOK_SESSION_KEY": secrets.session_key}
    own: dict[str, Mapping[str, str]] = {
        PRICING: {MARKET_DATA_URL: world.market_data_url},
        "cash-service": _cash(world),
        "report-service": {**session, "WATTBOOK_METER_PAGES": addresses.port_of("meter pages")},
        "gateway": _gateway(secrets),
        "meter-service": {**session, **_meter(layout, addresses, world)},
        "ingest-service": {**_kept_short(world, environment), **_ingest(layout, world)},
    }
    made = tuple(
        Service(
            name=entry.name,
            command=(sys.executable, "-m", f"{entry.package}.app"),
            probes=_probes(entry, addresses),
            environment={
                **common, **dict(_usual(entry, layout, addresses, secrets)), **own.get(entry.name, {})
            },
        )
        for entry in manifest().values()
        if entry.name in addresses.ports
    )  # fmt: skip
    return (*made, *_sandbox(layout, addresses, common)) if addresses.has_sandbox else made


def _usual(entry: Entry, layout: Layout, addresses: Addresses, secrets: Secrets) -> Iterator[tuple[str, str]]:
    """What every service is told of what the manifest says about it."""
    own = f"WATTBOOK_{entry.short.upper()}"
    yield f"{own}_LISTEN", addresses.listen(entry.name)
    if "pages" in entry.ports:
        yield f"{own}_HTTP_LISTEN", addresses.listen(f"{entry.short} pages")
    if entry.store:
        yield store_variable(entry.store), layout.store_url(entry.store)
    if entry.publishes or entry.hears:
        # Also without a feed: an earlier start may have left trades that are not on the bus yet.
        yield BUS_URL, layout.bus_url
    for name in entry.audiences & addresses.ports.keys():
        yield f"WATTBOOK_{manifest()[name].short.upper()}_TARGET", addresses.listen(name)
    if entry.is_client:
        yield "WATTBOOK_GATEWAY_URL", addresses.gateway_url
        yield _secret(entry.short), secrets.client_secrets[entry.short]


def _secret(short: str) -> str:
    return f"WATTBOOK_{short.upper()}_CLIENT_SECRET"


def _meter(layout: Layout, addresses: Addresses, outside: Outside) -> dict[str, str]:
    told = {"WATTBOOK_REPORT_PAGES": addresses.port_of("report pages")}
    if outside.has_sandbox:
        told["WATTBOOK_METER_DEMO_FILES"] = str(layout.flow_files)
    return told


def _gateway(secrets: Secrets) -> dict[str, str]:
    told = {_secret(short): secret for short, secret in secrets.client_secrets.items()}
    told["WATTBOOK_SIGNING_KEY_FILE"] = str(secrets.signing_key_file)
    if secrets.admin_password:
        told["WATTBOOK_ADMIN_PASSWORD"] = secrets.admin_password
    if secrets.admin_if_new:
        told["WATTBOOK_ADMIN_PASSWORD_IF_NEW"] = secrets.admin_if_new
    return told


def _ingest(layout: Layout, outside: Outside) -> dict[str, str]:
    told = {"WATTBOOK_INBOX": str(layout.inbox)}
    if outside.exchange_urls:
        told[EXCHANGE_URLS] = outside.exchange_urls
    return told


def _cash(outside: Outside) -> dict[str, str]:
    return {BANK_URL: outside.bank_url} | (_OF_SANDBOX_BANK if outside.has_sandbox else {})


def _kept_short(outside: Outside, environment: Mapping[str, str]) -> dict[str, str]:
    """What is made up is not kept as long as what is real: the sandbox may run for weeks."""
    if not outside.has_sandbox:
        return {}
    return {_KEEP_DAYS: environment.get(_KEEP_DAYS) or "7"}


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
        world("sandbox.bank", BANK, BANK_CONTROL, {}),
        world("sandbox.exchange", EXCHANGE, EXCHANGE_CONTROL, exchange),
    )


def _probes(entry: Entry, addresses: Addresses) -> tuple[Probe, ...]:
    def probe(kind: ProbeKind, what: str, path: str = "/") -> Probe:
        host, port = addresses.ports[what]
        return Probe(kind, addresses.reachable_host(host), port, path)

    if "api" in entry.ports:
        return (probe(ProbeKind.HTTP, entry.name, "/readyz"),)
    own = probe(ProbeKind.GRPC, entry.name)
    return (own, probe(ProbeKind.TCP, f"{entry.short} pages")) if "pages" in entry.ports else (own,)


# Proxies are left out on purpose: services talk to each other on this machine only.
_INHERITED = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "VIRTUAL_ENV"}
    | {"SETTING"}  # the size of what the sandbox's bank makes
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
        *(_secret(each.short) for each in manifest().values()),
        "WATTBOOK_METER_PAGES",
        "WATTBOOK_METER_DEMO_FILES",
        "WATTBOOK_REPORT_PAGES",
        "WATTBOOK_VERIFY_KEYS_FILE",
        "WATTBOOK_OPEN_WALLS",
        *(f"WATTBOOK_{each.short.upper()}_TARGET" for each in manifest().values()),
        EXCHANGE_URLS,
        MARKET_DATA_URL,
        BANK_URL,
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
