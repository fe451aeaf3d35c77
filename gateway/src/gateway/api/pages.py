"""What no document describes: health, the documents themselves, and the interactive page, all offline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import cache, partial
from importlib.resources import files
from pathlib import Path

import msgspec
from swagger_ui_bundle import swagger_ui_path  # type: ignore[import-untyped]
from wattbook.clock import Clock, iso_z

from gateway.api import documents
from gateway.api.http import Request, Response, json_response
from gateway.api.routing import Handler

_PAGE_POLICY = (
    b"content-security-policy",
    b"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    b"connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
)
_CACHED = (b"cache-control", b"public, max-age=3600")
_VENDORED = {
    "swagger-ui.css": b"text/css",
    "swagger-ui-bundle.js": b"text/javascript",
    "swagger-ui-standalone-preset.js": b"text/javascript",
    "favicon-32x32.png": b"image/png",
}
_OK, _UNREACHABLE = "ok", "unreachable"
Probe = Callable[[], Awaitable[bool]]


def pages_of(probes: Mapping[str, Probe], *, clock: Clock) -> dict[str, Handler]:
    """Every page by its path; ``probes`` ask upstreams, ``clock`` has the desk's time."""
    ui = f"{documents.BASE_PATH}/ui"
    pages: dict[str, Handler] = {
        "/": partial(_redirect, to=f"{ui}/".encode()),
        ui: partial(_redirect, to=f"{ui}/".encode()),
        f"{ui}/": partial(_own, name="ui.html", content_type=b"text/html; charset=utf-8"),
        f"{ui}/ui.js": partial(_own, name="ui.js", content_type=b"text/javascript"),
        f"{documents.BASE_PATH}/openapi.json": _everything,
        "/healthz": partial(_alive, clock=clock),
        "/readyz": partial(_ready, probes=probes),
    }
    for name, probe in probes.items():
        pages[f"/readyz/{name}"] = partial(_upstream_ready, name=name, probe=probe)
    for name, content_type in _VENDORED.items():
        pages[f"{ui}/{name}"] = partial(_vendored, name=name, content_type=content_type)
    for name in documents.DOCUMENTS:
        pages[f"{documents.BASE_PATH}/{name}"] = partial(_document, name=name)
    return pages


async def _alive(request: Request, clock: Clock) -> Response:
    return json_response({"status": "ok", "now": iso_z(clock.now())})


async def _ready(request: Request, probes: Mapping[str, Probe]) -> Response:
    """Ready whenever it answers: with one upstream away, the routes of all others still work."""
    answers = await asyncio.gather(*(probe() for probe in probes.values()))
    found = {name: _OK if answer else _UNREACHABLE for name, answer in zip(probes, answers, strict=True)}
    return json_response({"status": _OK if all(answers) else "degraded", "services": found})


async def _upstream_ready(request: Request, name: str, probe: Probe) -> Response:
    if await probe():
        return json_response({"status": _OK, "services": {name: _OK}})
    return json_response({"status": "unavailable", "services": {name: _UNREACHABLE}}, status=503)


async def _redirect(request: Request, to: bytes) -> Response:
    return Response(307, content_type=None, headers=[(b"location", to)])


async def _document(request: Request, name: str) -> Response:
    return Response(200, documents.raw(name), content_type=b"application/yaml")


async def _everything(request: Request) -> Response:
    return Response(200, _everything_json())


@cache
def _everything_json() -> bytes:
    return msgspec.json.encode(documents.everything())


async def _own(request: Request, name: str, content_type: bytes) -> Response:
    body = (files("gateway") / "static" / name).read_bytes()
    return Response(200, body, content_type=content_type, headers=[_PAGE_POLICY])


async def _vendored(request: Request, name: str, content_type: bytes) -> Response:
    body = await asyncio.to_thread((Path(swagger_ui_path) / name).read_bytes)
    return Response(200, body, content_type=content_type, headers=[_PAGE_POLICY, _CACHED])
