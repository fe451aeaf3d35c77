"""What stands between our HTTP server, which speaks ASGI, and WSGI applications."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO
from urllib.parse import unquote_to_bytes

from wattbook.proxies import TrustedProxies

Fields = Mapping[bytes, bytes]
_SCHEMES = frozenset({"http", "https"})


def joined(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Each field of a head once (RFC 9110, 5.3)."""
    fields: dict[bytes, bytes] = {}
    for name, value in headers:
        before = fields.get(name)
        separator = b"; " if name == b"cookie" else b","
        fields[name] = value if before is None else before + separator + value
    return fields


def caller_of(scope: Any, fields: Fields, proxies: TrustedProxies) -> tuple[str, str]:
    """Whom a request is from, and its scheme, as proxies say that are believed."""
    peer = scope["client"][0] if scope.get("client") else ""
    scheme = scope["scheme"]
    if not proxies.trusts(peer):
        return peer, scheme
    said = fields.get(b"x-forwarded-proto", b"").decode("latin-1").rpartition(",")[2].strip().lower()
    forwarded = fields.get(b"x-forwarded-for", b"").decode("latin-1")
    return proxies.client_of(peer, forwarded), said if said in _SCHEMES else scheme


def environ_of(
    scope: Any, fields: Fields, body: BinaryIO, length: int, *, client: str, scheme: str
) -> dict[str, Any]:
    """A request as WSGI has it (PEP 3333), of ``client``, with a ``body`` of ``length`` bytes."""
    server = scope.get("server") or ("", None)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(scope["raw_path"]).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1] or 80),
        "REMOTE_ADDR": client,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.input": body,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in fields.items():
        if b"_" not in name:  # it would be taken for the field with hyphens
            environ["HTTP_" + name.decode("latin-1").upper().replace("-", "_")] = value.decode("latin-1")
    environ.pop("HTTP_CONTENT_LENGTH", None)
    environ["CONTENT_TYPE"] = environ.pop("HTTP_CONTENT_TYPE", "")
    environ["CONTENT_LENGTH"] = str(length) if length else ""
    return environ
