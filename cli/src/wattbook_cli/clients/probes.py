"""Asking whether a service is healthy, with the standard library alone.

The supervisor runs as long as the desk does. gRPC would cost it 20 MB and a tenth of a second of its
start, for one question with a fixed wording; so that question is put in bytes here.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

from wattbook_cli.domain.desk import Probe, ProbeKind

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS, _PING, _GOAWAY = 0x0, 0x1, 0x4, 0x6, 0x7
_END_STREAM, _ACK, _END_HEADERS = 0x1, 0x1, 0x4
_STREAM = 1
_EMPTY_MESSAGE = b"\x00" + struct.pack(">I", 0)
_SERVING = b"\x00" + struct.pack(">I", 2) + b"\x08\x01"  # HealthCheckResponse{status: SERVING}
_MOST_FRAMES = 32


def is_healthy(probe: Probe, *, timeout_s: float) -> bool:
    """Whether the answer to ``probe`` comes within ``timeout_s`` and is good."""
    try:
        with socket.create_connection((probe.host, probe.port), timeout=timeout_s) as connection:
            if probe.kind is ProbeKind.GRPC:
                return _grpc_serving(connection, f"{probe.host}:{probe.port}")
            if probe.kind is ProbeKind.HTTP:
                return _http_ok(connection, probe)
            return True
    except OSError:
        return False


def _http_ok(connection: socket.socket, probe: Probe) -> bool:
    request = (
        f"GET {probe.path} HTTP/1.1\r\nHost: {probe.host}:{probe.port}\r\n"
        "User-Agent: wattbook-up\r\nConnection: close\r\n\r\n"
    )
    connection.sendall(request.encode())
    with connection.makefile("rb") as answer:
        return answer.readline(200).split(b" ")[1:2] == [b"200"]


def _grpc_serving(connection: socket.socket, authority: str) -> bool:
    """``grpc.health.v1.Health/Check`` for the whole server (RFC 9113; grpc's PROTOCOL-HTTP2.md)."""
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": "/grpc.health.v1.Health/Check",
        ":authority": authority,
        "te": "trailers",
        "content-type": "application/grpc",
    }
    connection.sendall(
        _PREFACE
        + _frame(_SETTINGS)
        + _frame(_HEADERS, b"".join(map(_header, headers, headers.values())), _END_HEADERS, _STREAM)
        + _frame(_DATA, _EMPTY_MESSAGE, _END_STREAM, _STREAM)
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
