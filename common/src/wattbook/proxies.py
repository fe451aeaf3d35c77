"""Who is at the other end, where a proxy is in between that says so."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from wattbook.settings import setting

MOST_HOPS = 20

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class TrustedProxies:
    """Believes ``X-Forwarded-For`` as far as trusted addresses wrote it; with none trusted, not at all."""

    def __init__(self, networks: Sequence[str] = ()) -> None:
        """Trust these addresses or networks, like ``10.0.0.7`` or ``10.0.0.0/8``.

        Raises:
            ValueError: one is neither.
        """
        self._networks: tuple[Network, ...] = tuple(ipaddress.ip_network(text) for text in networks)

    def trusts(self, peer: str) -> bool:
        """Whether what ``peer`` says about its own callers is believed."""
        if not self._networks:
            return False
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self._networks)

    def client_of(self, peer: str, forwarded: str) -> str:
        """The address to hold responsible: ``peer``, or whom a chain of trusted proxies vouches for.

        Each proxy adds at the end whom it was called by, so the header is read from its end, up to the first
        address that is not trusted. What stands before that anybody may have written.
        """
        client = peer
        for said in reversed(forwarded.split(",")[-MOST_HOPS:]) if forwarded else ():
            if not self.trusts(client):
                break
            try:
                client = str(ipaddress.ip_address(said.strip()))
            except ValueError:
                break
        return client


@dataclass(frozen=True, kw_only=True)
class ProxySettings:
    """Base of the settings of a service that strangers call; it lists :meth:`proxy_problems` with its own."""

    trusted_proxies: tuple[str, ...] = setting(
        "WATTBOOK_TRUSTED_PROXIES",
        "addresses or networks whose X-Forwarded-For is believed, comma-separated; unset: nobody's",
        default=(),
    )

    def proxies(self) -> TrustedProxies:
        """Who is believed.

        Raises:
            ValueError: one is neither an address nor a network.
        """
        return TrustedProxies(self.trusted_proxies)

    def proxy_problems(self) -> list[str]:
        """What is wrong with them, a line each; names the variable."""
        try:
            self.proxies()
        except ValueError as error:
            return [f"WATTBOOK_TRUSTED_PROXIES: {error}"]
        return []
