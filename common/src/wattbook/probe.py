"""Asking a process whether it is well, with the standard library alone.

``python -m wattbook.probe grpc://127.0.0.1:8090/live http://127.0.0.1:8081/readyz`` exits 0 where every
answer is good, else 1 with a line that says which is not. It is what containers ask themselves every few
seconds, and what ``wattbook up`` asks its services: gRPC's library would cost 20 MB and a third of a second
for one question with a fixed wording, so that question is put in bytes here.

Addresses: ``grpc://host:port[/service]``, ``grpcs://…`` over TLS, ``http://host:port/path``, ``tcp://host:port``.
A probe asks the process beside it, so its certificate is not verified: an expired one is for an alert to
tell, and no reason to start the process again.
"""

from __future__ import annotations

import argparse
import socket
import ssl
import struct
import sys
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

TIMEOUT_S = 3.0
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS, _PING, _GOAWAY = 0x0, 0x1, 0x4, 0x6, 0x7
_END_STREAM, _ACK, _END_HEADERS = 0x1, 0x1, 0x4
_STREAM = 1
_SERVING = b"\x00" + struct.pack(">I", 2) + b"\x08\x01"  # HealthCheckResponse{status: SERVING}
_MOST_FRAMES = 32


def is_well(address: str, *, timeout_s: float = TIMEOUT_S, tls: ssl.SSLContext | None = None) -> bool:
    """Whether the answer at ``address`` comes in time and is good.

    Raises:
        ValueError: the address is of no kind that is known.
    """
    parts = urlsplit(address)
    if parts.scheme not in {"grpc", "grpcs", "http", "tcp"} or not parts.hostname or not parts.port:
        raise ValueError(f"{address!r} is not grpc://, grpcs://, http:// or tcp:// with a host and a port")
    try:
        with socket.create_connection((parts.hostname, parts.port), timeout=timeout_s) as plain:
            if parts.scheme == "grpcs":
                with (tls or tls_context()).wrap_socket(plain) as connection:
                    return _is_serving(connection, parts.netloc, parts.path.strip("/"))
            if parts.scheme == "grpc":
                return _is_serving(plain, parts.netloc, parts.path.strip("/"))
            return parts.scheme == "tcp" or _is_ok(plain, parts.netloc, parts.path or "/")
    except OSError:
        return False


def tls_context(cert_file: str | None = None, key_file: str | None = None) -> ssl.SSLContext:
    """TLS to the process beside us, with a certificate of our own where it wants one.

    Raises:
        OSError: a file cannot be read or holds none.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    if cert_file:
        context.load_cert_chain(cert_file, key_file)
    return context


def _is_ok(connection: socket.socket, authority: str, path: str) -> bool:
    request = (
        f"GET {path} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: wattbook-probe\r\nConnection: close\r\n\r\n"
    )
    connection.sendall(request.encode())
    with connection.makefile("rb") as answer:
        return answer.readline(200).split(b" ")[1:2] == [b"200"]


def _is_serving(connection: socket.socket, authority: str, service: str) -> bool:
    """``grpc.health.v1.Health/Check`` of ``service``, ``""`` for all (RFC 9113; grpc's PROTOCOL-HTTP2.md)."""
    headers = {
        ":method": "POST",
        ":scheme": "https" if isinstance(connection, ssl.SSLSocket) else "http",
        ":path": "/grpc.health.v1.Health/Check",
        ":authority": authority,
        "te": "trailers",
        "content-type": "application/grpc",
    }
    connection.sendall(
        _PREFACE
        + _frame(_SETTINGS)
        + _frame(_HEADERS, b"".join(map(_header, headers, headers.values())), _END_HEADERS, _STREAM)
        + _frame(_DATA, _question(service), _END_STREAM, _STREAM)
    )
    body = b""
    for kind, flags, stream, payload in _frames(connection):
        if kind == _SETTINGS and not flags & _ACK:
            connection.sendall(_frame(_SETTINGS, b"", _ACK))
        elif kind == _PING and not flags & _ACK:
            connection.sendall(_frame(_PING, payload, _ACK))
        elif kind == _DATA and stream == _STREAM:
            body += payload
        if kind == _GOAWAY or len(body) >= len(_SERVING) or (flags & _END_STREAM and stream == _STREAM):
            break
    return body == _SERVING


def _question(service: str) -> bytes:
    """``HealthCheckRequest{service}`` as a gRPC message; the name is short, so one byte tells its length."""
    name = service.encode()
    message = b"\x0a" + bytes([len(name)]) + name if name else b""
    return b"\x00" + struct.pack(">I", len(message)) + message


def _frame(kind: int, payload: bytes = b"", flags: int = 0, stream: int = 0) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _header(name: str, value: str) -> bytes:
    """A literal header field, never indexed, not compressed (RFC 7541, 6.2.2); both under 127 bytes."""
    return b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def _frames(connection: socket.socket) -> Iterator[tuple[int, int, int, bytes]]:
    with connection.makefile("rb") as answer:
        for _ in range(_MOST_FRAMES):
            head = answer.read(9)
            if len(head) < 9:
                return
            length = int.from_bytes(head[:3], "big")
            kind, flags, stream = struct.unpack(">BBI", head[3:])
            payload = answer.read(length)
            if len(payload) < length:
                return
            yield kind, flags, stream & 0x7FFFFFFF, payload


def main(arguments: Sequence[str] | None = None) -> int:
    """Ask every address; the exit status."""
    parser = argparse.ArgumentParser(prog="wattbook.probe", description="Ask whether processes are well.")
    parser.add_argument("addresses", nargs="+", metavar="grpc://host:port/service")
    parser.add_argument("--timeout-s", type=float, default=TIMEOUT_S)
    parser.add_argument("--cert-file", help="a certificate of our own, where grpcs:// wants one")
    parser.add_argument("--key-file")
    given = parser.parse_args(arguments)
    try:
        tls = tls_context(given.cert_file, given.key_file)
        ill = [each for each in given.addresses if not is_well(each, timeout_s=given.timeout_s, tls=tls)]
    except (OSError, ValueError) as error:
        print(f"probe: {error}", file=sys.stderr)
        return 1
    for address in ill:
        print(f"probe: {address} is not well")
    return 1 if ill else 0


if __name__ == "__main__":
    sys.exit(main())
