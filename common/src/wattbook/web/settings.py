"""What a service that strangers call is told about its HTTP server."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

from wattbook.proxies import ProxySettings
from wattbook.settings import setting

BACKLOG = 1024


@dataclass(frozen=True, kw_only=True)
class HttpSettings(ProxySettings):
    """Base of the settings of such a service; it lists :meth:`http_problems` with its own."""

    probe_listen: str | None = setting(
        "WATTBOOK_PROBE_LISTEN",
        "host:port where only /healthz and /readyz are answered, for who watches the process; unset: none",
        default=None,
    )
    head_timeout_s: float = setting(
        "WATTBOOK_HTTP_HEAD_TIMEOUT_S", "longest wait for the whole head of a request", default=10.0
    )
    body_timeout_s: float = setting(
        "WATTBOOK_HTTP_BODY_TIMEOUT_S",
        "longest time that is spent waiting for a body's bytes, and one second more for each KiB of it",
        default=20.0,
    )
    most_connections: int = setting("WATTBOOK_HTTP_CONNECTIONS", "most connections at once", default=4_000)
    connections_per_address: int = setting(
        "WATTBOOK_HTTP_CONNECTIONS_PER_ADDRESS",
        "most connections of one address at once (of a /64 in IPv6); trusted proxies are exempt",
        default=400,
    )

    def http_problems(self) -> list[str]:
        """What is wrong with them, a line each; names the variable."""
        problems = self.proxy_problems()
        for name, value in (
            ("WATTBOOK_HTTP_HEAD_TIMEOUT_S", self.head_timeout_s),
            ("WATTBOOK_HTTP_BODY_TIMEOUT_S", self.body_timeout_s),
            ("WATTBOOK_HTTP_CONNECTIONS", self.most_connections),
            ("WATTBOOK_HTTP_CONNECTIONS_PER_ADDRESS", self.connections_per_address),
        ):
            if value <= 0:
                problems.append(f"{name}: {value:g} is not above 0")
        if self.probe_listen is not None:
            try:
                address_of(self.probe_listen)
            except ValueError as error:
                problems.append(f"WATTBOOK_PROBE_LISTEN: {error}")
        return problems


def address_of(text: str) -> tuple[str, int]:
    """(host, port) of ``host:port``, ``[::1]:port`` too.

    Raises:
        ValueError: it is not one.
    """
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{text!r} is not an address; write host:port")
    return host.strip("[]"), int(port)


def listen(address: str) -> socket.socket:
    """A listening socket.

    Raises:
        OSError: the address is in use or not ours, said in one line.
        ValueError: it is no address.
    """
    host, port = address_of(address)
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno and error.errno > 0 else str(error)
        raise OSError(f"cannot listen on {address}: {reason}") from error
