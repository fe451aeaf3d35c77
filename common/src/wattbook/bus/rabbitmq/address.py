"""Where a RabbitMQ is and how to sign in there, from a URL. Nothing here prints a password."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

import pika

from wattbook.bus import TlsFiles

PORTS = {"amqp": 5672, "amqps": 5671}
HEARTBEAT_S = 15
PREFETCH = 1_000
TCP_S = 4.0
HANDSHAKE_S = 6.0  # TCP, TLS and AMQP together, a host
BLOCKED_S = 60.0  # then another host is tried; publishers are refused from the first moment
_OPTIONS = frozenset({"ca_file", "cert_file", "key_file", "heartbeat_s", "prefetch"})


@dataclass(frozen=True, slots=True)
class Address:
    """One RabbitMQ: its hosts are equals, whichever answers will do."""

    hosts: tuple[tuple[str, int], ...]
    user: str
    password: str = field(repr=False)
    vhost: str
    tls: bool
    files: TlsFiles
    heartbeat_s: int = HEARTBEAT_S
    prefetch: int = PREFETCH

    @classmethod
    def of(cls, url: str, *, password: str = "", files: TlsFiles | None = None) -> Address:
        """``amqp[s]://user[:password]@host[:port][,host[:port]…]/vhost[?ca_file=…&prefetch=…]``.

        ``password`` is used where the URL has none; ``files`` where it names none. ``prefetch`` is how many
        messages a member of a group holds at most, ``heartbeat_s`` how often a silent peer is looked for.

        Raises:
            ValueError: it is none such; the message does not quote it.
        """
        scheme, _, _ = url.partition(":")
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        if unknown := options.keys() - _OPTIONS:
            raise ValueError(f"the bus has no option {', '.join(sorted(unknown))}")
        signing_in, _, hosts = parts.netloc.rpartition("@")
        user, _, own_password = signing_in.partition(":")
        if not user:
            raise ValueError(f"the bus's address names no user: {scheme}://USER@HOST/VHOST")
        given = files or TlsFiles()
        return cls(
            hosts=tuple(_host(text, PORTS[scheme]) for text in hosts.split(",")),
            user=unquote(user),
            password=unquote(own_password) or password,
            vhost=unquote(parts.path[1:]) or "/",
            tls=scheme == "amqps",
            files=TlsFiles(
                ca=_path(options, "ca_file") or given.ca,
                cert=_path(options, "cert_file") or given.cert,
                key=_path(options, "key_file") or given.key,
            ),
            heartbeat_s=_whole(options, "heartbeat_s", HEARTBEAT_S),
            prefetch=_whole(options, "prefetch", PREFETCH),
        )

    def parameters(self, host: str, port: int, *, name: str) -> pika.ConnectionParameters:
        """How pika connects to one of the hosts; ``name`` is what the server's lists show.

        Raises:
            OSError: a file of TLS cannot be read, or is none (``ssl.SSLError``).
        """
        return pika.ConnectionParameters(
            host=host,
            port=port,
            virtual_host=self.vhost,
            credentials=pika.PlainCredentials(self.user, self.password, erase_on_connect=False),
            ssl_options=pika.SSLOptions(self._trust(), server_hostname=host) if self.tls else None,
            heartbeat=self.heartbeat_s,
            blocked_connection_timeout=BLOCKED_S,
            socket_timeout=TCP_S,
            stack_timeout=HANDSHAKE_S,
            connection_attempts=1,
            client_properties={"connection_name": name},
        )

    def _trust(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.files.ca)  # checks chain and host name
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.files.cert is not None:
            context.load_cert_chain(self.files.cert, self.files.key)
        return context


def _host(text: str, default_port: int) -> tuple[str, int]:
    """``name``, ``name:port``, ``[v6]`` or ``[v6]:port``."""
    name, closing, after = text.partition("]") if text.startswith("[") else ("", "", "")
    host, _, port = (name[1:], "", after.removeprefix(":")) if closing else text.partition(":")
    if not host or (port and not port.isdecimal()):
        raise ValueError("the bus's address has a part that is no host[:port]")
    return host, int(port or default_port)


def _path(options: dict[str, str], name: str) -> Path | None:
    return Path(options[name]) if options.get(name) else None


def _whole(options: dict[str, str], name: str, default: int) -> int:
    text = options.get(name, str(default))
    if not text.isdecimal() or not 1 <= int(text) <= 65_535:
        raise ValueError(f"the bus's option {name} is not a whole number from 1 to 65535")
    return int(text)
