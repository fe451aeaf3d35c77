"""The manifest of the services, ``services.toml``: who they are, where they listen, whom they call."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

import msgspec

_SANDBOX = "sandbox"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One service; the fields are described in the file."""

    name: str
    ports: Mapping[str, int]
    store: str = ""
    always_embedded: bool = False
    publishes: tuple[str, ...] = ()
    hears: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()
    roles: frozenset[str] = field(default=frozenset())
    optional: bool = False

    @property
    def short(self) -> str:
        """``trade`` of ``trade-service``: so its settings, secrets and pages are called."""
        return self.name.removesuffix("-service")

    @property
    def package(self) -> str:
        """``trade_service`` of ``trade-service``."""
        return self.name.replace("-", "_")

    @property
    def is_client(self) -> bool:
        """Whether it has a secret at the gateway, which gives it access tokens."""
        return "gateway" in self.calls

    @property
    def audiences(self) -> frozenset[str]:
        """The services that its access tokens are for."""
        return frozenset(self.calls) - {"gateway"}


@cache
def services() -> Mapping[str, Entry]:
    """Every service by its name, in the order in which they start."""
    told = {name: {"name": name, **entry} for name, entry in _manifest().items() if name != _SANDBOX}
    return msgspec.convert(told, dict[str, Entry])


def sandbox_ports() -> Mapping[str, int]:
    """What listens in the simulated outside world, as in :attr:`Entry.ports`."""
    return msgspec.convert(_manifest()[_SANDBOX]["ports"], dict[str, int])


def last_offset() -> int:
    """The highest port, as in :attr:`Entry.ports`."""
    of_services = (port for each in services().values() for port in each.ports.values())
    return max(*sandbox_ports().values(), *of_services)


@cache
def _manifest() -> Mapping[str, Mapping[str, Any]]:
    return tomllib.loads(resources.files("wattbook").joinpath("services.toml").read_text("utf-8"))
