"""The settings of a service that uses the bus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wattbook.bus import Bus, TlsFiles, open_bus
from wattbook.bus.topology import Group
from wattbook.settings import setting


@dataclass(frozen=True, kw_only=True)
class BusSettings:
    """Base of a service's settings that publishes or listens."""

    bus_url: str = setting(
        "WATTBOOK_BUS_URL",
        "the bus, sqlite:///… or amqp[s]://user@host[:port][,host…]/vhost",
        secret=True,  # may hold the password
    )
    bus_password: str = setting(
        "WATTBOOK_BUS_PASSWORD", "of the user in the bus's address", default="", secret=True
    )
    bus_ca_file: Path | None = setting(
        "WATTBOOK_BUS_CA_FILE", "authorities trusted for amqps://; unset: the system's", default=None
    )
    bus_cert_file: Path | None = setting(
        "WATTBOOK_BUS_CERT_FILE", "our certificate, where the bus asks for one", default=None
    )
    bus_key_file: Path | None = setting("WATTBOOK_BUS_KEY_FILE", "the certificate's key", default=None)

    def open_bus(self, *, groups: Sequence[Group] = ()) -> Bus:
        """The bus; ``groups`` are known to it before anything is published. Raises like ``open_bus``."""
        files = TlsFiles(ca=self.bus_ca_file, cert=self.bus_cert_file, key=self.bus_key_file)
        return open_bus(self.bus_url, groups=groups, password=self.bus_password, tls_files=files)
