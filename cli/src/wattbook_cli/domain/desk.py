"""A desk on one machine: its folder, its ports, its processes and its secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from wattbook.services import sandbox_ports, services

LOOPBACK = "127.0.0.1"
EVERYWHERE = frozenset({"0.0.0.0", "::"})
ADMIN = "admin"
PRICING = "pricing-service"
EXCHANGE, EXCHANGE_CONTROL = "sandbox exchange", "sandbox exchange-control"
MARKET_DATA, MARKET_DATA_CONTROL = "sandbox market-data", "sandbox market-data-control"
BANK, BANK_CONTROL = "sandbox bank", "sandbox bank-control"

BUS_URL = "WATTBOOK_BUS_URL"
# A service's store → the service.
STORES: Mapping[str, str] = {each.store: each.name for each in services().values() if each.store}


def store_variable(name: str) -> str:
    """The variable that names a service's store: ``trade`` → ``WATTBOOK_TRADE_STORE_URL``."""
    return f"WATTBOOK_{name.upper()}_STORE_URL"


ENGINES = frozenset({BUS_URL, *map(store_variable, STORES)})


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things are in a data folder; ``data`` is absolute.

    ``chosen`` may name other engines than the embedded ones, by the variables of ``ENGINES``.
    """

    data: Path
    chosen: Mapping[str, str] = field(default_factory=dict, repr=False)

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
    def journal(self) -> Path:
        """What the sandbox's exchange remembers over a restart."""
        return self.data / "sandbox"

    @property
    def flow_files(self) -> Path:
        """Flow files that the sandbox has made up, for a store of readings that is empty."""
        return self.data / "made-up-flow-files"

    @property
    def real_mark(self) -> Path:
        """There once this desk had anything to do with a real exchange, provider or bank."""
        return self.data / "stores" / "real-world"

    @property
    def made_payments_mark(self) -> Path:
        """There once this desk followed the sandbox's bank."""
        return self.data / "stores" / "made-up-payments"

    @property
    def bus_url(self) -> str:
        """The bus; the embedded one where none is chosen."""
        return self.chosen.get(BUS_URL, "").strip() or f"sqlite:///{self.data / 'bus' / 'bus.db'}"

    def store_url(self, name: str) -> str:
        """The store of one service; the embedded one where none is chosen."""
        return (
            self.chosen.get(store_variable(name), "").strip() or f"sqlite:///{self.data / 'stores' / name}.db"
        )


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a desk listens: public ports from ``base`` on, internal ones from ``base + 10`` on.

    ``host`` is where the public ones listen; internal ones never leave this machine.
    """

    base: int
    host: str = LOOPBACK
    has_pricing: bool = False
    has_sandbox: bool = False

    @property
    def ports(self) -> dict[str, tuple[str, int]]:
        """Every port that is used, by what listens there, with the host to bind.

        A service's name stands for its gRPC or its API, ``report pages`` for the pages of report-service.
        """
        found = {}
        for service in services().values():
            if service.name == PRICING and not self.has_pricing:
                continue
            for kind, offset in service.ports.items():
                what = f"{service.short} pages" if kind == "pages" else service.name
                found[what] = (LOOPBACK if kind == "grpc" else self.host, self.base + offset)
        for what, offset in sandbox_ports().items() if self.has_sandbox else ():
            found[f"sandbox {what}"] = (LOOPBACK, self.base + offset)
        return found

    @property
    def gateway_url(self) -> str:
        """Where this machine reaches the gateway."""
        return f"http://{self.listen('gateway', reach=True)}"

    @property
    def pages_url(self) -> str:
        """Where this machine reaches the report pages."""
        return f"http://{self.listen('report pages', reach=True)}"

    @property
    def meters_url(self) -> str:
        """Where this machine reaches the meter pages."""
        return f"http://{self.listen('meter pages', reach=True)}/admin/"

    def port_of(self, what: str) -> str:
        """``:port``: the same host, as pages name each other."""
        return f":{self.ports[what][1]}"

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
    """A process of the desk: how to start it; it is healthy when every probe says so.

    ``unprobed_ports`` are those that it also listens on.
    """

    name: str
    command: tuple[str, ...]
    probes: tuple[Probe, ...]
    environment: Mapping[str, str] = field(repr=False, default_factory=dict)
    unprobed_ports: tuple[int, ...] = ()

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports it listens on."""
        return (*self.unprobed_ports, *(probe.port for probe in self.probes))


@dataclass(frozen=True, slots=True)
class Secrets:
    """What the services may know and nobody else. ``admin_if_new`` counts only where no admin exists."""

    signing_key_file: Path
    session_key: str = field(repr=False)
    verify_keys_file: Path
    client_secrets: Mapping[str, str] = field(repr=False)
    admin_password: str = field(repr=False, default="")
    admin_if_new: str = field(repr=False, default="")
