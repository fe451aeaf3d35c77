"""connexion, kept lean: its documents, resolver and security; one table of routes; handlers called directly.

connexion's own chain of routers loses the second of three documents under one base path, and its generic
injection of arguments costs more than the rest of a request.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.routing import Router, compile_path
from wattbook.errors import MethodNotAllowed, NotFound

from gateway.api.connexion_parts import (
    ROUTING_CONTEXT,
    AbstractOperation,
    AsyncApp,
    RoutedAPI,
    RoutingAPI,
    RoutingMiddleware,
)
from gateway.api.http import ROUTE, Refusal, Request, Response, header
from gateway.api.negotiation import body_type, chosen_type
from gateway.api.params import Parameters

Handler = Callable[[Request], Awaitable[Response]]


class Routing(RoutingMiddleware):
    """Finds the operation for a request: exact paths in one table, templates after it."""

    def __init__(self, app: Any, *, pages: Mapping[str, Handler]) -> None:
        """``pages`` are what no document describes: health and the interactive page."""
        super().__init__(app)
        self._pages = pages
        self._exact: dict[str, dict[str, dict[str, str]]] = {}
        self._templates: list[tuple[Any, dict[str, dict[str, str]]]] = []

    def add_api(self, specification: Any, base_path: str | None = None, **kwargs: Any) -> None:
        """Take over the routes that connexion makes of a document."""
        api = RoutingAPI(specification, base_path=base_path, next_app=self.app, **kwargs)
        for route in api.router.routes:
            path = api.base_path + route.path
            operation = {
                "api_base_path": api.base_path,
                "operation_id": route.endpoint.operation_id,
                "route": path,
            }
            self._methods_at(path).update(dict.fromkeys(route.methods, operation))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Attach the operation to the scope and go on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"]
        page = self._pages.get(path)
        if page is not None:
            scope[ROUTE] = path
            await serve_page(page, scope, receive, send)
            return
        methods, path_params = self._find(path)
        operation = methods.get(scope["method"])
        if operation is None:
            raise _refused_method(methods)
        scope[ROUTE] = operation["route"]
        scope["path_params"] = path_params
        scope["extensions"] = {ROUTING_CONTEXT: operation}
        await self.app(scope, receive, send)

    def _find(self, path: str) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
        methods = self._exact.get(path)
        if methods is not None:
            return methods, {}
        for pattern, templated in self._templates:
            found = pattern.match(path)
            if found:
                return templated, found.groupdict()
        raise NotFound("there is nothing at this address")

    def _methods_at(self, path: str) -> dict[str, dict[str, str]]:
        if "{" not in path:
            return self._exact.setdefault(path, {})
        pattern, _, _ = compile_path(path)
        for known, present in self._templates:
            if known.pattern == pattern.pattern:
                return present
        methods: dict[str, dict[str, str]] = {}
        self._templates.append((pattern, methods))
        return methods


async def serve_page(page: Handler, scope: Any, receive: Any, send: Any) -> None:
    """Answer with what no document describes."""
    if scope["method"] not in ("GET", "HEAD"):
        raise _refused_method({"GET": {}, "HEAD": {}})
    response = await page(Request(scope, receive, params={}, principal=None))
    await response.send(send)


class Probes:
    """The ASGI application for who watches the process: its health, and nothing else."""

    def __init__(self, pages: Mapping[str, Handler]) -> None:
        """Of all ``pages`` those about health."""
        self._pages = {path: page for path, page in pages.items() if path.startswith(("/healthz", "/readyz"))}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one."""
        page = self._pages.get(scope["path"])
        if page is None:
            raise NotFound("there is nothing at this address")
        await serve_page(page, scope, receive, send)


def _refused_method(methods: Mapping[str, Any]) -> Refusal:
    allowed = ", ".join(sorted(methods))
    error = MethodNotAllowed(f"this address takes {allowed}")
    return Refusal(error, [(b"allow", allowed.encode())])


class Operation:
    """One operation of a document: its parameters and media types, compiled, and its handler."""

    def __init__(self, operation: AbstractOperation, *, body_limit: int) -> None:
        """Compile ``operation``; bodies read whole are at most ``body_limit`` bytes."""
        self._handler: Handler = operation.function
        self._params = Parameters(operation.parameters)
        self._taken = tuple(operation.consumes)
        self._offered = _offered(operation)
        self._body_limit = body_limit

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Validate, let the handler answer, send."""
        params = self._params.read(scope)
        accepted = mime_type = ""
        if self._offered and "format" not in params:
            accepted = chosen_type(_text(header(scope, b"accept")), self._offered)
        if self._taken:
            encoding = _text(header(scope, b"content-encoding"))
            mime_type = body_type(_text(header(scope, b"content-type")), encoding, self._taken)
        request = Request(
            scope,
            receive,
            params=params,
            principal=_principal(scope),
            mime_type=mime_type,
            accepted=accepted,
            body_limit=self._body_limit,
        )
        response = await self._handler(request)
        if scope["method"] == "HEAD":
            await response.send_head(send)
        else:
            await response.send(send)


def _offered(operation: AbstractOperation) -> tuple[str, ...]:
    answers = operation.responses
    return tuple(
        kind for status, answer in answers.items() if status[0] == "2" for kind in answer.get("content", {})
    )


def _principal(scope: Any) -> Any:
    return scope["extensions"].get("connexion_context", {}).get("token_info", {}).get("principal")


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


class Api(RoutedAPI[Operation]):
    """The operations of one document."""

    def __init__(self, *args: Any, body_limit: int, **kwargs: Any) -> None:
        """Compile them all."""
        super().__init__(*args, **kwargs)
        self._body_limit = body_limit
        self.router = Router()
        self.add_paths()

    def make_operation(self, operation: AbstractOperation) -> Operation:
        """Compile one."""
        return Operation(operation, body_limit=self._body_limit)


class Application(AsyncApp):
    """connexion's asynchronous application with :class:`Operation` for its operations."""

    def __init__(self, import_name: str, **kwargs: Any) -> None:
        """Like :class:`AsyncApp`."""
        super().__init__(import_name, **kwargs)
        self._middleware_app.api_cls = Api
