"""A desk on one machine: its folder, its ports, its services and what each is told at start."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

LOOPBACK = "127.0.0.1"
EVERYWHERE = frozenset({"0.0.0.0", "::"})
ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things are in a data folder; ``data`` is absolute."""

    data: Path

    @property
    def inbox(self) -> Path:
        """The drop folder."""
        return self.data / "inbox"

    @property
    def secrets(self) -> Path:
        """What nobody else may read."""
        return self.data / "secrets"

    @property
    def logs(self) -> Path:
        """One log a service."""
        return self.data / "logs"

    @property
    def run(self) -> Path:
        """What is true only while the desk runs."""
        return self.data / "run"

    @property
    def private(self) -> tuple[Path, ...]:
        """Folders only the desk's own user may enter."""
        return (self.secrets, self.logs, self.run, self.data / "stores", self.data / "bus")

    @property
    def shared(self) -> tuple[Path, ...]:
        """Folders where others may be let in to leave files."""
        return (self.inbox, self.inbox / "archive", self.inbox / "rejected")

    @property
    def bus_url(self) -> str:
        """The embedded bus."""
        return f"sqlite:///{self.data / 'bus' / 'bus.db'}"

    def store_url(self, name: str) -> str:
        """The embedded store of one service."""
        return f"sqlite:///{self.data / 'stores' / name}.db"


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a desk listens: two public ports from ``base`` on, internal ones from ``base + 10`` on.

    ``host`` is where the public ones listen; internal ones never leave this machine.
    """

    base: int
    host: str = LOOPBACK

    @property
    def ports(self) -> dict[str, tuple[str, int]]:
        """Every port by what listens there, with the host to bind."""
        return {
            "gateway": (self.host, self.base),
            "report pages": (self.host, self.base + 1),
            "trade-service": (LOOPBACK, self.base + 10),
            "report-service": (LOOPBACK, self.base + 11),
            "ingest-service": (LOOPBACK, self.base + 12),
        }

    @property
    def gateway_url(self) -> str:
        """Where this machine reaches the gateway."""
        return f"http://{self.listen('gateway', reach=True)}"

    @property
    def pages_url(self) -> str:
        """Where this machine reaches the report pages."""
        return f"http://{self.listen('report pages', reach=True)}"

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches it."""
        return self.host in {LOOPBACK, "::1", "localhost"}

    def listen(self, what: str, *, reach: bool = False) -> str:
        """``host:port`` to listen on, or with ``reach`` the one to call from this machine."""
        host, port = self.ports[what]
        if reach:
            host = self.reachable_host(host)
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @staticmethod
    def reachable_host(host: str) -> str:
        """A host to call where something listens on ``host``."""
        return LOOPBACK if host in EVERYWHERE else host


class ProbeKind(Enum):
    """How to ask whether something is healthy."""

    GRPC = "grpc"
    HTTP = "http"
    TCP = "tcp"


@dataclass(frozen=True, slots=True)
class Probe:
    """One question about health; ``path`` is for HTTP."""

    kind: ProbeKind
    host: str
    port: int
    path: str = "/"


@dataclass(frozen=True, slots=True)
class Service:
    """A process of the desk: how to start it; it is healthy when every probe says so."""

    name: str
    command: tuple[str, ...]
    probes: tuple[Probe, ...]
    environment: Mapping[str, str] = field(repr=False, default_factory=dict)

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports it listens on."""
        return tuple(probe.port for probe in self.probes)


@dataclass(frozen=True, slots=True)
class Secrets:
    """What the services may know and nobody else. ``admin_if_new`` counts only where no admin exists."""

    signing_key_file: Path
    session_key: str = field(repr=False)
    ingest_client_secret: str = field(repr=False)
    admin_password: str = field(repr=False, default="")
    admin_if_new: str = field(repr=False, default="")


def services(
    *, layout: Layout, addresses: Addresses, secrets: Secrets, environment: Mapping[str, str]
) -> tuple[Service, ...]:
    """The desk's services in the order of their dependence: stopped last to first."""
    passed_on = dict(_passed_on(environment))
    return tuple(
        Service(
            name=name,
            command=(sys.executable, "-m", f"{name.replace('-', '_')}.app"),
            probes=_probes(name, addresses),
            environment={**passed_on, **told},
        )
        for name, told in {
            "trade-service": _trade(layout, addresses),
            "report-service": _report(layout, addresses, secrets),
            "gateway": _gateway(layout, addresses, secrets),
            "ingest-service": _ingest(layout, addresses, secrets),
        }.items()
    )


