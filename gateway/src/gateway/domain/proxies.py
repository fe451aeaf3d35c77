"""Who is at the other end, where a proxy is in between that says so."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

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

    def client_of(self, peer: str, forwarded: str) -> str:
        """The address to hold responsible: ``peer``, or whom a chain of trusted proxies vouches for.

        Each proxy adds at the end whom it was called by, so the header is read from its end, up to the first
        address that is not trusted. What stands before that anybody may have written.
        """
        client = peer
        for said in reversed(forwarded.split(",")[-MOST_HOPS:]) if forwarded else ():
            if not self._trusts(client):
                break
            try:
                client = str(ipaddress.ip_address(said.strip()))
            except ValueError:
                break
        return client

    def _trusts(self, text: str) -> bool:
        if not self._networks:
            return False
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return False
        return any(address in network for network in self._networks)