def _trade(layout: Layout, addresses: Addresses) -> dict[str, str]:
    return {
        "WATTBOOK_TRADE_LISTEN": addresses.listen("trade-service"),
        "WATTBOOK_TRADE_STORE_URL": layout.store_url("trade"),
        "WATTBOOK_BUS_URL": layout.bus_url,
    }


def _report(layout: Layout, addresses: Addresses, secrets: Secrets) -> dict[str, str]:
    return {
        "WATTBOOK_REPORT_LISTEN": addresses.listen("report-service"),
        "WATTBOOK_REPORT_HTTP_LISTEN": addresses.listen("report pages"),
        "WATTBOOK_TRADE_TARGET": addresses.listen("trade-service"),
        "WATTBOOK_BUS_URL": layout.bus_url,
        "WATTBOOK_GATEWAY_URL": addresses.gateway_url,
        "WATTBOOK_SESSION_KEY": secrets.session_key,
    }


def _gateway(layout: Layout, addresses: Addresses, secrets: Secrets) -> dict[str, str]:
    told = {
        "WATTBOOK_GATEWAY_LISTEN": addresses.listen("gateway"),
        "WATTBOOK_GATEWAY_STORE_URL": layout.store_url("gateway"),
        "WATTBOOK_TRADE_TARGET": addresses.listen("trade-service"),
        "WATTBOOK_REPORT_TARGET": addresses.listen("report-service"),
        "WATTBOOK_SIGNING_KEY_FILE": str(secrets.signing_key_file),
        "WATTBOOK_INGEST_CLIENT_SECRET": secrets.ingest_client_secret,
    }
    if secrets.admin_password:
        told["WATTBOOK_ADMIN_PASSWORD"] = secrets.admin_password
    if secrets.admin_if_new:
        told["WATTBOOK_ADMIN_PASSWORD_IF_NEW"] = secrets.admin_if_new
    return told


def _ingest(layout: Layout, addresses: Addresses, secrets: Secrets) -> dict[str, str]:
    return {
        "WATTBOOK_INGEST_LISTEN": addresses.listen("ingest-service"),
        "WATTBOOK_INGEST_STORE_URL": layout.store_url("ingest"),
        "WATTBOOK_INBOX": str(layout.inbox),
        "WATTBOOK_GATEWAY_URL": addresses.gateway_url,
        "WATTBOOK_INGEST_CLIENT_SECRET": secrets.ingest_client_secret,
    }


def _probes(name: str, addresses: Addresses) -> tuple[Probe, ...]:
    host, port = addresses.ports[name]
    host = addresses.reachable_host(host)
    if name == "gateway":
        return (Probe(ProbeKind.HTTP, host, port, "/readyz"),)
    own = Probe(ProbeKind.GRPC, host, port)
    if name == "report-service":
        page_host, page_port = addresses.ports["report pages"]
        return own, Probe(ProbeKind.TCP, addresses.reachable_host(page_host), page_port)
    return (own,)


# Proxies are left out on purpose: services talk to each other on this machine only.
_INHERITED = frozenset({"PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "VIRTUAL_ENV"})
_INHERITED_PREFIXES = ("LC_", "PYTHON", "MALLOC_", "COVERAGE_", "SSL_CERT_")
# For the command itself, or for one service only.
_NOT_PASSED_ON = frozenset(
    {
        "WATTBOOK_URL",
        "WATTBOOK_USER",
        "WATTBOOK_PASSWORD",
        "WATTBOOK_ADMIN_PASSWORD",
        "WATTBOOK_ADMIN_PASSWORD_IF_NEW",
        "WATTBOOK_SESSION_KEY",
        "WATTBOOK_INGEST_CLIENT_SECRET",
    }
)


def _passed_on(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in environment.items():
        ours = name.startswith("WATTBOOK_") and name not in _NOT_PASSED_ON
        if ours or name in _INHERITED or name.startswith(_INHERITED_PREFIXES):
            yield name, value
    yield "WATTBOOK_LOG_JSON", "true"  # the supervisor reads the logs
    yield "WATTBOOK_STOP_WITH_PARENT", "true"
    yield "PYTHONSAFEPATH", "1"  # a folder named like a package must not shadow it
